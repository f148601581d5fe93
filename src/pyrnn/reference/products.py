"""The products of all layers with a matrix of weights, by how that is multiplied."""

from __future__ import annotations

import numpy as np

from pyrnn._types import Array, Indices
from pyrnn.reference import bfloat16, int8
from pyrnn.reference.sums import sum_of_products


def times(x: Array | Indices, weight: Array) -> Array:
    """X Wᵀ: (N, K), (M, K) -> (N, M)."""
    if isinstance(weight, int8.Int8Matrix):
        return int8.product(x, weight)
    if isinstance(weight, bfloat16.Bfloat16Matrix):
        return bfloat16.product(x, weight)
    product: Array = x @ weight.T
    return product


def columns(indices: Indices, weight: Array) -> Array:
    """X Wᵀ for one-hot rows x, given as the positions of their ones: (N,), (M, K) -> (N, M)."""
    chosen: Array = np.asarray(weight).T[indices]
    if isinstance(weight, bfloat16.Bfloat16Matrix):
        return bfloat16.operand(chosen).astype(chosen.dtype) + 0
    return chosen


def times_back(dy: Array, weight: Array) -> Array:
    """DY W, the gradient of x in `times`: (N, M), (M, K) -> (N, K)."""
    if isinstance(weight, bfloat16.Bfloat16Matrix):
        return bfloat16.product(dy, weight.T)
    product: Array = dy @ np.asarray(weight)
    return product


def weight_gradient(dy: Array, x: Array | Indices, weight: Array) -> Array:
    """DYᵀ X, the gradient of the weight in `times`: (N, M), (N, K) -> (M, K)."""
    if isinstance(weight, bfloat16.Bfloat16Matrix):
        return bfloat16.sum_over_rows(dy, x)
    return sum_of_products(dy, x)
