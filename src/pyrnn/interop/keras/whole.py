"""The configuration of a ``.keras`` file: a Sequential model of Keras 3."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pyrnn._version import version
from pyrnn.interop._made import changed
from pyrnn.interop._parts import plain_cell, sizes_of
from pyrnn.interop.keras import write_others
from pyrnn.interop.keras.cells import (
    KERAS_VERSION,
    KIND_OF_CELL,
    activation_named,
    activations_of,
)
from pyrnn.interop.keras.chain import swapped
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.pointwise import Activation, Dropout, Softmax
from pyrnn.layers.composition.pooling import LastStep, MeanOverTime, Pooling
from pyrnn.layers.convolution.conv1d import Conv1d
from pyrnn.layers.convolution.over_time import OverTime
from pyrnn.layers.dense import Embedding, Linear
from pyrnn.layers.recurrent._stack import Recurrent


def members(layers: Mapping[str, Layer]) -> dict[str, bytes]:
    """The members of the zip beside the weights, of layers that are `oriented`."""
    metadata = {"keras_version": KERAS_VERSION, "pyrnn_version": version()}
    return {
        "metadata.json": json.dumps(metadata).encode(),
        "config.json": json.dumps(_model(layers)).encode(),
    }


def _model(layers: Mapping[str, Layer]) -> dict[str, Any]:
    """A Sequential model over any number of sequences of any length."""
    row = list(layers.items())
    first = row[0][1]
    over_time = any(
        isinstance(layer, (Recurrent, MeanOverTime, Conv1d, OverTime)) for _, layer in row
    )
    shape: list[int | None] = [None, None] if over_time else [None]
    sizes = sizes_of(first)
    if sizes is not None and not isinstance(first, Embedding):
        shape.append(sizes[0])
    dtype = "int32" if isinstance(first, Embedding) else first.dtype.name
    listed = [_config("InputLayer", "input_layer", {"batch_shape": shape, "dtype": dtype})]
    for number, (name, layer) in enumerate(row):
        zeros = write_others.zeros_around(layer)
        if zeros:
            listed.append(_config("ZeroPadding1D", f"{name}_zeros", {"padding": [zeros, zeros]}))
        config = _layer(layer, name, row[number + 1][1] if number + 1 < len(row) else None)
        if config is not None:
            listed.append(config)
    config = {"name": "sequential", "layers": listed, "build_input_shape": shape}
    return {"module": "keras", "class_name": "Sequential", "config": config}


def _config(class_name: str, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    named = {"name": name, **config}
    return {"module": "keras.layers", "class_name": class_name, "config": named}


def oriented(layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """The layers as Keras has them, which gives the steps of a reverse layer from the last on.

    Recurrent layers behind such a one run the other way round there, until a layer that takes the
    time axis away.

    Raises
    ------
    ValueError, TypeError
        If Keras has no such layer, or the sizes of the layers do not fit each other.
    """
    _check(list(layers.items()))
    found: dict[str, Layer] = {}
    turned = False
    for name, layer in layers.items():
        found[name] = layer
        if isinstance(layer, Recurrent) and not layer.bidirectional:
            backwards = layer.reverse != turned
            if backwards != layer.reverse:
                found[name] = changed(layer, {"reverse": backwards})
            turned = layer.reverse
        elif isinstance(layer, Recurrent) and turned and layer.merge_mode != "concat":
            found[name] = swapped(layer)
        elif isinstance(layer, Pooling):
            turned = False
        elif turned and isinstance(layer, (Recurrent, Conv1d, OverTime)):
            raise ValueError(
                f"{name}: expected no {layer!r} after a reverse layer, since Keras gives its steps "
                "in the opposite order"
            )
    return found


def _check(row: Sequence[tuple[str, Layer]]) -> None:
    size: int | None = None
    for number, (name, layer) in enumerate(row):
        if isinstance(layer, Embedding) and number:
            raise ValueError(f"{name}: expected an Embedding first, got one behind another layer")
        if isinstance(layer, LastStep):
            _check_last(layer, name, row[number - 1][1] if number else None)
        sizes = sizes_of(layer)
        if sizes is None:
            continue
        wanted, given = sizes
        if size is not None and size != wanted:
            raise ValueError(f"{name}: expected layers that fit, got {size} features for {layer!r}")
        size = given
    if sizes_of(row[0][1]) is None:
        raise ValueError(f"{row[0][0]}: expected a layer that says how many features x has")


def _check_last(layer: LastStep, name: str, before: Layer | None) -> None:
    """Whether it is what a recurrent layer of Keras gives without ``return_sequences``."""
    if not isinstance(before, Recurrent):
        raise ValueError(f"{name}: expected LastStep right behind a recurrent layer")
    merged = before.bidirectional and before.merge_mode != "concat"
    other = layer.bidirectional != before.bidirectional or (layer.reverse and not before.reverse)
    if merged or other:
        raise ValueError(
            f"{name}: expected the step that each direction computed last, got {layer!r} "
            f"after {before!r}"
        )


def _layer(layer: Layer, name: str, behind: Layer | None) -> dict[str, Any] | None:
    """One layer's configuration; None if another layer's configuration includes it."""
    dtype = {"dtype": layer.dtype.name}
    if isinstance(layer, Recurrent):
        return _recurrent(layer, name, not isinstance(behind, LastStep))
    if isinstance(layer, Linear):
        return _config("Dense", name, dtype | {"units": layer.out_features, "use_bias": layer.bias})
    if isinstance(layer, Embedding):
        sizes = {"input_dim": layer.num_embeddings, "output_dim": layer.embedding_dim}
        return _config("Embedding", name, dtype | sizes)
    form = write_others.form_of(layer)
    if form is not None:
        padding = {"padding": "valid"} if write_others.zeros_around(layer) else {}
        return _config(form.class_name, name, dtype | form.config | padding)
    if isinstance(layer, Activation):
        return _config("Activation", name, {"activation": activation_named(layer.function, layer)})
    if isinstance(layer, Softmax):
        return _config("Softmax", name, {"axis": -1})
    if isinstance(layer, Dropout):
        return _config("Dropout", name, {"rate": layer.p})
    if isinstance(layer, MeanOverTime):
        return _config("GlobalAveragePooling1D", name, {})
    if isinstance(layer, LastStep):
        return None
    raise TypeError(
        f"{name}: expected a layer that can be written for Keras, got {type(layer).__name__}"
    )


def _recurrent(layer: Recurrent, name: str, sequences: bool) -> dict[str, Any]:
    class_name = KIND_OF_CELL[plain_cell(layer)]
    config: dict[str, Any] = {
        "units": layer.hidden_size,
        "use_bias": layer.bias,
        "return_sequences": sequences,
        "dtype": layer.dtype.name,
        **activations_of(layer),
    }
    if class_name == "GRU":
        config["reset_after"] = plain_cell(layer) == "gru"
    if not layer.bidirectional:
        return _config(class_name, name, config | {"go_backwards": layer.reverse})
    sides = [
        _config(class_name, f"{side}_{name}", config | {"go_backwards": side == "backward"})
        for side in ("forward", "backward")
    ]
    both: dict[str, Any] = {"layer": sides[0], "backward_layer": sides[1]}
    both |= {"merge_mode": layer.merge_mode, "dtype": layer.dtype.name}
    return _config("Bidirectional", name, both)
