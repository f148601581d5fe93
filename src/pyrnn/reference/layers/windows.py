"""Pooling over windows of time and normalisation over time, each channel for itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyrnn._pieces import ColumnSums, boxes, copied, pieces, put
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
    y = np.empty(first.shape, x.dtype)
    for box in boxes(y.shape):
        y[box] = first[box]
        for frames in others:
            np.maximum(y[box], frames[box], out=y[box])
    return y


def max_pool_backward(
    x: Array, dy: Array, kernel: int, stride: int, padding: int, dilation: int
) -> Array:
    """Gradient of x: each of y's goes to the first of the frames that had the maximum."""
    padded = _surrounded(x, padding)
    first, *others = windows(padded, kernel, stride, dilation)
    chosen = np.zeros(dy.shape, np.min_scalar_type(kernel))
    for box in boxes(dy.shape):
        largest = first[box].copy()
        for k, frames in enumerate(others, 1):
            own = frames[box]
            larger = own > largest  # of several largest, the first stays
            if np.isnan(own.max()):  # NaN is larger than all
                larger |= np.isnan(own) & ~np.isnan(largest)
            np.copyto(largest, own, where=larger)
            np.copyto(chosen[box], k, where=larger)
    dpadded = np.zeros(padded.shape, x.dtype)
    # One frame of the windows after the other, so that a step's sum has one order.
    for k, frames in enumerate(windows(dpadded, kernel, stride, dilation)):
        for box in boxes(dy.shape):
            frames[box] += np.where(chosen[box] == k, dy[box], 0)
    return copied(dpadded[padding : padding + len(x)]) if padding else dpadded


def _surrounded(x: Array, padding: int) -> Array:
    if not padding:
        return x
    padded = np.full((len(x) + 2 * padding, *x.shape[1:]), -np.inf, x.dtype)
    put(padded[padding : padding + len(x)], x)
    return padded


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
    """Gradients (dx, dweight, dbias) of `instance_norm`.

    x is contiguous, perhaps after its first two axes have been swapped, and dx is what x is.
    """
    steps, _, channels = x.shape
    mean, scale = (_runs(each[None], x)[:, 0] for each in (moments.mean, moments.scale))
    xs, dys, dxs = _runs(x, x), _runs(dy, x), _runs(np.empty_like(x), x)
    dweight, dbias = (ColumnSums(x.size // channels, (channels,)) for _ in range(2))

    def inner(some: slice, time: slice) -> tuple[Array, Array, Array]:
        n = (xs[some, time].astype(np.float64) - mean[some, None]) * scale[some, None]
        wide = dys[some, time].astype(np.float64)
        return n, wide, wide if weight is None else wide * weight

    for some in pieces(len(xs), x.size // len(xs)):
        times = list(pieces(steps, xs[some, 0].size))
        of_dn, of_product = (_SumOverTime(steps, mean[some].shape) for _ in range(2))
        for time in times:
            n, wide, dn = inner(some, time)
            of_dn.add(dn)
            of_product.add(dn * n)
            dweight.add((wide * n).reshape(-1, channels))
            dbias.add(wide.reshape(-1, channels))
        mean_dn, mean_product = of_dn.value() / steps, of_product.value() / steps
        for time in times:
            n, _, dn = inner(some, time)
            dxs[some, time] = scale[some, None] * (
                dn - mean_dn[:, None] - n * mean_product[:, None]
            )
    dx = dxs[0] if x.flags.c_contiguous else dxs[:, :, 0].swapaxes(0, 1)
    return dx, dweight.value().astype(x.dtype), dbias.value().astype(x.dtype)


def _runs(array: Array, x: Array) -> Array:
    """(T, N, C) as numbers lie in memory: one run (1, T, N, C), or a run of each sequence."""
    return array[None] if x.flags.c_contiguous else array.swapaxes(0, 1)[:, :, None]


class _SumOverTime:
    """The sum over the second axis of arrays (runs, T, N, C); of one run, piece by piece."""

    def __init__(self, steps: int, shape: tuple[int, ...]) -> None:
        self._steps, self._whole = steps, np.zeros(shape)
        self._parts = ColumnSums(steps, shape[1:]) if len(self._whole) == 1 else None

    def add(self, values: Array) -> None:
        """Take the next steps."""
        if values.shape[1] == self._steps:
            self._whole = values.sum(axis=1)
            self._parts = None
        elif self._parts is not None:
            self._parts.add(values[0])

    def value(self) -> Array:
        """Return the sum, (runs, N, C)."""
        return self._whole if self._parts is None else self._parts.value()[None]
