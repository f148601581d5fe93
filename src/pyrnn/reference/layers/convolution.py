"""Convolution along time, channels last: each output is a product of the frames that it sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pyrnn._pieces import boxes, copied, dense, pieces, put, zeros
from pyrnn._types import Array, Link
from pyrnn.reference.layers.windows import windows as windows_of

AT_ONCE = 16
"""Channels of a depthwise convolution whose gradients are computed as those of a linear layer."""

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
    padded = _padded(x, before, after)
    dpadded = zeros(padded)
    views = [windows_of(a, weight.shape[2], stride, dilation) for a in (padded, dpadded)]
    depthwise = 1 < groups == x.shape[2] == len(weight)
    backward = _depthwise_backward if depthwise else _grouped_backward
    dweight, dbias = backward(views[0], views[1], weight, dy, groups, linear_backward)
    return _without(dpadded, before, len(x)), dweight, dbias


def _grouped_backward(
    windows: Array,
    dwindows: Array,
    weight: Array,
    dy: Array,
    groups: int,
    linear_backward: LinearBackward,
) -> tuple[Array, Array]:
    """Add to the gradients of windows (K, T', N, C); return those of the parameters."""
    kernel, steps, batch, channels = windows.shape
    size, out = channels // groups, len(weight) // groups
    by_group = (_divided(windows, groups), _divided(dwindows, groups), _divided(dy, groups))
    # (G, T', N, K, C / G): of each group rows of K·C/G numbers
    rows = copied(by_group[0].transpose(3, 1, 2, 0, 4)).reshape(groups, -1, kernel * size)
    flat = copied(weight.reshape(groups, out, size, kernel).swapaxes(2, 3))
    flat = flat.reshape(groups, out, kernel * size)
    own_dy = dense(by_group[2].transpose(2, 0, 1, 3)).reshape(groups, -1, out)
    dflat, dbias = np.empty_like(flat), np.empty((groups, out), dy.dtype)
    for g in range(groups):
        rows[g], dflat[g], dbias[g] = linear_backward(rows[g], flat[g], own_dy[g])
    drows = rows.reshape(groups, steps, batch, kernel, size).transpose(3, 1, 2, 0, 4)
    for frames, own in zip(by_group[1], drows, strict=True):
        for box in boxes(frames.shape):
            frames[box] += own[box]
    dweight = np.ascontiguousarray(dflat.reshape(-1, kernel, size).swapaxes(1, 2))
    return dweight, dbias.reshape(-1)


def _depthwise_backward(
    windows: Array,
    dwindows: Array,
    weight: Array,
    dy: Array,
    groups: int,
    linear_backward: LinearBackward,
) -> tuple[Array, Array]:
    """The same where each channel of y sees its own of x alone.

    The gradient of a window is one product then. Those of the weights are on the diagonal of what
    a linear layer from some channels to the same ones has.
    """
    kernel = len(windows)
    # One tap after the other, so that a frame's sum has one order.
    for k, frames in enumerate(dwindows):
        for some in pieces(len(dy), dy[0].size):
            frames[some] += dy[some] * weight[:, 0, k]
    dweight, dbias = np.empty_like(weight), np.empty(groups, dy.dtype)
    for first in range(0, groups, AT_ONCE):
        some = slice(first, first + AT_ONCE)
        own_dy = copied(dy[..., some])
        count = own_dy.shape[-1]
        rows = copied(windows[..., some].transpose(1, 2, 0, 3)).reshape(-1, kernel * count)
        unused = np.zeros((count, kernel * count), dy.dtype)
        _, dflat, dbias[some] = linear_backward(rows, unused, own_dy.reshape(-1, count))
        diagonal = np.arange(count)
        dweight[some, 0] = dflat.reshape(count, kernel, count)[diagonal, :, diagonal]
    return dweight, dbias


def _divided(array: Array, groups: int) -> Array:
    """The last axis as two, (..., groups, channels of one), as a view."""
    *shape, channels = array.shape
    *strides, step = array.strides
    size = channels // groups
    return np.lib.stride_tricks.as_strided(
        array, (*shape, groups, size), (*strides, size * step, step)
    )


def _without(padded: Array, before: int, steps: int) -> Array:
    """The frames that are x's."""
    own = padded[before : before + steps]
    return own if len(own) == len(padded) else copied(own)


def _padded(x: Array, before: int, after: int) -> Array:
    if not before + after:
        return x
    padded = np.zeros((before + len(x) + after, *x.shape[1:]), x.dtype)
    put(padded[before : before + len(x)], x)
    return padded


def _groups(weight: Array, groups: int) -> list[tuple[Array, slice]]:
    """The weights of each group, and its channels of x."""
    size = weight.shape[1]
    return [
        (part, slice(g * size, (g + 1) * size)) for g, part in enumerate(np.split(weight, groups))
    ]
