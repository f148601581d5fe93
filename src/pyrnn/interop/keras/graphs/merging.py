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
        else:  # Keras puts the missing axes behind the batch
            names.append(_raised(builder, one, axes))
    if not builder.old and any(one.mask is not None for one in tensors):
        names = _without_masked(builder, class_name, tensors, names)
    value = names[0]
    if op == "Mean":
        value = builder.op("Mean", *names)
    else:
        for name in names[1:]:
            value = builder.op(op, value, name)
    shapes = [one.shape for one in tensors]
    full = [(*shape[:1], *((1,) * (axes - len(shape))), *shape[1:]) for shape in shapes]
    return Tensor(value, broadcast(full, shapes), _all(builder, tensors))


def _without_masked(
    builder: Builder, class_name: str, tensors: Sequence[Tensor], names: Sequence[str]
) -> list[str]:
    """In Keras 3 masked steps change neither a product, nor a maximum, nor a minimum."""
    names = list(names)
    if class_name not in ("Multiply", "Maximum", "Minimum") or len(names) != len(tensors):
        return names
    if any(len(one.shape) != 3 for one in tensors):
        raise ContentError("expected sequences where there are masks")
    flags = [None if one.mask is None else builder.op("Unsqueeze", one.mask, builder.integers(2))
             for one in tensors]  # fmt: skip
    if class_name == "Multiply":
        one = builder.number(1.0)
        names = [name if flag is None else builder.op("Where", flag, name, one)
                 for name, flag in zip(names, flags, strict=True)]  # fmt: skip
        every = _folded(builder, "Or", flags) if all(flags) else None
        if every is not None:  # no step is 1 for the lack of numbers
            names[0] = builder.op("Where", every, names[0], builder.number(0.0))
        return names
    if len(names) != 2:
        raise ContentError("masks of more than two arrays are not implemented")
    first, second = names
    if flags[1] is not None:
        second = builder.op("Where", flags[1], second, names[0])
    if flags[0] is not None:
        first = builder.op("Where", flags[0], first, second)
    return [first, second]


def _raised(builder: Builder, x: Tensor, axes: int) -> str:
    missing = range(1, 1 + axes - len(x.shape))
    return builder.op("Unsqueeze", x.name, builder.integers(*missing))


def broadcast(full: Sequence[Shape], shapes: Sequence[Shape]) -> Shape:
    """The shape of arrays of as many axes each; ``shapes`` are those that a message shows."""
    found: list[int | None] = []
    for sizes in zip(*full, strict=True):
        more = [size for size in sizes if size not in (None, 1)]
        if len(set(more)) > 1:
            raise ContentError(f"expected arrays that fit, got {', '.join(map(str, shapes))}")
        found.append(more[0] if more else None if None in sizes else 1)
    return tuple(found)


def _all(builder: Builder, tensors: Sequence[Tensor]) -> str | None:
    """The steps that count in any array if all say which do; before Keras 3, in all that say."""
    masks = [one.mask for one in tensors]
    if not any(masks) or not (all(masks) or builder.old):
        return None
    return _folded(builder, "And" if builder.old else "Or", masks)


def concatenate(builder: Builder, config: Config, tensors: Sequence[Tensor]) -> Tensor:
    """Concatenate along one axis."""
    if not tensors or len({len(one.shape) for one in tensors}) != 1:
        raise ContentError("expected arrays of as many axes each")
    axis = axis_of(config.get("axis", -1), len(tensors[0].shape))
    shapes = [one.shape for one in tensors]
    for one in shapes[1:]:
        pairs = [pair for n, pair in enumerate(zip(shapes[0], one, strict=True)) if n != axis]
        if any(None not in pair and pair[0] != pair[1] for pair in pairs):
            raise ContentError(f"expected arrays that fit, got {', '.join(map(str, shapes))}")
    sizes = [one.shape[axis] for one in tensors]
    total = None if None in sizes else sum(size for size in sizes if size is not None)
    shape = list(tensors[0].shape)
    shape[axis] = total
    y = builder.op("Concat", *(one.name for one in tensors), axis=axis)
    return Tensor(y, tuple(shape), _together(builder, tensors, axis), tensors[0].kind)


def _together(builder: Builder, tensors: Sequence[Tensor], axis: int) -> str | None:
    """The mask of concatenated arrays; an array that says nothing counts with all of its steps.

    Of features, a step counts if it does in any of the arrays; before Keras 3, if in all.
    """
    masks = [one.mask for one in tensors]
    if not any(masks):
        return None
    if axis != 1:
        if not builder.old:
            if not all(masks):
                return None
            return _folded(builder, "Or", masks)
        return _folded(builder, "And", masks)
    flags = []
    for one in tensors:
        if one.mask is None:
            sizes = builder.sliced(builder.op("Shape", one.name), 0, 0, 2)
            true = builder.constant(np.array([True]), "value")
            flags.append(builder.op("Expand", true, sizes))
        else:
            flags.append(one.mask)
    return builder.op("Concat", *flags, axis=1)


def _folded(builder: Builder, op: str, masks: Sequence[str | None]) -> str:
    first, *others = dict.fromkeys(mask for mask in masks if mask is not None)
    for other in others:
        first = builder.op(op, first, other)
    return first


def dot(builder: Builder, config: Config, tensors: Sequence[Tensor]) -> Tensor:
    """Dot of two arrays along one axis of each."""
    if len(tensors) != 2 or any(len(one.shape) not in (2, 3) for one in tensors):
        raise ContentError("expected two arrays of two or three axes")
    given = config.get("axes", -1)
    both = given if isinstance(given, list) else [given, given]
    sizes_of([axis if type(axis) is int else None for axis in both], 2, "axes", least=-3)
    axes = [axis_of(axis, len(one.shape)) for axis, one in zip(both, tensors, strict=True)]
    if 0 in axes:
        raise ContentError("axes: expected none over the batch")
    if config.get("normalize"):
        tensors = [_of_length_one(builder, one, axis)
                   for one, axis in zip(tensors, axes, strict=True)]  # fmt: skip
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


def _of_length_one(builder: Builder, x: Tensor, axis: int) -> Tensor:
    square = builder.op("Mul", x.name, x.name)
    total = builder.op("ReduceSum", square, builder.integers(axis), keepdims=1)
    length = builder.op("Sqrt", builder.op("Max", total, builder.number(1e-12)))
    return x._replace(name=builder.op("Div", x.name, length))


def _last(builder: Builder, x: Tensor, axis: int) -> Tensor:
    """An array of three axes, of which the last is this one."""
    if len(x.shape) == 2:
        raised = builder.op("Unsqueeze", x.name, builder.integers(1))
        return Tensor(raised, (x.shape[0], 1, x.shape[1]))
    if axis == 2:
        return x
    return Tensor(builder.transposed(x.name, 0, 2, 1), (x.shape[0], x.shape[2], x.shape[1]))


# --- masks ----------------------------------------------------------------------------------


def differs(builder: Builder, x: Tensor, value: Any) -> str:
    """Where an array is not this number."""
    dtype = np.int64 if x.kind == "int" else builder.dtype
    wanted = np.array(number_of(value, "mask_value"), dtype)
    name = builder.constant(wanted, "value")
    return builder.op("Not", builder.op("Equal", x.name, name))


def any_of(builder: Builder, name: str, axis: int) -> str:
    """Whether any flag along an axis is set."""
    numbers = builder.cast(name, np.int32)
    found = builder.op("ReduceMax", numbers, axes=(axis,), keepdims=0)
    return builder.cast(found, np.bool_)
