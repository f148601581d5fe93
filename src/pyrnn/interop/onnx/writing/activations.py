"""Activations between layers as nodes of ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrnn.layers.composition.pointwise import Activation, Softmax
from pyrnn.layers.recurrent._activations import named_numbers

_FUNCTIONS = {
    "tanh": ("Tanh",),
    "relu": ("Relu",),
    "sigmoid": ("Sigmoid",),
    "softplus": ("Softplus",),
    "softsign": ("Softsign",),
    "identity": ("Identity",),
    "hard_sigmoid": ("HardSigmoid", "alpha", "beta"),
    "leaky_relu": ("LeakyRelu", "alpha"),
    "elu": ("Elu", "alpha"),
    "thresholded_relu": ("ThresholdedRelu", "alpha"),
}
"""Activations that are an operator: its name, and those of its numbers."""


def activation(writer: Any, layer: Activation) -> None:
    """A function of each element."""
    function, alpha, beta = named_numbers(layer.function)
    prefix = writer._prefix(function)
    if function in _FUNCTIONS:
        operator, *names = _FUNCTIONS[function]
        numbers = dict(zip(names, (alpha, beta), strict=False))
        writer._node(operator, [writer.value], prefix, **numbers)
        return
    # alpha x + beta, alpha tanh(beta x)
    numbers = {"alpha": alpha, "beta": beta}
    a, b = (
        writer._weight(f"{prefix}.{name}", np.array(number, writer._dtype))
        for name, number in numbers.items()
    )
    if function == "affine":
        writer._node("Mul", [writer.value, a], f"{prefix}_scaled")
        writer._node("Add", [writer.value, b], prefix)
    else:
        writer._node("Mul", [writer.value, b], f"{prefix}_scaled")
        writer._node("Tanh", [writer.value], f"{prefix}_tanh")
        writer._node("Mul", [writer.value, a], prefix)


def softmax(writer: Any, layer: Softmax) -> None:
    """Along the last axis."""
    writer._node("Softmax", [writer.value], writer._prefix("softmax"), axis=-1)
