"""Batch normalisation: each channel of rows (M, C) with mean 0 and variance 1, times w, plus b.

y = w ∘ (x − mean) / √(var + ε) + b

In training mean and var are those of the rows, the biased variance: the rows are then the steps of
one sequence of `windows.instance_norm`. In inference they are running averages r,
r ← (1 − m) r + m v, of the mean and of the unbiased variance, M / (M − 1) times the biased one.

Source: S. Ioffe, C. Szegedy, "Batch normalization", arXiv:1502.03167.
"""

from __future__ import annotations

import numpy as np

from pyrnn._types import Array


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
    n = (x.astype(np.float64) - mean) / np.sqrt(variance.astype(np.float64) + eps)
    dweight = (dy * n).sum(axis=0).astype(x.dtype)
    dbias = dy.sum(axis=0, dtype=np.float64).astype(x.dtype)
    return dy * factor, dweight, dbias
