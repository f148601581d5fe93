"""Convolutions, maxima and normalisations over time as nodes of ONNX, with the channels second."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrnn.layers.convolution.conv1d import Conv1d
from pyrnn.layers.convolution.over_time import InstanceNorm1d, MaxPool1d, OverTime

WINDOWS = (Conv1d, OverTime)
"""Layers that see several steps at once."""


def convolution(writer: Any, layer: Conv1d) -> None:
    """Conv with its padding in numbers."""
    prefix = writer._prefix("conv")
    _to_channels(writer, prefix, layer.batch_first)
    names = [
        writer._weight(f"{prefix}.{name}", layer.parameters[name])
        for name in ("weight", "bias")
        if name in layer.parameters
    ]
    pads = layer._pads()
    options = {
        "kernel_shape": [layer.kernel_size],
        "strides": [layer.stride],
        "dilations": [layer.dilation],
        "pads": list(pads),
        "group": layer.groups,
    }
    writer._node("Conv", [writer.value, *names], prefix, **options)
    _to_features(writer, prefix, layer.batch_first)
    writer._features = layer.out_channels
    if layer.stride != 1 or sum(pads) != layer.reach:
        writer._other_length()


def max_pool(writer: Any, layer: MaxPool1d) -> None:
    """MaxPool, whose padding does not count."""
    prefix = writer._prefix("max_pool")
    _to_channels(writer, prefix, layer.batch_first)
    kernel, stride, padding, dilation = layer._sizes()
    options = {
        "kernel_shape": [kernel],
        "strides": [stride],
        "dilations": [dilation],
        "pads": [padding, padding],
    }
    writer._node("MaxPool", [writer.value], prefix, **options)
    _to_features(writer, prefix, layer.batch_first)
    writer._other_length()


def instance_norm(writer: Any, layer: InstanceNorm1d) -> None:
    """InstanceNormalization, with factors of one where the layer has none."""
    prefix = writer._prefix("instance_norm")
    _to_channels(writer, prefix, layer.batch_first)
    usual = {"weight": np.ones, "bias": np.zeros}
    names = [
        writer._weight(
            f"{prefix}.{name}",
            layer.parameters.get(name, make(layer.num_features, layer.dtype)),
        )
        for name, make in usual.items()
    ]
    inputs = [writer.value, *names]
    writer._node("InstanceNormalization", inputs, prefix, epsilon=layer.eps)
    _to_features(writer, prefix, layer.batch_first)


def _to_channels(writer: Any, prefix: str, batch_first: bool) -> None:
    """(N, channels, T)."""
    axes = [0, 2, 1] if batch_first else [1, 2, 0]
    writer._node("Transpose", [writer.value], f"{prefix}_to_channels", perm=axes)


def _to_features(writer: Any, prefix: str, batch_first: bool) -> None:
    axes = [0, 2, 1] if batch_first else [2, 0, 1]
    writer._node("Transpose", [writer.value], f"{prefix}_to_features", perm=axes)
