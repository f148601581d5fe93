"""Layers of Keras that move, repeat or cut numbers, and those that take a mean or a maximum."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pyrnn.interop.keras.graphs.builder import Builder, Shape, Tensor, known, sizes_of
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
    """ZeroPadding1D and 2D."""
    pairs = _pairs(config.get("padding", 1), x, "padding")
    pads = [(0, 0), *pairs, (0, 0)]
    sizes = [*(before for before, _ in pads), *(behind for _, behind in pads)]
    y = builder.op("Pad", x.name, builder.integers(*sizes))
    return Tensor(y, _resized(x, lambda size, axis: size + sum(pairs[axis])))


def cropping(builder: Builder, config: Config, x: Tensor) -> Tensor:
    """Cropping1D and 2D."""
    pairs = _pairs(config.get("cropping", 1), x, "cropping")
    y = x.name
    for axis, (before, behind) in enumerate(pairs, 1):
        end = -behind if behind else int(np.iinfo(np.int64).max)
        y = builder.sliced(y, axis, before, end)
    shape = _resized(x, lambda size, axis: size - sum(pairs[axis]))
    if any(size is not None and size < 1 for size in shape):
        raise ContentError(f"cropping: expected less than {x.shape[1:-1]} in all")
    return Tensor(y, shape)


def up_sampling(builder: Builder, config: Config, x: Tensor) -> Tensor:
    """UpSampling1D and 2D: each step several times."""
    check_last(config)
    if config.get("interpolation", "nearest") != "nearest":
        raise ContentError("interpolation: expected nearest, got another")
    count = _spatial(x)
    sizes = sizes_of(config.get("size", config.get("length", 2)), count, "size")
    raised = builder.op("Unsqueeze", x.name, builder.integers(*range(2, 2 * count + 1, 2)))
    each = [part for size in sizes for part in (1, size)]
    tiled = builder.op("Tile", raised, builder.integers(1, *each, 1))
    # Sizes that are known are said, of the others one can be found from the rest.
    shape = _resized(x, lambda size, axis: size * sizes[axis])
    left = [-1 if size is None else size for size in shape[1:-1]]
    if left.count(-1) > 1:
        raise ContentError("expected at most one axis of unknown size")
    y = builder.reshaped(tiled, 0, *left, known(x.features, "features"))
    return Tensor(y, shape)


def _pairs(value: Any, x: Tensor, name: str) -> list[tuple[int, int]]:
    """What is put or cut before and behind each axis between batch and channels."""
    count = _spatial(x)
    if count == 1 and not (isinstance(value, list) and len(value) == 1):
        value = [value]
    given = value if isinstance(value, list) else [value] * count
    if len(given) != count:
        raise ContentError(f"{name}: expected {count} pairs of numbers, got {str(value)[:50]}")
    found = []
    for one in given:
        before, behind = sizes_of(one, 2, name, least=0)
        found.append((before, behind))
    return found


def _spatial(x: Tensor) -> int:
    if len(x.shape) not in (3, 4):
        raise ContentError(f"expected sequences or images, got {len(x.shape)} axes")
    return len(x.shape) - 2


def _resized(x: Tensor, change: Callable[[int, int], int]) -> Shape:
    """The shape with other sizes of the axes between batch and channels."""
    inner = (
        None if size is None else change(size, axis) for axis, size in enumerate(x.shape[1:-1])
    )
    return (x.shape[0], *inner, x.shape[-1])


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
