"""Convolution along time, channels last: each output is a product of the frames that it sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pyrnn._types import Array, Link
from pyrnn.reference.layers.windows import windows as windows_of

LinearBackward = Callable[[Array, Array, Array], "tuple[Array, Array, Array]"]


def convolution(
    x: Array,
    before: int,
    after: int,
    *,
    weight: Array,
    bias: Array | None,
    stride: int,
    dilation: int,
    groups: int,
) -> Array:
    """y[t] = b + Σₖ x[t·stride + k·dilation − before] Wₖᵀ: (T, N, C), (M, C/groups, K), (M,).

    Frames outside x are zeros. Group g maps its channels of x to its channels of y.
    """
    windows = windows_of(_padded(x, before, after), weight.shape[2], stride, dilation)
    y = np.zeros((windows.shape[1], x.shape[1], len(weight)), x.dtype)
    for own, (w, channels) in zip(
        np.split(y, groups, axis=2), _groups(weight, groups), strict=True
    ):
        for k, frames in enumerate(windows):
            own += frames[..., channels] @ w[:, :, k].T
    return y if bias is None else y + bias


def chain(x: Array, *, links: Sequence[Link]) -> Array:
    """Convolutions one behind the other, (N, C, T) -> (N, M, T')."""
    for convolve, before, after, magnitude in links:
        x = convolve(x, before, after)
        if magnitude is not None:
            channels, real, imaginary, skipped = magnitude
            a, b = (x[:, first : first + channels, skipped:] for first in (real, imaginary))
            x = np.sqrt(np.square(a) + np.square(b))
    return x


def convolution_backward(
    x: Array,
    weight: Array,
    dy: Array,
    *,
    before: int,
    after: int,
    stride: int,
    dilation: int,
    groups: int,
    linear_backward: LinearBackward,
) -> tuple[Array, Array, Array]:
    """Gradients (dx, dweight, dbias): of a linear layer from windows to outputs, summed by frame.

    A frame is in as many windows as there are taps, and its gradient is the sum of theirs.
    """
    kernel = weight.shape[2]
    padded = _padded(x, before, after)
    windows = windows_of(padded, kernel, stride, dilation)
    dpadded = np.zeros_like(padded)
    dwindows = windows_of(dpadded, kernel, stride, dilation)
    dweights, dbiases = [], []
    for (w, channels), own in zip(
        _groups(weight, groups), np.split(dy, groups, axis=2), strict=True
    ):
        out, size, _ = w.shape
        # (T', N, K, C) as rows of K·C numbers
        rows = np.ascontiguousarray(windows[..., channels].transpose(1, 2, 0, 3))
        flat = np.ascontiguousarray(w.transpose(0, 2, 1)).reshape(out, kernel * size)
        drows, dflat, dbias = linear_backward(
            rows.reshape(-1, kernel * size), flat, np.ascontiguousarray(own).reshape(-1, out)
        )
        for k, frames in enumerate(dwindows):
            frames[..., channels] += drows.reshape(rows.shape)[:, :, k]
        dweights.append(dflat.reshape(out, kernel, size).transpose(0, 2, 1))
        dbiases.append(dbias)
    dx = dpadded[before : before + len(x)].copy()
    return dx, np.concatenate(dweights), np.concatenate(dbiases)


def _padded(x: Array, before: int, after: int) -> Array:
    return np.pad(x, ((before, after), (0, 0), (0, 0)))


def _groups(weight: Array, groups: int) -> list[tuple[Array, slice]]:
    """The weights of each group, and its channels of x."""
    size = weight.shape[1]
    return [
        (part, slice(g * size, (g + 1) * size)) for g, part in enumerate(np.split(weight, groups))
    ]
