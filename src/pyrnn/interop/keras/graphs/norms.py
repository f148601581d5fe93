"""Normalisations of Keras in ONNX's operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn._types import Array
from pyrnn.interop.keras.graphs.builder import (
    Builder,
    Tensor,
    axes_of,
    axis_of,
    known,
    number_of,
)
from pyrnn.interop.keras.hdf5 import ContentError

Config = Mapping[str, Any]


def _check_last_axis(config: Config, x: Tensor) -> None:
    if axis_of(config.get("axis", -1), len(x.shape)) != len(x.shape) - 1:
        raise ContentError("expected a normalisation over the last axis, got another")


def _along(array: Array, x: Tensor, axes: Sequence[int]) -> Array:
    """An array of some axes of x as one of all axes, of size 1 where it has none."""
    shape = [1] * len(x.shape)
    for axis, size in zip(axes, array.shape, strict=True):
        shape[axis] = size
    return array.reshape(shape[min(axes) :])


def _check_sizes(x: Tensor, arrays: Sequence[Array], count: int, axes: Sequence[int]) -> None:
    shapes = {array.shape for array in arrays}
    wanted = tuple(x.shape[axis] for axis in axes)
    fits = len(arrays) == count and len(shapes) <= 1 and all(len(s) == len(axes) for s in shapes)
    if not fits or any(
        size not in (None, one) for shape in shapes
        for size, one in zip(wanted, shape, strict=True)
    ):  # fmt: skip
        shown = " by ".join(str(size) for size in wanted)
        raise ContentError(f"expected {count} arrays of {shown} numbers each")


def _affine(builder: Builder, y: str, arrays: Sequence[Array], scale: bool, center: bool) -> str:
    if scale:
        y = builder.op("Mul", y, builder.weight(arrays[0], "gamma"))
    if center:
        y = builder.op("Add", y, builder.weight(arrays[int(scale)], "beta"))
    return y


def batch_norm(builder: Builder, config: Config, x: Tensor, arrays: Sequence[Array]) -> Tensor:
    """BatchNormalization with its running averages: maybe gamma and beta, then mean, variance."""
    axes = axes_of(config.get("axis", -1), len(x.shape))
    if len(axes) != 1 or not axes[0]:
        raise ContentError("expected a normalisation of one axis behind the batch, got another")
    scale, center = (bool(config.get(name, True)) for name in ("scale", "center"))
    _check_sizes(x, arrays, 2 + scale + center, axes)
    arrays = [_along(array, x, axes) for array in arrays]
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
    """LayerNormalization over some axes, mostly the last one."""
    axes = axes_of(config.get("axis", -1), len(x.shape))
    if not axes[0]:
        raise ContentError("expected a normalisation over axes behind the batch, got the batch")
    eps = number_of(config.get("epsilon", 1e-3), "epsilon")
    if config.get("rms_scaling"):
        _check_sizes(x, arrays, 1, axes)
        return _by_variance(builder, x, _along(arrays[0], x, axes), axes, eps)
    scale, center = (bool(config.get(name, True)) for name in ("scale", "center"))
    _check_sizes(x, arrays, scale + center, axes)
    if not arrays or axes != (len(x.shape) - 1,):
        y = _normalised(builder, x.name, axes, eps)
        arrays = [_along(array, x, axes) for array in arrays]
        return x._replace(name=_affine(builder, y, arrays, scale, center))
    gamma = arrays[0] if scale else np.ones_like(arrays[0])
    names = [builder.weight(gamma, "gamma")]
    if center:
        names.append(builder.weight(arrays[int(scale)], "beta"))
    y = builder.op("LayerNormalization", x.name, *names, axis=-1, epsilon=eps)
    return x._replace(name=y)


def _by_variance(
    builder: Builder, x: Tensor, gamma: Array, axes: Sequence[int], eps: float
) -> Tensor:
    """What Keras calls ``rms_scaling``: divided by the deviation, with its mean left in."""
    off = builder.op("Sub", x.name, builder.op("ReduceMean", x.name, axes=axes, keepdims=1))
    variance = builder.op("ReduceMean", builder.op("Mul", off, off), axes=axes, keepdims=1)
    root = builder.op("Sqrt", builder.op("Add", variance, builder.number(eps)))
    y = builder.op("Div", x.name, root)
    return x._replace(name=builder.op("Mul", y, builder.weight(gamma, "gamma")))


def group_norm(builder: Builder, config: Config, x: Tensor, arrays: Sequence[Array]) -> Tensor:
    """GroupNormalization of groups of features, over all axes but the batch."""
    _check_last_axis(config, x)
    size = known(x.features, "features")
    groups = config.get("groups", 32)
    groups = size if groups == -1 else groups
    if type(groups) is not int or groups < 1 or size % groups:
        raise ContentError(f"groups: expected a divisor of {size}, got {str(groups)[:50]}")
    scale, center = (bool(config.get(name, True)) for name in ("scale", "center"))
    _check_sizes(x, arrays, scale + center, [len(x.shape) - 1])
    eps = number_of(config.get("epsilon", 1e-3), "epsilon")
    keep = [0] * (len(x.shape) - 1)
    apart = builder.reshaped(x.name, *keep, groups, size // groups)
    axes = [axis for axis in range(1, len(x.shape) + 1) if axis != len(x.shape) - 1]
    y = builder.reshaped(_normalised(builder, apart, axes, eps), *keep, size)
    return x._replace(name=_affine(builder, y, arrays, scale, center))


def _normalised(builder: Builder, x: str, axes: Sequence[int], eps: float) -> str:
    """Mean 0 and variance 1 over some axes."""
    mean = builder.op("ReduceMean", x, axes=tuple(axes), keepdims=1)
    centred = builder.op("Sub", x, mean)
    squares = builder.op("Mul", centred, centred)
    variance = builder.op("ReduceMean", squares, axes=tuple(axes), keepdims=1)
    deviation = builder.op("Sqrt", builder.op("Add", variance, builder.number(eps)))
    return builder.op("Div", centred, deviation)


def rms_norm(builder: Builder, config: Config, x: Tensor, arrays: Sequence[Array]) -> Tensor:
    """RMSNormalization over some axes, mostly the last one."""
    axes = axes_of(config.get("axis", -1), len(x.shape))
    _check_sizes(x, arrays, 1, axes)
    squares = builder.op("Mul", x.name, x.name)
    mean = builder.op("ReduceMean", squares, axes=axes, keepdims=1)
    eps = builder.number(number_of(config.get("epsilon", 1e-6), "epsilon"))
    y = builder.op("Div", x.name, builder.op("Sqrt", builder.op("Add", mean, eps)))
    scale = builder.weight(_along(arrays[0], x, axes), "scale")
    return x._replace(name=builder.op("Mul", y, scale))


def unit_norm(builder: Builder, config: Config, x: Tensor) -> Tensor:
    """UnitNormalization: length 1 along some axes."""
    axes = axes_of(config.get("axis", -1), len(x.shape))
    squares = builder.op("Mul", x.name, x.name)
    total = builder.op("ReduceSum", squares, builder.integers(*axes), keepdims=1)
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
    if variance.shape != mean.shape:
        raise ContentError(f"expected as many variances as means, got {variance.shape}")
    if mean.size in (1, x.features):
        mean, variance = mean.reshape(-1), variance.reshape(-1)
    else:
        axes = axes_of(config.get("axis", -1), len(x.shape))
        mean, variance = (_of_axes(array, x, axes) for array in (mean, variance))
    deviation = np.maximum(np.sqrt(variance), 1e-7)
    if config.get("invert"):
        y = builder.op("Mul", x.name, builder.weight(deviation, "deviation"))
        return x._replace(name=builder.op("Add", y, builder.weight(mean, "mean")))
    y = builder.op("Sub", x.name, builder.weight(mean, "mean"))
    return x._replace(name=builder.op("Div", y, builder.weight(deviation, "deviation")))


def _of_axes(array: Array, x: Tensor, axes: Sequence[int]) -> Array:
    """An array whose axes are these of x, beside those of size 1 that it may have."""
    wanted = tuple(x.shape[axis] for axis in axes)
    if 0 in axes or tuple(size for size in array.shape if size != 1) != tuple(
        size for size in wanted if size != 1
    ):
        raise ContentError(f"expected means of {wanted} numbers, got {array.shape}")
    return _along(array.reshape([known(size, "axes") for size in wanted]), x, axes)


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
