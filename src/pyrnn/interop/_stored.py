"""Parameters in model files: as they are, or matrices of weights in a narrow format."""

from __future__ import annotations

import json
import mmap
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from pyrnn import _checks
from pyrnn._number_formats import int8
from pyrnn._number_formats.narrow import is_int8, is_narrow, narrowed, widened
from pyrnn._types import Array, Storage
from pyrnn.interop import _safetensors
from pyrnn.interop._safetensors import Contents, Tensor

DTYPES = {"float32": "F32", "float64": "F64"}
_OF_ARRAYS = DTYPES | {"int64": "I64"}
_NARROW: dict[str, Storage] = {"BF16": "bfloat16", "F16": "float16", "I8": "int8"}
SCALES = ".scale"
"""What is appended to the name of an int8 matrix to name the scales of its rows."""


def to_bytes(parameters: Mapping[str, Array], storage: Storage, metadata: dict[str, str]) -> bytes:
    """Return the file of some parameters, those in a narrow format that can be."""
    return file_of(tensors(parameters, storage), storage, metadata)


def tensors(parameters: Mapping[str, Array], storage: Storage) -> dict[str, Any]:
    """Return some parameters as tensors of a file."""
    found: dict[str, Any] = {}
    for name, array in parameters.items():
        if storage == "full" or not is_narrow(name, array):
            found[name] = np.asarray(array, order="C")
        elif is_int8(storage):
            found[name], found[name + SCALES] = int8.weights(array)
        else:
            found[name] = narrowed(storage, array)
    return found


def file_of(arrays: Mapping[str, Any], storage: Storage, metadata: dict[str, str]) -> bytes:
    """Return the file of some tensors."""
    from safetensors.numpy import save

    data: bytes = save(dict(arrays), metadata)
    return _renamed(data, storage) if storage in ("bfloat16", "float16") else data


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


def note_of(storage: Storage) -> dict[str, str]:
    """Return what a file's description says of a storage, beside its tensors."""
    return {"activations": "int8"} if storage == "int8_bytes" else {}


def is_rounded(name: str, array: Array, tensor: Tensor) -> bool:
    """Whether a tensor has a parameter in a narrow format."""
    fits = array.dtype == np.float32 and is_narrow(name, array) and tensor.shape == array.shape
    return fits and is_rounded_tensor(tensor)


def is_rounded_tensor(tensor: Tensor) -> bool:
    """Whether a tensor is in a narrow format."""
    return tensor.dtype in _NARROW


def formats_in(contents: Contents) -> list[Storage]:
    """Return the narrow formats of a file's tensors."""
    dtypes = {tensor.dtype for tensor in contents.tensors.values()}
    return [storage for dtype, storage in _NARROW.items() if dtype in dtypes]


def is_scale(name: str, contents: Contents) -> bool:
    """Whether a tensor has the scales of another one."""
    of = contents.tensors.get(name.removesuffix(SCALES))
    return name.endswith(SCALES) and of is not None and of.dtype == "I8"


def fault_of_scales(name: str, contents: Contents) -> str | None:
    """Say what is wrong about the scales of a tensor; None if nothing, or it needs none."""
    tensor = contents.tensors[name]
    if tensor.dtype != "I8":
        return None
    scales = contents.tensors.get(name + SCALES)
    if scales is not None and scales[:2] == ("F32", tensor.shape[:1]) and len(tensor.shape) == 2:
        return None
    return f"{name}: expected a tensor {name + SCALES!r}, F32 of shape {tensor.shape[:1]}"


def read(name: str, array: Array, file: BinaryIO, contents: Contents) -> None:
    """Fill a parameter from its tensors, which are known to fit."""

    def filled(tensor: str, target: Any) -> Any:
        _safetensors.read_into(target, file, contents.start + contents.tensors[tensor].begin)
        return target

    storage = _NARROW.get(contents.tensors[name].dtype)
    if storage is None:
        filled(name, array)
    elif storage == "int8":
        numbers = filled(name, np.empty(array.shape, np.int8))
        scales = filled(name + SCALES, np.empty(len(array), np.float32))
        array[...] = int8.widened(int8.Rows(numbers, scales))
    else:
        array[...] = widened(storage, filled(name, np.empty(array.shape, np.uint16)))


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
    """Return how many bytes narrow formats save in a file, at most."""
    narrow = (tensor for tensor in contents.tensors.values() if tensor.dtype in _NARROW)
    return sum(
        (tensor.end - tensor.begin) * (3 if tensor.dtype == "I8" else 1) for tensor in narrow
    )


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
        fault = fault_of_scales(name, contents)
        if fault is not None:
            return fault
    for name in contents.tensors:
        if name not in parameters and not is_scale(name, contents):
            return f"expected no tensor {_checks.shown(name)}"
    return None


def check_finite(tensors: Mapping[str, Array]) -> None:
    """Refuse a NaN or an infinity, and name the parameter."""
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
