"""Layers of Keras that move, repeat or cut numbers, and those that take a mean or a maximum."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn.interop.keras.graphs.builder import Builder, Shape, Tensor, axis_of, known, sizes_of
from pyrnn.interop.keras.hdf5 import ContentError

Config = Mapping[str, Any]


def check_last(config: Config) -> None:
    """That the channels are the last axis."""
    if config.get("data_format") not in (None, "channels_last"):
        raise ContentError("expected the channels last, got channels first")


def _product(sizes: Shape) -> int | None:
    return math.prod(size for size in sizes if size is not None) if None not in sizes else None


def flatten(builder: Builder, config: Config, x: Tensor) -> Tensor:
    """Flatten: all axes but the first as one."""
    check_last(config)
    return Tensor(builder.op("Flatten", x.name, axis=1), (x.shape[0], _product(x.shape[1:])))


def reshape(builder: Builder, config: Config, x: Tensor) -> Tensor:
    """Reshape of all axes but the first."""
    given = config.get("target_shape")
    if not isinstance(given, (list, tuple)) or not all(type(n) is int for n in given):
        raise ContentError("target_shape: expected whole numbers")
    if any(n < 1 and n != -1 for n in given) or list(given).count(-1) > 1:
        raise ContentError(f"target_shape: expected sizes, got {str(given)[:50]}")
    target: list[int | None] = list(given)
    if -1 in given:
        whole, rest = _product(x.shape[1:]), math.prod(n for n in given if n != -1)
        target[given.index(-1)] = whole // rest if whole is not None else None
    return Tensor(builder.reshaped(x.name, 0, *given), (x.shape[0], *target))


def permute(builder: Builder, config: Config, x: Tensor) -> Tensor:
    """Permute, whose axes are counted from 1, behind the batch."""
    dims = sizes_of(config.get("dims"), len(x.shape) - 1, "dims")
    if sorted(dims) != list(range(1, len(x.shape))):
        raise ContentError(f"dims: expected each axis once, got {list(dims)}")
    order = (0, *dims)
    return Tensor(builder.transposed(x.name, *order), tuple(x.shape[axis] for axis in order))


def repeat_vector(builder: Builder, config: Config, x: Tensor) -> Tensor:
    """RepeatVector: the same features at each of n steps."""
    (count,) = sizes_of(config.get("n"), 1, "n")
    if len(x.shape) != 2:
        raise ContentError(f"expected features of no steps, got {len(x.shape)} axes")
    raised = builder.op("Unsqueeze", x.name, builder.integers(1))
    y = builder.op("Tile", raised, builder.integers(1, count, 1))
    return Tensor(y, (x.shape[0], count, x.shape[1]))


def zero_padding(builder: Builder, config: Config, x: Tensor) -> Tensor:
    """ZeroPadding1D."""
    before, behind = _pair(config.get("padding", 1), "padding")
    _check_axes(x)
    y = builder.op("Pad", x.name, builder.integers(0, before, 0, 0, behind, 0))
    return Tensor(y, _with_steps(x, lambda steps: steps + before + behind))


def cropping(builder: Builder, config: Config, x: Tensor) -> Tensor:
    """Cropping1D."""
    before, behind = _pair(config.get("cropping", 1), "cropping")
    _check_axes(x)
    end = -behind if behind else np.iinfo(np.int64).max
    y = builder.sliced(x.name, 1, before, int(end))
    return Tensor(y, _with_steps(x, lambda steps: steps - before - behind))


def up_sampling(builder: Builder, config: Config, x: Tensor) -> Tensor:
    """UpSampling1D: each step several times."""
    (size,) = sizes_of(config.get("size", config.get("length", 2)), 1, "size")
    _check_axes(x)
    raised = builder.op("Unsqueeze", x.name, builder.integers(2))
    tiled = builder.op("Tile", raised, builder.integers(1, 1, size, 1))
    y = builder.reshaped(tiled, 0, -1, known(x.features, "features"))
    return Tensor(y, _with_steps(x, lambda steps: steps * size))


def _pair(value: Any, name: str) -> tuple[int, int]:
    before, behind = sizes_of(value, 2, name, least=0)
    return before, behind


def _check_axes(x: Tensor) -> None:
    if len(x.shape) != 3:
        raise ContentError(f"expected sequences, got {len(x.shape)} axes")


def _with_steps(x: Tensor, change: Any) -> Shape:
    steps = x.shape[1]
    return (x.shape[0], None if steps is None else change(steps), *x.shape[2:])


# --- over time ------------------------------------------------------------------------------


def global_max(builder: Builder, config: Config, x: Tensor) -> Tensor:
    """GlobalMaxPooling1D and 2D, over all steps."""
    axes, shape, keep = _over(config, x)
    return Tensor(builder.op("ReduceMax", x.name, axes=axes, keepdims=keep), shape)


def global_mean(builder: Builder, config: Config, x: Tensor) -> Tensor:
    """GlobalAveragePooling1D and 2D: the mean over the steps that count."""
    axes, shape, keep = _over(config, x)
    if x.mask is None or len(x.shape) != 3:
        return Tensor(builder.op("ReduceMean", x.name, axes=axes, keepdims=keep), shape)
    flags = builder.op("Unsqueeze", x.mask, builder.integers(2))
    kept = builder.op("Where", flags, x.name, builder.number(0.0))
    axis = builder.integers(1)
    total = builder.op("ReduceSum", kept, axis, keepdims=keep)
    count = builder.op("ReduceSum", builder.cast(flags, builder.dtype), axis, keepdims=keep)
    return Tensor(builder.op("Div", total, count), shape)


def _over(config: Config, x: Tensor) -> tuple[tuple[int, ...], Shape, int]:
    check_last(config)
    if len(x.shape) < 3:
        raise ContentError(f"expected sequences, got {len(x.shape)} axes")
    axes = tuple(range(1, len(x.shape) - 1))
    keep = bool(config.get("keepdims"))
    return axes, (x.shape[0], *((1,) * len(axes) if keep else ()), x.shape[-1]), int(keep)


def reduced(builder: Builder, config: Config, x: Tensor, op: str) -> Tensor:
    """The operations ``keras.ops.mean`` and ``sum``, along one axis."""
    axis = axis_of(config.get("axis"), len(x.shape))
    keep = bool(config.get("keepdims"))
    shape = (*x.shape[:axis], *((1,) if keep else ()), *x.shape[axis + 1 :])
    if op == "ReduceSum":
        return Tensor(builder.op(op, x.name, builder.integers(axis), keepdims=int(keep)), shape)
    return Tensor(builder.op(op, x.name, axes=(axis,), keepdims=int(keep)), shape)
