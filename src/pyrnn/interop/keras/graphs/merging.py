"""Layers and operations of Keras that take several arrays, or an array and a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn.interop.keras.graphs.builder import Builder, Shape, Tensor, axis_of, number_of, sizes_of
from pyrnn.interop.keras.hdf5 import ContentError

Config = Mapping[str, Any]
Argument = Tensor | float
ELEMENTWISE = {
    "Add": "Add",
    "Subtract": "Sub",
    "Multiply": "Mul",
    "Divide": "Div",
    "TrueDivide": "Div",
    "Maximum": "Max",
    "Minimum": "Min",
    "Average": "Mean",
}
_OF_TWO = ("Sub", "Div")


def elementwise(builder: Builder, class_name: str, arguments: Sequence[Argument]) -> Tensor:
    """Add, Subtract, Multiply and so on; also the operations of these names."""
    op = ELEMENTWISE[class_name]
    if len(arguments) < 2 or (op in _OF_TWO and len(arguments) != 2):
        raise ContentError(f"expected two arrays or more, got {len(arguments)}")
    tensors = [one for one in arguments if isinstance(one, Tensor)]
    axes = max(len(one.shape) for one in tensors)
    names = []
    for one in arguments:
        if not isinstance(one, Tensor):
            names.append(builder.number(number_of(one, "a number")))
        elif len(one.shape) == axes:
            names.append(one.name)
        elif class_name in ("Add", "Subtract", "Multiply", "Divide", "TrueDivide"):
            # Keras puts the missing axes behind the batch.
            names.append(_raised(builder, one, axes))
        else:
            raise ContentError("expected arrays of as many axes each")
    value = names[0]
    if op == "Mean":
        value = builder.op("Mean", *names)
    else:
        for name in names[1:]:
            value = builder.op(op, value, name)
    return Tensor(value, _broadcast([one.shape for one in tensors], axes), _all(builder, tensors))


def _raised(builder: Builder, x: Tensor, axes: int) -> str:
    missing = range(1, 1 + axes - len(x.shape))
    return builder.op("Unsqueeze", x.name, builder.integers(*missing))


def _broadcast(shapes: Sequence[Shape], axes: int) -> Shape:
    full = [(*shape[:1], *((1,) * (axes - len(shape))), *shape[1:]) for shape in shapes]
    found: list[int | None] = []
    for sizes in zip(*full, strict=True):
        more = [size for size in sizes if size not in (None, 1)]
        if len(set(more)) > 1:
            raise ContentError(f"expected arrays that fit, got {', '.join(map(str, shapes))}")
        found.append(more[0] if more else None if None in sizes else 1)
    return tuple(found)


def _all(builder: Builder, tensors: Sequence[Tensor]) -> str | None:
    """The steps that count in all arrays that say which do."""
    masks = list(dict.fromkeys(one.mask for one in tensors if one.mask is not None))
    if not masks or len(masks) < len({one.mask for one in tensors}):
        return None
    mask = masks[0]
    for other in masks[1:]:
        mask = builder.op("And", mask, other)
    return mask


def concatenate(builder: Builder, config: Config, tensors: Sequence[Tensor]) -> Tensor:
    """Concatenate along one axis."""
    if not tensors or len({len(one.shape) for one in tensors}) != 1:
        raise ContentError("expected arrays of as many axes each")
    axis = axis_of(config.get("axis", -1), len(tensors[0].shape))
    sizes = [one.shape[axis] for one in tensors]
    total = None if None in sizes else sum(size for size in sizes if size is not None)
    shape = list(tensors[0].shape)
    shape[axis] = total
    mask = _all(builder, tensors) if axis != 1 else None
    return Tensor(builder.op("Concat", *(one.name for one in tensors), axis=axis),
                  tuple(shape), mask)  # fmt: skip


def dot(builder: Builder, config: Config, tensors: Sequence[Tensor]) -> Tensor:
    """Dot of two arrays along one axis of each."""
    if len(tensors) != 2 or any(len(one.shape) not in (2, 3) for one in tensors):
        raise ContentError("expected two arrays of two or three axes")
    if config.get("normalize"):
        raise ContentError("normalize is not implemented")
    given = config.get("axes", -1)
    both = given if isinstance(given, list) else [given, given]
    sizes_of([axis if type(axis) is int else None for axis in both], 2, "axes", least=-3)
    axes = [axis_of(axis, len(one.shape)) for axis, one in zip(both, tensors, strict=True)]
    if 0 in axes:
        raise ContentError("axes: expected none over the batch")
    first, second = (_last(builder, one, axis) for one, axis in zip(tensors, axes, strict=True))
    turned = builder.transposed(second.name, 0, 2, 1)
    y = builder.op("MatMul", first.name, turned)
    shape = (first.shape[0], first.shape[1], second.shape[1])
    lost = [axis for axis, one in ((1, tensors[0]), (2, tensors[1])) if len(one.shape) == 2]
    kept = tuple(size for axis, size in enumerate(shape) if axis not in lost)
    if len(lost) == 2:  # Keras keeps an axis
        lost, kept = [2], (shape[0], 1)
    return Tensor(builder.op("Squeeze", y, builder.integers(*lost)), kept) if lost else (
        Tensor(y, shape))  # fmt: skip


def _last(builder: Builder, x: Tensor, axis: int) -> Tensor:
    """An array of three axes, of which the last is this one."""
    if len(x.shape) == 2:
        raised = builder.op("Unsqueeze", x.name, builder.integers(1))
        return Tensor(raised, (x.shape[0], 1, x.shape[1]))
    if axis == 2:
        return x
    return Tensor(builder.transposed(x.name, 0, 2, 1), (x.shape[0], x.shape[2], x.shape[1]))


# --- masks ----------------------------------------------------------------------------------


def differs(builder: Builder, x: Tensor, value: Any, index: bool) -> str:
    """Where an array is not this number; ``index``: of whole numbers."""
    wanted = np.array(number_of(value, "mask_value"), np.int64 if index else builder.dtype)
    name = builder.constant(wanted, "value")
    return builder.op("Not", builder.op("Equal", x.name, name))


def any_of(builder: Builder, name: str, axis: int) -> str:
    """Whether any flag along an axis is set."""
    numbers = builder.cast(name, np.int32)
    found = builder.op("ReduceMax", numbers, axes=(axis,), keepdims=0)
    return builder.cast(found, np.bool_)
