"""Products of numbers rounded to bfloat16, with sums in float32, in the order of AMX's TDPBF16PS.

k runs in blocks of 32, the last one filled up with zeros. In a block, the even and the odd k are
two chains of fused multiply-adds from zero; their sum is added to that of the blocks before:

    even = fma(a₀, b₀, 0), fma(a₂, b₂, even), ...      odd = fma(a₁, b₁, 0), fma(a₃, b₃, odd), ...
    c = c + (even + odd)

Everything rounds to nearest, ties to even, and subnormal numbers count as zeros, as operands and as
results. Source: Intel 64 and IA-32 Architectures Software Developer's Manual, TDPBF16PS.
"""

from __future__ import annotations

import numpy as np

from pyrnn import _warnings
from pyrnn._number_formats.narrow import rounded
from pyrnn._types import Array, Indices
from pyrnn.reference.sums import Total

BLOCK = 32

ROWS = 512
"""Rows of a block of a sum over rows, as gradients of weights are."""

_LEAST_NORMAL = 2.0**-126
_LEAST_ROUNDED = _LEAST_NORMAL - 2.0**-151
"""What is nearer to zero is below the least normal number, even once it is rounded."""


class Bfloat16Matrix(np.ndarray):
    """A matrix of weights whose products take operands of bfloat16; its own numbers are full."""


def operand(x: Array | Indices) -> Array:
    """The numbers that a product takes in place of those of a float32 array, as float64."""
    nearest = rounded("bfloat16", np.asarray(x, np.float32)).astype(np.float64)
    return np.where(np.abs(nearest) < _LEAST_NORMAL, nearest * 0, nearest)


def product(a: Array | Indices, b: Array | Indices) -> Array:
    """A Bᵀ: (N, K), (M, K) -> (N, M)."""
    with _warnings.unwarned():
        one, other = _pairs(operand(a)), _pairs(operand(b))
        total: Array = np.zeros((len(a), len(b)))
        for block, other_block in zip(one, other, strict=True):
            chains: Array = np.zeros((2, len(a), len(b)))  # even k, odd k
            for pair, other_pair in zip(block, other_block, strict=True):
                # Exact but for the rounding to float32: 53 bits are enough for that.
                chains = _float32(chains + pair[:, :, None] * other_pair[:, None, :])
            total = _float32(total + _float32(chains[0] + chains[1]))
        return total.astype(np.float32)


def sum_over_rows(a: Array, b: Array | Indices) -> Array:
    """Aᵀ B, in which k are rows: (N, D), (N, E) -> (D, E)."""
    if len(a) <= ROWS:
        return product(a.T, b.T)
    total = Total(np.zeros((a.shape[1], b.shape[1]), a.dtype))
    for first in range(0, len(a), ROWS):
        total.add(product(a[first : first + ROWS].T, b[first : first + ROWS].T))
    return total.value()


def _pairs(x: Array) -> Array:
    """(N, K) -> (blocks, pairs of a block, even or odd, N), with zeros past K."""
    filled = np.pad(x, ((0, 0), (0, -x.shape[1] % BLOCK)))
    blocks = filled.shape[1] // BLOCK
    pairs: Array = filled.reshape(len(x), blocks, BLOCK // 2, 2).transpose(1, 2, 3, 0)
    return pairs


def _float32(exact: Array) -> Array:
    """The float32 that is nearest, zero where that is subnormal, as float64."""
    nearest = exact.astype(np.float32).astype(np.float64)
    return np.where(np.abs(exact) < _LEAST_ROUNDED, exact * 0, nearest)
