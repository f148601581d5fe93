"""What a model file contains, and which kinds of model files there are."""

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
    """What a file contains.

    ``layers`` are the layers by name, without compositions; ``refused`` says why other entries are
    not layers. ``program`` is the graph of an ONNX file, ``whole`` whether it is more than its
    layers, and ``others`` how many nodes and numbers belong to operators that are not layers.
    ``model`` is the saved object if it is more than one layer: a `CharacterModel`, a composition,
    or a dict of them. ``left`` says, by name, what a file computes besides its layers, and why no
    layer does that; if it is empty, the layers one after the other compute what the file's model
    computes. ``ordered`` says whether the file contains their order; ``notes`` has remarks about
    layers, by name.
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
