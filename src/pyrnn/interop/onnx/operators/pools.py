"""Pools: the largest number of each window, or the mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn.interop.onnx.graph import AnyArray, GraphError
from pyrnn.interop.onnx.operators._build import Build, Builder, Function, plain
from pyrnn.interop.onnx.operators._window import Pads, count, padded, window_of


def _pool(build: Build, largest: bool) -> Function:
    window = window_of(build)
    kernel = build.integers("kernel_shape")
    ceil, counted = build.flag("ceil_mode"), build.flag("count_include_pad")
    if kernel is None:
        raise GraphError(f"{build.node}: kernel_shape: expected one, got none")
    if largest and (build.wanted(1) or build.flag("storage_order")):
        raise build.unsupported("an output of indices")
    shape = kernel

    def run(x: AnyArray) -> Any:
        strides, dilations, pads = window.of(shape, x.shape[2:])
        more = list(pads)
        if ceil:
            for i, size in enumerate(x.shape[2:]):
                more[i] = _rounded_up(size, shape[i], strides[i], dilations[i], pads[i])
        if largest:
            fill = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
            return _reduced(np.maximum, x, shape, strides, dilations, more, fill)
        total = _reduced(np.add, x, shape, strides, dilations, more, 0)
        inside = np.ones((1, 1, *x.shape[2:]), x.dtype)
        if counted:
            inside = padded(inside, pads, 1)
            more = [(0, b - a) for (_, b), (_, a) in zip(more, pads, strict=True)]
        numbers = _reduced(np.add, inside, shape, strides, dilations, more, 0)
        return (total / numbers).astype(x.dtype, copy=False)

    return run


def _reduced(
    function: np.ufunc,
    x: AnyArray,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Pads,
    fill: Any,
) -> AnyArray:
    """The numbers of each window reduced to one: axis by axis, position by position."""
    every = zip(x.shape[2:], kernel, strides, dilations, pads, strict=True)
    counts = [count(*one) for one in every]
    y = padded(x, pads, fill)
    for axis, (n, k, s, d) in enumerate(
        zip(counts, kernel, strides, dilations, strict=True), start=2
    ):
        before = (slice(None),) * axis
        parts = [y[(*before, slice(i * d, i * d + (n - 1) * s + 1, s))] for i in range(k)]
        y = parts[0].copy(order="K")
        for part in parts[1:]:
            function(y, part, out=y)
    return y


def _rounded_up(
    size: int, k: int, stride: int, dilation: int, pad: tuple[int, int]
) -> tuple[int, int]:
    """A last window that begins inside x or its front padding counts, even if incomplete."""
    left = size + sum(pad) - (k - 1) * dilation - 1
    count = math.ceil(left / stride) + 1
    if (count - 1) * stride >= size + pad[0]:
        count -= 1
    return pad[0], pad[1] + max(0, (count - 1) * stride - left)


def _over_all(function: Function) -> Builder:
    return plain(lambda x: function(x, axis=tuple(range(2, x.ndim)), keepdims=True))


TABLE: Mapping[str, Builder] = {
    "AveragePool": lambda build: _pool(build, False),
    "GlobalAveragePool": _over_all(np.mean),
    "GlobalMaxPool": _over_all(np.max),
    "MaxPool": lambda build: _pool(build, True),
}
