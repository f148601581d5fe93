"""Save and load models and layers as ``.safetensors`` files.

A file has the parameters and, as JSON under the one metadata key ``pyrnn``, the version of this
format, the kind of object, its constructor arguments and, for a character model, its vocabulary.
The state of an optimiser, of a stream or of a random generator is not saved.
"""

from __future__ import annotations

import copy
import errno
import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, cast

from pyrnn import _checks
from pyrnn._files import AnyPath, checked_path, open_regular, shown
from pyrnn._files import check_writable as check_writable
from pyrnn._files import write_atomically as write_atomically
from pyrnn._imports import extras
from pyrnn._pickling import public
from pyrnn._types import ActivationFormat, Array, WeightFormat
from pyrnn.backend.threads import build_info
from pyrnn.interop import _safetensors, _stored
from pyrnn.interop._safetensors import Contents, FormatError
from pyrnn.interop._saved_arguments import ContentError, check_arguments, noted
from pyrnn.interop._stored import check_finite
from pyrnn.layers import _options
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.batch_norm import BatchNorm1d
from pyrnn.layers.composition.pointwise import Activation, Dropout, LayerNorm, Softmax
from pyrnn.layers.composition.pooling import LastStep, MeanOverTime
from pyrnn.layers.composition.sequential import Sequential
from pyrnn.layers.convolution.conv1d import Conv1d
from pyrnn.layers.convolution.over_time import InstanceNorm1d, MaxPool1d
from pyrnn.layers.dense import Embedding, Linear
from pyrnn.layers.recurrent.gru import GRU, GRUCell
from pyrnn.layers.recurrent.lstm import LSTM, LSTMCell
from pyrnn.layers.recurrent.min_gru import MinGRU
from pyrnn.layers.recurrent.rnn import RNN, RNNCell
from pyrnn.parameters import dictionary, formats
from pyrnn.text.character_model import CharacterModel

FORMAT_VERSION = 1
_KEY = "pyrnn"
_CELLS = (RNNCell, LSTMCell, GRUCell)
_COMPOSABLE: Mapping[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (
        *(RNN, LSTM, GRU, MinGRU, Linear, Embedding, Conv1d),
        *(MaxPool1d, InstanceNorm1d, BatchNorm1d),
        *(LastStep, MeanOverTime, Dropout, Activation, Softmax, LayerNorm, Sequential),
    )
}
"""What a saved `Sequential` may consist of."""
_KINDS: Mapping[str, type[CharacterModel | Layer]] = {
    "CharacterModel": CharacterModel,
    **_COMPOSABLE,
    **{kind.__name__: kind for kind in _CELLS},
}
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")

MOST_VALUES = 5000
"""The largest number of values in a description; a layer has about twenty."""
MOST_DEPTH = 20
"""Of compositions within compositions."""
MOST_MISSING = 1 << 18
"""Bytes."""
MOST_DESCRIPTION = 1 << 24
"""The longest description in characters: that of a vocabulary of all of Unicode."""

Saveable = CharacterModel | Layer


@public("pyrnn.serialization")
class ModelFileError(ValueError):
    """A model file that cannot be used. The message is one line and starts with its path.

    Examples
    --------
    >>> from pyrnn.serialization import ModelFileError, load
    >>> try:
    ...     load("no such file")
    ... except ModelFileError as error:
    ...     print(error)
    no such file: cannot be read (there is no such file)
    """


@public("pyrnn.serialization")
def save(
    model: Saveable,
    path: AnyPath,
    *,
    weights: WeightFormat | None = None,
    activations: ActivationFormat | None = None,
) -> None:
    """Save a character model, a layer or a cell.

    The file is written under a temporary name beside its place and then renamed, so that a failure
    leaves an old file intact.

    Parameters
    ----------
    model : CharacterModel, or any of pyrnn's layers, compositions and cells
        Parameters, buffers and constructor arguments are saved; the mode and the state of an
        optimiser are not.
    path : str, bytes or os.PathLike
        Name of the file, usually ending in ``.safetensors``.
    weights : {"float32", "bfloat16", "float16", "int8"}, optional
        The format of weight matrices in the file, for a model of float32: half the size, or a
        quarter, rounded to nearest. `load` returns the rounded weights, in float32. By default they
        are stored in float32, also if ``eval`` was called with a narrow format.
    activations : {"int16", "int8"}, optional
        Beside int8 weights, what ``eval(weights="int8")`` of the loaded model rounds x and h to. By
        default what a file said that the model was loaded from, or "int16".

    Raises
    ------
    TypeError
        If ``model`` or ``path`` has a wrong type, or the model's vocabulary is a tokeniser that is
        none of the package `tokenizers`.
    ValueError
        If ``weights`` is no format of the model, or cannot hold a weight; ``activations`` are given
        without int8 weights; a parameter is NaN or
        infinite, ``path`` is empty or has a null character, or the
        vocabulary has both halves of a surrogate pair side by side.
    OSError
        If the file cannot be written, or the name belongs to a folder, a device or the like.
    MissingExtraError
        If safetensors is not installed.

    Examples
    --------
    >>> import os, tempfile, pyrnn
    >>> from pyrnn.interop import serialization
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
    extras.require("safetensors", "safetensors")
    path = checked_path(path)
    storage = formats.storage_in_file(weights, model.dtype, activations, model._int8_activations)
    description = {"version": FORMAT_VERSION, **_describe(model), **_stored.note_of(storage)}
    description["numerics"] = build_info()["numerics"]
    # One key, because the order of several differs from one run to the next.
    metadata = {_KEY: json.dumps(description, sort_keys=True)}
    parameters = dictionary.arrays_of(model)
    check_finite(parameters)
    formats.check_range(storage, parameters)
    write_atomically(path, _stored.to_bytes(parameters, storage, metadata))


@public("pyrnn.serialization")
def load(path: AnyPath, *, mmap: bool = False) -> Saveable:
    """Load a model or layer that `save` saved. It is in train mode, like a new layer.

    Files are not trusted: reading one runs no code, and takes time and memory in proportion to the
    size of the file, whatever its header says.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        Name of a regular file from `save`.
    mmap : bool, default False
        Whether parameters are views of the file, mapped into memory: processes that load the same
        file share its memory, and a parameter takes memory only when it is first read. A parameter
        that is changed is copied; the file never changes. Do not shorten the file while it is in
        use (`save` replaces it, which is safe). Parameters in a narrow format are always read.

    Returns
    -------
    CharacterModel, or one of pyrnn's layers and cells
        A new object with the saved arguments and parameters.

    Raises
    ------
    ModelFileError
        If the file is missing, unreadable, truncated, of another kind or from a newer pyrnn, or if
        its tensors are not those of the model that it describes.
    TypeError
        If an argument has a wrong type.
    MissingExtraError
        If safetensors is not installed, or tokenizers for a model that needs it.

    Examples
    --------
    >>> import os, tempfile, pyrnn
    >>> model = pyrnn.Sequential(rnn=pyrnn.GRU(3, 4, seed=0), out=pyrnn.Linear(4, 2, seed=1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pyrnn.save(model, os.path.join(folder, "model.safetensors"))
    ...     copy = pyrnn.load(os.path.join(folder, "model.safetensors"))
    >>> copy
    Sequential(rnn=GRU(3, 4), out=Linear(4, 2))
    """
    extras.require("safetensors", "safetensors")  # so that whatever loads can be saved again
    mapped = _checks.flag("mmap", mmap)
    try:
        name = checked_path(path)
    except ValueError as error:
        raise ModelFileError(str(error)) from error
    try:
        with open_regular(name) as file:
            return _read(file, mapped)
    except FormatError as error:
        raise ModelFileError(
            f"{shown(name)}: expected a whole .safetensors file, got another or a truncated one "
            f"({error})"
        ) from error
    except ContentError as error:
        raise ModelFileError(f"{shown(name)}: {error}") from error
    except MemoryError as error:
        raise ModelFileError(f"{shown(name)}: expected a file that fits into memory") from error
    except OSError as error:
        raise ModelFileError(f"{shown(name)}: cannot be read ({_reason(error, name)})") from error


def load_character_model(path: AnyPath, *, mmap: bool = False) -> CharacterModel:
    """Load a `CharacterModel` that `save` saved.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        Name of a regular file from `save`.
    mmap : bool, default False
        Whether parameters are views of the file, as `load` describes.

    Returns
    -------
    CharacterModel
        A new model with the saved arguments and parameters, in train mode.

    Raises
    ------
    ModelFileError
        If the file has another kind of model, or `load` refuses it.
    TypeError
        If an argument has a wrong type.
    MissingExtraError
        If safetensors is not installed.

    Examples
    --------
    >>> import os, tempfile, pyrnn
    >>> from pyrnn.serialization import load_character_model, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     save(pyrnn.CharacterModel("helo", hidden_size=8), path)
    ...     print(load_character_model(path).vocabulary)
    Vocabulary('helo')
    """
    model = load(path, mmap=mmap)
    if not isinstance(model, CharacterModel):
        kind = type(model).__name__
        raise ModelFileError(f"{shown(path)}: expected a CharacterModel, got {kind}")
    return model


def _reason(error: OSError, name: str) -> str:
    if os.path.isdir(name):  # Windows does not open a folder
        return "it is a folder"
    known = {errno.ENOENT: "there is no such file", errno.ENXIO: "it is no regular file"}
    return known.get(error.errno or 0) or error.strerror or str(error)


def _describe(model: Saveable) -> dict[str, Any]:
    """Return the kind and the constructor arguments, ready for JSON."""
    if type(model) not in _KINDS.values():
        kind = type(model).__name__
        raise TypeError(f"model: expected one of {', '.join(_KINDS)}, got {kind}")
    plain = model.config()["vocabulary"] if isinstance(model, CharacterModel) else ""
    if not isinstance(plain, (str, dict)):
        raise TypeError(
            "vocabulary: expected characters, bytes, words or a tokeniser of the package "
            f"tokenizers, got {_checks.shown(plain)}; such a model can be pickled"
        )
    if isinstance(plain, str) and _PAIR.search(plain):
        raise ValueError(
            "vocabulary: expected characters that JSON keeps apart, got two halves of one "
            "(a surrogate pair) side by side"
        )
    if isinstance(model, Sequential):
        for name, layer in model.layers.items():
            if type(layer) not in _COMPOSABLE.values():
                kind = type(layer).__name__
                raise TypeError(f"{name}: expected one of {', '.join(_COMPOSABLE)}, got {kind}")
        layers = [[name, _describe(layer)] for name, layer in model.layers.items()]
        return {"kind": "Sequential", "arguments": {"layers": layers}}
    # Defaults are left out, so that older versions read every file that needs no newer option.
    return {"kind": type(model).__name__, "arguments": _options.changed(model)}


def _read(file: BinaryIO, mapped: bool) -> Saveable:
    """Make the object that an open file describes, and fill its parameters."""
    size = os.fstat(file.fileno()).st_size
    contents = _safetensors.read_contents(file, size)
    kind, arguments, activations = _description(contents.metadata)
    data_bytes = size - contents.start + _stored.saved_bytes(contents)
    # More than there are, so that a tensor that is missing or too small can be named.
    most = 2 * data_bytes + MOST_MISSING

    def made(given: Iterable[Array] = ()) -> tuple[Saveable, list[Array]]:
        with dictionary.not_drawn(most, given) as arrays:
            own = copy.deepcopy(arguments)
            return _made(kind, own, data_bytes, len(contents.tensors)), arrays

    model, arrays = made()
    own = dictionary.arrays_of(model)
    _check_tensors(own, contents)
    views: Mapping[str, Array] = {}
    if mapped:
        views = _stored.views(own, file, contents)
        names = {id(array): name for name, array in own.items()}
        # The same layers again, which get views in the order in which they make their arrays.
        model, _ = made([views.get(names.get(id(array), ""), array) for array in arrays])
    parameters = dictionary.arrays_of(model)
    for name, array in parameters.items():
        if array is not views.get(name):
            _stored.read(name, array, file, contents)
    try:
        check_finite(parameters)
    except ValueError as error:
        raise ContentError(str(error)) from error
    model._note_activations(activations)
    return model


def _made(
    kind: str, arguments: dict[str, Any], data_bytes: int, num_tensors: int, depth: int = 0
) -> Saveable:
    """A model of that kind, whose parameters are still to be read."""
    if kind == "Sequential":
        layers = _described_layers(arguments, depth)
        sizes = (data_bytes, num_tensors, depth + 1)
        made = {name: _made(own, options, *sizes) for name, (own, options) in layers.items()}
    else:
        defaults = _options.defaults_of(_KINDS[kind])
        check_arguments(kind, defaults, arguments, data_bytes, num_tensors)
    # Set afterwards: a rate that one layer does not use was warned of when it was made.
    later = {name: arguments.pop(name) for name in ("dropout",) if name in arguments}
    try:
        model: Saveable
        if kind == "Sequential":
            model = Sequential(**cast(dict[str, Layer], made))
        else:
            model = _KINDS[kind].from_config(arguments)
        for name, value in later.items():
            setattr(model, name, value)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ContentError(f"expected arguments of {kind}; {error}") from error
    return model


def _described_layers(
    arguments: Mapping[str, Any], depth: int
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Kind and arguments of each layer of a composition."""
    layers = arguments.get("layers")
    if set(arguments) != {"layers"} or not isinstance(layers, list) or depth > MOST_DEPTH:
        raise ContentError("expected layers of Sequential, with names, kinds and arguments")
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for entry in layers:
        name, own = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
        whole = isinstance(own, dict) and set(own) == {"kind", "arguments"}
        if own is None or not isinstance(name, str) or name in found or not whole:
            raise ContentError(f"expected a layer of Sequential, got {_checks.shown(entry)}")
        kind = own["kind"]
        known = isinstance(kind, str) and kind in _COMPOSABLE
        if not known or not isinstance(own["arguments"], dict):
            got = _checks.shown(kind)
            raise ContentError(f"{name}: expected one of {', '.join(_COMPOSABLE)}, got {got}")
        found[name] = kind, own["arguments"]
    return found


def _description(metadata: Mapping[str, str]) -> tuple[str, dict[str, Any], ActivationFormat]:
    """Return the kind, the arguments and the activations from the JSON in the metadata."""
    try:
        description = _json(metadata[_KEY])
        version, kind = description["version"], description["kind"]
        arguments = description["arguments"]
    except KeyError as error:
        raise ContentError(
            "expected a model saved by pyrnn, got another .safetensors file "
            f"(its metadata has no {error})"
        ) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise ContentError(f"expected JSON from pyrnn as metadata ({error})") from error
    if type(version) is not int or version < 1 or not isinstance(arguments, dict):
        raise ContentError(f"expected metadata from pyrnn, got version {_checks.shown(version)}")
    if version > FORMAT_VERSION:
        raise ContentError(
            f"expected format version {FORMAT_VERSION} or older, got {version}: "
            "a newer pyrnn saved it (pip install --upgrade pyrnn)"
        )
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ContentError(f"expected one of {', '.join(_KINDS)}, got {_checks.shown(kind)}")
    return kind, arguments, noted(description)


def _json(text: str) -> Any:
    """Decode a description, which is known to be short and flat before."""
    # A vocabulary has each of these at most once.
    if len(text) > MOST_DESCRIPTION or sum(map(text.count, "[{,")) > MOST_VALUES:
        raise ValueError("it has too many values")
    return _safetensors.strict_json(text)


def _check_tensors(parameters: Mapping[str, Array], contents: Contents) -> None:
    """Refuse missing or superfluous tensors, wrong shapes and dtypes."""
    fault = _stored.fault_of(parameters, contents)
    if fault is not None:
        raise ContentError(fault)
