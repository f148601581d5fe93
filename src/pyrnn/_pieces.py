"""Work on large arrays in pieces: a signal can end it between two, and a piece stays in the cache.

NumPy looks for signals only after each of its operations, which takes seconds for an array that is
large enough. The sums here have the bits that NumPy's sums over the whole arrays have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pyrnn._types import Array

PIECE = 1 << 14
"""Numbers of a piece: some arrays of so many fit into L2."""

# NumPy halves a sum over numbers that lie side by side down to at most 128 of them.
_LEAF = 1 << 13


def pieces(rows: int, columns: int = 1) -> Iterator[slice]:
    """Ranges of rows, in order, each of about `PIECE` numbers; of one row at least."""
    count = max(1, PIECE // max(1, columns))
    for first in range(0, rows, count):
        yield slice(first, min(first + count, rows))


def blocks(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """The same for rows whose columns may be divided, too, in the order of the numbers."""
    for some in pieces(rows, columns):
        for part in pieces(columns if columns > PIECE else min(columns, 1)):
            yield some, part if columns > PIECE else slice(0, columns)


def boxes(shape: tuple[int, ...]) -> Iterator[tuple[int | slice, ...]]:
    """Indices of parts of an array of this shape, in the order of its numbers; none is empty."""
    if 0 in shape:
        return
    axis, size = len(shape), 1  # of an item of that axis
    while axis and size * shape[axis - 1] <= PIECE:
        axis, size = axis - 1, size * shape[axis - 1]
    if axis == 0:
        yield ()
        return
    for index in np.ndindex(shape[: axis - 1]):
        for some in pieces(shape[axis - 1], size):
            yield (*index, some)


def mapped(function: Callable[..., Array], *arrays: Array, dtype: Any = None) -> Array:
    """function(*pieces) of all pieces of arrays, as a new array of the first one's shape.

    The others are broadcast to that shape. ``dtype`` is that of the result, by default that
    of the first array.
    """
    first = arrays[0]
    kind = first.dtype if dtype is None else dtype
    if first.size <= PIECE:
        return np.asarray(function(*arrays), kind)  # of a number without axes, a NumPy scalar
    result = np.empty(first.shape, kind)
    whole = [np.broadcast_to(array, first.shape) for array in arrays]
    for box in boxes(first.shape):
        result[box] = function(*(array[box] for array in whole))
    return result


def put(target: npt.NDArray[Any], source: npt.NDArray[Any]) -> None:
    """Copy numbers into an array of the same shape."""
    for box in boxes(source.shape):
        target[box] = source[box]


def zeros(like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Zeros in an array like this one. ``np.zeros_like`` writes them all at once."""
    flags = like.flags
    order: Literal["C", "F"] = "F" if flags.f_contiguous and not flags.c_contiguous else "C"
    return np.zeros(like.shape, like.dtype, order)


def move(
    source: npt.NDArray[Any],
    of: Sequence[npt.NDArray[np.intp]],
    target: npt.NDArray[Any],
    to: Sequence[npt.NDArray[np.intp]],
) -> None:
    """``target[to] = source[of]``, for index arrays of one axis; none stand for all, in order."""
    indices = to or of
    width = math.prod(target.shape[len(to) or 1 :])
    for some in pieces(len(indices[0]), width):
        found = source[tuple(index[some] for index in of) or some]
        target[tuple(index[some] for index in to) or some] = found


def taken(rows: npt.NDArray[Any], indices: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """``rows[indices]``, as a new array."""
    found = np.empty((len(indices), *rows.shape[1:]), rows.dtype)
    move(rows, (indices,), found, ())
    return found


def copied(array: npt.NDArray[Any], dtype: Any = None) -> npt.NDArray[Any]:
    """A contiguous copy."""
    kind = array.dtype if dtype is None else dtype
    if array.size <= PIECE:
        return array.astype(kind, order="C")
    result = np.empty(array.shape, kind)
    put(result, array)
    return result


def dense(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array, copied unless it is contiguous."""
    return array if array.flags.c_contiguous else copied(array)


def beside(one: Array, other: Array) -> Array:
    """Both in one array, side by side in the last axis."""
    if one.size <= PIECE:
        return np.concatenate([one, other], axis=-1)
    size = one.shape[-1]
    both = np.empty((*one.shape[:-1], size + other.shape[-1]), one.dtype)
    put(both[..., :size], one)
    put(both[..., size:], other)
    return both


def drawn(
    draw: Callable[[tuple[int, ...]], npt.NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> Array:
    """draw(shape) of a function whose numbers come from a generator one after another."""
    count = math.prod(shape)
    if count <= PIECE:
        return draw(shape).astype(dtype, copy=False)
    numbers = np.empty(count, dtype)
    for some in pieces(count):
        numbers[some] = draw((some.stop - some.start,))
    return numbers.reshape(shape)


class PairwiseSum:
    """The sum of so many float64 numbers that come piece by piece: ``np.sum`` of them all.

    NumPy adds the sum of the first half, rounded down to a multiple of 8, and that of the second
    half, and so on. Here the same tree ends in sums of NumPy's own over a few thousand numbers.
    """

    def __init__(self, count: int) -> None:
        self._leaves = _leaves(count, 0)
        self._buffer = np.empty(min(count, _LEAF))
        self._filled = 0
        self._wanted, self._depth = next(self._leaves)
        self._sums: list[tuple[int, float]] = []

    def add(self, numbers: Array) -> None:
        """Take the next numbers."""
        flat = numbers.reshape(-1)
        first = 0
        while first < flat.size:
            taken = min(self._wanted - self._filled, flat.size - first)
            some = flat[first : first + taken]
            first += taken
            if taken == self._wanted:
                self._end_leaf(some)
                continue
            self._buffer[self._filled : self._filled + taken] = some
            self._filled += taken
            if self._filled == self._wanted:
                self._end_leaf(self._buffer[: self._filled])

    def _end_leaf(self, numbers: Array) -> None:
        depth, total = self._depth, float(numbers.sum())
        while self._sums and self._sums[-1][0] == depth:
            depth, total = depth - 1, self._sums.pop()[1] + total
        self._sums.append((depth, total))
        self._filled = 0
        self._wanted, self._depth = next(self._leaves, (0, 0))

    def value(self) -> float:
        """Return the sum."""
        return self._sums[0][1] if self._sums else 0.0


def _leaves(count: int, depth: int) -> Iterator[tuple[int, int]]:
    """How many numbers each leaf of the tree has, in order, and its depth."""
    if count <= _LEAF:
        yield count, depth
        return
    half = count // 2
    half -= half % 8
    yield from _leaves(half, depth + 1)
    yield from _leaves(count - half, depth + 1)


class ColumnSums:
    """The sums over so many rows of float64 numbers that come piece by piece: ``np.sum(axis=0)``.

    NumPy adds up rows one after another, but a single column by pairs.
    """

    def __init__(self, rows: int, shape: tuple[int, ...]) -> None:
        self._sums = np.zeros(shape)
        self._pairs = PairwiseSum(rows) if self._sums.size == 1 and rows else None

    def add(self, rows: Array) -> None:
        """Take the next rows."""
        if self._pairs is not None:
            self._pairs.add(rows)
        elif len(rows):
            # The sums so far are the row before them.
            np.add.reduce(np.concatenate([self._sums[None], rows]), axis=0, out=self._sums)

    def value(self) -> Array:
        """Return the sums."""
        if self._pairs is not None:
            self._sums[...] = self._pairs.value()
        return self._sums
