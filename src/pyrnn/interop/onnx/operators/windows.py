"""Operators over windows: convolutions and pools of one or more axes.

Along one axis, a convolution whose weights never change is the core's. What it gives lies in memory
with the channels last, (N, L, C), and is returned as a view with the channels in ONNX's place, from
which the next convolution computes without a copy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pyrnn.backend import selection
from pyrnn.interop.onnx.fusion import FACTOR, RELU, SHIFT
from pyrnn.interop.onnx.graph import AnyArray, GraphError
from pyrnn.interop.onnx.operators._build import Build, Builder, Function, OfFirst, check_size, plain
from pyrnn.interop.onnx.operators.dense import Packed, can_pack

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


def _window(build: Build) -> Window:
    auto = build.text("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise GraphError(f"{build.node}: auto_pad: got {auto!r}")
    strides, dilations = build.integers("strides"), build.integers("dilations")
    return Window(strides, dilations, build.integers("pads"), auto)


def _count(size: int, k: int, stride: int, dilation: int, pad: tuple[int, int]) -> int:
    """How many windows an axis has."""
    left = size + sum(pad) - (k - 1) * dilation - 1
    if left < 0:
        raise ValueError(f"expected at least one window of {k} numbers, got an axis of {size}")
    return left // stride + 1


# --- convolutions ---------------------------------------------------------------------------


def _conv(build: Build) -> Function:
    window, groups = _window(build), build.integer("group", 1)
    kernel = build.integers("kernel_shape")
    weight, bias = build.constant(1), build.constant(2)
    relu = build.flag(RELU)
    factor, shift = build.array(FACTOR), build.array(SHIFT)
    if groups < 1:
        raise GraphError(f"{build.node}: group: expected a number above 0, got {groups}")
    if weight is not None and kernel is not None and kernel != weight.shape[2:]:
        raise GraphError(f"{build.node}: kernel_shape: expected {weight.shape[2:]}, got {kernel}")

    if factor is not None and shift is not None and weight is not None:
        weight, bias = _normalized(weight, bias, factor, shift)

    def run(x: AnyArray, w: AnyArray, b: AnyArray | None = None) -> Any:
        if factor is not None and weight is not None:
            w, b = weight, bias
        y = _convolved(x, w, b, window, groups)
        return np.maximum(y, 0) if relu else y

    known = bias is not None or not build.given(2)
    if weight is None or weight.ndim != 3 or not known or len(weight) % groups:
        return run
    if not can_pack(weight, bias) or (bias is not None and len(bias) != len(weight)):
        return run
    return OneAxis(window, weight, bias, groups, relu)


def _normalized(
    weight: AnyArray, bias: AnyArray | None, factor: AnyArray, shift: AnyArray
) -> tuple[AnyArray, AnyArray]:
    """Weights and bias that multiply and shift each channel of the output as well."""
    added = shift if bias is None else bias * factor + shift
    return (weight * factor[:, None, None]).astype(weight.dtype), added.astype(weight.dtype)


LONG_PADS = 1 << 12
"""More padding than any real model has."""


class OneAxis(OfFirst):
    """A convolution along one axis whose weights never change, in the core."""

    def __init__(
        self,
        window: Window,
        weight: AnyArray,
        bias: AnyArray | None,
        groups: int,
        relu: bool,
    ) -> None:
        super().__init__(self.run)
        self.window = window
        self.kernel: int = weight.shape[2]
        self.channels: int = weight.shape[1] * groups
        self.out: int = weight.shape[0]
        self.dtype = weight.dtype
        (stride,), (dilation,), _ = window.of((self.kernel,), (1,))
        self.stride: int = stride
        # Padding given as numbers is the same for any length.
        self.pads: Any = None if window.auto.startswith("SAME") else self._pads(1)
        weight = np.ascontiguousarray(weight)
        bias = None if bias is None else np.ascontiguousarray(bias)

        def pack(backend: selection.Backend) -> Function:
            return backend.pack_convolution(
                weight,
                bias,
                stride=stride,
                dilation=dilation,
                groups=groups,
                layout="channels_first",
                relu=relu,
            )

        self.packed = Packed(pack)

    def run(self, x: AnyArray) -> Any:
        """(N, C, L) -> (N, M, L')."""
        try:
            before, after = self.pads or self._pads(x.shape[2])
            if before + after > LONG_PADS:
                check_size((x.shape[0], x.shape[1], x.shape[2] + before + after))
            return self.packed.function()(x, before, after)
        except (TypeError, IndexError) as error:
            raise ValueError(
                f"expected {self.dtype} x of shape (N, {self.channels}, L), "
                f"got {x.dtype} of shape {x.shape}"
            ) from error

    def _pads(self, length: int) -> tuple[int, int]:
        _, _, (pads,) = self.window.of((self.kernel,), (length,))
        return pads


def _convolved(
    x: AnyArray, weight: AnyArray, bias: AnyArray | None, window: Window, groups: int
) -> AnyArray:
    """Any number of axes and groups: x (N, C, ...), weight (M, C / groups, ...)."""
    kernel = weight.shape[2:]
    if x.ndim != weight.ndim or x.shape[1] != groups * weight.shape[1] or len(weight) % groups:
        raise ValueError(
            f"expected x and weights that fit, got {x.shape} and {weight.shape} in {groups} groups"
        )
    strides, dilations, pads = window.of(kernel, x.shape[2:])
    windows = _windows(x, kernel, strides, dilations, pads, 0)
    axes = len(kernel)
    # (N, groups, C / groups, windows..., kernel...) by (groups, M / groups, C / groups, kernel...)
    parts = np.split(windows, groups, axis=1)
    weights = np.split(weight, groups)
    over = list(range(2 + axes, 2 + 2 * axes))
    products = [
        np.tensordot(part, one, axes=([1, *over], list(range(1, 2 + axes))))
        for part, one in zip(parts, weights, strict=True)
    ]
    y = np.moveaxis(np.concatenate(products, axis=-1), -1, 1)
    if bias is not None:
        y = y + bias.reshape(-1, *(1,) * axes)
    return y.astype(x.dtype, copy=False)


def _windows(
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
        _count(size, k, s, d, pad)
    check_size([*x.shape[:2], *(n + sum(p) for n, p in zip(x.shape[2:], pads, strict=True))])
    padded = np.pad(x, [(0, 0), (0, 0), *pads], constant_values=fill)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    windows: AnyArray = sliding_window_view(padded, reach, axis=axes)
    steps = [slice(None, None, s) for s in strides]
    inside = [slice(None, None, d) for d in dilations]
    return windows[(slice(None), slice(None), *steps, *inside)]


# --- pools ----------------------------------------------------------------------------------


def _pool(build: Build, largest: bool) -> Function:
    window = _window(build)
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
        over = tuple(range(x.ndim, x.ndim + len(shape)))
        if largest:
            fill = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
            windows = _windows(x, shape, strides, dilations, more, fill)
            return _largest(windows) if len(shape) == 1 else windows.max(axis=over)
        total = _windows(x, shape, strides, dilations, more, 0).sum(axis=over)
        inside = np.ones((1, 1, *x.shape[2:]), x.dtype)
        if counted:
            inside = np.pad(inside, [(0, 0), (0, 0), *pads], constant_values=1)
            more = [(0, b - a) for (_, b), (_, a) in zip(more, pads, strict=True)]
        count = _windows(inside, shape, strides, dilations, more, 0).sum(axis=over)
        return (total / count).astype(x.dtype, copy=False)

    return run


def _largest(windows: AnyArray) -> AnyArray:
    """The largest element of each window, which the last axis holds, position by position."""
    y: AnyArray = windows[..., 0].copy(order="K")
    for k in range(1, windows.shape[-1]):
        np.maximum(y, windows[..., k], out=y)
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
    "Conv": _conv,
    "GlobalAveragePool": _over_all(np.mean),
    "GlobalMaxPool": _over_all(np.max),
    "MaxPool": lambda build: _pool(build, True),
}
