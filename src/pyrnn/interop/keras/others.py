"""Layers of Keras around the recurrent ones that need their configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn._types import Array
from pyrnn.interop._made import batch_norm_of, made_of
from pyrnn.interop.keras.hdf5 import ContentError
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.pointwise import LayerNorm
from pyrnn.layers.convolution.conv1d import Conv1d
from pyrnn.layers.convolution.over_time import InstanceNorm1d

PADDING = "padding"
"""Stands for a number of zeros on both sides, which is a layer of its own in Keras."""


def convolution(config: Mapping[str, Any], arrays: Sequence[Array]) -> Layer:
    """A Conv1D without its activation: kernel (k, in / groups, out), and maybe a bias."""
    if len(arrays) not in (1, 2) or arrays[0].ndim != 3 or not arrays[0].size:
        raise ContentError("expected a kernel (k, in, out) and maybe a bias of a Conv1D")
    if config.get("data_format", "channels_last") != "channels_last":
        raise ContentError("expected a Conv1D with its channels last")
    steps, inputs, outputs = arrays[0].shape
    groups = one(config, "groups", 1)
    stride, padding = one(config, "strides", 1), config.get("padding", "valid")
    padding = config.get("zeros", padding)
    if padding == "same" and stride > 1:
        raise ContentError("expected a stride of 1 for the padding 'same', got more")
    parameters = {"weight": arrays[0].transpose(2, 1, 0)}
    if len(arrays) == 2:
        parameters["bias"] = arrays[1]
    options = {
        "stride": stride,
        "padding": padding,
        "dilation": one(config, "dilation_rate", 1),
        "groups": groups,
        "bias": len(arrays) == 2,
        "batch_first": True,
        "dtype": arrays[0].dtype,
    }
    made: Any = Conv1d
    layer: Layer = made_of(lambda: made(inputs * groups, outputs, steps, **options), parameters)
    return layer


def layer_norm(config: Mapping[str, Any], arrays: Sequence[Array]) -> Layer:
    """A LayerNormalization over the last axis: gamma, then beta."""
    parameters = _affine(config, arrays, "LayerNormalization")
    if config.get("rms_scaling") or config.get("axis", -1) not in (-1, [-1], [2]):
        raise ContentError("expected a LayerNormalization over the last axis, got another")
    eps = config.get("epsilon", 1e-3)
    size, dtype = len(arrays[0]), arrays[0].dtype
    return made_of(lambda: LayerNorm(size, eps=eps, dtype=dtype), parameters)


def batch_norm(config: Mapping[str, Any], arrays: Sequence[Array]) -> Layer:
    """A BatchNormalization over the last axis: maybe gamma, maybe beta, then mean and variance."""
    scale, center = (bool(config.get(name, True)) for name in ("scale", "center"))
    first = arrays[0].shape if arrays else ()
    if len(arrays) != 2 + scale + center or len(first) != 1 or not arrays[0].size:
        raise ContentError("expected gamma, beta, mean and variance of a BatchNormalization")
    if any(array.shape != first for array in arrays):
        raise ContentError("expected arrays of one shape of a BatchNormalization")
    if config.get("axis", -1) not in (-1, [-1], 2, [2]):
        raise ContentError("expected a BatchNormalization over the last axis, got another")
    *affine, mean, variance = arrays
    weight, bias = (affine[0] if scale else None), (affine[-1] if center else None)
    eps, momentum = config.get("epsilon", 1e-3), 1 - config.get("momentum", 0.99)
    return batch_norm_of((mean, variance), weight, bias, eps=eps, momentum=round(momentum, 9))


def group_norm(config: Mapping[str, Any], arrays: Sequence[Array]) -> Layer:
    """A GroupNormalization with a group for each channel: maybe gamma and beta."""
    parameters = _affine(config, arrays, "GroupNormalization")
    size, dtype = len(arrays[0]), arrays[0].dtype
    if config.get("groups", 32) not in (-1, size) or config.get("axis", -1) not in (-1, [-1], 2):
        raise ContentError("expected a GroupNormalization of each channel for itself, got another")
    eps = config.get("epsilon", 1e-3)
    return made_of(
        lambda: InstanceNorm1d(size, eps, affine=True, batch_first=True, dtype=dtype), parameters
    )


def plain_norm(
    class_name: str, config: Mapping[str, Any], size: int | None, dtype: Any
) -> Layer | None:
    """A normalisation without gamma and beta; None if it is another one, or has no known size."""
    if size is None or config.get("axis", -1) not in (-1, [-1], 2, [2]):
        return None
    eps = config.get("epsilon", 1e-3)
    if class_name == "LayerNormalization" and not config.get("rms_scaling"):
        return LayerNorm(size, eps, False, dtype=dtype)
    if class_name == "GroupNormalization" and config.get("groups", 32) in (-1, size):
        return InstanceNorm1d(size, eps, affine=False, batch_first=True, dtype=dtype)
    return None


def _affine(
    config: Mapping[str, Any], arrays: Sequence[Array], class_name: str
) -> dict[str, Array]:
    """Gamma and beta of one length, of which the configuration may leave one out."""
    scale, center = (bool(config.get(name, True)) for name in ("scale", "center"))
    fits = len(arrays) == scale + center and all(array.ndim == 1 for array in arrays)
    if not fits or not arrays or len({array.shape for array in arrays}) > 1:
        raise ContentError(f"expected gamma and beta of a {class_name} over the last axis")
    weight = arrays[0] if scale else np.ones_like(arrays[0])
    return {"weight": weight, "bias": arrays[-1] if center else np.zeros_like(arrays[0])}


def one(config: Mapping[str, Any], name: str, default: int) -> int:
    """A whole number, which Keras may have written in a list."""
    value = config.get(name, default)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if type(value) is not int or value < 1:
        raise ContentError(f"{name}: expected a whole number, got {str(value)[:50]}")
    return value
