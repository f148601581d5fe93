"""Layers of Keras that take one array, by their classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyrnn._types import Array
from pyrnn.interop.keras.graphs import activations, merging, norms, shapes, windows
from pyrnn.interop.keras.graphs.builder import Builder, Tensor
from pyrnn.interop.keras.hdf5 import ContentError

Config = Mapping[str, Any]


def _dense(builder: Builder, config: Config, x: Tensor, arrays: Sequence[Array]) -> Tensor:
    if (
        len(arrays) not in (1, 2)
        or arrays[0].ndim != 2
        or arrays[-1].shape[-1:] != (arrays[0].shape[1:])
    ):
        raise ContentError("expected a kernel (in, out) and maybe a bias of a Dense")
    if x.features not in (None, len(arrays[0])):
        raise ContentError(f"expected {len(arrays[0])} features, got {x.features}")
    y = builder.op("MatMul", x.name, builder.weight(arrays[0], "kernel"))
    if len(arrays) == 2:
        y = builder.op("Add", y, builder.weight(arrays[1], "bias"))
    return Tensor(y, (*x.shape[:-1], arrays[0].shape[1]))


def _embedding(builder: Builder, config: Config, x: Tensor, arrays: Sequence[Array]) -> Tensor:
    if len(arrays) != 1 or arrays[0].ndim != 2 or not arrays[0].size:
        raise ContentError("expected one array of an Embedding")
    index = builder.of_kind(x, "int").name
    y = builder.op("Gather", builder.weight(arrays[0], "embeddings"), index, axis=0)
    made = x._replace(name=index, kind="int")
    mask = merging.differs(builder, made, 0) if config.get("mask_zero") else None
    return Tensor(y, (*x.shape, arrays[0].shape[1]), mask)


def _prelu(builder: Builder, config: Config, x: Tensor, arrays: Sequence[Array]) -> Tensor:
    if len(arrays) != 1 or arrays[0].ndim != len(x.shape) - 1:
        raise ContentError("expected one array of a PReLU, of all axes but the batch")
    y = builder.op("PRelu", x.name, builder.weight(arrays[0], "slope"))
    return x._replace(name=y)


POINTWISE: Mapping[str, Callable[[Builder, Config, Tensor], str]] = {
    "ReLU": activations.relu,
    "LeakyReLU": activations.leaky_relu,
    "ELU": activations.elu,
    "Softmax": activations.softmax,
    "ThresholdedReLU": activations.thresholded_relu,
}
MOVING: Mapping[str, Callable[[Builder, Config, Tensor], Tensor]] = {
    "AveragePooling1D": lambda b, c, x: windows.pool(b, c, x, "AveragePool"),
    "AveragePooling2D": lambda b, c, x: windows.pool(b, c, x, "AveragePool"),
    "Cropping1D": shapes.cropping,
    "Cropping2D": shapes.cropping,
    "Flatten": shapes.flatten,
    "GlobalAveragePooling1D": shapes.global_mean,
    "GlobalAveragePooling2D": shapes.global_mean,
    "GlobalMaxPooling1D": shapes.global_max,
    "GlobalMaxPooling2D": shapes.global_max,
    "MaxPooling1D": lambda b, c, x: windows.pool(b, c, x, "MaxPool"),
    "MaxPooling2D": lambda b, c, x: windows.pool(b, c, x, "MaxPool"),
    "Permute": shapes.permute,
    "RepeatVector": shapes.repeat_vector,
    "Rescaling": norms.rescaling,
    "Reshape": shapes.reshape,
    "UnitNormalization": norms.unit_norm,
    "UpSampling1D": shapes.up_sampling,
    "UpSampling2D": shapes.up_sampling,
    "ZeroPadding1D": shapes.zero_padding,
    "ZeroPadding2D": shapes.zero_padding,
}
WEIGHTED: Mapping[str, Callable[[Builder, Config, Tensor, Sequence[Array]], Tensor]] = {
    "BatchNormalization": norms.batch_norm,
    "BatchNormalizationV1": norms.batch_norm,
    "BatchNormalizationV2": norms.batch_norm,
    "Conv1D": windows.convolution,
    "Conv1DTranspose": windows.transposed,
    "Conv2D": windows.convolution,
    "Conv2DTranspose": windows.transposed,
    "Convolution1D": windows.convolution,
    "Dense": _dense,
    "DepthwiseConv1D": windows.depthwise,
    "DepthwiseConv2D": windows.depthwise,
    "Embedding": _embedding,
    "GroupNormalization": norms.group_norm,
    "LayerNormalization": norms.layer_norm,
    "Normalization": norms.normalization,
    "PReLU": _prelu,
    "RMSNormalization": norms.rms_norm,
    "SeparableConv1D": windows.separable,
    "SeparableConv2D": windows.separable,
}
MAY_BE_EMPTY = (
    "LayerNormalization", "Normalization", "Attention", "AdditiveAttention", "GroupNormalization",
)  # fmt: skip
"""Layers that may have no arrays."""
NO_ACTIVATION = {name for name in WEIGHTED if "Norm" in name or name in ("Embedding", "PReLU")}
