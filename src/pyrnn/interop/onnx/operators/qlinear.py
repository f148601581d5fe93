"""Operators whose inputs and output are quantised, in what the numbers stand for.

Of convolutions and products the sums of integers are exact; the others compute in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pyrnn.interop.onnx import equations
from pyrnn.interop.onnx.graph import AnyArray
from pyrnn.interop.onnx.operators._build import Build, Builder, Function, axis_of
from pyrnn.interop.onnx.operators.quantized import (
    dequantized,
    exact_convolution,
    exact_product,
    rounded,
)


def _quantized(y: AnyArray, scale: AnyArray, zero: AnyArray | None) -> Any:
    zero = np.zeros((), np.uint8) if zero is None else zero.reshape(())
    if zero.dtype.kind not in "iu":
        raise ValueError(f"expected a zero point of whole numbers, got {zero.dtype}")
    return rounded(y, scale.reshape(()), zero.astype(np.float64), zero.dtype)


def _convolution(build: Build) -> Function:
    convolve = exact_convolution(build, (3, 5, 8))

    def run(
        x: AnyArray,
        x_scale: AnyArray,
        x_zero: AnyArray,
        w: AnyArray,
        w_scale: AnyArray,
        w_zero: AnyArray,
        y_scale: AnyArray,
        y_zero: AnyArray,
        b: AnyArray | None = None,
    ) -> Any:
        scale = x_scale * w_scale.reshape(-1, *(1,) * (w.ndim - 2))
        return _quantized(convolve(x, x_zero, w, w_zero, b) * scale, y_scale, y_zero)

    return run


def _matmul(build: Build) -> Function:
    product = exact_product(build, (3, 5))

    def run(
        a: AnyArray,
        a_scale: AnyArray,
        a_zero: AnyArray,
        b: AnyArray,
        b_scale: AnyArray,
        b_zero: AnyArray,
        y_scale: AnyArray,
        y_zero: AnyArray,
    ) -> Any:
        if a_scale.ndim == 1 and a_scale.size > 1:
            a_scale = a_scale[:, None]
        scale = a_scale.astype(np.float64) * b_scale.astype(np.float64)
        return _quantized(product(a, a_zero, b, b_zero) * scale, y_scale, y_zero)

    return run


def _of_two(function: Callable[[Any, Any], Any]) -> Builder:
    """Two quantised numbers, broadcast."""

    def run(
        a: AnyArray,
        a_scale: AnyArray,
        a_zero: AnyArray | None,
        b: AnyArray,
        b_scale: AnyArray,
        b_zero: AnyArray | None,
        y_scale: AnyArray,
        y_zero: AnyArray | None = None,
    ) -> Any:
        left, right = dequantized(a, a_scale, a_zero), dequantized(b, b_scale, b_zero)
        return _quantized(function(left, right), y_scale, y_zero)

    return lambda build: run


def _of_one(make: Callable[[Build], Function]) -> Builder:
    """One quantised number, or all those of an axis that is reduced."""

    def build(build: Build) -> Function:
        function = make(build)

        def run(
            x: AnyArray,
            x_scale: AnyArray,
            x_zero: AnyArray | None,
            y_scale: AnyArray,
            y_zero: AnyArray | None = None,
        ) -> Any:
            return _quantized(function(dequantized(x, x_scale, x_zero)), y_scale, y_zero)

        return run

    return build


def _leaky_relu(build: Build) -> Function:
    alpha = np.float32(build.number("alpha", 0.01))
    return lambda x: np.where(x >= 0, x, alpha * x)


def _average(build: Build) -> Function:
    last = build.flag("channels_last")

    def average(x: AnyArray) -> Any:
        first = 1 if last else 2
        return x.mean(axis=tuple(range(first, first + x.ndim - 2)), keepdims=True)

    return average


def _concat(build: Build) -> Function:
    """The scale and zero point of y, then of every input: the array, its scale, its zero point."""
    axis = build.integer("axis", 0)

    def run(y_scale: AnyArray, y_zero: AnyArray, *rest: AnyArray) -> Any:
        every = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
        parts = [dequantized(*one) for one in every]
        whole = np.concatenate(parts, axis=axis_of(axis, parts[0].ndim))
        return _quantized(whole, y_scale, y_zero)

    return run


TABLE: Mapping[str, Builder] = {
    "QLinearAdd": _of_two(np.add),
    "QLinearConcat": _concat,
    "QLinearConv": _convolution,
    "QLinearGlobalAveragePool": _of_one(_average),
    "QLinearLeakyRelu": _of_one(_leaky_relu),
    "QLinearMatMul": _matmul,
    "QLinearMul": _of_two(np.multiply),
    "QLinearSigmoid": _of_one(lambda build: equations.sigmoid),
}
