"""Operators that work number by number: arithmetic, activations, comparisons, casts."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn.interop.onnx import equations
from pyrnn.interop.onnx.graph import AnyArray
from pyrnn.interop.onnx.operators._build import Build, Builder, Function, OfFirst, dtype_of, plain

# --- two inputs -----------------------------------------------------------------------------


def _broadcasting(function: Function) -> Builder:
    """Two inputs; before version 7 attributes gave the second one's axes."""

    def build(build: Build) -> Function:
        axis = build.node.attributes.get("axis")
        if build.opset >= 7 or axis is None:
            return function
        first = build.integer("axis", 0)

        def old(a: AnyArray, b: AnyArray) -> Any:
            behind = a.ndim - (first % a.ndim) - b.ndim
            return function(a, b.reshape(b.shape + (1,) * behind))

        return old

    return build


def _divide(a: AnyArray, b: AnyArray) -> Any:
    """Integers are divided with truncation towards zero."""
    if a.dtype.kind in "iu":
        return np.floor_divide(a - np.fmod(a, b), b)
    return np.divide(a, b)


def _raised(build: Build) -> Function:
    """A power; a square if the exponent is the constant 2."""
    exponent = build.constant(1)
    if exponent is not None and exponent.size == 1 and not exponent.ndim and exponent == 2:
        return OfFirst(np.square)
    return _broadcasting(_power)(build)


def _power(a: AnyArray, b: AnyArray) -> Any:
    if b.size == 1 and b.ndim <= a.ndim:
        exponent = float(b.reshape(()))
        if exponent == 2:
            return np.square(a)
        if exponent == 0.5 and a.dtype.kind == "f":
            return np.sqrt(a)
    return np.power(a, b).astype(a.dtype, copy=False)


def _modulo(build: Build) -> Function:
    return np.fmod if build.flag("fmod") else np.mod


def _several(function: Function) -> Function:
    """Any number of inputs."""
    return lambda *arrays: functools.reduce(function, arrays)


def _mean(*arrays: AnyArray) -> Any:
    total = functools.reduce(np.add, arrays)
    return (total / len(arrays)).astype(total.dtype, copy=False)


def _shift(build: Build) -> Function:
    left = build.text("direction", "LEFT") == "LEFT"
    return np.left_shift if left else np.right_shift


# --- activations ----------------------------------------------------------------------------


def _named(name: str, alpha: float | None = None, beta: float | None = None) -> Builder:
    """An activation that recurrent operators also have."""

    def build(build: Build) -> Function:
        kind = equations.ACTIVATIONS[name]
        given = [("alpha", kind.alpha if alpha is None else alpha)]
        given.append(("beta", kind.beta if beta is None else beta))
        numbers = [None if usual is None else build.number(n, usual) for n, usual in given]
        if numbers == [None, None]:
            return lambda x: kind.function(x, None, None)
        return equations.Named(name, *numbers).__call__

    return build


_ZEROS = {np.dtype(kind): np.zeros((), kind) for kind in (np.float32, np.float64)}
"""As arrays, which NumPy compares faster than numbers."""


def _relu(x: AnyArray) -> Any:
    return np.maximum(x, _ZEROS.get(x.dtype, 0))


def _prelu(x: AnyArray, slope: AnyArray) -> Any:
    return np.where(x < 0, slope * x, x).astype(x.dtype, copy=False)


def _selu(build: Build) -> Function:
    alpha = build.number("alpha", 1.67326319217681884765625)
    gamma = build.number("gamma", 1.05070102214813232421875)

    def selu(x: AnyArray) -> Any:
        y = gamma * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
        return y.astype(x.dtype, copy=False)

    return selu


def _celu(build: Build) -> Function:
    alpha = build.number("alpha", 1.0)

    def celu(x: AnyArray) -> Any:
        y = np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha))
        return y.astype(x.dtype, copy=False)

    return celu


def _hard_swish(x: AnyArray) -> Any:
    return (x * np.clip(x / 6 + 0.5, 0, 1)).astype(x.dtype, copy=False)


def _mish(x: AnyArray) -> Any:
    return x * np.tanh(np.logaddexp(x, np.zeros((), x.dtype)))


def _clip(build: Build) -> Function:
    if build.opset < 11:
        low, high = build.number("min", -np.inf), build.number("max", np.inf)
        return lambda x: np.clip(x, x.dtype.type(low), x.dtype.type(high))

    def clip(x: AnyArray, low: AnyArray | None = None, high: AnyArray | None = None) -> Any:
        if low is not None:
            x = np.maximum(x, low)
        return x if high is None else np.minimum(x, high)

    return clip


def _softmax(build: Build) -> Function:
    return _over_axis(build, lambda x, axes: _shares(x, axes))


def _log_softmax(build: Build) -> Function:
    def logarithms(x: AnyArray, axes: tuple[int, ...]) -> Any:
        shifted = x - x.max(axis=axes, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=axes, keepdims=True))

    return _over_axis(build, logarithms)


def _shares(x: AnyArray, axes: tuple[int, ...]) -> Any:
    shares = np.exp(x - x.max(axis=axes, keepdims=True))
    return shares / shares.sum(axis=axes, keepdims=True)


def _over_axis(build: Build, function: Function) -> Function:
    """Along one axis (-1); before version 13 along all from one (1) to the last."""
    old = build.opset < 13
    axis = build.integer("axis", 1 if old else -1)

    def run(x: AnyArray) -> Any:
        if not x.size:
            return x
        first = axis % x.ndim if x.ndim else 0
        return function(x, tuple(range(first, x.ndim)) if old else (first,))

    return run


# --- types ----------------------------------------------------------------------------------


def _cast(build: Build) -> Function:
    dtype = dtype_of(build, build.integer("to", 0))
    return lambda x: x.astype(dtype, copy=False)


def _round(x: AnyArray) -> Any:
    return np.rint(x)


def _dropout(build: Build) -> Function:
    """Nothing is dropped: this is inference."""
    training = build.constant(2)
    if build.given(2) and (training is None or training.any()):
        raise build.unsupported("training")
    if build.wanted(1):
        dtype = np.bool_ if build.opset >= 10 else None
        return lambda x, *rest: (x, np.ones(x.shape, dtype or x.dtype))
    return lambda x, *rest: x


def _logical(function: Function) -> Builder:
    return _broadcasting(function)


def _is_infinite(build: Build) -> Function:
    above, below = build.flag("detect_positive", True), build.flag("detect_negative", True)
    return lambda x: (np.isposinf(x) & above) | (np.isneginf(x) & below)


TABLE: Mapping[str, Builder] = {
    "Abs": plain(np.abs),
    "Acos": plain(np.arccos),
    "Acosh": plain(np.arccosh),
    "Add": _broadcasting(np.add),
    "And": _logical(np.logical_and),
    "Asin": plain(np.arcsin),
    "Asinh": plain(np.arcsinh),
    "Atan": plain(np.arctan),
    "Atanh": plain(np.arctanh),
    "BitShift": _shift,
    "Cast": _cast,
    "CastLike": plain(lambda x, like: x.astype(like.dtype, copy=False)),
    "BitwiseAnd": plain(np.bitwise_and),
    "BitwiseNot": plain(np.bitwise_not),
    "BitwiseOr": plain(np.bitwise_or),
    "BitwiseXor": plain(np.bitwise_xor),
    "Ceil": plain(np.ceil),
    "Celu": _celu,
    "Clip": _clip,
    "Cos": plain(np.cos),
    "Cosh": plain(np.cosh),
    "Div": _broadcasting(_divide),
    "Dropout": _dropout,
    "Elu": _named("Elu"),
    "Equal": _broadcasting(np.equal),
    "Exp": plain(np.exp),
    "Floor": plain(np.floor),
    "Greater": _broadcasting(np.greater),
    "GreaterOrEqual": _broadcasting(np.greater_equal),
    "HardSigmoid": _named("HardSigmoid"),
    "HardSwish": plain(_hard_swish),
    "Identity": plain(lambda x: x),
    "IsInf": _is_infinite,
    "IsNaN": plain(np.isnan),
    "LeakyRelu": _named("LeakyRelu"),
    "Less": _broadcasting(np.less),
    "LessOrEqual": _broadcasting(np.less_equal),
    "Log": plain(np.log),
    "LogSoftmax": _log_softmax,
    "Max": plain(_several(np.maximum)),
    "Mean": plain(_mean),
    "Min": plain(_several(np.minimum)),
    "Mish": plain(_mish),
    "Mod": _modulo,
    "Mul": _broadcasting(np.multiply),
    "Neg": plain(np.negative),
    "Not": plain(np.logical_not),
    "Or": _logical(np.logical_or),
    "PRelu": plain(_prelu),
    "Pow": _raised,
    "Reciprocal": plain(lambda x: (1 / x).astype(x.dtype, copy=False)),
    "Relu": plain(_relu),
    "Round": plain(_round),
    "Selu": _selu,
    "Sigmoid": _named("Sigmoid"),
    "Sign": plain(np.sign),
    "Sin": plain(np.sin),
    "Sinh": plain(np.sinh),
    "Softmax": _softmax,
    "Softplus": _named("Softplus"),
    "Softsign": _named("Softsign"),
    "Sqrt": plain(np.sqrt),
    "Sub": _broadcasting(np.subtract),
    "Sum": plain(_several(np.add)),
    "Tan": plain(np.tan),
    "Tanh": _named("Tanh"),
    "ThresholdedRelu": _named("ThresholdedRelu", 1.0),
    "Where": plain(np.where),
    "Xor": _logical(np.logical_xor),
}
