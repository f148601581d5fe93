"""Numbers of 16 bits, in which weights may be stored: rounding and widening.

bfloat16 is the upper half of a float32; float16 is the binary16 of IEEE 754.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pyrnn import _warnings
from pyrnn._types import Array, Storage

Numbers = npt.NDArray[np.uint16]
"""Numbers of 16 bits, as their bits."""


def is_narrow(name: str, array: Array) -> bool:
    """Whether a parameter, of a layer or of one in a row, may be stored in a narrow format."""
    return array.ndim == 2 and name.rpartition(".")[2].startswith("weight")


def rounded(storage: Storage, array: Array) -> Array:
    """Return the numbers of a matrix as they are after rounding: to nearest, ties to even."""
    return array if storage == "full" else widened(storage, narrowed(storage, array))


def narrowed(storage: Storage, array: Array) -> Numbers:
    """Return the bits of the numbers that are nearest to those of a float32 array."""
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


def rounded_all(storage: Storage, parameters: Mapping[str, Array]) -> dict[str, Array]:
    """Return the parameters of a layer, those rounded that a format stores."""
    return {
        name: rounded(storage, array) if is_narrow(name, array) else array
        for name, array in parameters.items()
    }
