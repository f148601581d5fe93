"""Operators of com.microsoft that onnxruntime puts into graphs that it has optimised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn.interop.onnx import equations
from pyrnn.interop.onnx.graph import AnyArray, Node
from pyrnn.interop.onnx.operators import arithmetic, dense, windows
from pyrnn.interop.onnx.operators._build import Build, Builder, Function, widened
from pyrnn.interop.onnx.operators.further import special

_ACTIVATIONS: Mapping[str, tuple[str, ...]] = {
    "Clip": ("min", "max"),
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
}
"""The names of the numbers that each activation has."""


def _renamed(build: Build, op: str, inputs: int) -> Build:
    """The standard's operator of the first inputs."""
    node = build.node
    names = node.inputs[:inputs]
    return build._replace(node=Node(op, node.name, names, node.outputs[:1], node.attributes))


def _fused_conv(build: Build) -> Function:
    """A convolution, the sum with the fourth input, an activation."""
    convolve = windows.TABLE["Conv"](_renamed(build, "Conv", 3))
    name = build.text("activation", "")
    given = build.numbers("activation_params") or ()
    if name and name not in _ACTIVATIONS:
        raise build.unsupported(f"activation {name!r}")
    if name and len(given) not in (0, len(_ACTIVATIONS[name])):
        raise build.unsupported(f"activation {name!r} with {len(given)} numbers")
    attributes = dict(zip(_ACTIVATIONS.get(name, ()), given, strict=False))
    node = Node(name, build.node.name, ("y",), ("z",), attributes)
    # Clip's limits were attributes until version 10.
    bend = arithmetic.TABLE[name](Build(node, 6, {})) if name else None

    def run(x: AnyArray, w: AnyArray, b: AnyArray | None = None, z: AnyArray | None = None) -> Any:
        y = convolve(x, w, b)
        y = y if z is None else y + z
        return y if bend is None else bend(y)

    return run


def _fused_matmul(build: Build) -> Function:
    """Alpha times a product of matrices that may be transposed first."""
    if build.flag("transBatchA") or build.flag("transBatchB"):
        raise build.unsupported("a transposed batch")
    flip_a, flip_b = build.flag("transA"), build.flag("transB")
    alpha = build.number("alpha", 1.0)

    def run(a: AnyArray, b: AnyArray) -> Any:
        left = a.swapaxes(-1, -2) if flip_a and a.ndim > 1 else a
        y = np.matmul(left, b.swapaxes(-1, -2) if flip_b and b.ndim > 1 else b)
        return y if alpha == 1 else y * y.dtype.type(alpha)

    return run


def _gelu(approximate: str) -> Builder:
    """Gelu of the sum with the second input, if there is one."""

    def build(build: Build) -> Function:
        node = Node("Gelu", build.node.name, ("x",), ("y",), {"approximate": approximate})
        gelu = special.TABLE["Gelu"](Build(node, 20, {}))
        return lambda x, bias=None: gelu(x if bias is None else x + bias)

    return build


def _quick_gelu(build: Build) -> Function:
    alpha = build.number("alpha", 1.702)
    return lambda x: x * equations.sigmoid(x.dtype.type(alpha) * x)


def _skip_norm(build: Build) -> Function:
    """A layer normalisation of the sum of x, of what skipped a layer, and of a bias."""
    if build.wanted(1) or build.wanted(2):
        raise build.unsupported("an output of means")
    epsilon = build.number("epsilon", 1e-12)
    node = Node("LayerNormalization", build.node.name, ("x",), ("y",), {"epsilon": epsilon})
    norm = dense.TABLE["LayerNormalization"](Build(node, 17, {}))

    def run(
        x: AnyArray,
        skipped: AnyArray,
        gamma: AnyArray,
        beta: AnyArray | None = None,
        bias: AnyArray | None = None,
    ) -> Any:
        total = x + skipped if bias is None else x + skipped + bias
        y = norm(total, gamma, beta)
        return (y, None, None, total) if build.wanted(3) else y

    return run


TABLE: Mapping[str, Builder] = {
    "BiasGelu": _gelu("none"),
    "FastGelu": _gelu("tanh"),
    "FusedConv": widened(_fused_conv),
    "FusedMatMul": widened(_fused_matmul),
    "QuickGelu": _quick_gelu,
    "SkipLayerNormalization": widened(_skip_norm),
}
