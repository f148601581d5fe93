"""Products with weights, which the core computes if they are constant, and normalisations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pyrnn._types import Array, Storage
from pyrnn.backend import selection
from pyrnn.interop.onnx.fusion import normalization
from pyrnn.interop.onnx.graph import AnyArray
from pyrnn.interop.onnx.operators._build import HALF, Build, Builder, Function, axis_of, widened

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
"""The dtypes that the core computes in."""


class Packed:
    """Fixed weights, packed once for each backend that computes with them."""

    def __init__(self, pack: Callable[[selection.Backend], Function]) -> None:
        self._pack = pack
        self._packed: dict[str, Function] = {}

    def function(self) -> Function:
        """The function that computes with them on the active backend."""
        backend = selection.current()
        return self._packed.get(backend.name) or self._first(backend)

    def _first(self, backend: selection.Backend) -> Function:
        packed = self._packed[backend.name] = self._pack(backend)
        return packed


def linear(weight: Array, bias: Array | None = None, storage: Storage = "full") -> Packed:
    """X Wᵀ + b with fixed weights (out, in), of rows: (M, in) -> (M, out), a new array."""
    weight = np.ascontiguousarray(weight)
    bias = None if bias is None else np.ascontiguousarray(bias)
    return Packed(lambda backend: backend.pack_linear(weight, bias, storage))


def shared(build: Build, key: tuple[Any, ...], make: Callable[[], Packed]) -> Packed:
    """Packed weights that all nodes of a graph with this key have in common."""
    if build.shared is None:
        return make()
    if key not in build.shared:
        build.shared[key] = make()
    found: Packed = build.shared[key]
    return found


def can_pack(weight: AnyArray | None, bias: AnyArray | None = None) -> bool:
    """Whether weights and bias are constant, and of dtypes that the core computes in."""
    if weight is None or weight.dtype not in FLOATS or not weight.size:
        return False
    return bias is None or (bias.dtype == weight.dtype and bias.ndim == 1)


def _matmul(build: Build) -> Function:
    weight, bias = build.constant(1), build.constant(2)
    if weight is None or not can_pack(weight, bias) or weight.ndim != 2:
        return lambda x, w, b=None: _product(x, w) if b is None else _product(x, w) + b
    key = (False, *build.node.inputs[1:])
    packed, dtype = shared(build, key, lambda: linear(weight.T, bias)), weight.dtype
    features = weight.shape[0]

    def product(x: AnyArray, *_: AnyArray) -> Any:
        if x.dtype != dtype or x.ndim < 2 or x.shape[-1] != features or not x.size:
            y = np.matmul(x, weight)
            return y if bias is None else y + bias
        rows = np.ascontiguousarray(x.reshape(-1, features))
        return packed.function()(rows).reshape(*x.shape[:-1], -1)

    return product


def _product(a: AnyArray, b: AnyArray) -> Any:
    """A product of arrays; of float16, which NumPy multiplies slowly, in float32."""
    if a.dtype == HALF == b.dtype:
        return np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(HALF)
    return np.matmul(a, b)


def _gemm(build: Build) -> Function:
    alpha, beta = build.number("alpha", 1.0), build.number("beta", 1.0)
    flip_a, flip_b = build.flag("transA"), build.flag("transB")
    weight, bias = build.constant(1), build.constant(2)
    known = bias is not None or not build.given(2)

    def product(a: AnyArray, b: AnyArray, c: AnyArray | None = None) -> Any:
        y = _product(a.T if flip_a else a, b.T if flip_b else b)
        if alpha != 1:
            y = y * y.dtype.type(alpha)
        if c is not None:
            y = y + (c if beta == 1 else c * c.dtype.type(beta))
        return y

    if weight is None or not known or not can_pack(weight) or (alpha, beta) != (1.0, 1.0):
        return product
    out = weight.shape[0 if flip_b else 1]
    if bias is not None:
        if bias.dtype != weight.dtype or bias.size not in (1, out) or bias.ndim > 2:
            return product
        if bias.ndim == 2 and bias.shape[0] != 1:
            return product
        bias = np.broadcast_to(bias.reshape(-1), (out,))
    rows_of = weight if flip_b else weight.T
    key = (flip_b, *build.node.inputs[1:])
    packed, dtype = shared(build, key, lambda: linear(rows_of, bias)), weight.dtype
    features = weight.shape[1 if flip_b else 0]

    def fast(a: AnyArray, b: AnyArray, c: AnyArray | None = None) -> Any:
        rows = a.T if flip_a else a
        if rows.dtype != dtype or rows.ndim != 2 or rows.shape[1] != features:
            return product(a, b, c)
        if not rows.size:
            return product(a, b, c)
        return packed.function()(np.ascontiguousarray(rows))

    return fast


# --- normalisations -------------------------------------------------------------------------


def _along_channels(values: AnyArray, ndim: int) -> AnyArray:
    return values.reshape(-1, *(1,) * (ndim - 2))


def _batch_normalization(build: Build) -> Function:
    epsilon = build.number("epsilon", 1e-5)
    if build.flag("training_mode") or any(build.wanted(i) for i in range(1, 5)):
        raise build.unsupported("training")

    known = normalization(build.node, build.constants)
    if known is not None:
        factor, shift = known

        def fixed(x: AnyArray, *_: AnyArray) -> Any:
            y = x * _along_channels(factor.astype(x.dtype), x.ndim)
            y += _along_channels(shift.astype(x.dtype), x.ndim)
            return y

        return fixed

    def run(
        x: AnyArray, scale: AnyArray, bias: AnyArray, mean: AnyArray, variance: AnyArray
    ) -> Any:
        factor = scale / np.sqrt(variance + variance.dtype.type(epsilon))
        shift = bias - mean * factor
        y = x * _along_channels(factor, x.ndim) + _along_channels(shift, x.ndim)
        return y.astype(x.dtype, copy=False)

    return run


def _instance_normalization(build: Build) -> Function:
    epsilon = build.number("epsilon", 1e-5)

    def run(x: AnyArray, scale: AnyArray, bias: AnyArray) -> Any:
        if x.ndim == 3 and x.size and x.dtype in FLOATS and x.dtype == scale.dtype == bias.dtype:
            by_time = x.transpose(2, 0, 1)
            y, _ = selection.current().instance_norm(by_time, scale, bias, epsilon)
            return y.transpose(1, 2, 0)
        axes = tuple(range(2, x.ndim))
        centred = x - x.mean(axis=axes, keepdims=True)
        variance = np.square(centred).mean(axis=axes, keepdims=True)
        y = centred / np.sqrt(variance + x.dtype.type(epsilon))
        return y * _along_channels(scale, x.ndim) + _along_channels(bias, x.ndim)

    return run


def _layer_normalization(build: Build) -> Function:
    epsilon, axis = build.number("epsilon", 1e-5), build.integer("axis", -1)

    def run(x: AnyArray, scale: AnyArray, bias: AnyArray | None = None) -> Any:
        axes = tuple(range(axis_of(axis, x.ndim), x.ndim))
        mean = x.mean(axis=axes, keepdims=True)
        centred = x - mean
        variance = np.square(centred).mean(axis=axes, keepdims=True)
        inverse = 1 / np.sqrt(variance + x.dtype.type(epsilon))
        y = centred * inverse * scale
        y = y if bias is None else y + bias
        return (y, mean, inverse) if len(build.node.outputs) > 1 else y

    return run


def _einsum(build: Build) -> Function:
    equation = build.text("equation", "")
    return lambda *arrays: np.einsum(equation, *arrays)


TABLE: Mapping[str, Builder] = {
    "BatchNormalization": widened(_batch_normalization),
    "Einsum": _einsum,
    "Gemm": widened(_gemm),
    "InstanceNormalization": widened(_instance_normalization),
    "LayerNormalization": widened(_layer_normalization),
    "MatMul": widened(_matmul),
}
