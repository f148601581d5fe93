"""Model files of every kind: what is in them, and from one kind to another.

`read` knows the formats by what the name ends in; it gives layers by name, and the whole graph of
an ONNX file. `write` is the other way round.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyrnn._files import AnyPath, checked_path, shown
from pyrnn.interop import stacking
from pyrnn.interop._made import Found
from pyrnn.interop.serialization import ModelFileError
from pyrnn.interop.serialization import save as save_layer
from pyrnn.layers._layer import Layer
from pyrnn.layers.recurrent._stack import Recurrent
from pyrnn.text.character_model import CharacterModel

OF_LAYERS = "pyrnn.layers"
"""Metadata of an ONNX file that `pyrnn.interop.onnx.save` wrote: it is nothing but its layers."""
FORMATS = {
    ".pt": "PyTorch",
    ".pth": "PyTorch",
    ".bin": "PyTorch",
    ".onnx": "ONNX",
    ".keras": "Keras",
    ".h5": "Keras",
    ".hdf5": "Keras",
    ".safetensors": "safetensors",
}
WRITTEN = (".safetensors", ".onnx", ".weights.h5")
_LEVEL = re.compile(r"(.+)_l(\d+)")


class ConversionError(ValueError):
    """What one kind of file holds and another cannot; the message is one line."""


@dataclass
class Holding:
    """What a file holds.

    ``layers`` by name and ``refused``, why others are none; ``program`` is the graph of an ONNX
    file and ``whole`` says whether it is more than its layers; ``model`` is an object of its own,
    as a `CharacterModel`.
    """

    format: str
    layers: dict[str, Layer] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    program: Any = None
    whole: bool = False
    model: Any = None


def suffix_of(path: AnyPath) -> str:
    """What a name ends in, of those that are known."""
    name = checked_path(path).lower()
    found = os.path.splitext(name)[1]
    if found not in FORMATS:
        raise ModelFileError(
            f"{shown(path)}: expected a name that ends in {', '.join(FORMATS)}, got {found!r}"
        )
    return found


def read(path: AnyPath) -> Holding:
    """Everything in a file that pyrnn can use, and why the rest is none.

    Raises
    ------
    ModelFileError
        If the file cannot be read, or its name ends in something else.
    MissingExtraError
        If the package that reads this kind is not installed.
    """
    kind = FORMATS[suffix_of(path)]
    reader = {"PyTorch": _torch, "ONNX": _onnx, "Keras": _keras, "safetensors": _safetensors}[kind]
    return reader(path)


def _of(format_name: str, found: Found) -> Holding:
    return Holding(format_name, stacked(found.layers), dict(found.refused))


def _onnx(path: AnyPath) -> Holding:
    from pyrnn.interop.onnx import nodes, read

    program = read.read(path)
    holding = _of(f"ONNX, operators of version {program.opset}", nodes.find(program))
    holding.program = program
    holding.whole = OF_LAYERS not in program.metadata
    return holding


def _keras(path: AnyPath) -> Holding:
    from pyrnn.interop.keras import read

    return _of("Keras", read.find(path))


def _safetensors(path: AnyPath) -> Holding:
    from pyrnn.interop import converted
    from pyrnn.interop.onnx.model import Model
    from pyrnn.interop.onnx.nodes import find

    loaded = converted.load_any(path)
    if isinstance(loaded, Model):
        holding = _of("safetensors, a converted model", find(loaded.program))
        holding.program, holding.whole = loaded.program, True
        return holding
    if isinstance(loaded, CharacterModel):
        return Holding("safetensors", {"rnn": loaded.rnn}, model=loaded)
    if isinstance(loaded, Layer):
        return Holding("safetensors", {type(loaded).__name__.lower(): loaded})
    if loaded and not all(isinstance(one, Layer) for one in loaded.values()):
        return _of("safetensors, a state dict", _from_names(loaded, path))
    return Holding("safetensors", loaded)


def _torch(path: AnyPath) -> Holding:
    torch = _torch_room()
    return _of("PyTorch", _from_names(torch.read(path), path))


def _torch_room() -> Any:
    return importlib.import_module("pyrnn.interop.torch")


def _from_names(mapping: Any, path: AnyPath) -> Found:
    """Layers of a state dict, however deep in it, by the names of their modules."""
    torch = _torch_room()
    names = importlib.import_module("pyrnn.interop.torch._names").flat
    try:
        flat = names(mapping)
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{shown(path)}: {error}") from error
    found = Found({}, {})
    for prefix in dict.fromkeys(name.rpartition(".")[0] for name in flat):
        own = {n: v for n, v in flat.items() if n.rpartition(".")[0] == prefix}
        try:
            layer = torch.from_state_dict(own, prefix)
        except (TypeError, ValueError, MemoryError) as error:
            shapes = ", ".join(f"{n.rpartition('.')[2]} {tuple(v.shape)}" for n, v in own.items())
            reason = str(error) if "weight_hh" in shapes else f"no layer of pyrnn has {shapes}"
            found.refused[prefix or "(the file)"] = reason
            continue
        found.layers[prefix or type(layer).__name__.lower()] = layer
    return found


def stacked(layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """Layers with levels that pyrnn took apart, "name_l0", "name_l1", ..., joined again."""
    levels: dict[str, list[str]] = {}
    for name, layer in layers.items():
        match = _LEVEL.fullmatch(name)
        if match and isinstance(layer, Recurrent):
            levels.setdefault(match[1], []).append(name)
    joined = dict(layers)
    for base, names in levels.items():
        if names != [f"{base}_l{n}" for n in range(len(names))] or base in layers:
            continue
        try:
            whole = stacking.stack([layers[name] for name in names])  # type: ignore[misc]
        except (TypeError, ValueError):
            continue
        joined = {
            (base if name == names[0] else name): (whole if name == names[0] else layer)
            for name, layer in joined.items()
            if name not in names[1:]
        }
    return joined


# --- writing --------------------------------------------------------------------------------


def write(holding: Holding, path: AnyPath) -> str:
    """Write what a file held in the form that the name's end says; returns what was written.

    Raises
    ------
    ConversionError
        If that form cannot hold it.
    ModelFileError
        If the name ends in something else.
    """
    kind = suffix_of(path)
    if kind in (".pt", ".pth", ".bin", ".keras"):
        raise ConversionError(
            f"{shown(path)}: {kind} is read alone; expected a name that ends in "
            f"{', '.join(WRITTEN)}"
        )
    try:
        if kind == ".safetensors":
            return _write_safetensors(holding, path)
        if not holding.layers:
            raise ConversionError(f"{shown(path)}: expected at least one layer, got none")
        if kind == ".onnx":
            return _write_onnx(holding, path)
        from pyrnn.interop import keras

        keras.save({n.replace("/", "_"): one for n, one in holding.layers.items()}, path)
        return _counted(holding.layers)
    except (TypeError, ValueError) as error:
        if isinstance(error, (ConversionError, ModelFileError)):
            raise
        raise ConversionError(f"{shown(path)}: {error}") from error


def _counted(layers: Mapping[str, Layer]) -> str:
    return f"{len(layers)} layer" + "s" * (len(layers) != 1)


def _write_onnx(holding: Holding, path: AnyPath) -> str:
    from pyrnn.interop import onnx

    layers = list(holding.layers.values())
    onnx.save(layers[0] if len(layers) == 1 else layers, path)
    return _counted(holding.layers)


def _write_safetensors(holding: Holding, path: AnyPath) -> str:
    from pyrnn.interop import converted
    from pyrnn.interop.onnx.graph import GraphError, UnsupportedError
    from pyrnn.interop.onnx.model import Model

    if holding.program is not None and (holding.whole or not holding.layers):
        try:
            Model(holding.program)
        except (UnsupportedError, GraphError) as error:
            if not holding.layers:
                raise ConversionError(f"{shown(path)}: {error}") from error
            converted.save_layers(holding.layers, path)
            return f"{_counted(holding.layers)}, not the whole model ({error})"
        converted.save_model(holding.program, path)
        return f"the whole model, {len(holding.program.graph.nodes)} nodes"
    if holding.model is not None:
        save_layer(holding.model, path)
        return type(holding.model).__name__
    if not holding.layers:
        raise ConversionError(f"{shown(path)}: expected at least one layer, got none")
    if len(holding.layers) == 1:
        (layer,) = holding.layers.values()
        save_layer(layer, path)
    else:
        converted.save_layers(holding.layers, path)
    return _counted(holding.layers)
