"""The layers around the recurrent ones: the affine map and the embedding, with their gradients."""

from __future__ import annotations

import numpy as np

from pyrnn._types import Array, Indices
from pyrnn.reference.int8 import times


def linear(x: Array, weight: Array, bias: Array | None, out: Array | None = None) -> Array:
    """X Wᵀ + b: (M, K), (N, K), (N,) -> (M, N), into ``out`` if it is given."""
    product = times(x, weight)
    y: Array = product if bias is None else product + bias
    if out is None:
        return y
    out[...] = y
    return out


def linear_backward(x: Array, weight: Array, dy: Array) -> tuple[Array, Array, Array]:
    """Gradients (dx, dweight, dbias) of `linear`."""
    return dy @ weight, dy.T @ x, dy.sum(axis=0)


def embedding(indices: Indices, weight: Array) -> Array:
    """Rows of weight: (M,), (V, D) -> (M, D)."""
    return weight[indices]


def embedding_backward(indices: Indices, dy: Array, num_embeddings: int) -> Array:
    """Gradient (V, D): each row is the sum of dy's rows at which it was looked up."""
    dweight = np.zeros((num_embeddings, dy.shape[1]), dtype=dy.dtype)
    np.add.at(dweight, indices, dy)
    return dweight
