"""Products with int8 weights: sums of products of whole numbers, and two scales.

x Wᵀ = (Σ_k X_k N_k) ∘ s_N ∘ s_X,   with x ≈ X ∘ s_X of 16 bits or 8 and W = N ∘ s_N of 8, by rows

The sums are exact over so many k that 32 bits hold them. Longer rows are cut there; each sum is
scaled in float32 and added to that of the numbers before. `pyrnn._number_formats.int8` says how
numbers are rounded.
"""

from __future__ import annotations

import numpy as np

from pyrnn import _warnings
from pyrnn._number_formats import int8
from pyrnn._types import Array, Indices

STRETCH = 512
"""32767 · 127 · 512 < 2³¹"""


class Int8Matrix(np.ndarray):
    """A matrix of weights that is multiplied as whole numbers; its own are those it stands for."""

    most = int8.MOST_ACTIVATION
    """The largest whole number of x."""


class Int8BytesMatrix(Int8Matrix):
    """One that is multiplied with an x of 8 bits."""

    most = int8.MOST_BYTE


def product(x: Array | Indices, weight: Int8Matrix) -> Array:
    """X Wᵀ: (N, K), (M, K) -> (N, M)."""
    by_row, by_column = int8.activations(x, weight.most), int8.weights(np.asarray(weight))
    total = np.zeros((len(x), len(weight)), np.float32)
    with _warnings.unwarned():
        for first in range(0, x.shape[1], STRETCH):
            some = slice(first, first + STRETCH)
            # Exact in float64 too, in any order, and faster than whole numbers are in NumPy.
            sums = by_row.numbers[:, some].astype(np.float64) @ by_column.numbers[:, some].T
            scaled = sums.astype(np.float32) * by_column.scales
            total += scaled * by_row.scales[:, None]
    return total
