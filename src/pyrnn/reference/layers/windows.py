"""Pooling over windows of time and normalisation over time, each channel for itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyrnn._types import Array


def windows(x: Array, kernel: int, stride: int, dilation: int) -> Array:
    """Frame k of every window, as a view (K, T', N, C) of x (T, N, C)."""
    count = outputs(len(x), kernel, stride, dilation)
    step = x.strides[0]
    return np.lib.stride_tricks.as_strided(
        x, (kernel, count, *x.shape[1:]), (dilation * step, stride * step, *x.strides[1:])
    )


def outputs(steps: int, kernel: int, stride: int, dilation: int) -> int:
    """How many windows there are in so many steps."""
    left = steps - (kernel - 1) * dilation - 1
    return 0 if left < 0 else left // stride + 1


def max_pool(x: Array, kernel: int, stride: int, padding: int, dilation: int) -> Array:
    """y[t] = maxₖ x[t·stride + k·dilation − padding]; what is outside x does not count."""
    first, *others = windows(_surrounded(x, padding), kernel, stride, dilation)
    y: Array = first.copy()
    for frames in others:
        np.maximum(y, frames, out=y)
    return y


def max_pool_backward(
    x: Array, dy: Array, kernel: int, stride: int, padding: int, dilation: int
) -> Array:
    """Gradient of x: each of y's goes to the first of the frames that had the maximum."""
    padded = _surrounded(x, padding)
    dpadded = np.zeros_like(padded)
    chosen = windows(padded, kernel, stride, dilation).argmax(axis=0)
    for k, frames in enumerate(windows(dpadded, kernel, stride, dilation)):
        frames += np.where(chosen == k, dy, 0)
    return dpadded[padding : padding + len(x)].copy()


def _surrounded(x: Array, padding: int) -> Array:
    if not padding:
        return x
    return np.pad(x, ((padding, padding), (0, 0), (0, 0)), constant_values=-np.inf)


class Moments(NamedTuple):
    """Of each sequence and channel over time: mean, variance and 1 / √(var + ε), (N, C) in float64.

    The variance is the biased one.
    """

    mean: Array
    variance: Array
    scale: Array


def moments(mean: Array, variance: Array, eps: float) -> Moments:
    """What `instance_norm_backward` needs."""
    return Moments(mean, variance, 1 / np.sqrt(variance + eps))


def instance_norm(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Moments]:
    """w ∘ (x − mean) / √(var + ε) + b, with the biased variance over time, in float64."""
    wide = x.astype(np.float64)
    mean = wide.mean(axis=0)
    found = moments(mean, ((wide - mean) ** 2).mean(axis=0), eps)
    return normalized(x, found, weight, bias), found


def normalized(x: Array, moments: Moments, weight: Array | None, bias: Array | None) -> Array:
    """w ∘ (x − mean) / √(var + ε) + b, in float64, as x's dtype."""
    y = (x.astype(np.float64) - moments.mean) * moments.scale
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    result: Array = y.astype(x.dtype)
    return result


def instance_norm_backward(
    x: Array, moments: Moments, weight: Array | None, dy: Array
) -> tuple[Array, Array, Array]:
    """Gradients (dx, dweight, dbias) of `instance_norm`."""
    n = (x.astype(np.float64) - moments.mean) * moments.scale
    wide = dy.astype(np.float64)
    dn = wide if weight is None else wide * weight
    dx = moments.scale * (dn - dn.mean(axis=0) - n * (dn * n).mean(axis=0))
    sums = (wide * n).sum(axis=(0, 1)), wide.sum(axis=(0, 1))
    return dx.astype(x.dtype), sums[0].astype(x.dtype), sums[1].astype(x.dtype)
