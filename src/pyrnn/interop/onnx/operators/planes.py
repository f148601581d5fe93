"""Convolutions along two axes, whose weights never change, as the core's convolutions along one.

x lies in memory as (N, H, W, C), with its zeros around it. There the numbers under a row of the
kernel, W taps of C channels, are one span, and a convolution along H takes these spans as its
channels: as a view in which they overlap, without a copy of each window. The images of a batch
follow one another along H; windows across two of them are computed and left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrnn.backend import selection
from pyrnn.interop.onnx.graph import AnyArray
from pyrnn.interop.onnx.operators._build import Function, OfFirst, check_size
from pyrnn.interop.onnx.operators._window import Pads, Window, count
from pyrnn.interop.onnx.operators.dense import Packed


class TwoAxes(OfFirst):
    """A convolution along two axes: x (N, C, H, W), weight (M, C / groups, kernel...).

    Sums below 0 are multiplied by ``slope``: 1 leaves them, 0 makes the Relu of them.
    """

    def __init__(
        self, window: Window, weight: AnyArray, bias: AnyArray | None, groups: int, slope: float
    ) -> None:
        super().__init__(self.run)
        self.window = window
        self.kernel: tuple[int, int] = weight.shape[2], weight.shape[3]
        self.channels: int = weight.shape[1] * groups
        self.out: int = weight.shape[0]
        self.dtype = weight.dtype
        self.slope = slope
        strides, dilations, _ = window.of(self.kernel, (1, 1))
        self.strides: tuple[int, int] = strides
        self.dilations: tuple[int, int] = dilations
        # Spans are the channels of one group whose taps are neighbours; else each tap has its turn.
        self.whole = groups == 1 and (dilations[1] == 1 or self.kernel[1] == 1)
        if self.whole:
            spans = weight.transpose(0, 3, 1, 2).reshape(self.out, -1, self.kernel[0])
            parts = [spans]
        else:
            parts = list(np.moveaxis(weight, 3, 0))
        self.taps = [
            self._packed(part, bias if number == 0 else None, groups, slope == 0 and self.whole)
            for number, part in enumerate(parts)
        ]

    def _packed(self, weight: AnyArray, bias: AnyArray | None, groups: int, relu: bool) -> Packed:
        weight = np.ascontiguousarray(weight)
        bias = None if bias is None else np.ascontiguousarray(bias)
        stride, dilation = self.strides[0], self.dilations[0]

        def pack(backend: selection.Backend) -> Function:
            return backend.pack_convolution(
                weight, bias, stride=stride, dilation=dilation, groups=groups, relu=relu
            )

        return Packed(pack)

    def run(self, x: AnyArray) -> Any:
        """(N, C, H, W) -> (N, M, H', W'), a view of an array with the channels last."""
        if x.dtype != self.dtype or x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(
                f"expected {self.dtype} x of shape (N, {self.channels}, H, W), "
                f"got {x.dtype} of shape {x.shape}"
            )
        sizes = x.shape[2:]
        strides, dilations, pads = self.window.of(self.kernel, sizes)
        every = zip(sizes, self.kernel, strides, dilations, pads, strict=True)
        high, wide = (count(*axis) for axis in every)
        images = x.shape[0]
        if not x.size:
            return np.zeros((images, self.out, high, wide), self.dtype)
        memory = self._memory(x, pads, strides[0])
        y = self._sum(memory, wide)
        if images == 1:
            return y.reshape(1, high, wide, self.out).transpose(0, 3, 1, 2)
        row = y.strides[0]
        apart = memory.shape[1] // strides[0] * row
        by_image = (apart, row, *y.strides[1:])
        images_of_y: AnyArray = np.ndarray(
            (images, high, wide, self.out), self.dtype, y, 0, by_image
        )
        return images_of_y.transpose(0, 3, 1, 2)

    def _memory(self, x: AnyArray, pads: Pads, stride: int) -> AnyArray:
        """(N, H, W, C) with its zeros; H a multiple of the stride if there are several images."""
        last = x.transpose(0, 2, 3, 1)
        (top, bottom), (left, right) = pads
        images, high, wide, channels = last.shape
        if images > 1:
            bottom += -(top + high + bottom) % stride
        if top == bottom == left == right == 0:
            return np.ascontiguousarray(last)
        shape = (images, top + high + bottom, left + wide + right, channels)
        check_size(shape)
        memory = np.zeros(shape, self.dtype)
        memory[:, top : top + high, left : left + wide] = last
        return memory

    def _sum(self, memory: AnyArray, wide: int) -> AnyArray:
        """(N · H', W', M) of (N, H, W, C), the windows across two images included."""
        images, high, width, channels = memory.shape
        step = memory.itemsize * channels
        strides = (width * step, self.strides[1] * step, memory.itemsize)
        span = self.kernel[1] * channels if self.whole else channels
        y: AnyArray | None = None
        for number, tap in enumerate(self.taps):
            first = number * self.dilations[1] * step
            shape = (images * high, wide, span)
            view: AnyArray = np.ndarray(shape, self.dtype, memory, first, strides)
            part = tap.function()(view, 0, 0)
            y = part if y is None else np.add(y, part, out=y)
        assert y is not None
        if self.slope == 1 or (self.slope == 0 and self.whole):
            return y
        return _bent(y, self.slope)


IN_CACHE = 1 << 14
"""Numbers that are multiplied and compared before others push them out of the cache."""


def _bent(y: AnyArray, slope: float) -> AnyArray:
    """The larger of y and y · slope, in place."""
    flat, factor = y.reshape(-1), y.dtype.type(slope)
    for begin in range(0, flat.size, IN_CACHE):
        some = flat[begin : begin + IN_CACHE]
        np.maximum(some, some * factor, out=some)
    return y
