"""Writes what a model file held as a file of another kind; see `pyrnn.interop.conversion`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from pyrnn._files import AnyPath, shown
from pyrnn._types import ActivationFormat, WeightFormat
from pyrnn.interop._holding import FORMATS, ConversionError, Holding, suffix_of
from pyrnn.interop.serialization import ModelFileError
from pyrnn.interop.serialization import save as save_layer
from pyrnn.layers._layer import Layer
from pyrnn.parameters.dictionary import arrays_of

READ_ALONE = (".jit",)
WHOLE = (".onnx", ".keras")
"""Files that hold layers one behind the other, as a model."""


def write(
    holding: Holding,
    path: AnyPath,
    weights: WeightFormat | None = None,
    activations: ActivationFormat | None = None,
) -> str:
    """Write what a file held in the form that the name's end says; returns what was written.

    Layers in a ``.safetensors`` file may have their matrices in a narrow format. It says what
    ``activations`` int8 weights are for.

    Raises
    ------
    ConversionError
        If that form cannot hold it.
    ModelFileError
        If the name ends in something else.
    """
    kind = suffix_of(path)
    if kind in READ_ALONE:
        raise ConversionError(
            f"{shown(path)}: {kind} is a TorchScript program, which can only be read; expected .pt"
        )
    if weights is not None and kind != ".safetensors":
        raise ConversionError(
            f"{shown(path)}: expected .safetensors for weights in {weights}, got {kind}"
        )
    try:
        if kind == ".safetensors":
            return _write_safetensors(holding, path, weights, activations)
        if kind == ".onnx" and holding.whole:
            return _write_graph(holding.program, path)
        if not holding.layers:
            raise ConversionError(f"{shown(path)}: expected at least one layer, got none")
        _check_whole(holding, path, kind)
        if kind == ".onnx":
            return _write_onnx(holding, path)
        if FORMATS[kind] == "PyTorch":
            return _write_torch(holding, path)
        return _write_keras(holding, path, whole=kind == ".keras")
    except (TypeError, ValueError) as error:
        if isinstance(error, (ConversionError, ModelFileError)):
            raise
        raise ConversionError(f"{shown(path)}: {error}") from error


def _check_whole(holding: Holding, path: AnyPath, kind: str) -> None:
    """Refuse a model with parts that no layer is, where the file would be another model."""
    missing = _missing(holding)
    if kind not in WHOLE or not missing:
        return
    name, reason = next(iter(missing.items()))
    more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
    raise ConversionError(
        f"{shown(path)}: expected a model that is layers of pyrnn, got {name}: {reason}{more} "
        "('pyrnn inspect' names all); --layer chooses layers"
    )


def _missing(holding: Holding) -> dict[str, str]:
    """What a model has besides its layers, and why no layer is that."""
    return holding.left | (holding.refused if holding.ordered else {})


def _counted(layers: Mapping[str, Layer]) -> str:
    return f"{len(layers)} layer" + "s" * (len(layers) != 1)


def _with_weights(holding: Holding) -> dict[str, Layer]:
    """The layers that have parameters or buffers, for a file of weights alone."""
    found = {name: layer for name, layer in holding.layers.items() if arrays_of(layer)}
    if not found:
        raise ValueError("expected at least one layer with parameters, got none")
    return found


def _write_onnx(holding: Holding, path: AnyPath) -> str:
    from pyrnn.interop import onnx

    onnx.save(holding.layers, path)
    return _counted(holding.layers)


def _write_graph(program: Any, path: AnyPath) -> str:
    from pyrnn.interop import onnx

    try:
        model = onnx.Model(program)
    except (onnx.UnsupportedError, onnx.GraphError) as error:
        raise ConversionError(f"{shown(path)}: {error}") from error
    onnx.save(model, path)
    return f"the whole model, {len(program.graph.nodes)} nodes"


def _write_torch(holding: Holding, path: AnyPath) -> str:
    layers: dict[str, Any] = dict(_with_weights(holding))
    importlib.import_module("pyrnn.interop.torch").save(layers, path)
    return _counted(layers)


def _write_keras(holding: Holding, path: AnyPath, whole: bool) -> str:
    from pyrnn.interop import keras

    layers = holding.layers if whole else _with_weights(holding)
    named = {name.replace("/", "_").replace(".", "_"): layer for name, layer in layers.items()}
    if len(named) < len(layers):
        raise ValueError(f"expected names that differ with '_' for '/' and '.', got {list(layers)}")
    keras.save(named, path)
    return _counted(layers)


def _write_safetensors(
    holding: Holding,
    path: AnyPath,
    weights: WeightFormat | None,
    activations: ActivationFormat | None,
) -> str:
    from pyrnn.interop import converted
    from pyrnn.interop.onnx.graph import GraphError, UnsupportedError
    from pyrnn.interop.onnx.model import Model

    if holding.program is not None and (holding.whole or not holding.layers):
        try:
            Model(holding.program)
        except (UnsupportedError, GraphError) as error:
            if not holding.layers:
                raise ConversionError(f"{shown(path)}: {error}") from error
            converted.save_layers(holding.layers, path, weights, activations)
            return f"{_counted(holding.layers)}, not the whole model ({error})"
        if weights is not None:
            raise ConversionError(
                f"{shown(path)}: a whole ONNX model keeps its weights as they are; choose layers "
                f"of it for weights in {weights}"
            )
        converted.save_model(holding.program, path)
        return f"the whole model, {len(holding.program.graph.nodes)} nodes"
    if isinstance(holding.model, Mapping):
        converted.save_layers(holding.model, path, weights, activations)
        return _counted(holding.layers)
    if holding.model is not None:
        save_layer(holding.model, path, weights=weights, activations=activations)
        return type(holding.model).__name__
    if not holding.layers:
        raise ConversionError(f"{shown(path)}: expected at least one layer, got none")
    if len(holding.layers) == 1:
        (layer,) = holding.layers.values()
        save_layer(layer, path, weights=weights, activations=activations)
    else:
        converted.save_layers(holding.layers, path, weights, activations)
    return _counted(holding.layers)
