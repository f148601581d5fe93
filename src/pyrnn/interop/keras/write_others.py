"""Convolutions, pooling and normalisations in Keras' layout: their arrays and configurations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pyrnn._types import Array
from pyrnn.interop.keras.others import PADDING
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.batch_norm import BatchNorm1d
from pyrnn.layers.composition.pointwise import LayerNorm
from pyrnn.layers.convolution.conv1d import Conv1d
from pyrnn.layers.convolution.over_time import InstanceNorm1d, MaxPool1d


class Form(NamedTuple):
    """A layer's class in Keras, what its group in a file is called, its configuration."""

    class_name: str
    key: str
    config: dict[str, Any]


def form_of(layer: Layer) -> Form | None:
    """A layer's form; None for layers that are not of this file.

    Raises
    ------
    ValueError
        If Keras has no such layer.
    """
    if isinstance(layer, BatchNorm1d):
        return Form("BatchNormalization", "batch_normalization", _batch_norm(layer))
    if isinstance(layer, LayerNorm):
        affine = layer.elementwise_affine
        config = {"epsilon": layer.eps, "scale": affine, "center": affine}
        return Form("LayerNormalization", "layer_normalization", config)
    if isinstance(layer, InstanceNorm1d):
        config = {"groups": layer.num_features, "axis": -1, "epsilon": layer.eps}
        config |= {"scale": layer.affine, "center": layer.affine}
        return Form("GroupNormalization", "group_normalization", config)
    if isinstance(layer, Conv1d):
        return Form("Conv1D", "conv1d", _convolution(layer))
    if isinstance(layer, MaxPool1d):
        return Form("MaxPooling1D", "max_pooling1d", _max_pool(layer))
    return None


def zeros_around(layer: Layer) -> int:
    """The steps of zeros on each side of a convolution that Keras has as a layer of its own."""
    if not isinstance(layer, Conv1d) or _convolution(layer)["padding"] != PADDING:
        return 0
    return int(layer.padding)


def arrays_of(layer: Layer) -> dict[str, Array] | None:
    """A layer's arrays by Keras' names, in the order of ``set_weights``; None for other layers."""
    if form_of(layer) is None:
        return None
    arrays = layer.state_dict()
    if isinstance(layer, Conv1d):
        kernel = {"kernel": np.ascontiguousarray(arrays["weight"].transpose(2, 1, 0))}
        return kernel | ({"bias": arrays["bias"]} if layer.bias else {})
    names = {"gamma": "weight", "beta": "bias"} if layer.parameters else {}
    if isinstance(layer, BatchNorm1d):
        names |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    return {theirs: arrays[own] for theirs, own in names.items()}


def _batch_norm(layer: BatchNorm1d) -> dict[str, Any]:
    """Keras has no mean over all batches, so its default momentum stands for that."""
    if not layer.track_running_stats:
        raise ValueError(f"layer: Keras has no batch normalisation without averages: {layer!r}")
    momentum = {} if layer.momentum is None else {"momentum": 1 - layer.momentum}
    return {"epsilon": layer.eps, "scale": layer.affine, "center": layer.affine, **momentum}


def _convolution(layer: Conv1d) -> dict[str, Any]:
    padding: Any = layer.padding
    if padding == 0:
        padding = "valid"
    elif isinstance(padding, int):
        padding = "same" if layer.stride == 1 and 2 * padding == layer.reach else PADDING
    return {
        "filters": layer.out_channels,
        "kernel_size": [layer.kernel_size],
        "strides": [layer.stride],
        "padding": padding,
        "dilation_rate": [layer.dilation],
        "groups": layer.groups,
        "use_bias": layer.bias,
        "data_format": "channels_last",
    }


def _max_pool(layer: MaxPool1d) -> dict[str, Any]:
    kernel, stride, padding, dilation = layer._sizes()
    if padding or dilation > 1:
        raise ValueError(f"layer: Keras has no pooling with padding or dilation, got {layer!r}")
    return {"pool_size": [kernel], "strides": [stride], "padding": "valid"}
