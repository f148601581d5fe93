"""What a model file contains, and which kinds of model files there are."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from pyrnn._files import AnyPath, checked_path, open_regular, shown
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


_HDF5 = b"\x89HDF\r\n\x1a\n"
_PICKLE = b"\x80"
_ONNX = b"\x08"
"""How a file of protobuf begins whose first field is a number, as an ONNX model's is."""


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


def format_of(path: AnyPath) -> str:
    """The kind of a file to read: by how its name ends, or else by what it contains."""
    name = checked_path(path)
    known = FORMATS.get(os.path.splitext(name.lower())[1])
    if known:
        return known
    try:
        with open_regular(name) as file:
            found = _format_inside(file)
    except OSError as error:
        reason = error.strerror or error
        raise ModelFileError(f"{shown(name)}: cannot be read ({reason})") from error
    if found is None:
        raise ModelFileError(
            f"{shown(name)}: expected a file of {', '.join(dict.fromkeys(FORMATS.values()))}, "
            f"or a name that ends in {', '.join(FORMATS)}"
        )
    return found


def _format_inside(file: BinaryIO) -> str | None:
    size = os.fstat(file.fileno()).st_size
    begin = file.read(9)
    if begin.startswith(b"PK"):
        return _format_of_zip(file)
    if begin.startswith(_HDF5):
        return "Keras"
    if begin[8:] == b"{" and int.from_bytes(begin[:8], "little") <= size:
        return "safetensors"
    return {_PICKLE: "PyTorch", _ONNX: "ONNX"}.get(begin[:1])


def _format_of_zip(file: BinaryIO) -> str | None:
    try:
        with zipfile.ZipFile(file) as archive:
            members = {os.path.basename(member) for member in archive.namelist()}
    except Exception:  # zipfile's own and others, from what is no whole archive
        return None
    kinds = {"data.pkl": "PyTorch", "config.json": "Keras"}
    return next((kind for member, kind in kinds.items() if member in members), None)
