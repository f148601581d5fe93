"""Models and recurrent layers as ``.safetensors`` files.

A file holds the parameters and, as JSON under the one metadata key ``pyrnn``, the version of this
format, the kind of object, the arguments it was made with and, for a character model, its
vocabulary. The state of an optimiser, of a stream or of a random generator is not saved.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pyrnn import _extras
from pyrnn._files import check_writable as check_writable
from pyrnn._files import write_atomically as write_atomically
from pyrnn._recurrent import Recurrent
from pyrnn._types import Array
from pyrnn.layers import GRU, LSTM, RNN
from pyrnn.min_gru import MinGRU
from pyrnn.model import CharacterModel

FORMAT_VERSION = 1
_KEY = "pyrnn"
_DTYPES = {"float32": "F32", "float64": "F64"}
_RECURRENT = (
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "batch_first",
    "dropout",
    "bidirectional",
)
_ARGUMENTS: Mapping[type, tuple[str, ...]] = {
    RNN: ("nonlinearity", *_RECURRENT),
    LSTM: _RECURRENT,
    GRU: _RECURRENT,
    MinGRU: _RECURRENT,
}
# These came later. They are saved where they differ from their defaults, so that older versions
# read every file that needs none of them.
_OPTIONS: Mapping[str, object] = {
    "proj_size": 0,
    "peephole": False,
    "coupled": False,
    "layer_norm": False,
    "reset_after": True,
    "recurrent_dropout": 0.0,
    "zoneout": 0.0,
}
_KINDS = {kind.__name__: kind for kind in (CharacterModel, *_ARGUMENTS)}

Saveable = CharacterModel | Recurrent


class ModelFileError(ValueError):
    """A model file that cannot be used; the message is one line and begins with its path."""


def save(model: Saveable, path: str | Path) -> None:
    """Save a character model or a recurrent layer.

    The file is written beside its place and then renamed, so that whatever goes wrong, a file that
    was there before stays whole.

    Parameters
    ----------
    model : CharacterModel, RNN, LSTM, GRU or MinGRU
        Parameters and constructor arguments are saved; the seed, the mode and the state of an
        optimiser are not.
    path : str or Path
        Usually ends in ``.safetensors``.

    Raises
    ------
    TypeError
        If ``model`` is something else.
    ValueError
        If a parameter is NaN or infinite.
    OSError
        If the file cannot be written.
    MissingExtraError
        If safetensors is not installed.

    Examples
    --------
    >>> import os, tempfile, pyrnn
    >>> from pyrnn import serialization
    >>> layer = pyrnn.GRU(3, 4, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "layer.safetensors")
    ...     serialization.save(layer, path)
    ...     copy = serialization.load(path)
    >>> copy
    GRU(3, 4)
    >>> bool((copy.parameters["bias_ih_l0"] == layer.parameters["bias_ih_l0"]).all())
    True
    """
    _extras.require("cli", "safetensors")
    from safetensors.numpy import save as to_bytes

    description = {"version": FORMAT_VERSION, **_describe(model)}
    # One key, because the order of several differs from one run to the next.
    metadata = {_KEY: json.dumps(description, sort_keys=True)}
    tensors = {name: np.ascontiguousarray(a) for name, a in model.parameters.items()}
    _check_finite(tensors)
    write_atomically(path, to_bytes(tensors, metadata))


def load(path: str | Path) -> Saveable:
    """Load what `save` saved; it starts in train mode, as a new layer does.

    Parameters
    ----------
    path : str or Path
        Of a file from `save`.

    Raises
    ------
    ModelFileError
        If the file is missing, unreadable, truncated, of another kind or from a newer pyrnn, or if
        its tensors are not those of the model it describes.
    MissingExtraError
        If safetensors is not installed.
    """
    _extras.require("cli", "safetensors")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            return _read(file, path)
    except SafetensorError as error:
        raise ModelFileError(
            f"{path}: expected a whole .safetensors file, got another or a truncated one ({error})"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        if os.path.isdir(path):
            reason = "it is a folder"
        elif not os.path.exists(path):
            reason = "there is no such file"
        raise ModelFileError(f"{path}: cannot be read ({reason})") from error


def load_character_model(path: str | Path) -> CharacterModel:
    """Load a `CharacterModel`; any other kind is a `ModelFileError`, as all that `load` refuses."""
    model = load(path)
    if not isinstance(model, CharacterModel):
        raise ModelFileError(f"{path}: expected a CharacterModel, got {type(model).__name__}")
    return model


def _describe(model: Saveable) -> dict[str, Any]:
    """Kind and constructor arguments, as JSON has them."""
    if type(model) is CharacterModel:
        arguments: dict[str, Any] = {
            "cell": model.cell,
            "hidden_size": model.rnn.hidden_size,
            "num_layers": model.rnn.num_layers,
            "embedding_dim": model.embedding_dim,
            "dropout": model.rnn.dropout,
            "vocabulary": model.vocabulary.characters,
        }
    elif type(model) in _ARGUMENTS:
        arguments = {name: getattr(model, name) for name in _ARGUMENTS[type(model)]}
        options = {name: getattr(model, name, usual) for name, usual in _OPTIONS.items()}
        arguments |= {n: value for n, value in options.items() if value != _OPTIONS[n]}
    else:
        kind = type(model).__name__
        raise TypeError(f"model: expected one of {', '.join(_KINDS)}, got {kind}")
    return {"kind": type(model).__name__, "arguments": arguments | {"dtype": model.dtype.name}}


def _read(file: Any, path: str | Path) -> Saveable:
    """The object that an open file describes, with its tensors."""
    description = _description(file.metadata(), path)
    kind, arguments = description["kind"], description["arguments"]
    found = {}
    for name in file.keys():  # noqa: SIM118 - the file is no mapping
        tensor = file.get_slice(name)
        found[name] = (tensor.get_dtype(), tuple(tensor.get_shape()))
    _check_size(kind, arguments, found, path)
    try:
        # Set afterwards: a rate that one layer does not use was warned of when it was made.
        dropout = arguments.pop("dropout", 0.0)
        model: Saveable = _KINDS[kind](**arguments)
        (model.rnn if isinstance(model, CharacterModel) else model).dropout = dropout
    except (TypeError, ValueError, NotImplementedError, MemoryError) as error:
        raise ModelFileError(f"{path}: expected arguments of {kind}; {error}") from error
    _check_tensors(model.parameters, found, path)
    tensors = {name: file.get_tensor(name) for name in found}
    try:
        _check_finite(tensors)
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from error
    model.parameters.update(tensors)
    return model


def _check_finite(tensors: Mapping[str, Array]) -> None:
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")


def _description(metadata: Any, path: str | Path) -> dict[str, Any]:
    """The JSON in the metadata, with the fields that this version knows."""
    try:
        description = json.loads((metadata or {})[_KEY])
        version, kind = description["version"], description["kind"]
        arguments = description["arguments"]
    except KeyError as error:
        raise ModelFileError(
            f"{path}: expected a model saved by pyrnn, got another .safetensors file "
            f"(its metadata has no {error})"
        ) from error
    except (ValueError, TypeError) as error:
        raise ModelFileError(f"{path}: expected JSON from pyrnn as metadata ({error})") from error
    if not isinstance(version, int) or version < 1 or not isinstance(arguments, dict):
        raise ModelFileError(f"{path}: expected metadata from pyrnn, got version {version!r}")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: expected format version {FORMAT_VERSION} or older, got {version}: "
            "a newer pyrnn saved it (pip install --upgrade pyrnn)"
        )
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ModelFileError(f"{path}: expected one of {', '.join(_KINDS)}, got {kind!r}")
    return {"kind": kind, "arguments": arguments}


def _check_size(
    kind: str,
    arguments: Mapping[str, Any],
    found: Mapping[str, tuple[str, tuple[int, ...]]],
    path: str | Path,
) -> None:
    """Refuse sizes that the tensors cannot bear out, before memory is set aside for them."""
    available = sum(math.prod(shape) for _, shape in found.values())
    sizes: dict[str, Any] = {name: arguments.get(name) for name in ("hidden_size", "num_layers")}
    if arguments.get("proj_size"):
        sizes["proj_size"] = arguments["proj_size"]
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ModelFileError(f"{path}: {name}: expected a whole number above 0, got {size!r}")
    inputs = arguments.get("embedding_dim") or arguments.get("input_size") or 1
    if not isinstance(inputs, int) or _least_numbers(kind, inputs, **sizes) > available:
        raise ModelFileError(
            f"{path}: expected sizes that fit the tensors' {available} numbers, got {arguments!r}"
        )


def _least_numbers(
    kind: str, inputs: int, hidden_size: int, num_layers: int, proj_size: int = 0
) -> int:
    """How many numbers the weights of one gate have, in a stack of layers in one direction."""
    outputs = proj_size or hidden_size
    recurrent = 0 if kind == "MinGRU" else num_layers * outputs
    return hidden_size * (inputs + (num_layers - 1) * outputs + recurrent)


def _check_tensors(
    parameters: Mapping[str, Array],
    found: Mapping[str, tuple[str, tuple[int, ...]]],
    path: str | Path,
) -> None:
    """Refuse missing or superfluous tensors, wrong shapes and dtypes."""
    for name, array in parameters.items():
        if name not in found:
            raise ModelFileError(f"{path}: expected a tensor {name!r}, got none")
        expected = (_DTYPES[array.dtype.name], array.shape)
        if found[name] != expected:
            raise ModelFileError(
                f"{path}: {name}: expected {expected[0]} of shape {expected[1]}, "
                f"got {found[name][0]} of shape {found[name][1]}"
            )
    superfluous = sorted(set(found) - set(parameters))
    if superfluous:
        raise ModelFileError(f"{path}: expected no tensor {superfluous[0]!r}")
