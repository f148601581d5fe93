"""Narrow formats in which weights may be stored: rounding and widening.

bfloat16 is the upper half of a float32; float16 is the binary16 of IEEE 754; int8 has integers and
a scale for each row (`int8.py`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pyrnn import _warnings
from pyrnn._number_formats import int8
from pyrnn._types import Array, Indices, Storage

Numbers = npt.NDArray[np.uint16]
"""Numbers of 16 bits, as their bits."""


Stored = Numbers | int8.Rows
"""A matrix in a narrow format."""


def is_narrow(name: str, array: Array) -> bool:
    """Whether a parameter, of a layer or of one in a row, may be stored in a narrow format."""
    return array.ndim == 2 and name.rpartition(".")[2].startswith("weight")


def is_int8(storage: Storage) -> bool:
    """Whether matrices are whole numbers with a scale for each row."""
    return storage in ("int8", "int8_bytes")


def rounded(storage: Storage, array: Array) -> Array:
    """Return the numbers of a matrix as they are after rounding: to nearest, ties to even."""
    return array if storage == "full" else read(storage, stored(storage, array))


def stored(storage: Storage, matrix: Array) -> Stored:
    """Return a float32 matrix in a narrow format."""
    return int8.weights(matrix) if is_int8(storage) else narrowed(storage, matrix)


def read(storage: Storage, matrix: Stored, rows: Indices | slice = slice(None)) -> Array:
    """Return rows of a matrix in a narrow format as float32, exactly."""
    if isinstance(matrix, int8.Rows):
        return int8.widened(int8.Rows(matrix.numbers[rows], matrix.scales[rows]))
    return widened(storage, matrix[rows])


def narrowed(storage: Storage, array: Array) -> Numbers:
    """Return the bits of the 16-bit numbers that are nearest to those of a float32 array."""
    if storage == "float16":
        with _warnings.unwarned():
            return np.ascontiguousarray(array).astype(np.float16).view(np.uint16)
    bits = np.ascontiguousarray(array).view(np.uint32)
    nearest = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    found = np.where(is_nan, (bits >> np.uint32(16)) | np.uint32(0x40), nearest)
    return found.astype(np.uint16)


def widened(storage: Storage, numbers: Numbers) -> Array:
    """Return the same numbers as float32, exactly."""
    if storage == "float16":
        return numbers.view(np.float16).astype(np.float32)
    return (numbers.astype(np.uint32) << np.uint32(16)).view(np.float32)
