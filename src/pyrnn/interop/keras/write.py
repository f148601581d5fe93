"""Layers in Keras' layout: as arrays, and as files that Keras 3 loads."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn._files import AnyPath, checked_path, write_atomically
from pyrnn._imports import extras
from pyrnn._types import Array
from pyrnn.interop._parts import parts_of, plain_cell
from pyrnn.interop.keras import write_others
from pyrnn.interop.keras.cells import KIND_OF_CELL, activations_of, to_arrays
from pyrnn.interop.keras.whole import members, oriented
from pyrnn.interop.stacking import unstack
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.sequential import Sequential
from pyrnn.layers.dense import Embedding, Linear
from pyrnn.layers.recurrent._stack import Recurrent
from pyrnn.parameters.dictionary import arrays_of

_KEYS: Mapping[type[Layer], str] = {
    Linear: "dense",
    Embedding: "embedding",
}
KEPT = "pyrnn"
"""The group for what Keras does not store: options, and both biases, of which it stores the sum."""


def to_keras(layer: Layer) -> dict[str, Array]:
    """A layer's arrays as Keras has them, in the order of ``set_weights``.

    Parameters
    ----------
    layer : RNN, LSTM, GRU, Linear, Embedding, Conv1d, or a normalisation
        Of one level; `pyrnn.interop.stacking.unstack` takes the levels of others apart.

    Returns
    -------
    dict
        "kernel", "recurrent_kernel" and "bias"; with two directions "forward_kernel" and so on,
        then "backward_kernel"; "embeddings" of an `Embedding`. Where Keras has one bias it is the
        sum of both.

    Raises
    ------
    TypeError, ValueError
        If Keras has no such layer, or it has several levels.

    Examples
    --------
    >>> import pyrnn
    >>> from pyrnn.interop import keras
    >>> {name: array.shape for name, array in keras.to_keras(pyrnn.GRU(3, 4)).items()}
    {'kernel': (3, 12), 'recurrent_kernel': (4, 12), 'bias': (2, 12)}
    """
    if isinstance(layer, Linear):
        arrays = {"kernel": np.ascontiguousarray(layer.parameters["weight"].T)}
        return arrays | ({"bias": layer.parameters["bias"].copy()} if layer.bias else {})
    if isinstance(layer, Embedding):
        return {"embeddings": layer.parameters["weight"].copy()}
    other = write_others.arrays_of(layer)
    if other is not None:
        return other
    if not isinstance(layer, Recurrent):
        kind = type(layer).__name__
        raise TypeError(f"layer: expected one that has arrays in Keras too, got {kind}")
    kind = _kind(layer)
    if layer.num_layers > 1:
        raise ValueError(f"layer: expected one level (stacking.unstack), got {layer!r}")
    sides = [to_arrays(kind, cell, plain_cell(layer) == "gru") for cell in layer._cells.values()]
    if len(sides) == 1:
        return sides[0]
    return {
        f"{side}_{name}": array
        for side, arrays in zip(("forward", "backward"), sides, strict=True)
        for name, array in arrays.items()
    }


def _kind(layer: Recurrent) -> str:
    if plain_cell(layer) not in KIND_OF_CELL or getattr(layer, "proj_size", False):
        raise ValueError(f"layer: Keras has no layer like {layer!r}")
    if np.any(layer.zoneout):
        raise ValueError(f"layer: Keras has no zoneout, got {layer!r}")
    activations_of(layer)
    return KIND_OF_CELL[plain_cell(layer)]


def save(layers: Layer | Mapping[str, Layer], path: AnyPath) -> None:
    """Write layers as a file of Keras 3: a whole model, or its weights.

    A ``.keras`` file is a Sequential model of these layers, which ``keras.models.load_model(path)``
    makes. ``model.load_weights(path)`` takes a ``.weights.h5`` where the model has layers of these
    names, in this order. A layer of several levels is as many layers, their names ending in
    ``_l0``, ``_l1``. `load` returns identical bits, both biases included, which Keras adds up.

    Parameters
    ----------
    layers : Layer or dict of layers by name
        RNN, LSTM, GRU, Linear, Embedding, Conv1d, LayerNorm, BatchNorm1d, InstanceNorm1d, a
        `Sequential` of them; in a ``.keras`` file also MaxPool1d, Activation, Dropout, LastStep
        right behind a recurrent layer, and MeanOverTime. A single layer is named after its kind.
    path : str, bytes or os.PathLike
        Ends in ``.keras`` for a whole model, in ``.weights.h5`` for weights alone.

    Raises
    ------
    TypeError, ValueError
        If Keras has no such layer, a name is empty or has a slash, or the layers of a whole model
        do not fit each other.
    OSError
        If the file cannot be written.
    MissingExtraError
        If h5py is not installed.

    Examples
    --------
    >>> import os, tempfile, pyrnn
    >>> from pyrnn.interop import keras
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.keras")
    ...     keras.save({"gru": pyrnn.GRU(3, 4), "out": pyrnn.Linear(4, 2)}, path)
    ...     list(keras.load(path))
    ['gru', 'out']
    """
    extras.require("keras", "h5py")
    import h5py

    name = checked_path(path)
    prepared = _prepared(layers)
    whole = name.lower().endswith(".keras")
    if whole:
        prepared = oriented(prepared)
    described = members(prepared) if whole else {}
    weighted = {label: layer for label, layer in prepared.items() if arrays_of(layer)}
    if not weighted:
        raise ValueError("layers: expected at least one layer with parameters, got none")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", track_order=True) as file:
        group = file.create_group("layers", track_order=True)
        counts: dict[str, int] = {}
        for label, layer in weighted.items():
            key = _key(layer, counts)
            _write(group.create_group(key), layer, label)
            _keep(file, key, layer)
        file.create_group("vars")
    data = buffer.getvalue()
    write_atomically(name, _zipped({**described, "model.weights.h5": data}) if whole else data)


def _zipped(contents: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()


def _prepared(layers: Layer | Mapping[str, Layer]) -> dict[str, Layer]:
    """One level for each name, all checked."""
    if isinstance(layers, Sequential):
        layers = dict(layers.layers)
    elif isinstance(layers, Layer):
        layers = {_usual_name(layers): layers}
    if not isinstance(layers, Mapping) or not layers:
        raise TypeError("layers: expected a layer or a dict of layers by name")
    found: dict[str, Layer] = {}
    for name, one in layers.items():
        if not isinstance(name, str) or not name or "/" in name or "\0" in name:
            raise ValueError(f"layers: expected names without slashes, got {name!r}")
        parts = parts_of(one, name) if isinstance(one, Sequential) else {name: one}
        for label, layer in parts.items():
            levels: dict[str, Any] = {"": layer}
            if isinstance(layer, Recurrent) and layer.num_layers > 1:
                _kind(layer)
                levels = {f"_l{n}": level for n, level in enumerate(unstack(layer))}
            for end, level in levels.items():
                # Keras over torch takes no dots in names.
                full = (label if label is name else label.replace(".", "_")) + end
                if full in found:
                    raise ValueError(f"layers: expected one layer of each name, got {full!r} twice")
                found[full] = level
    for layer in found.values():
        if not isinstance(layer, Layer) or arrays_of(layer):
            to_keras(layer)
    return found


def _usual_name(layer: Layer) -> str:
    return _key(layer, {}) if arrays_of(layer) else "layer"


def _key(layer: Layer, counts: dict[str, int]) -> str:
    """The name of a layer's group, as Keras counts them."""
    if isinstance(layer, Recurrent):
        kind = {"SimpleRNN": "simple_rnn"}.get(_kind(layer), _kind(layer).lower())
        kind = "bidirectional" if layer.bidirectional else kind
    else:
        form = write_others.form_of(layer)
        kind = _KEYS[type(layer)] if form is None else form.key
    number = counts[kind] = counts.get(kind, -1) + 1
    return f"{kind}_{number}" if number else kind


def _write(group: Any, layer: Layer, name: str) -> None:
    """One layer's group with its arrays numbered, as Keras 3 has them."""
    arrays = to_keras(layer)
    if not isinstance(layer, Recurrent):
        _numbered(group, list(arrays.values()), name)
        return
    if layer.bidirectional:
        half = len(arrays) // 2
        values = list(arrays.values())
        for side, part in (("forward", values[:half]), ("backward", values[half:])):
            inner = group.create_group(f"{side}_layer")
            _numbered(inner.create_group("cell"), part, f"{side}_cell")
            _numbered(inner, [], f"{side}_{name}")
        _numbered(group, [], name)
        return
    _numbered(group.create_group("cell"), list(arrays.values()), f"{name}_cell")
    _numbered(group, [], name)


def _numbered(group: Any, arrays: list[Array], name: str) -> None:
    own = group.create_group("vars")
    own.attrs["name"] = name
    for number, array in enumerate(arrays):
        own.create_dataset(str(number), data=array)


def _keep(file: Any, key: str, layer: Layer) -> None:
    """Options that only a configuration would show, and both biases where Keras has their sum."""
    form = write_others.form_of(layer)
    if form is not None:
        group = file.require_group(KEPT).create_group(key)
        zeros = write_others.zeros_around(layer)
        config = form.config | ({"zeros": zeros} if zeros else {})
        group.attrs[KEPT] = json.dumps({"class_name": form.class_name, "config": config})
    if not isinstance(layer, Recurrent):
        return
    group = file.require_group(KEPT).create_group(key)
    names = [name for name in ("reset_after", "reverse", "merge_mode") if hasattr(layer, name)]
    options = {name: getattr(layer, name) for name in names} | activations_of(layer)
    group.attrs[KEPT] = json.dumps(options)
    if plain_cell(layer) != "gru":
        for name, array in layer.parameters.items():
            if name.startswith("bias_"):
                group.create_dataset(name, data=array)
