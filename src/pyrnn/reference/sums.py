"""Sums over many rows, as gradients of parameters are, whose error does not grow with the rows.

A sum in float32 that is added up row by row loses up to half a unit in the last place of the whole
with every row: of a million equal rows, a hundredth of the sum can be missing. So sums are made of
blocks, and blocks are added to a `Total`.
"""

from __future__ import annotations

import numpy as np

from pyrnn._types import Array, Indices

BLOCK = 256


class Total:
    """A running sum that keeps what its additions lose.

    Source: T. J. Dekker, "A floating-point technique for extending the available precision",
    Numerische Mathematik 18, 1971.
    """

    def __init__(self, zeros: Array) -> None:
        self._sum = zeros.copy()
        self._lost = zeros.copy()

    def add(self, x: Array, rows: Indices | slice = slice(None)) -> None:
        """Add ``x`` to the sum, or to some rows of it, each at most once."""
        old = self._sum[rows]
        new = old + x
        with np.errstate(invalid="ignore"):  # of an infinite sum nothing is lost
            self._lost[rows] += x - (new - old)
        self._sum[rows] = new

    def value(self) -> Array:
        """Return the sum."""
        total: Array = np.where(np.isfinite(self._sum), self._sum + self._lost, self._sum)
        return total


def sum_of_rows(rows: Array) -> Array:
    """Σₙ rows[n]: (N, D) -> (D,)."""
    # NumPy adds in pairs along an axis whose numbers lie side by side.
    total: Array = np.ascontiguousarray(rows.T).sum(axis=1)
    return total


def sum_of_products(a: Array, b: Array | Indices) -> Array:
    """Aᵀ B, that is Σₙ a[n]ᵀ b[n]: (N, D), (N, E) -> (D, E)."""
    product: Array
    if len(a) <= BLOCK:
        product = a.T @ b
        return product
    total = Total(np.zeros((a.shape[1], b.shape[1]), a.dtype))
    for first in range(0, len(a), BLOCK):
        total.add(a[first : first + BLOCK].T @ b[first : first + BLOCK])
    return total.value()


def sum_at_indices(indices: Indices, rows: Array, count: int) -> Array:
    """For each index, the sum of the rows that it belongs to: (N,), (N, D) -> (count, D)."""
    total = Total(np.zeros((count, rows.shape[1]), rows.dtype))
    for first in range(0, len(rows), BLOCK):
        found, places = np.unique(indices[first : first + BLOCK], return_inverse=True)
        block = np.zeros((len(found), rows.shape[1]), rows.dtype)
        np.add.at(block, places.reshape(-1), rows[first : first + BLOCK])
        total.add(block, found)
    return total.value()
