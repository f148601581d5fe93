"""Model files of every kind: what they contain, and conversion from one kind to another.

`read` knows the formats by what the name ends in, or else by what the file contains; it gives
layers by name, and the whole graph of an ONNX file. `write` is the other way round.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from typing import Any

from pyrnn._files import AnyPath, checked_path, open_regular, shown
from pyrnn.interop import stacking
from pyrnn.interop._holding import FORMATS, ConversionError, Holding, format_of, suffix_of
from pyrnn.interop._made import Found
from pyrnn.interop._parts import parts_of
from pyrnn.interop._safetensors import read_contents
from pyrnn.interop._stored import formats_in
from pyrnn.interop._targets import write
from pyrnn.interop._unheld import unheld
from pyrnn.interop.serialization import ModelFileError
from pyrnn.layers._layer import Layer
from pyrnn.layers.recurrent._stack import Recurrent

__all__ = [
    "FORMATS",
    "ConversionError",
    "Holding",
    "read",
    "stacked",
    "suffix_of",
    "unheld",
    "write",
]

OF_LAYERS = "pyrnn.layers"
"""Metadata of an ONNX file that `pyrnn.interop.onnx.save` wrote: it is nothing but its layers."""
_LEVEL = re.compile(r"(.+)_l(\d+)")
_OF_OPTIMISER = re.compile(r"((?:.*\.)?state)\.(?:\d+|\(\w+ \d+\))")
"""The name of what an optimiser keeps for one parameter: a number, or that of a parameter."""


def read(path: AnyPath) -> Holding:
    """Everything in a file that pyrnn can use, and why it cannot use the rest.

    Raises
    ------
    ModelFileError
        If the file cannot be read, or neither its name nor its contents tell its kind.
    MissingExtraError
        If the package that reads this kind is not installed.
    """
    kind = format_of(path)
    reader = {"PyTorch": _torch, "ONNX": _onnx, "Keras": _keras, "safetensors": _safetensors}[kind]
    return reader(path)


def _of(format_name: str, found: Found) -> Holding:
    return Holding(format_name, stacked(found.layers), dict(found.refused))


def _onnx(path: AnyPath) -> Holding:
    from pyrnn.interop.onnx import read

    program = read.read(path)
    holding = _of_graph(f"ONNX, operators of version {program.opset}", program)
    holding.whole = OF_LAYERS not in program.metadata or bool(holding.left)
    return holding


def _of_graph(format_name: str, program: Any) -> Holding:
    from pyrnn.interop.onnx import nodes
    from pyrnn.interop.onnx.chain.read import chain

    walked = list(nodes.steps(program))
    found = nodes.found_in(walked)
    whole = chain(program, walked)
    holding = _of(format_name, found._replace(layers=whole.layers))
    holding.program, holding.whole = program, True
    holding.others = nodes.others(program, found)
    holding.left = {name: why for name, why in whole.left.items() if name not in found.refused}
    return holding


def _keras(path: AnyPath) -> Holding:
    from pyrnn.interop.keras import read

    whole = read.find_whole(path)
    holding = Holding("Keras", stacked(whole.layers), whole.refused)
    holding.left, holding.notes, holding.ordered = whole.left, whole.notes, whole.ordered
    holding.program, holding.whole = whole.program, whole.program is not None
    return holding


def _safetensors(path: AnyPath) -> Holding:
    holding = _of_safetensors(path)
    with open_regular(checked_path(path)) as file:
        formats = formats_in(read_contents(file, os.fstat(file.fileno()).st_size))
    if formats:
        holding.format += f", weights in {' and '.join(formats)}"
    if "int8" in [layer._int8_activations for layer in holding.layers.values()]:
        holding.format += ", made for activations in int8"
    return holding


def _of_safetensors(path: AnyPath) -> Holding:
    from pyrnn.interop import converted
    from pyrnn.interop.onnx.model import Model

    loaded = converted.load_any(path)
    if isinstance(loaded, Model):
        return _of_graph("safetensors, a converted model", loaded.program)
    if not isinstance(loaded, Mapping):
        parts = parts_of(loaded)
        if loaded in parts.values():
            return Holding("safetensors", parts)
        return Holding(f"safetensors, a {type(loaded).__name__}", parts, model=loaded)
    if loaded and not all(isinstance(one, Layer) for one in loaded.values()):
        holding = _of("safetensors, a state dict", _from_names(loaded, path))
        holding.ordered = False
        return holding
    parts = {key: part for name, one in loaded.items() for key, part in parts_of(one, name).items()}
    return Holding("safetensors", parts, model=None if parts == loaded else loaded)


def _torch(path: AnyPath) -> Holding:
    torch = _torch_room()
    holding = _of("PyTorch", _from_names(torch.read(path), path))
    holding.ordered = False
    return holding


def _torch_room() -> Any:
    return importlib.import_module("pyrnn.interop.torch")


def _from_names(mapping: Any, path: AnyPath) -> Found:
    """Layers of a state dict, however deep in it, by the names of their modules."""
    torch = _torch_room()
    names = importlib.import_module("pyrnn.interop.torch._names")
    try:
        flat, settings = names.flat(mapping), names.settings(mapping)
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{shown(path)}: {error}") from error
    found = Found({}, {})
    grouped: dict[str, dict[str, Any]] = {}
    for name, value in flat.items():
        grouped.setdefault(name.rpartition(".")[0], {})[name] = value
    states: dict[str, int] = {}
    for prefix, own in grouped.items():
        match = _OF_OPTIMISER.fullmatch(prefix)
        if match and not any("weight" in name or "running" in name for name in own):
            states[match[1]] = states.get(match[1], 0) + 1
            found.refused[match[1]] = f"an optimiser's, for {states[match[1]]} parameters"
            continue
        try:
            start = f"{prefix}." if prefix else ""
            told = {f"{start}{name}": value for name, value in settings.get(prefix, {}).items()}
            layer = torch.from_state_dict(own | told, prefix)
        except (TypeError, ValueError, MemoryError) as error:
            found.refused[prefix or "(the file)"] = _why_not(error, own)
            continue
        found.layers[prefix or type(layer).__name__.lower()] = layer
    return found


def _why_not(error: Exception, own: Mapping[str, Any]) -> str:
    """Why the arrays of one module are no layer, in one short line."""
    state_dict = importlib.import_module("pyrnn.interop.torch.state_dict")
    shapes = state_dict.shapes_of({name.rpartition(".")[2]: array for name, array in own.items()})
    if isinstance(error, state_dict.UnsaidKindError):
        return f"{shapes}: from_state_dict reads it as kind={' or '.join(map(repr, error.kinds))}"
    recurrent = "weight_ih" in shapes or "weight_hh" in shapes
    return str(error) if recurrent else f"no layer of pyrnn has {shapes}"


def stacked(layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """Layers whose levels pyrnn separated, "name_l0", "name_l1", ..., joined again."""
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
