"""Saving and loading: what comes back is what went in."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pyrnn
from pyrnn.interop import serialization
from tests.fuzz.case import Case, entry
from tests.fuzz.draw import Draw
from tests.fuzz.entries.common import KINDS, build, draw_weights, layer_options


@entry("serialization", "serialization.save", "save", "serialization.load", "load", weight=0.5)
def saved_case(draw: Draw) -> Case:
    """A layer through a file and back, with its options."""
    kind = draw.choice(tuple(KINDS))
    options = layer_options(draw, kind)
    arguments = {
        "options": options,
        "weights": draw_weights(draw, KINDS[kind](**options)),
        "mmap": draw.choice((False, True)),
        "path": draw.choice(("layer.safetensors", "name with spaces", "\u00e9\u4e2d.bin")),
    }
    layer = KINDS[kind](1, 2, 3, bidirectional=True)
    names = {*layer.parameters, "expected", "nonlinearity", "bias", "zoneout", "proj_size"}
    return Case(arguments, partial(_round_trip, draw, kind), names=names, errors=(OSError,))


def _round_trip(draw: Draw, kind: str, a: dict[str, Any]) -> Any:
    layer = build(draw, kind, a)
    with tempfile.TemporaryDirectory() as folder:
        path = a["path"]
        if isinstance(path, str):
            path = str(Path(folder) / path) if path else folder
        elif isinstance(path, bytes):
            path = os.path.join(os.fsencode(folder), path)
        serialization.save(layer, path)
        loaded = serialization.load(path, mmap=a["mmap"])
    if repr(loaded) != repr(layer) or not loaded.training:
        raise AssertionError(f"{loaded!r} for {layer!r}")
    for name, array in layer.parameters.items():
        if array.tobytes() != loaded.parameters[name].tobytes():
            raise AssertionError(f"{name} is not what was saved")
    return {name: array.copy() for name, array in loaded.parameters.items()}


@entry("initialize", "initialize", weight=0.7)
def initialize_case(draw: Draw) -> Case:
    """First values anew: those of a layer that is made with the same scheme and seed."""
    kind = draw.choice(tuple(KINDS))
    options = layer_options(draw, kind)
    arguments: dict[str, Any] = {
        "options": options,
        "initialization": draw.choice(("torch", "glorot", "orthogonal")),
        "seed": draw.integer(0, 2**63),
    }
    if kind == "LSTM" and "forget_bias" in options and not options.get("coupled"):
        arguments["forget_bias"] = draw.choice((0.0, 1.0, None))

    def values(layer: Any) -> dict[str, Any]:
        return {name: array.copy() for name, array in layer.parameters.items()}

    def run(a: dict[str, Any]) -> Any:
        layer = KINDS[kind](**a["options"])
        rest = {name: value for name, value in a.items() if name != "options"}
        same = pyrnn.initialize(layer, **rest)
        if same is not layer:
            raise AssertionError("another layer came back")
        return values(layer)

    def expected(a: dict[str, Any]) -> Any:
        rest = {name: value for name, value in a.items() if name != "options"}
        made = {k: v for k, v in a["options"].items() if k not in ("seed", "forget_bias")}
        return values(KINDS[kind](**made | rest))

    layer = KINDS[kind](1, 2, 3, bidirectional=True)
    names = {*layer.parameters, "layer", "forget_bias", "zoneout", "proj_size", "bias"}
    return Case(arguments, run, expected=expected, names=names)
