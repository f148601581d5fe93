"""Ways in which the same numbers can lie in memory, or be wrapped, when a user passes them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np


class Subclass(np.ndarray):
    """An array of a user's own kind."""


class HasArray:
    """Something that only `np.asarray` knows how to read, as data frames and tensors are."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._array if dtype is None else self._array.astype(dtype)

    def __repr__(self) -> str:
        return f"HasArray({self._array!r})"


class HasInterface:
    """An object with NumPy's older protocol."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._array.__array_interface__

    def __repr__(self) -> str:
        return f"HasInterface({self._array!r})"


def _backwards(array: np.ndarray) -> np.ndarray:
    """Negative strides on every axis."""
    if array.ndim == 0:
        return array
    flip = (slice(None, None, -1),) * array.ndim
    return np.ascontiguousarray(array[flip])[flip]


def _swapped_axes(array: np.ndarray) -> np.ndarray:
    """As a view of an array with its first two axes the other way round."""
    if array.ndim < 2:
        return array
    return np.ascontiguousarray(array.swapaxes(0, 1)).swapaxes(0, 1)


def _apart(array: np.ndarray, axis: int) -> np.ndarray:
    """Every other element of a larger array along an axis; NaN or -1 lies between."""
    if array.ndim == 0:
        return array
    shape = list(array.shape)
    shape[axis] *= 2
    larger = np.full(shape, np.nan if array.dtype.kind == "f" else 1, array.dtype)
    view = larger.swapaxes(0, axis)[::2].swapaxes(0, axis)
    view[...] = array
    return view


def _cut_out(array: np.ndarray) -> np.ndarray:
    """The middle of an array that is larger on every axis, as ``hidden[:, :n]`` is."""
    if array.ndim == 0:
        return array
    larger = np.full([n + 2 for n in array.shape], 1, array.dtype)
    view = larger[(slice(1, -1),) * array.ndim]
    view[...] = array
    return view


def _unaligned(array: np.ndarray) -> np.ndarray:
    buffer = np.zeros(array.nbytes + 1, np.uint8)
    view = buffer[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def _memory_map(array: np.ndarray) -> np.ndarray:
    if not array.size or array.ndim == 0:
        return array
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, array.dtype, "w+", shape=array.shape)
    mapped[...] = array
    return mapped


EXPANDED = {"expanded steps": 0, "expanded rows": 1, "expanded columns": -1}
"""Layouts with a stride of zero, as ``h0.expand(...)`` and `np.broadcast_to` make it; the axes."""


def _first(array: np.ndarray, layout: str) -> np.ndarray:
    """The first element along the axis of such a layout; all, where there is no such axis."""
    axis = EXPANDED[layout]
    if not -array.ndim <= axis < array.ndim or not array.size:
        return array
    return array.take([0], axis)


def _expanded(array: np.ndarray, layout: str) -> np.ndarray:
    return np.broadcast_to(_first(array, layout), array.shape)


LAYOUTS: dict[str, Callable[[np.ndarray], Any]] = {
    "fortran": lambda array: np.array(array, order="F"),
    "backwards": _backwards,
    "swapped axes": _swapped_axes,
    "every other column": lambda array: _apart(array, -1),
    "every other row": lambda array: _apart(array, 0),
    "cut out": _cut_out,
    **{name: partial(_expanded, layout=name) for name in EXPANDED},
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "unaligned": _unaligned,
    "read-only": _read_only,
    "memory map": _memory_map,
    "subclass": lambda array: array.view(Subclass),
    "masked array": lambda array: np.ma.MaskedArray(array),
    "matrix": lambda array: array.view(np.matrix) if array.ndim == 2 else array.view(Subclass),
    "__array__": HasArray,
    "__array_interface__": HasInterface,
}
"""Each takes a contiguous array and returns its numbers in another form."""

IN_PLACE = ("subclass", "memory map")
"""Forms that are contiguous and writeable, so that a function may change them in place."""


def expand(layout: str, values: np.ndarray) -> np.ndarray:
    """The numbers that an array of this layout can have."""
    if layout in EXPANDED:
        values[...] = _first(values, layout)
    return values
