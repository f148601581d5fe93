"""Convolutions along one axis or more.

Along one axis, a convolution whose weights never change is the core's. What it gives lies in memory
with the channels last, (N, L, C), and is returned as a view with the channels in ONNX's place, from
which the next convolution computes without a copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn.backend import selection
from pyrnn.interop.onnx.fusion import FACTOR, LEAK, RELU, SHIFT
from pyrnn.interop.onnx.graph import AnyArray, GraphError
from pyrnn.interop.onnx.operators._build import (
    Build,
    Builder,
    Function,
    OfFirst,
    check_size,
    widened,
)
from pyrnn.interop.onnx.operators._window import Window, window_of, windowed
from pyrnn.interop.onnx.operators.dense import Packed, can_pack
from pyrnn.interop.onnx.operators.planes import TwoAxes


def _conv(build: Build) -> Function:
    window, groups = window_of(build), build.integer("group", 1)
    kernel = build.integers("kernel_shape")
    weight, bias = build.constant(1), build.constant(2)
    relu, leak = build.flag(RELU), build.number(LEAK, 1.0)
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
        if leak != 1:
            return np.maximum(y, y * y.dtype.type(leak))
        return np.maximum(y, 0) if relu else y

    known = bias is not None or not build.given(2)
    if weight is None or weight.ndim not in (3, 4) or not known or len(weight) % groups:
        return run
    if not can_pack(weight, bias) or (bias is not None and len(bias) != len(weight)):
        return run
    if weight.ndim == 4:
        return TwoAxes(window, weight, bias, groups, 0.0 if relu else leak)
    return OneAxis(window, weight, bias, groups, relu)


def _normalized(
    weight: AnyArray, bias: AnyArray | None, factor: AnyArray, shift: AnyArray
) -> tuple[AnyArray, AnyArray]:
    """Weights and bias that multiply and shift each channel of the output as well."""
    added = shift if bias is None else bias * factor + shift
    by_channel = factor.reshape(-1, *(1,) * (weight.ndim - 1))
    return (weight * by_channel).astype(weight.dtype), added.astype(weight.dtype)


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
    windows = windowed(x, kernel, strides, dilations, pads, 0)
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


TABLE: Mapping[str, Builder] = {"Conv": widened(_conv)}
