"""The layers around the recurrent ones: the affine map and the embedding, with their gradients."""

from __future__ import annotations

from pyrnn._types import Array, Indices
from pyrnn.reference.products import times, times_back, weight_gradient
from pyrnn.reference.sums import sum_at_indices, sum_of_rows


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
    return times_back(dy, weight), weight_gradient(dy, x, weight), sum_of_rows(dy)


def embedding(indices: Indices, weight: Array) -> Array:
    """Rows of weight: (M,), (V, D) -> (M, D)."""
    return weight[indices]


def embedding_backward(indices: Indices, dy: Array, num_embeddings: int) -> Array:
    """Gradient (V, D): each row is the sum of dy's rows at which it was looked up."""
    return sum_at_indices(indices, dy, num_embeddings)
