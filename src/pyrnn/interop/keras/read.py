"""The layers in a file of Keras, versions 1 to 3, as ordinary layers of pyrnn."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np

from pyrnn._files import AnyPath
from pyrnn._types import Array
from pyrnn.interop._made import Found, embedding_of, linear_of, made_of, warned
from pyrnn.interop.keras.archive import Archive, errors_of, read
from pyrnn.interop.keras.cells import KERAS_VERSION, from_keras, kind_of, reset_after
from pyrnn.interop.keras.chain import Whole, chain
from pyrnn.interop.keras.graphs.program import program
from pyrnn.interop.keras.hdf5 import ContentError, Group
from pyrnn.interop.keras.others import batch_norm, convolution, group_norm, layer_norm
from pyrnn.interop.keras.sources import Source, configured_in, named, sources
from pyrnn.interop.keras.wrappers import activation_name, functions_of, unwrapped
from pyrnn.layers._layer import Layer
from pyrnn.layers.recurrent._passes import MergeMode
from pyrnn.layers.recurrent.gru import GRU
from pyrnn.layers.recurrent.lstm import LSTM
from pyrnn.layers.recurrent.rnn import RNN

_KINDS = {
    "SimpleRNN": "SimpleRNN",
    "SimpleRNNCell": "SimpleRNN",
    "LSTM": "LSTM",
    "LSTMCell": "LSTM",
    "CuDNNLSTM": "LSTM",
    "GRU": "GRU",
    "GRUCell": "GRU",
    "CuDNNGRU": "GRU",
}
_USUAL = {"SimpleRNN": ("tanh", None), "LSTM": ("tanh", "sigmoid"), "GRU": ("tanh", "sigmoid")}


_OTHERS: Mapping[str, Callable[[Mapping[str, Any], Sequence[Array]], Layer]] = {
    "Conv1D": convolution,
    "Convolution1D": convolution,
    "LayerNormalization": layer_norm,
    "GroupNormalization": group_norm,
    "BatchNormalization": batch_norm,
    "BatchNormalizationV1": batch_norm,
    "BatchNormalizationV2": batch_norm,
}


class UnsupportedError(NotImplementedError):
    """No layer of pyrnn computes this; the message says what."""


def load(path: AnyPath) -> dict[str, Layer]:
    """Load the layers in a file of Keras, by their names, in the order of the model.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        The name of a ``.keras``, ``.weights.h5`` or older ``.h5`` file.

    Returns
    -------
    dict
        SimpleRNN, LSTM, GRU and their cuDNN forms, alone or in Bidirectional, as `RNN`, `LSTM`,
        `GRU` with ``batch_first=True``, which is Keras' layout; Dense, alone or in
        TimeDistributed, as `Linear`, and Conv1D as `Conv1d`, both without their activation;
        LayerNormalization as `LayerNorm`; BatchNormalization as `BatchNorm1d`; GroupNormalization
        of each channel as `InstanceNorm1d`; Embedding as `Embedding`.
        A layer does not depend on ``return_sequences`` and ``return_state``: it returns all steps
        in ``y``, and the final state. ``go_backwards`` becomes ``reverse=True``: then ``y[:, t]``
        belongs to ``x[:, t]``, while Keras returns the steps in the order of their computation.
        Recurrent layers after such a layer run in the opposite direction here, so that all layers
        read the steps in the order of x.

    Raises
    ------
    ModelFileError
        If the file cannot be read, or is not a file of Keras.
    MissingExtraError
        If h5py is not installed.

    Warns
    -----
    UserWarning
        For each layer with weights that no layer of pyrnn can compute.

    Notes
    -----
    A file with weights only does not contain options: a layer then has Keras' defaults, and the
    sizes of its arrays. hard_sigmoid is 0.2 x + 0.5 in Keras 1 and 2 and x / 6 + 0.5 in Keras 3,
    each between 0 and 1; the version of the file decides.

    Examples
    --------
    >>> import os, tempfile, pyrnn
    >>> from pyrnn.interop import keras
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.weights.h5")
    ...     keras.save({"lstm": pyrnn.LSTM(3, 4), "dense": pyrnn.Linear(4, 2)}, path)
    ...     keras.load(path)
    {'lstm': LSTM(3, 4, batch_first=True), 'dense': Linear(4, 2)}
    """
    return warned(find(path))


def find(path: AnyPath) -> Found:
    """The layers with weights of a file, and why others are none."""
    whole = find_whole(path)
    return Found(whole.weighted(), whole.refused)


def find_whole(path: AnyPath) -> Whole:
    """All layers of a file in order, and what its model has beside them.

    Its graph is there as well if the layers one behind the other do not compute all of it.
    """
    with errors_of(path) as name:
        contents = contents_of(name)
        archive, found = contents.archive, contents.found
        configured = configured_in(archive)
        if archive.config is None or not configured:  # a model that a program puts together
            return Whole(found.layers, found.refused, ordered=len(found.layers) < 2)
        functions = functions_of(archive.version)
        whole = chain(archive.config, named(configured), functions, *found)
        if whole.left or whole.refused or whole.notes:
            try:
                whole.program = program(archive, contents.sources, *found)
            except ContentError as error:
                whole.fault = str(error)
        return whole


class Contents(NamedTuple):
    """A file, the layers with weights in it, and those of them that are layers of pyrnn."""

    archive: Archive
    sources: Sequence[Source]
    found: Found


def contents_of(name: str) -> Contents:
    """Read a file and make its layers with weights."""
    archive = read(name)
    found = Found({}, {})
    listed = sources(archive)
    for source in listed:
        try:
            layer = _layer(source, archive)
        except (ContentError, UnsupportedError, ValueError, TypeError) as error:
            found.refused[source.name] = str(error)
            continue
        if layer is not None:
            found.layers[source.name] = layer
    return Contents(archive, listed, found)


# --- one layer ------------------------------------------------------------------------------


class _Options(NamedTuple):
    """A class of Keras, what its configuration says, and the version that gives it its meaning."""

    class_name: str
    config: Mapping[str, Any]
    version: str | None


def _layer(source: Source, archive: Archive) -> Layer | None:
    """The layer of a source; None for one without weights."""
    if not any(source.arrays):
        return None
    wrapped = list(unwrapped(source.class_name, source.config))
    class_name, config = wrapped[-1]
    around = {name for name, _ in wrapped[:-1]}
    if class_name in _KINDS:
        turned = any(settings.get("go_backwards") for name, settings in wrapped if name == "RNN")
        config = {**config, "go_backwards": turned} if turned else config
        options = _Options(class_name, config, archive.version)
        if "Bidirectional" not in around:
            return _recurrent(options, [source.arrays[0]], None, source.kept)
        outer = next(settings for name, settings in wrapped if name == "Bidirectional")
        return _recurrent(options, _both(source.arrays), outer, source.kept)
    if class_name == "Dense":
        return _dense(source.arrays[0])
    if class_name == "Embedding":
        return _embedding(source.arrays[0])
    if class_name in _OTHERS:
        kept = _kept_json(source.kept).get("config", {})
        zeros = {"zeros": kept["zeros"]} if isinstance(kept, dict) and "zeros" in kept else {}
        return _OTHERS[class_name]({**config, **zeros}, source.arrays[0])
    if class_name is None:
        return _guessed(source, archive)
    raise UnsupportedError(f"no layer of pyrnn is a {class_name}")


def _both(arrays: Sequence[Sequence[Array]]) -> list[Sequence[Array]]:
    """The arrays of two directions, which older files have in one list."""
    if len(arrays) == 2:
        return list(arrays)
    (together,) = arrays
    if len(together) % 2:
        raise ContentError(f"expected as many arrays of both directions, got {len(together)}")
    half = len(together) // 2
    return [together[:half], together[half:]]


def _recurrent(
    options: _Options,
    sides: Sequence[Sequence[Array]],
    outer: Mapping[str, Any] | None,
    kept: Group | None = None,
) -> Layer:
    kind = _KINDS[options.class_name]
    cells = [from_keras(kind, arrays) for arrays in sides]
    first = cells[0]
    arguments: dict[str, Any] = {
        "bias": "bias_ih" in first,
        "batch_first": True,
        "bidirectional": outer is not None,
        "dtype": first["weight_ih"].dtype,
    }
    arguments |= _activations(kind, options)
    if outer is not None:
        arguments |= _merged(outer)
        if kind == "GRU":
            _check_forms(options, sides)
    elif options.config.get("go_backwards"):
        arguments["reverse"] = True
    if kind == "GRU":
        arguments["reset_after"] = reset_after(sides[0], options.config.get("reset_after"))
    sizes = (first["weight_ih"].shape[1], first["weight_hh"].shape[1])
    parameters = {
        f"{name}_{suffix}": array
        for suffix, one in zip(("l0", "l0_reverse"), cells, strict=False)
        for name, array in one.items()
    }
    if kept is not None:
        _put_biases(parameters, kept.arrays)
    made: Any = {"SimpleRNN": RNN, "LSTM": LSTM, "GRU": GRU}[kind]
    layer: Layer = made_of(lambda: made(*sizes, **arguments), parameters)
    return layer


def _kept_options(kept: Group | None) -> dict[str, Any]:
    """Options that a file of pyrnn says, by Keras' names."""
    options = _kept_json(kept)
    return {
        "activation": options.get("activation", options.get("nonlinearity", "tanh")),
        "recurrent_activation": options.get("recurrent_activation", "sigmoid"),
        "reset_after": options.get("reset_after"),
        "go_backwards": options.get("reverse", False),
        "merge_mode": options.get("merge_mode", "concat"),
    }


def _kept_json(kept: Group | None) -> dict[str, Any]:
    try:
        options = json.loads(kept.attributes["pyrnn"]) if kept is not None else {}
        if not isinstance(options, dict):
            raise TypeError(f"got {type(options).__name__}")
        return options
    except (KeyError, TypeError, ValueError) as error:
        raise ContentError(f"expected options as JSON, got something else ({error})") from error


def _put_biases(parameters: dict[str, Array], kept: Mapping[str, Array]) -> None:
    """Restore both biases, if the saved sum is still their sum."""
    for name, array in kept.items():
        other = kept.get(name.replace("bias_ih", "bias_hh"))
        if not name.startswith("bias_ih") or other is None or name not in parameters:
            continue
        total = parameters[name]
        if not array.shape == other.shape == total.shape:
            continue
        with np.errstate(all="ignore"):
            same = np.array_equal(array + other, total)
        if same:
            parameters[name] = array.astype(total.dtype)
            parameters[name.replace("bias_ih", "bias_hh")] = other.astype(total.dtype)


def _activations(kind: str, options: _Options) -> dict[str, Any]:
    """Arguments for activations that are not the usual ones."""
    if options.class_name.startswith("CuDNN"):
        return {}
    config = options.config
    usual, usual_gates = _USUAL[kind]
    activation = activation_name(config.get("activation", usual))
    gates = activation_name(
        config.get("recurrent_activation", config.get("inner_activation", usual_gates))
    )
    known = functions_of(options.version)
    if not {activation, gates} <= {*known, usual_gates}:
        shown = activation if gates is None else f"{activation} and {gates}"
        raise UnsupportedError(f"no layer has the activations {shown}")
    if "hard_sigmoid" in (activation, gates) and options.version is None:
        raise UnsupportedError("hard_sigmoid differs between Keras 2 and 3, and no version is said")
    if kind == "SimpleRNN":
        return {"nonlinearity": known[activation]}
    return {"activation": known[activation], "recurrent_activation": known[gates]}


def _merged(outer: Mapping[str, Any]) -> dict[str, Any]:
    mode = outer.get("merge_mode", "concat")
    if mode is None:  # both outputs apart, which are the halves of one
        return {}
    if mode not in get_args(MergeMode):
        raise UnsupportedError(f"no layer joins both directions by {mode!r}")
    return {"merge_mode": mode}


def _check_forms(options: _Options, sides: Sequence[Sequence[Array]]) -> None:
    """That the arrays of both directions say the same form of a GRU."""
    forms = {reset_after(arrays, options.config.get("reset_after")) for arrays in sides}
    if len(forms) > 1:
        raise UnsupportedError("no layer has directions that differ in reset_after")


def _dense(arrays: Sequence[Array]) -> Layer:
    if not arrays or arrays[0].ndim != 2 or not arrays[0].size or len(arrays) > 2:
        raise ContentError("expected a kernel (in, out) and maybe a bias of a Dense")
    if len(arrays) == 2 and arrays[1].shape != arrays[0].shape[1:]:
        raise ContentError(f"expected a bias for {arrays[0].shape}, got {arrays[1].shape}")
    return linear_of(arrays[0].T, arrays[1] if len(arrays) == 2 else None)


def _embedding(arrays: Sequence[Array]) -> Layer:
    if len(arrays) != 1 or arrays[0].ndim != 2 or not arrays[0].size:
        raise ContentError("expected one array of an Embedding")
    return embedding_of(arrays[0])


def _guessed(source: Source, archive: Archive) -> Layer | None:
    """A layer of which only names and arrays are known."""
    sides = list(source.arrays)
    kind = kind_of(sides[0])
    if kind is None and len(sides) == 1 and len(sides[0]) in (4, 6):
        halves = _both(sides)
        if kind_of(halves[0]) == kind_of(halves[1]) is not None:
            sides, kind = halves, kind_of(halves[0])
    if kind is not None:
        kept = _kept_options(source.kept)
        outer: dict[str, Any] | None = kept if len(sides) == 2 else None
        version = KERAS_VERSION if source.kept is not None else archive.version
        options = _Options(kind, kept, version)
        return _recurrent(options, sides, outer, source.kept)
    arrays = sides[0]
    shapes = [array.ndim for array in arrays]
    if shapes == [2, 1] and arrays[1].shape == arrays[0].shape[1:]:
        return _dense(arrays)
    kept_form = _kept_json(source.kept)
    other = _OTHERS.get(str(kept_form.get("class_name")))
    if other is not None and isinstance(kept_form.get("config"), dict):
        return other(kept_form["config"], arrays)
    conv = shapes == [3, 1] and arrays[1].shape == arrays[0].shape[2:]
    if conv or (shapes == [3] and "conv" in source.key.lower()):
        return convolution({}, arrays)
    if shapes == [1] * 4:
        return batch_norm({}, arrays)
    if shapes == [2]:
        return _embedding(arrays) if "embed" in source.key.lower() else _dense(arrays)
    raise UnsupportedError(
        f"arrays of shapes {', '.join(str(array.shape) for array in arrays)} are no layer of pyrnn"
    )
