"""Arrays larger than memory: what is read of a memory map leaves memory again at once."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

AHEAD_BYTES = 1 << 22
"""So much is read at once of a memory map, of all rows together."""

Array = npt.NDArray[Any]


class Columns:
    """Stretches of columns of an array with few, long rows, read from left to right.

    Pages of a memory map count as memory of the process as long as they are mapped, and systems map
    up to 2 MB where a single number is read. So a piece of each row is copied, and the row's pages
    are given back before the next row. An array in memory is used as it is; and so is a map that
    keeps changes for itself, which would be lost.

    Parameters
    ----------
    array : array
        Of two axes, (rows, columns).
    """

    def __init__(self, array: Array) -> None:
        self._array = array
        self._map: Any = _releasable(array)
        self._begin, self._ahead = 0, array[:, :0]

    def read(self, begin: int, end: int) -> Array:
        """Columns [begin, end), (rows, end - begin). Not to be changed."""
        if self._map is None:
            return self._array[:, begin:end]
        if begin < self._begin or end > self._begin + self._ahead.shape[1]:
            self._read_ahead(begin, end)
        return self._ahead[:, begin - self._begin : end - self._begin]

    def of_rows(self, rows: slice) -> Columns:
        """The same columns of some rows alone."""
        return Columns(self._array[rows])

    def _read_ahead(self, begin: int, end: int) -> None:
        rows, columns = self._array.shape
        count = max(end - begin, AHEAD_BYTES // (self._array.itemsize * rows))
        count = min(count, columns - begin)
        ahead = np.empty((rows, count), self._array.dtype)
        for row in range(rows):
            ahead[row] = self._array[row, begin : begin + count]
            self._map.madvise(mmap.MADV_DONTNEED)
        self._begin, self._ahead = begin, ahead

    def __getstate__(self) -> dict[str, Any]:
        return {"_array": self._array}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_array"])  # type: ignore[misc]


def release(array: Any) -> None:
    """Give back the pages of an array, if it is a memory map that cannot lose anything by that."""
    found = _releasable(array)
    if found is not None:
        found.madvise(mmap.MADV_DONTNEED)


def _releasable(array: Array) -> Any:
    """The map of an array whose pages can be given back; None if there is none."""
    if not isinstance(array, np.memmap) or array.mode not in ("r", "r+"):
        return None
    found = getattr(array, "_mmap", None)
    return found if hasattr(found, "madvise") and hasattr(mmap, "MADV_DONTNEED") else None
