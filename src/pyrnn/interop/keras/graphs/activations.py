"""Keras' activations in ONNX's operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pyrnn.interop.keras.graphs.builder import Builder, Tensor, axes_of, number_of
from pyrnn.interop.keras.hdf5 import ContentError
from pyrnn.interop.keras.wrappers import activation_name, is_old

Config = Mapping[str, Any]


def activation(builder: Builder, value: Any, name: str, version: str | None) -> str:
    """The array after an activation, which a configuration gives by name or as an object."""
    function = activation_name(value)
    if function == "linear":
        return name
    if function == "hard_sigmoid":
        if version is None:
            raise ContentError("hard_sigmoid differs between Keras 2 and 3; no version is said")
        alpha = 0.2 if is_old(version) else 1 / 6
        return builder.op("HardSigmoid", name, alpha=alpha, beta=0.5)
    if function in _PLAIN:
        return builder.op(_PLAIN[function], name)
    if function in _MADE:
        return _MADE[function](builder, name)
    raise ContentError(f"no operator is its activation {str(function)[:50]}")


def _swish(builder: Builder, x: str) -> str:
    return builder.op("Mul", x, builder.op("Sigmoid", x))


def _hard_silu(builder: Builder, x: str) -> str:
    return builder.op("Mul", x, builder.op("HardSigmoid", x, alpha=1 / 6, beta=0.5))


def _mish(builder: Builder, x: str) -> str:
    return builder.op("Mul", x, builder.op("Tanh", builder.op("Softplus", x)))


def gelu(builder: Builder, x: str, approximate: bool = False) -> str:
    """x Φ(x), Φ the normal distribution's, or nearly by a tanh (Hendrycks and Gimpel, 2016)."""
    half = builder.op("Mul", x, builder.number(0.5))
    if approximate:
        cube = builder.op("Mul", builder.op("Mul", x, x), x)
        sum_ = builder.op("Add", x, builder.op("Mul", cube, builder.number(0.044715)))
        part = builder.op("Tanh", builder.op("Mul", sum_, builder.number(math.sqrt(2 / math.pi))))
    else:
        part = builder.op("Erf", builder.op("Mul", x, builder.number(math.sqrt(0.5))))
    return builder.op("Mul", half, builder.op("Add", part, builder.number(1.0)))


def _squareplus(builder: Builder, x: str) -> str:
    square = builder.op("Add", builder.op("Mul", x, x), builder.number(4.0))
    return builder.op("Mul", builder.op("Add", x, builder.op("Sqrt", square)), builder.number(0.5))


def _sparse_plus(builder: Builder, x: str) -> str:
    """(x + 1)² / 4 between -1 and 1, 0 below it and x above it."""
    low = _clipped(builder, builder.op("Add", x, builder.number(1.0)), 0.0, 2.0)
    square = builder.op("Mul", builder.op("Mul", low, low), builder.number(0.25))
    over = builder.op("Relu", builder.op("Sub", x, builder.number(1.0)))
    return builder.op("Add", square, over)


def _sparse_sigmoid(builder: Builder, x: str) -> str:
    return builder.op("HardSigmoid", x, alpha=0.5, beta=0.5)


def _clipped(builder: Builder, x: str, least: float, most: float) -> str:
    return builder.op("Clip", x, builder.number(least), builder.number(most))


_PLAIN = {
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "relu": "Relu",
    "softsign": "Softsign",
    "softplus": "Softplus",
    "exponential": "Exp",
}
_MADE: Mapping[Any, Callable[[Builder, str], str]] = {
    "elu": lambda b, x: b.op("Elu", x, alpha=1.0),
    "selu": lambda b, x: b.op("Selu", x),
    "leaky_relu": lambda b, x: b.op("LeakyRelu", x, alpha=0.2),
    "softmax": lambda b, x: b.op("Softmax", x, axis=-1),
    "log_softmax": lambda b, x: b.op("LogSoftmax", x, axis=-1),
    "swish": _swish,
    "silu": _swish,
    "mish": _mish,
    "relu6": lambda b, x: _clipped(b, x, 0.0, 6.0),
    "hard_tanh": lambda b, x: _clipped(b, x, -1.0, 1.0),
    "log_sigmoid": lambda b, x: b.op("Neg", b.op("Softplus", b.op("Neg", x))),
    "gelu": gelu,
    "celu": lambda b, x: b.op("Elu", x, alpha=1.0),
    "hard_silu": _hard_silu,
    "hard_swish": _hard_silu,
    "hard_shrink": lambda b, x: b.op("Shrink", x, lambd=0.5, bias=0.0),
    "soft_shrink": lambda b, x: b.op("Shrink", x, lambd=0.5, bias=0.5),
    "tanh_shrink": lambda b, x: b.op("Sub", x, b.op("Tanh", x)),
    "squareplus": _squareplus,
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": _sparse_sigmoid,
}


# --- layers that are activations ------------------------------------------------------------


def relu(builder: Builder, config: Config, x: Tensor) -> str:
    """ReLU: 0 below the threshold or with a slope there, and maybe a largest value."""
    slope, threshold, most = (
        None if config.get(name) is None else number_of(config[name], name)
        for name in ("negative_slope", "threshold", "max_value")
    )
    if not slope and not threshold:
        y = builder.op("Relu", x.name)
    else:
        edge = builder.number(threshold or 0.0)
        below = builder.op("Mul", builder.op("Sub", x.name, edge), builder.number(slope or 0.0))
        over = builder.op("GreaterOrEqual", x.name, edge)
        y = builder.op("Where", over, x.name, below)
    return y if most is None else builder.op("Min", y, builder.number(most))


def leaky_relu(builder: Builder, config: Config, x: Tensor) -> str:
    """LeakyReLU, whose slope was called alpha before Keras 3."""
    slope = number_of(config.get("negative_slope", config.get("alpha", 0.3)), "negative_slope")
    return builder.op("LeakyRelu", x.name, alpha=slope)


def elu(builder: Builder, config: Config, x: Tensor) -> str:
    """ELU."""
    return builder.op("Elu", x.name, alpha=number_of(config.get("alpha", 1.0), "alpha"))


def thresholded_relu(builder: Builder, config: Config, x: Tensor) -> str:
    """ThresholdedReLU, of Keras 1 and 2."""
    return builder.op("ThresholdedRelu", x.name, alpha=number_of(config.get("theta", 1.0), "theta"))


def softmax(builder: Builder, config: Config, x: Tensor) -> str:
    """Softmax along one axis or several."""
    axes = axes_of(config.get("axis", -1), len(x.shape))
    if len(axes) == 1:
        return builder.op("Softmax", x.name, axis=axes[0])
    most = builder.op("ReduceMax", x.name, axes=axes, keepdims=1)
    shares = builder.op("Exp", builder.op("Sub", x.name, most))
    total = builder.op("ReduceSum", shares, builder.integers(*axes), keepdims=1)
    return builder.op("Div", shares, total)
