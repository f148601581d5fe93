"""Batch normalisation: each channel of rows (M, C) with mean 0 and variance 1, times w, plus b.

y = w ∘ (x − mean) / √(var + ε) + b

In training mean and var are those of the rows, the biased variance: the rows are then the steps of
one sequence of `windows.instance_norm`. In inference they are running averages r,
r ← (1 − m) r + m v, of the mean and of the unbiased variance, M / (M − 1) times the biased one.

A batch may be divided between processes. Each has the count, the mean and the sum of squared
differences (M, m, q) of its own rows, and all together have

M = Σ Mᵢ,  m = Σ Mᵢ mᵢ / M,  q = Σ qᵢ + Mᵢ (mᵢ − m)²,

the variance being q / M; backward, dx needs the means of dn and of dn ∘ n over all rows.

Sources: S. Ioffe, C. Szegedy, "Batch normalization", arXiv:1502.03167; T. Chan, G. Golub,
R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyrnn._pieces import ColumnSums, pieces
from pyrnn._types import Array
from pyrnn.reference.layers import windows
from pyrnn.reference.layers.windows import Moments

Exchange = Callable[[Array], Array]
"""From a vector (n,) of this process' rows to those of all, (P, n), in float64."""


def channel_factors(
    variance: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array]:
    """W / √(var + ε), from float64, and b, both of var's dtype."""
    factor = 1 / np.sqrt(variance.astype(np.float64) + eps)
    if weight is not None:
        factor = factor * weight
    shift = np.zeros_like(variance) if bias is None else bias.copy()
    return factor.astype(variance.dtype), shift


def scale_channels(x: Array, mean: Array, factor: Array, shift: Array) -> Array:
    """(x − mean) ∘ factor + shift of each row."""
    y: Array = (x - mean) * factor + shift
    return y


def scale_channels_backward(
    x: Array, mean: Array, variance: Array, factor: Array, dy: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients (dx, dweight, dbias) where mean and var are fixed."""
    dx = np.empty(x.shape, np.result_type(dy, factor))
    root = np.sqrt(variance.astype(np.float64) + eps)
    dweight, dbias = (ColumnSums(len(x), x.shape[1:]) for _ in range(2))
    for rows in pieces(*x.shape):
        own = dy[rows]
        dweight.add(own * ((x[rows].astype(np.float64) - mean) / root))
        dbias.add(own.astype(np.float64))
        dx[rows] = own * factor
    return dx, dweight.value().astype(x.dtype), dbias.value().astype(x.dtype)


def batch_norm_of_part(
    x: Array, weight: Array | None, bias: Array | None, eps: float, exchange: Exchange
) -> tuple[Array, Moments, int]:
    """Normalise rows with the statistics of all processes' rows; also returns how many there are.

    A ValueError if there are fewer than two.
    """
    count, channels = x.shape
    wide = x.astype(np.float64)
    mean = wide.mean(axis=0) if count else np.zeros(channels)
    squares = ((wide - mean) ** 2).sum(axis=0)
    parts = exchange(np.concatenate([[float(count)], mean, squares]))
    parts = parts[parts[:, 0] > 0]
    counts, means, squares = parts[:, :1], parts[:, 1 : 1 + channels], parts[:, 1 + channels :]
    total = int(counts.sum())
    if total < 2:
        raise ValueError(f"x: expected more than one row to take statistics of, got {total}")
    mean = (counts * means).sum(axis=0) / total
    variance = (squares + counts * (means - mean) ** 2).sum(axis=0) / total
    moments = windows.moments(mean, variance, eps)
    return windows.normalized(x, moments, weight, bias), moments, total


def batch_norm_of_part_backward(
    x: Array, moments: Moments, count: int, weight: Array | None, dy: Array, exchange: Exchange
) -> tuple[Array, Array, Array]:
    """Gradients (dx, dweight, dbias) of rows; the latter two are sums over these rows alone."""
    dweight, dbias = (ColumnSums(len(x), x.shape[1:]) for _ in range(2))

    def inner(rows: slice) -> tuple[Array, Array]:
        n = (x[rows].astype(np.float64) - moments.mean) * moments.scale
        return n, dy[rows].astype(np.float64)

    for rows in pieces(*x.shape):
        n, wide = inner(rows)
        dweight.add(wide * n)
        dbias.add(wide)
    of_all = exchange(np.concatenate([dweight.value(), dbias.value()])).sum(axis=0) / count
    of_weight, of_bias = np.split(of_all, 2)
    dx = np.empty(x.shape, x.dtype)
    for rows in pieces(*x.shape):
        n, wide = inner(rows)
        own = moments.scale * (wide - of_bias - n * of_weight)
        dx[rows] = own if weight is None else own * weight
    return dx, dweight.value().astype(x.dtype), dbias.value().astype(x.dtype)
