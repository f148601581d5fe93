"""Convolutions and pooling of Keras, which has the channels last; ONNX has them second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyrnn._types import Array
from pyrnn.interop.keras.graphs.builder import Builder, Tensor, known, sizes_of
from pyrnn.interop.keras.graphs.shapes import check_last
from pyrnn.interop.keras.hdf5 import ContentError

Config = Mapping[str, Any]


def convolution(builder: Builder, config: Config, x: Tensor, arrays: Sequence[Array]) -> Tensor:
    """Conv1D and Conv2D without their activation: kernel (k..., in / groups, out), maybe a bias."""
    axes = len(x.shape) - 2
    kernel, bias = _kernel(arrays, axes, 2)
    (groups,) = sizes_of(config.get("groups", 1), 1, "groups")
    return _convolved(builder, config, x, kernel, bias, groups)


def depthwise(builder: Builder, config: Config, x: Tensor, arrays: Sequence[Array]) -> Tensor:
    """DepthwiseConv1D and 2D: kernel (k..., in, multiplier), maybe a bias."""
    kernel, bias = _kernel(arrays, len(x.shape) - 2, 2)
    return _convolved(builder, config, x, _by_channel(kernel), bias, kernel.shape[-2])


def separable(builder: Builder, config: Config, x: Tensor, arrays: Sequence[Array]) -> Tensor:
    """SeparableConv1D and 2D: each channel for itself, then all of each step."""
    if len(arrays) not in (2, 3):
        raise ContentError("expected two kernels and maybe a bias of a separable convolution")
    axes = len(x.shape) - 2
    kernel, _ = _kernel(arrays[:1], axes, 2)
    point, bias = _kernel(arrays[1:], axes, 2)
    y = _convolved(builder, config, x, _by_channel(kernel), None, kernel.shape[-2])
    return _convolved(builder, {}, y, point, bias, 1, "pointwise")


def transposed(builder: Builder, config: Config, x: Tensor, arrays: Sequence[Array]) -> Tensor:
    """Conv1DTranspose and 2D: kernel (k..., out, in), maybe a bias, padded as TensorFlow does."""
    check_last(config)
    axes = len(x.shape) - 2
    kernel, bias = _kernel(arrays, axes, 2)
    strides = sizes_of(config.get("strides", 1), axes, "strides")
    dilations = sizes_of(config.get("dilation_rate", 1), axes, "dilation_rate")
    given, padding = config.get("output_padding"), config.get("padding", "valid")
    more = None if given is None else sizes_of(given, axes, "output_padding", least=0)
    if padding not in ("valid", "same"):
        raise ContentError(f"padding: expected valid or same, got {str(padding)[:50]}")
    if x.features not in (None, kernel.shape[-1]):
        raise ContentError(f"expected {kernel.shape[-1]} channels, got {x.features}")
    if bias is not None and bias.shape != kernel.shape[-2:-1]:
        raise ContentError(f"expected a bias for {kernel.shape[-2]} channels, got {bias.shape}")
    begins, ends, extra = [], [], []
    shape: list[int | None] = []
    for axis, stride in enumerate(strides):
        reach = (kernel.shape[axis] - 1) * dilations[axis] + 1
        own = None if more is None else more[axis]
        cut, left = _cut(reach, stride, padding == "same", own)
        begins.append(cut)
        ends.append(max(left, 0))
        extra.append(max(-left, 0))
        size = x.shape[axis + 1]
        made = None if size is None else (size - 1) * stride + reach - cut - left
        if made is not None and made < 1:
            raise ContentError(f"expected more than {size} steps")
        shape.append(made)
    attributes = {"kernel_shape": kernel.shape[:-2], "strides": strides, "dilations": dilations}
    attributes |= {"pads": (*begins, *ends), "output_padding": tuple(extra)}
    weight = kernel.transpose(-1, -2, *range(axes))
    names = [builder.weight(weight, "kernel")]
    if bias is not None:
        names.append(builder.weight(bias, "bias"))
    y = _channels_last(builder, "ConvTranspose", x, names, attributes)
    return Tensor(y, (x.shape[0], *shape, kernel.shape[-2]))


def _cut(reach: int, stride: int, same: bool, more: int | None) -> tuple[int, int]:
    """What is cut off before and behind; less than 0 are zeros behind."""
    if not same:
        return 0, min(reach - stride, 0) if more is None else -more
    whole = stride + reach - 2 if more is None else reach + reach % 2 - 2 + more
    before = min(whole // 2 + whole % 2, reach - 1)
    return reach - 1 - before, reach - 1 - (whole - before)


def _by_channel(kernel: Array) -> Array:
    """A kernel (k..., in, multiplier) as that of as many groups as there are channels."""
    return kernel.reshape(*kernel.shape[:-2], 1, -1)


def _kernel(arrays: Sequence[Array], axes: int, more: int) -> tuple[Array, Array | None]:
    if len(arrays) not in (1, 2) or arrays[0].ndim != axes + more or not arrays[0].size:
        raise ContentError(f"expected a kernel of {axes + more} axes and maybe a bias")
    bias = arrays[1] if len(arrays) == 2 else None
    if bias is not None and bias.ndim != 1:
        raise ContentError("expected a bias of one axis")
    return arrays[0], bias


def _convolved(
    builder: Builder,
    config: Config,
    x: Tensor,
    kernel: Array,
    bias: Array | None,
    groups: int,
    name: str = "kernel",
) -> Tensor:
    check_last(config)
    axes = kernel.ndim - 2
    strides = sizes_of(config.get("strides", 1), axes, "strides")
    dilations = sizes_of(config.get("dilation_rate", 1), axes, "dilation_rate")
    if x.features not in (None, kernel.shape[-2] * groups) or kernel.shape[-1] % groups:
        raise ContentError(f"expected {kernel.shape[-2] * groups} channels, got {x.features}")
    if bias is not None and bias.shape != kernel.shape[-1:]:
        raise ContentError(f"expected a bias for {kernel.shape[-1]} channels, got {bias.shape}")
    weight = kernel.transpose(-1, -2, *range(axes))
    attributes: dict[str, Any] = {"kernel_shape": kernel.shape[:-2], "strides": strides}
    attributes |= {"dilations": dilations, "group": groups}
    reach = [(k - 1) * d for k, d in zip(kernel.shape[:-2], dilations, strict=True)]
    padding = config.get("padding", "valid")
    if padding == "causal" and axes == 1:
        attributes["pads"] = (reach[0], 0)
        sizes = [(n, s) for n, s in zip(x.shape[1:-1], strides, strict=True)]
        shape = tuple(None if n is None else -(-n // s) for n, s in sizes)
    else:
        shape = _padding(attributes, padding, x, reach, strides)
    names = [builder.weight(weight, name)]
    if bias is not None:
        names.append(builder.weight(bias, "bias"))
    y = _channels_last(builder, "Conv", x, names, attributes)
    return Tensor(y, (x.shape[0], *shape, kernel.shape[-1]))


def pool(builder: Builder, config: Config, x: Tensor, op: str) -> Tensor:
    """MaxPooling and AveragePooling of one or two axes."""
    check_last(config)
    axes = len(x.shape) - 2
    size = sizes_of(config.get("pool_size", config.get("pool_length", 2)), axes, "pool_size")
    given = config.get("strides", config.get("stride"))
    strides = size if given is None else sizes_of(given, axes, "strides")
    attributes: dict[str, Any] = {"kernel_shape": size, "strides": strides}
    padding = config.get("padding", config.get("border_mode", "valid"))
    shape = _padding(attributes, padding, x, [n - 1 for n in size], strides)
    y = _channels_last(builder, op, x, [], attributes)
    return Tensor(y, (x.shape[0], *shape, x.features))


def _padding(
    attributes: dict[str, Any], padding: Any, x: Tensor, reach: Sequence[int], strides: Any
) -> tuple[int | None, ...]:
    """Set the padding of a node; returns the sizes that it leaves."""
    if padding not in ("valid", "same"):
        raise ContentError(f"padding: expected valid or same, got {str(padding)[:50]}")
    if padding == "same":
        attributes["auto_pad"] = "SAME_UPPER"
    shape: list[int | None] = []
    for size, more, stride in zip(x.shape[1:-1], reach, strides, strict=True):
        left = None if size is None else size if padding == "same" else size - more
        if left is not None and left < 1:
            raise ContentError(f"expected at least {more + 1} steps, got {size}")
        shape.append(None if left is None else -(-left // stride))
    return tuple(shape)


def _channels_last(
    builder: Builder, op: str, x: Tensor, names: Sequence[str], attributes: Mapping[str, Any]
) -> str:
    """An operator that has the channels as its second axis."""
    known(x.features, "channels")
    last = len(x.shape) - 1
    turned = builder.transposed(x.name, 0, last, *range(1, last))
    y = builder.op(op, turned, *names, **attributes)
    return builder.transposed(y, 0, *range(2, last + 1), 1)
