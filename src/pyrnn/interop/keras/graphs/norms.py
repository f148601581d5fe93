"""Normalisations of Keras in ONNX's operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn._types import Array
from pyrnn.interop.keras.graphs.builder import Builder, Tensor, axis_of, number_of
from pyrnn.interop.keras.hdf5 import ContentError

Config = Mapping[str, Any]


def _check_last_axis(config: Config, x: Tensor) -> None:
    if axis_of(config.get("axis", -1), len(x.shape)) != len(x.shape) - 1:
        raise ContentError("expected a normalisation over the last axis, got another")


def _check_sizes(x: Tensor, arrays: Sequence[Array], count: int) -> None:
    fits = len(arrays) == count and all(array.ndim == 1 for array in arrays)
    sizes = {len(array) for array in arrays} if fits else set()
    if not fits or len(sizes) > 1 or (sizes and x.features not in (None, *sizes)):
        raise ContentError(f"expected {count} arrays of {x.features} numbers each")


def _affine(
    builder: Builder, config: Config, y: str, arrays: Sequence[Array], scale: bool, center: bool
) -> str:
    if scale:
        y = builder.op("Mul", y, builder.weight(arrays[0], "gamma"))
    if center:
        y = builder.op("Add", y, builder.weight(arrays[int(scale)], "beta"))
    return y


def batch_norm(builder: Builder, config: Config, x: Tensor, arrays: Sequence[Array]) -> Tensor:
    """BatchNormalization with its running averages: maybe gamma and beta, then mean, variance."""
    _check_last_axis(config, x)
    scale, center = (bool(config.get(name, True)) for name in ("scale", "center"))
    _check_sizes(x, arrays, 2 + scale + center)
    mean, variance = arrays[-2:]
    eps = number_of(config.get("epsilon", 1e-3), "epsilon")
    factor = 1 / np.sqrt(variance.astype(np.float64) + eps)
    factor = factor * arrays[0] if scale else factor
    y = builder.op("Sub", x.name, builder.weight(mean, "mean"))
    y = builder.op("Mul", y, builder.weight(factor, "factor"))
    if center:
        y = builder.op("Add", y, builder.weight(arrays[int(scale)], "beta"))
    return x._replace(name=y)


def layer_norm(builder: Builder, config: Config, x: Tensor, arrays: Sequence[Array]) -> Tensor:
    """LayerNormalization over the last axis."""
    if config.get("rms_scaling"):
        raise ContentError("rms_scaling is not implemented")
    _check_last_axis(config, x)
    scale, center = (bool(config.get(name, True)) for name in ("scale", "center"))
    _check_sizes(x, arrays, scale + center)
    eps = number_of(config.get("epsilon", 1e-3), "epsilon")
    if not arrays:
        return x._replace(name=_normalised(builder, x, eps))
    gamma = arrays[0] if scale else np.ones_like(arrays[0])
    names = [builder.weight(gamma, "gamma")]
    if center:
        names.append(builder.weight(arrays[int(scale)], "beta"))
    y = builder.op("LayerNormalization", x.name, *names, axis=-1, epsilon=eps)
    return x._replace(name=y)


def _normalised(builder: Builder, x: Tensor, eps: float) -> str:
    """Mean 0 and variance 1 along the last axis."""
    mean = builder.op("ReduceMean", x.name, axes=(-1,), keepdims=1)
    centred = builder.op("Sub", x.name, mean)
    squares = builder.op("Mul", centred, centred)
    variance = builder.op("ReduceMean", squares, axes=(-1,), keepdims=1)
    deviation = builder.op("Sqrt", builder.op("Add", variance, builder.number(eps)))
    return builder.op("Div", centred, deviation)


def rms_norm(builder: Builder, config: Config, x: Tensor, arrays: Sequence[Array]) -> Tensor:
    """RMSNormalization over the last axis."""
    _check_last_axis(config, x)
    _check_sizes(x, arrays, 1)
    squares = builder.op("Mul", x.name, x.name)
    mean = builder.op("ReduceMean", squares, axes=(-1,), keepdims=1)
    eps = builder.number(number_of(config.get("epsilon", 1e-6), "epsilon"))
    y = builder.op("Div", x.name, builder.op("Sqrt", builder.op("Add", mean, eps)))
    return x._replace(name=builder.op("Mul", y, builder.weight(arrays[0], "scale")))


def unit_norm(builder: Builder, config: Config, x: Tensor) -> Tensor:
    """UnitNormalization: length 1 along one axis."""
    axis = axis_of(config.get("axis", -1), len(x.shape))
    squares = builder.op("Mul", x.name, x.name)
    total = builder.op("ReduceSum", squares, builder.integers(axis), keepdims=1)
    length = builder.op("Sqrt", builder.op("Max", total, builder.number(1e-12)))
    return x._replace(name=builder.op("Div", x.name, length))


def normalization(builder: Builder, config: Config, x: Tensor, arrays: Sequence[Array]) -> Tensor:
    """Normalization by a mean and a variance that the data had, or that were given."""
    if len(arrays) in (2, 3):  # adapted; the third array is a count
        mean, variance = arrays[0], arrays[1]
    elif config.get("mean") is not None and config.get("variance") is not None:
        mean, variance = (np.asarray(config[name], np.float64) for name in ("mean", "variance"))
    else:
        raise ContentError("expected mean and variance of a Normalization")
    if mean.size not in (1, x.features) or variance.shape != mean.shape:
        raise ContentError(f"expected means of {x.features} features, got {mean.shape}")
    deviation = np.maximum(np.sqrt(variance.reshape(-1)), 1e-7)
    if config.get("invert"):
        y = builder.op("Mul", x.name, builder.weight(deviation, "deviation"))
        return x._replace(name=builder.op("Add", y, builder.weight(mean.reshape(-1), "mean")))
    y = builder.op("Sub", x.name, builder.weight(mean.reshape(-1), "mean"))
    return x._replace(name=builder.op("Div", y, builder.weight(deviation, "deviation")))


def rescaling(builder: Builder, config: Config, x: Tensor) -> Tensor:
    """Rescaling by a factor and an offset."""
    parts = []
    for name, usual in (("scale", 1.0), ("offset", 0.0)):
        array = np.asarray(config.get(name, usual), np.float64)
        if array.size not in (1, x.features):
            raise ContentError(f"{name}: expected a number, got shape {array.shape}")
        parts.append(builder.weight(array.reshape(-1), name))
    y = builder.op("Mul", x.name, parts[0])
    return x._replace(name=builder.op("Add", y, parts[1]))
