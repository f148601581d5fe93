"""Windows over the last axes of an array: how a node lays them, and what is in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pyrnn.interop.onnx.graph import AnyArray, GraphError
from pyrnn.interop.onnx.operators._build import Build, check_size

Pads = Sequence[tuple[int, int]]


class Window(NamedTuple):
    """What a node says of its windows; None where an axis has the default."""

    strides: tuple[int, ...] | None
    dilations: tuple[int, ...] | None
    pads: tuple[int, ...] | None
    auto: str

    def of(self, kernel: Sequence[int], sizes: Sequence[int]) -> tuple[Any, Any, Pads]:
        """Strides, dilations and pads for axes of these sizes."""
        axes = len(kernel)
        strides = self.strides or (1,) * axes
        dilations = self.dilations or (1,) * axes
        if not len(strides) == len(dilations) == axes == len(sizes):
            raise ValueError(f"expected strides, dilations and a kernel of {len(sizes)} axes")
        if min((*strides, *dilations, *kernel)) < 1:
            raise ValueError("expected strides, dilations and a kernel above 0")
        if self.auto in ("NOTSET", "VALID"):
            pads = (self.pads if self.auto == "NOTSET" else None) or (0,) * (2 * axes)
            if len(pads) != 2 * axes or min(pads) < 0:
                raise ValueError(f"pads: expected {2 * axes} numbers from 0 on, got {pads}")
            return strides, dilations, list(zip(pads[:axes], pads[axes:], strict=True))
        found = []
        for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
            missing = max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size)
            less, more = missing // 2, missing - missing // 2
            found.append((less, more) if self.auto == "SAME_UPPER" else (more, less))
        return strides, dilations, found


def window_of(build: Build) -> Window:
    auto = build.text("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise GraphError(f"{build.node}: auto_pad: got {auto!r}")
    strides, dilations = build.integers("strides"), build.integers("dilations")
    return Window(strides, dilations, build.integers("pads"), auto)


def count(size: int, k: int, stride: int, dilation: int, pad: tuple[int, int]) -> int:
    """How many windows an axis has."""
    left = size + sum(pad) - (k - 1) * dilation - 1
    if left < 0:
        raise ValueError(f"expected at least one window of {k} numbers, got an axis of {size}")
    return left // stride + 1


def windowed(
    x: AnyArray,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Pads,
    fill: Any,
) -> AnyArray:
    """A view (N, C, windows..., kernel...) of x with its borders filled."""
    axes = tuple(range(2, x.ndim))
    for size, k, s, d, pad in zip(x.shape[2:], kernel, strides, dilations, pads, strict=True):
        count(size, k, s, d, pad)
    check_size([*x.shape[:2], *(n + sum(p) for n, p in zip(x.shape[2:], pads, strict=True))])
    padded = np.pad(x, [(0, 0), (0, 0), *pads], constant_values=fill)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    windows: AnyArray = sliding_window_view(padded, reach, axis=axes)
    steps = [slice(None, None, s) for s in strides]
    inside = [slice(None, None, d) for d in dilations]
    return windows[(slice(None), slice(None), *steps, *inside)]


def padded(x: AnyArray, pads: Pads, fill: Any) -> AnyArray:
    """X with borders around its last axes, in memory in the order that its own axes have."""
    if not any(map(sum, pads)):
        return x
    before = x.ndim - len(pads)
    shape = (*x.shape[:before], *(n + sum(p) for n, p in zip(x.shape[before:], pads, strict=True)))
    check_size(shape)
    y = np.empty_like(x, shape=shape)
    y[...] = fill
    inside = [slice(b, b + n) for n, (b, _) in zip(x.shape[before:], pads, strict=True)]
    y[(*(slice(None),) * before, *inside)] = x
    return y
