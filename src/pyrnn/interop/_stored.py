"""Parameters in model files: as they are, or matrices of weights in a narrow format."""

from __future__ import annotations

import json
import mmap
import sys
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from pyrnn import _checks
from pyrnn._narrow import is_narrow, narrowed, widened
from pyrnn._types import Array, Storage
from pyrnn.interop import _safetensors
from pyrnn.interop._safetensors import Contents, Tensor

DTYPES = {"float32": "F32", "float64": "F64"}
_OF_ARRAYS = DTYPES | {"int64": "I64"}
_NARROW: dict[str, Storage] = {"BF16": "bfloat16", "F16": "float16"}


def to_bytes(parameters: Mapping[str, Array], storage: Storage, metadata: dict[str, str]) -> bytes:
    """Return the file of some parameters, those in a narrow format that can be."""
    from safetensors.numpy import save

    data: bytes = save(
        {
            name: narrowed(storage, array)
            if storage != "full" and is_narrow(name, array)
            else np.asarray(array, order="C")
            for name, array in parameters.items()
        },
        metadata,
    )
    return data if storage == "full" else _renamed(data, storage)


def _renamed(data: bytes, storage: Storage) -> bytes:
    """Name the format of tensors that NumPy, and so safetensors, knows as whole numbers only."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    for entry in header.values():
        if entry.get("dtype") == "U16":
            entry["dtype"] = next(name for name, one in _NARROW.items() if one == storage)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # numbers begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + data[start:]


def is_rounded(name: str, array: Array, tensor: Tensor) -> bool:
    """Whether a tensor has a parameter in a narrow format."""
    fits = array.dtype == np.float32 and is_narrow(name, array) and tensor.shape == array.shape
    return fits and tensor.dtype in _NARROW


def read(array: Array, file: BinaryIO, tensor: Tensor, start: int) -> None:
    """Fill a parameter from its tensor, which is known to fit."""
    storage = _NARROW.get(tensor.dtype)
    if storage is None:
        _safetensors.read_into(array, file, start + tensor.begin)
        return
    numbers = np.empty(array.shape, np.uint16)
    _safetensors.read_into(numbers, file, start + tensor.begin)
    array[...] = widened(storage, numbers)


def views(parameters: Mapping[str, Array], file: BinaryIO, contents: Contents) -> dict[str, Array]:
    """Return views of the file for parameters whose bytes it has as they are; none without maps.

    The map is private: a page that is written to becomes the process's own.
    """
    try:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError):
        return {}
    found = {}
    for name, array in parameters.items():
        tensor, begin = contents.tensors[name], contents.start + contents.tensors[name].begin
        plain = tensor.dtype not in _NARROW and sys.byteorder == "little"
        if plain and array.size and begin % array.itemsize == 0:
            flat: Array = np.frombuffer(memory, array.dtype, array.size, begin)
            found[name] = flat.reshape(array.shape)
    return found


def saved_bytes(contents: Contents) -> int:
    """Return how many bytes narrow formats save in a file."""
    narrow = (tensor for tensor in contents.tensors.values() if tensor.dtype in _NARROW)
    return sum(tensor.end - tensor.begin for tensor in narrow)


def fault_of(parameters: Mapping[str, Array], contents: Contents) -> str | None:
    """Say which tensor is missing or superfluous, or has another shape or dtype; None if none."""
    for name, array in parameters.items():
        found = contents.tensors.get(name)
        if found is None:
            return f"expected a tensor {name!r}, got none"
        expected = (_OF_ARRAYS[array.dtype.name], array.shape)
        if found[:2] != expected and not is_rounded(name, array, found):
            return (
                f"{name}: expected {expected[0]} of shape {expected[1]}, "
                f"got {_checks.shown(found.dtype)[1:-1]} of shape {_checks.shown(found.shape)}"
            )
    for name in contents.tensors:
        if name not in parameters:
            return f"expected no tensor {_checks.shown(name)}"
    return None


def check_finite(tensors: Mapping[str, Array]) -> None:
    """Refuse a NaN or an infinity, and name the parameter."""
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
