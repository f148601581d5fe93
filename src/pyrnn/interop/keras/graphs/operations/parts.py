"""Operations ``keras.ops`` that move, cut, join and give another form, and ``x[...]``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn.interop.keras.graphs import merging
from pyrnn.interop.keras.graphs.builder import Builder, Tensor, axes_of, axis_of
from pyrnn.interop.keras.hdf5 import ContentError

Config = Mapping[str, Any]
Argument = Any
"""A `Tensor`, a number, or what else a call has."""
Maker = Callable[[Builder, Config, Sequence[Argument]], list[Tensor]]


def _transpose(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    x = arguments[0]
    given = config.get("axes")
    count = len(x.shape)
    order = (
        list(range(count))[::-1] if given is None
        else [axis_of(one, count, "axes") for one in (given if isinstance(given, list) else [])]
    )  # fmt: skip
    if sorted(order) != list(range(count)):
        raise ContentError(f"axes: expected each axis once, got {str(given)[:50]}")
    return [_moved(builder, x, order)]


def _moved(builder: Builder, x: Tensor, order: Sequence[int]) -> Tensor:
    shape = tuple(x.shape[axis] for axis in order)
    return Tensor(builder.transposed(x.name, *order), shape, None, x.kind)


def _swapped(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    x = arguments[0]
    first, second = (axis_of(config.get(n), len(x.shape), n) for n in ("axis1", "axis2"))
    order = list(range(len(x.shape)))
    order[first], order[second] = second, first
    return [_moved(builder, x, order)]


def _expanded(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    x = arguments[0]
    given = config.get("axis")
    places = given if isinstance(given, list) else [given]
    axes = axes_of(places, len(x.shape) + len(places))
    shape = list(x.shape)
    for axis in axes:
        shape.insert(axis, 1)
    y = builder.op("Unsqueeze", x.name, builder.integers(*axes))
    return [Tensor(y, tuple(shape), None, x.kind)]


def _squeezed(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    x = arguments[0]
    given = config.get("axis")
    ones = [axis for axis, size in enumerate(x.shape) if size == 1]
    axes = axes_of(ones if given is None else given, len(x.shape))
    if any(x.shape[axis] not in (None, 1) for axis in axes):
        raise ContentError(f"axis: expected axes of size 1, got {x.shape}")
    shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    y = builder.op("Squeeze", x.name, builder.integers(*axes))
    return [Tensor(y, shape, None, x.kind)]


def _concatenated(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    tensors = [one for one in arguments if isinstance(one, Tensor)]
    if len(tensors) != len(arguments):
        raise ContentError("expected arrays, got numbers")
    kinds = {one.kind for one in tensors}
    kind = kinds.pop() if len(kinds) == 1 else "float"
    tensors = [builder.of_kind(one, kind) for one in tensors]
    return [merging.concatenate(builder, config, [one._replace(mask=None) for one in tensors])]


def _stacked(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    tensors = [one for one in arguments if isinstance(one, Tensor)]
    axis = axis_of(config.get("axis", 0), len(tensors[0].shape) + 1)
    raised = [_expanded(builder, {"axis": axis}, [one])[0] for one in tensors]
    return _concatenated(builder, {"axis": axis}, raised)


def _split(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    x = arguments[0]
    axis = axis_of(config.get("axis", 0), len(x.shape))
    given, size = config.get("indices_or_sections"), x.shape[axis]
    if size is None:
        raise ContentError("expected an axis of known size")
    if type(given) is int and 0 < given <= size and size % given == 0:
        ends = [size // given * n for n in range(given + 1)]
    elif isinstance(given, list) and all(type(n) is int and 0 < n < size for n in given):
        ends = [0, *given, size]
    else:
        raise ContentError(f"indices_or_sections: expected parts of {size}, got {str(given)[:50]}")
    sizes = [end - begin for begin, end in itertools.pairwise(ends)]
    if min(sizes) < 1:
        raise ContentError("indices_or_sections: expected places in order")
    names = builder.ops("Split", [x.name, builder.integers(*sizes)], len(sizes), axis=axis)
    shapes = [(*x.shape[:axis], one, *x.shape[axis + 1 :]) for one in sizes]
    return [Tensor(name, shape, None, x.kind) for name, shape in zip(names, shapes, strict=True)]


def _flipped(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    x = arguments[0]
    given = config.get("axis")
    axes = axes_of(list(range(len(x.shape))) if given is None else given, len(x.shape))
    y = x.name
    for axis in axes:
        least = int(np.iinfo(np.int64).min)
        y = builder.op("Slice", y, *(builder.integers(one) for one in (-1, least, axis, -1)))
    return [x._replace(name=y, mask=None)]


# --- parts and forms ------------------------------------------------------------------------


def _item(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    """``x[...]`` with numbers, slices, an ellipsis and new axes."""
    x, keys = arguments[0], list(arguments[1:])
    ellipses = [n for n, key in enumerate(keys) if _class_of(key) == "__ellipsis__"]
    if len(ellipses) > 1 or any(isinstance(key, Tensor) for key in keys):
        raise ContentError("expected numbers and slices as an index")
    taken = sum(key is not None for key in keys) - len(ellipses)
    whole: Any = {"class_name": "__slice__", "config": {}}
    missing = [whole] * (len(x.shape) - taken)
    place = ellipses[0] if ellipses else len(keys)
    keys = keys[:place] + missing + keys[place + 1 :]
    y, axis = x.name, 0
    gone: list[int] = []
    new: list[int] = []
    shape: list[int | None] = []
    for number, key in enumerate(keys):
        if key is None:
            new.append(number - len(gone))
            shape.append(1)
            continue
        if axis >= len(x.shape):
            raise ContentError(f"expected at most {len(x.shape)} places of an index")
        size = x.shape[axis]
        if type(key) is int:
            end = key + 1 if key != -1 else int(np.iinfo(np.int64).max)
            if size is not None and not -size <= key < size:
                raise ContentError(f"expected a place below {size}, got {key}")
            y = builder.sliced(y, axis, key, end)
            gone.append(axis)
        else:
            y, left = _slice(builder, y, axis, size, key)
            shape.append(left)
        axis += 1
    if gone:
        y = builder.op("Squeeze", y, builder.integers(*gone))
    if new:
        y = builder.op("Unsqueeze", y, builder.integers(*new))
    return [Tensor(y, tuple(shape), None, x.kind)]


def _class_of(key: Any) -> Any:
    return key.get("class_name") if isinstance(key, dict) else None


def _slice(
    builder: Builder, name: str, axis: int, size: int | None, key: Any
) -> tuple[str, int | None]:
    config = key.get("config") if _class_of(key) == "__slice__" else None
    if not isinstance(config, dict):
        raise ContentError(f"expected numbers and slices as an index, got {str(key)[:50]}")
    start, stop, step = (config.get(one) for one in ("start", "stop", "step"))
    if any(one is not None and type(one) is not int for one in (start, stop, step)) or step == 0:
        raise ContentError("expected whole numbers in a slice")
    left = None if size is None else len(range(size)[start:stop:step])
    if (start, stop, step) in ((None, None, None), (0, None, None), (None, None, 1)):
        return name, size
    step = 1 if step is None else step
    ends = np.iinfo(np.int64)
    begin = (0 if step > 0 else -1) if start is None else start
    end = (int(ends.max) if step > 0 else int(ends.min)) if stop is None else stop
    places = [builder.integers(one) for one in (begin, end, axis, step)]
    return builder.op("Slice", name, *places), left


def _reshaped(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    x = arguments[0]
    given = config.get("newshape", config.get("shape"))
    if not isinstance(given, list) or not all(type(n) is int and (n > 0 or n == -1)
                                              for n in given):  # fmt: skip
        raise ContentError(f"newshape: expected sizes, got {str(given)[:50]}")
    if given.count(-1) > 1:
        raise ContentError("newshape: expected at most one size of -1")
    rest = int(np.prod([n for n in given if n != -1], dtype=np.int64))
    sizes = [size for size in x.shape if size is not None]
    whole = None
    if len(sizes) == len(x.shape):
        whole = int(np.prod(sizes, dtype=np.int64)) // rest
    shape = tuple(whole if n == -1 else n for n in given)
    return [Tensor(builder.reshaped(x.name, *given), shape, None, x.kind)]


TABLE: Mapping[str, Maker] = {
    "Concatenate": _concatenated,
    "ExpandDims": _expanded,
    "Flip": _flipped,
    "GetItem": _item,
    "Reshape": _reshaped,
    "Split": _split,
    "Squeeze": _squeezed,
    "Stack": _stacked,
    "Swapaxes": _swapped,
    "Transpose": _transpose,
}
