"""Converted files that are spoiled: each is refused in one line, or is layers, or a model that
computes or says why not."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import pyrnn
from tests.fuzz.case import Case
from tests.fuzz.draw import Draw
from tests.fuzz.readers.common import Reader, each, in_one_line, made_apart, placed
from tests.fuzz.readers.onnx_files import (
    ERRORS,
    NAMES,
    SOURCES,
    onnx_source,
    some_layers,
    try_to_run,
)  # fmt: skip
from tests.fuzz.spoil.files import spoil, with_header
from tests.fuzz.spoil.trees import spoil_json


def _spoiled_converted(draw: Draw) -> Case:
    """Several layers or a whole model in one file, with a few mutations."""
    draw.mutations = 0
    sources = [draw.choice(converted_sources()) for _ in range(2)]
    data = sources[0]
    if draw.chance(0.5):
        data = _spoiled_description(draw, data)
    if data is sources[0] or draw.chance(0.2):
        data = spoil(draw, data, sources[1:])
    return Case({"file": data}, _read_converted, names=NAMES, errors=ERRORS)


def _spoiled_description(draw: Draw, data: bytes) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    description = json.loads(header["__metadata__"]["pyrnn"])
    for _ in range(draw.choice((1, 1, 2, 3))):
        description = spoil_json(draw, description)
    header["__metadata__"]["pyrnn"] = json.dumps(description)
    return with_header(header, data[8 + length :])


@functools.lru_cache(None)
def converted_sources() -> list[bytes]:
    """The files; their maker's imports stay in its process."""
    made: list[bytes] = made_apart(each, _source, SOURCES)
    return made


def _source(number: int) -> bytes:
    """A converted file: layers by name, or the whole of an ONNX file."""
    from pyrnn.interop import converted
    from pyrnn.interop.onnx.read import from_any

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        if number % 2:
            converted.save_model(from_any(onnx_source(number)), path)
        else:
            layers = {f"layer.{n}": layer for n, layer in enumerate(some_layers(number))}
            if number % 3 == 0:
                inner = pyrnn.Sequential(pyrnn.Linear(2, 3, seed=0), pyrnn.LastStep())
                layers["both"] = pyrnn.Sequential(pyrnn.GRU(3, 2, seed=0), inner=inner)
            converted.save_layers(layers, path)
        return path.read_bytes()


def _read_converted(a: dict[str, Any]) -> Any:
    from pyrnn.interop import converted
    from pyrnn.interop.onnx.model import Model

    with placed(a["file"], "model.safetensors") as path:
        found = in_one_line(path, lambda: converted.load_any(path), ERRORS, 1000)
    if isinstance(found, Model):
        try_to_run(found)
        return list(found.program.graph.constants.values())
    if isinstance(found, dict):
        return [
            one.parameters.copy() if isinstance(one, pyrnn.Layer) else one for one in found.values()
        ]
    return found.parameters.copy()


READER = Reader(
    "converted", _spoiled_converted, ("interop.load",), converted_sources,
    ("onnx", "safetensors"), 0.5,
)  # fmt: skip
