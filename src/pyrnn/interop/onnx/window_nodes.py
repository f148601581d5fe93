"""Convolutions and normalisations of an ONNX graph as layers, whose channels come last."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrnn._types import Array
from pyrnn.interop._made import made_of
from pyrnn.interop.onnx.graph import AnyArray
from pyrnn.interop.onnx.operators._build import Build
from pyrnn.interop.onnx.weights import written
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.pointwise import LayerNorm
from pyrnn.layers.convolution.conv1d import Conv1d
from pyrnn.layers.convolution.over_time import InstanceNorm1d

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def layer(build: Build) -> Layer | None:
    """The layer that a node is; None for other nodes, and for what no layer computes."""
    found = _KINDS.get(build.node.op)
    return None if found is None else found(build)


def _convolution(build: Build) -> Layer | None:
    weight, bias = build.constant(1), build.constant(2)
    if weight is None or weight.ndim != 3 or weight.dtype not in _FLOATS or not weight.size:
        return None
    if build.given(2) and (bias is None or bias.shape != weight.shape[:1]):
        return None
    if bias is not None and bias.dtype != weight.dtype:
        return None
    stride, dilation = ((build.integers(name) or (1,))[0] for name in ("strides", "dilations"))
    groups = build.integer("group", 1)
    padding = _padding(build, dilation * (weight.shape[2] - 1), stride)
    if padding is None or groups < 1 or len(weight) % groups:
        return None
    options: dict[str, Any] = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": bias is not None,
        "dtype": weight.dtype,
    }
    sizes = weight.shape[1] * groups, weight.shape[0], weight.shape[2]
    parameters = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return made_of(lambda: Conv1d(*sizes, **options), parameters)


def _padding(build: Build, reach: int, stride: int) -> int | str | None:
    """As `Conv1d` takes it; None for one that it does not have."""
    auto = build.text("auto_pad", "NOTSET")
    if auto in ("VALID", "SAME_UPPER"):
        return 0 if auto == "VALID" else "same" if stride == 1 else None
    before, after = build.integers("pads") or (0, 0)
    if auto != "NOTSET":
        return None
    if before == after:
        return before
    if before + after != reach:
        return None
    if after == 0:
        return "causal"
    return "same" if after == before + 1 and stride == 1 else None


def _layer_norm(build: Build) -> Layer | None:
    weight, bias = _vector(build.constant(1)), _vector(build.constant(2))
    known = bias is not None or not build.given(2)
    if weight is None or not known or build.integer("axis", -1) != -1:
        return None
    if bias is not None and (bias.shape, bias.dtype) != (weight.shape, weight.dtype):
        return None
    affine = bias is not None or bool((weight != 1).any())
    eps, size = written(build.number("epsilon", 1e-5)), len(weight)
    shift = np.zeros_like(weight) if bias is None else bias
    parameters = {"weight": weight, "bias": shift} if affine else {}
    return made_of(lambda: LayerNorm(size, eps, affine, dtype=weight.dtype), parameters)


def _instance_norm(build: Build) -> Layer | None:
    weight, bias = _vector(build.constant(1)), _vector(build.constant(2))
    if weight is None or bias is None or bias.shape != weight.shape:
        return None
    if bias.dtype != weight.dtype:
        return None
    affine = bool((weight != 1).any() or bias.any())
    eps, size = written(build.number("epsilon", 1e-5)), len(weight)
    parameters = {"weight": weight, "bias": bias} if affine else {}
    return made_of(lambda: InstanceNorm1d(size, eps, affine=affine, dtype=weight.dtype), parameters)


def _vector(array: AnyArray | None) -> Array | None:
    fits = array is not None and array.ndim == 1 and array.size and array.dtype in _FLOATS
    return array if fits else None


_KINDS = {
    "Conv": _convolution,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
}
