"""What a model file of any kind holds, and the kinds that there are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyrnn._files import AnyPath, checked_path, shown
from pyrnn.interop.serialization import ModelFileError
from pyrnn.layers._layer import Layer

FORMATS = {
    ".pt": "PyTorch",
    ".pth": "PyTorch",
    ".bin": "PyTorch",
    ".ckpt": "PyTorch",
    ".jit": "PyTorch",
    ".onnx": "ONNX",
    ".keras": "Keras",
    ".h5": "Keras",
    ".hdf5": "Keras",
    ".safetensors": "safetensors",
}


class ConversionError(ValueError):
    """One kind of file holds something that the other kind cannot hold; the message is one line."""


@dataclass
class Holding:
    """What a file holds.

    ``layers`` by name, none of them a composition, and ``refused``, why others are none;
    ``program`` is the graph of an ONNX file, ``whole`` says whether it is more than its layers, and
    ``others`` how many nodes and numbers each operator has that is no layer; ``model`` is what was
    saved, where that is more than one layer: a `CharacterModel`, a composition, a dict of them.
    ``left`` is what a file computes beside its layers, by name, and why no layer is that: with
    nothing in it, the layers one behind the other compute what the file's model computes.
    ``ordered`` says whether the file tells in which order that is; ``notes`` what else to know of
    a layer, by its name.
    """

    format: str
    layers: dict[str, Layer] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    program: Any = None
    whole: bool = False
    others: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    model: Any = None
    left: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    ordered: bool = True


def suffix_of(path: AnyPath) -> str:
    """The known suffix of a file name."""
    name = checked_path(path).lower()
    found = os.path.splitext(name)[1]
    if found not in FORMATS:
        raise ModelFileError(
            f"{shown(path)}: expected a name that ends in {', '.join(FORMATS)}, got {found!r}"
        )
    return found
