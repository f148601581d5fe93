"""Operators on numbers of 8 bits, as `onnxruntime.quantization` writes them into models.

q stands for (q − zero point) · scale. Products of integers are exact: they are computed in float32
if each sum has room in its 24 bits, and in float64 otherwise, where memory ends before the room
does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn._types import Storage
from pyrnn.interop.onnx.graph import AnyArray, Node
from pyrnn.interop.onnx.operators import windows
from pyrnn.interop.onnx.operators._build import Build, Builder, Function, axis_of, dtype_of, plain
from pyrnn.interop.onnx.operators.dense import linear

LSTM = "DynamicQuantizeLSTM"
OF_MICROSOFT = (
    LSTM, "BiasGelu", "DynamicQuantizeMatMul", "FastGelu", "FusedConv", "FusedMatMul",
    "MatMulIntegerToFloat", "QGemm", "QLinearAdd", "QLinearConcat", "QLinearGlobalAveragePool",
    "QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid", "QuickGelu", "SkipLayerNormalization",
)  # fmt: skip
"""Operators of the domain com.microsoft that the standard does not have."""
STANDARD_TOO = ("DequantizeLinear", "Gelu", "QuantizeLinear")
"""Those that the domain has with the standard's meaning and more types."""
MICROSOFT = "com.microsoft"


def is_known(node: Node) -> bool:
    """Whether a node's domain gives its operator the meaning that it has here."""
    return not node.domain or (
        node.domain == MICROSOFT and node.op in (*OF_MICROSOFT, *STANDARD_TOO)
    )


def dequantized(q: AnyArray, scale: AnyArray, zero: AnyArray | None = None) -> Any:
    """(q − zero point) · scale, in the scale's dtype, of shapes that NumPy broadcasts."""
    wide = q.astype(np.int64) - (0 if zero is None else zero.astype(np.int64))
    values: AnyArray = wide.astype(scale.dtype) * scale
    return values


# --- quantisation ---------------------------------------------------------------------------


def rounded(x: AnyArray, scale: Any, zero: Any, dtype: np.dtype[Any]) -> Any:
    """The nearest number that stands for x, ties to even, within what the dtype holds."""
    limits = np.iinfo(dtype)
    q = np.rint(x / scale) + zero
    result: AnyArray = np.clip(q, limits.min, limits.max).astype(dtype)
    return result


def _dynamic(x: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Q, scale and zero point of a range that x and 0 are in."""
    low, high = (np.float32(f(x, initial=0)) for f in (np.min, np.max))
    scale = (high - low) / np.float32(255) if high > low else np.float32(1)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    return rounded(x, scale, zero, np.dtype(np.uint8)), np.array(scale), zero.astype(np.uint8)


def along(part: AnyArray, axis: int, block: int, shape: tuple[int, ...]) -> Any:
    """A scale or zero point, of all, of each place of an axis or of each block, to broadcast."""
    if block:
        at = axis_of(axis, len(shape))
        repeated = np.repeat(part, min(block, shape[at]), axis=axis_of(axis, part.ndim))
        return repeated[tuple(slice(n) for n in shape)]
    if part.ndim == 0 or part.size == 1:
        return part.reshape(())
    if part.ndim != 1:
        raise ValueError(f"expected a scale of one axis, got shape {part.shape}")
    at = axis_of(axis, len(shape))
    return part.reshape(-1, *(1,) * (len(shape) - at - 1))


def _quantize(build: Build) -> Function:
    axis, block = build.integer("axis", 1), build.integer("block_size", 0)
    number = build.integer("output_dtype", 0)
    wanted = dtype_of(build, number) if number else np.dtype(np.uint8)

    def run(x: AnyArray, scale: AnyArray, zero: AnyArray | None = None) -> Any:
        dtype = wanted if zero is None else zero.dtype
        if dtype.kind not in "iu":
            raise ValueError(f"expected a zero point of whole numbers, got {dtype}")
        shift = 0 if zero is None else along(zero, axis, block, x.shape).astype(np.float64)
        return rounded(x, along(scale, axis, block, x.shape), shift, dtype)

    return run


def _dequantize(build: Build) -> Function:
    axis, block = build.integer("axis", 1), build.integer("block_size", 0)

    def run(q: AnyArray, scale: AnyArray, zero: AnyArray | None = None) -> Any:
        shift = None if zero is None else along(zero, axis, block, q.shape)
        return dequantized(q, along(scale, axis, block, q.shape), shift)

    return run


# --- products -------------------------------------------------------------------------------


MOST_IN_SINGLE = 1 << 24
"""Up to here float32 has every whole number."""
MOST_BYTE = 255
"""The largest difference of two numbers of 8 bits."""


class Exact:
    """A product with a fixed matrix (K, N) of numbers of bytes, exact for bytes a (..., K)."""

    def __init__(self, weight: AnyArray) -> None:
        self.dtype = single_or_double(weight, 0)
        self.rows = np.ascontiguousarray(weight.T, self.dtype)
        # bfloat16 holds whole numbers up to 256.
        narrow: Storage = "bfloat16" if self.dtype == np.float32 else "full"
        self.packed = linear(self.rows, None, narrow) if weight.size else None

    def __call__(self, a: AnyArray) -> Any:
        """Whole numbers as floats of ``dtype``, of a in the same."""
        shape = *a.shape[:-1], len(self.rows)
        if self.packed is None or not a.size:
            return np.zeros(shape, self.dtype)
        rows = np.ascontiguousarray(a.reshape(-1, a.shape[-1]))
        return self.packed.function()(rows).reshape(shape)


def single_or_double(weight: AnyArray, axes: Any, bias: AnyArray | None = None) -> np.dtype[Any]:
    """The narrower dtype that holds each sum of bytes times weights over these axes."""
    sums = np.abs(weight).sum(axis=axes, dtype=np.float64) * MOST_BYTE
    most = sums.max(initial=0)
    if bias is not None:
        most += np.abs(bias.astype(np.float64)).max(initial=0)
    return np.dtype(np.float32 if most <= MOST_IN_SINGLE else np.float64)


def without_zero(
    q: AnyArray, zero: AnyArray | None, rows: bool = False, dtype: Any = np.float64
) -> Any:
    """Q − zero point, in a dtype of floats, of all numbers or of each row or column."""
    if q.dtype.kind not in "iu" or q.dtype.itemsize != 1:
        raise ValueError(f"expected numbers of 8 bits, got {q.dtype}")
    wide = q.astype(dtype)
    if zero is None:
        return wide
    if zero.dtype != q.dtype:
        raise ValueError(f"expected a zero point of {q.dtype}, got {zero.dtype}")
    if rows and zero.ndim == 1 and zero.size > 1:
        zero = zero[:, None]
    wide -= zero.astype(dtype)
    return wide


def exact_product(build: Build, places: tuple[int, int]) -> Function:
    """a b of quantised numbers, exactly, from a, its zero point, b and its zero point."""
    known = build.constant(places[0])
    zero = build.constant(places[1])
    fixed = known is not None and (zero is not None or not build.given(places[1]))
    weight = without_zero(known, zero) if fixed and known is not None else None
    product = None if weight is None or weight.ndim != 2 else Exact(weight)

    def run(a: AnyArray, a_zero: Any, b: AnyArray, b_zero: Any) -> Any:
        if product is not None and a.ndim >= 2 and a.shape[-1] == product.rows.shape[1]:
            return product(without_zero(a, a_zero, rows=True, dtype=product.dtype))
        right = without_zero(b, b_zero) if weight is None else weight
        return np.matmul(without_zero(a, a_zero, rows=True), right)

    return run


def _matmul(build: Build) -> Function:
    product = exact_product(build, (1, 3))
    return lambda a, b, a_zero=None, b_zero=None: product(a, a_zero, b, b_zero).astype(np.int32)


def _matmul_to_float(build: Build) -> Function:
    product = exact_product(build, (1, 5))

    def run(
        a: AnyArray,
        b: AnyArray,
        a_scale: AnyArray,
        b_scale: AnyArray,
        a_zero: Any = None,
        b_zero: Any = None,
        bias: AnyArray | None = None,
    ) -> Any:
        y = product(a, a_zero, b, b_zero).astype(np.float32) * (a_scale * b_scale)
        return y if bias is None else y + bias

    return run


def _dynamic_matmul(build: Build) -> Function:
    product = exact_product(build, (1, 3))

    def run(
        a: AnyArray,
        b: AnyArray,
        b_scale: AnyArray,
        b_zero: Any = None,
        bias: AnyArray | None = None,
    ) -> Any:
        q, scale, zero = _dynamic(a)
        y = product(q, zero, b, b_zero).astype(np.float32) * (scale * b_scale)
        return y if bias is None else y + bias

    return run


def _gemm(build: Build) -> Function:
    flip_a, flip_b = build.flag("transA"), build.flag("transB")
    alpha = np.float32(build.number("alpha", 1.0))

    def run(
        a: AnyArray,
        a_scale: AnyArray,
        a_zero: Any,
        b: AnyArray,
        b_scale: AnyArray,
        b_zero: Any,
        c: AnyArray | None = None,
        y_scale: AnyArray | None = None,
        y_zero: AnyArray | None = None,
    ) -> Any:
        left = without_zero(a.T if flip_a else a, a_zero)
        y = np.matmul(left, without_zero(b.T if flip_b else b, b_zero))
        if c is not None:
            y += c
        y = y.astype(np.float32) * (alpha * a_scale * b_scale)
        if y_scale is None:
            return y
        zero = np.zeros((), np.uint8) if y_zero is None else y_zero
        return rounded(y, y_scale, zero.astype(np.float64), zero.dtype)

    return run


def exact_convolution(build: Build, places: tuple[int, int, int]) -> Function:
    """Integers from x and w of quantised numbers, with their zero points and a bias of integers.

    ``places`` are those of w, its zero point and the bias; of all that is constant the core has the
    weights packed.
    """
    names = ("x", "w", "b")
    fixed = {n: build.constant(p) for n, p in zip(names[1:], places[::2], strict=True)}
    zero = build.constant(places[1])
    weight, bias = fixed["w"], fixed["b"]
    attributes = build.node.attributes
    known = weight is not None and (zero is not None or not build.given(places[1]))
    known = known and (bias is not None or not build.given(places[2]))
    constants: dict[str, AnyArray] = {}
    dtype = np.dtype(np.float64)
    if known and weight is not None:
        wide = _without_channels(weight, zero)
        dtype = single_or_double(wide, tuple(range(1, wide.ndim)), bias)
        constants["w"] = wide.astype(dtype)
        if bias is not None:
            constants["b"] = bias.astype(dtype)
    inputs = names if build.given(places[2]) else names[:2]
    node = Node("Conv", build.node.name, inputs, build.node.outputs[:1], attributes)
    convolve = windows.TABLE["Conv"](Build(node, build.opset, constants))

    def run(x: AnyArray, x_zero: Any, w: AnyArray, w_zero: Any, b: AnyArray | None) -> Any:
        wide = without_zero(x, x_zero, dtype=dtype)
        if known:
            return np.rint(convolve(wide, constants["w"], constants.get("b")))
        wide_b = None if b is None else b.astype(np.float64)
        return np.rint(convolve(wide, _without_channels(w, w_zero), wide_b))

    return run


def _without_channels(w: AnyArray, zero: AnyArray | None) -> Any:
    """W − zero point, in float64, of all numbers or of each output channel."""
    if zero is not None and zero.size > 1:
        zero = zero.reshape(-1, *(1,) * (w.ndim - 1))
    return without_zero(w, zero)


def _convolution(build: Build) -> Function:
    convolve = exact_convolution(build, (1, 3, 4))

    def run(x: AnyArray, w: AnyArray, x_zero: Any = None, w_zero: Any = None) -> Any:
        return convolve(x, x_zero, w, w_zero, None).astype(np.int32)

    return run


TABLE: Mapping[str, Builder] = {
    "ConvInteger": _convolution,
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": plain(_dynamic),
    "DynamicQuantizeMatMul": _dynamic_matmul,
    "MatMulInteger": _matmul,
    "MatMulIntegerToFloat": _matmul_to_float,
    "QGemm": _gemm,
    "QuantizeLinear": _quantize,
}
