"""Normalisations over groups of channels, over given axes, and by a norm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn.interop.onnx.graph import AnyArray
from pyrnn.interop.onnx.operators._build import Build, Builder, Function, axis_of, widened


def _group(build: Build) -> Function:
    """Until version 20 the factors are of each group, from 21 on of each channel."""
    epsilon, groups = build.number("epsilon", 1e-5), build.integer("num_groups", 0)

    def run(x: AnyArray, scale: AnyArray, bias: AnyArray) -> Any:
        channels = x.shape[1]
        if groups < 1 or channels % groups:
            raise ValueError(f"num_groups: expected a divisor of {channels}, got {groups}")
        if build.opset < 21:
            scale, bias = (np.repeat(part, channels // groups) for part in (scale, bias))
        parts = x.reshape(len(x), groups, -1)
        y = _centred(parts, (2,), epsilon).reshape(x.shape)
        along = (-1, *(1,) * (x.ndim - 2))
        return y * scale.reshape(along) + bias.reshape(along)

    return run


def _centred(x: AnyArray, axes: tuple[int, ...], epsilon: float) -> Any:
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = np.square(centred).mean(axis=axes, keepdims=True)
    return centred / np.sqrt(variance + x.dtype.type(epsilon))


def _mean_variance(build: Build) -> Function:
    axes = build.integers("axes")
    axes = (0, 2, 3) if axes is None else axes
    return lambda x: _centred(x, tuple(axis_of(axis, x.ndim) for axis in axes), 1e-9)


def _by_norm(build: Build) -> Function:
    axis, p = build.integer("axis", -1), build.integer("p", 2)
    if p not in (1, 2):
        raise build.unsupported(f"p={p}")

    def run(x: AnyArray) -> Any:
        size = np.abs(x) if p == 1 else np.square(x)
        norm = size.sum(axis=axis, keepdims=True)
        norm = norm if p == 1 else np.sqrt(norm)
        return np.where(norm == 0, 0, x / norm).astype(x.dtype, copy=False)

    return run


def _root_mean_square(build: Build) -> Function:
    epsilon, axis = build.number("epsilon", 1e-5), build.integer("axis", -1)

    def run(x: AnyArray, scale: AnyArray) -> Any:
        axes = tuple(range(axis_of(axis, x.ndim), x.ndim))
        mean = np.square(x).mean(axis=axes, keepdims=True)
        return x / np.sqrt(mean + x.dtype.type(epsilon)) * scale

    return run


TABLE: Mapping[str, Builder] = {
    "GroupNormalization": widened(_group),
    "LpNormalization": _by_norm,
    "MeanVarianceNormalization": _mean_variance,
    "RMSNormalization": widened(_root_mean_square),
}
