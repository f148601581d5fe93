"""Operators that move numbers without changing them: shapes, slices, joins, pads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn.interop.onnx.graph import AnyArray, GraphError
from pyrnn.interop.onnx.operators._build import (
    Build,
    Builder,
    Function,
    OfFirst,
    axis_of,
    check_size,
    ints,
    plain,
)


def _listed(build: Build, name: str, index: int, since: int) -> Function:
    """Whole numbers: an attribute in early versions, an input in later ones; None if absent."""
    if build.opset < since:
        given = build.integers(name)
        return lambda array: given
    fixed = build.constant(index)
    if fixed is not None:
        numbers = ints(fixed)
        return lambda array: numbers
    return lambda array: None if array is None else ints(array)


def _transpose(build: Build) -> Function:
    order = build.integers("perm")
    return lambda x: x.transpose(order)


def _squeeze(build: Build) -> Function:
    axes = _listed(build, "axes", 1, 13)

    def squeeze(x: AnyArray, given: AnyArray | None = None) -> Any:
        which = axes(given)
        return x.squeeze() if which is None else x.squeeze(axis=tuple(which))

    return squeeze


def _unsqueeze(build: Build) -> Function:
    axes = _listed(build, "axes", 1, 13)
    indices: dict[tuple[int, ...], Any] = {}

    def unsqueeze(x: AnyArray, given: AnyArray | None = None) -> Any:
        wanted = tuple(axes(given) or ())
        index = indices.get((x.ndim, *wanted))
        if index is None:
            shape = np.expand_dims(np.empty((2,) * min(x.ndim, 8), np.bool_), wanted).shape
            if x.ndim > 8:
                return np.expand_dims(x, wanted)
            index = tuple(None if size == 1 else slice(None) for size in shape)
            indices[(x.ndim, *wanted)] = index
        return x[index]

    return unsqueeze


def _reshape(build: Build) -> Function:
    sizes = _listed(build, "shape", 1, 5)
    allow_zero = build.flag("allowzero")
    fixed = build.constant(1) if build.opset >= 5 else None
    if fixed is not None and (allow_zero or fixed.all()):
        always = ints(fixed)
        return OfFirst(lambda x: x.reshape(always))

    def reshape(x: AnyArray, given: AnyArray | None = None) -> Any:
        shape = list(sizes(given) or ())
        if not allow_zero:
            shape = [x.shape[i] if size == 0 else size for i, size in enumerate(shape)]
        return x.reshape(shape)

    return reshape


def _flatten(build: Build) -> Function:
    axis = build.integer("axis", 1)

    def flatten(x: AnyArray) -> Any:
        first = axis + x.ndim if axis < 0 else axis
        return x.reshape(int(np.prod(x.shape[:first], dtype=int)), -1 if x.size else 0)

    return flatten


def _expand(x: AnyArray, shape: AnyArray) -> Any:
    wanted = np.broadcast_shapes(x.shape, tuple(ints(shape)))
    check_size(wanted)
    return np.broadcast_to(x, wanted)


def _tile(x: AnyArray, repeats: AnyArray) -> Any:
    counts = ints(repeats)
    check_size([n * m for n, m in zip(x.shape, counts, strict=True)])
    return np.tile(x, counts)


def _shape(build: Build) -> Function:
    begin, end = build.integer("start", 0), build.node.attributes.get("end")
    return lambda x: np.array(x.shape[begin:end], np.int64)


def _concat(build: Build) -> Function:
    axis = build.integer("axis", 1)
    return lambda *arrays: np.concatenate(arrays, axis=axis)


def _split(build: Build) -> Function:
    axis = build.integer("axis", 0)
    sizes = _listed(build, "split", 1, 13)
    count = len(build.node.outputs)

    def split(x: AnyArray, given: AnyArray | None = None) -> Any:
        parts = sizes(given)
        length = x.shape[axis]
        if parts is None:
            each = -(-length // count)
            parts = [each] * (count - 1) + [length - each * (count - 1)]
        if sum(parts) != length or min(parts) < 0 or len(parts) != count:
            raise ValueError(f"split: expected {count} sizes that add up to {length}, got {parts}")
        return tuple(np.split(x, np.cumsum(parts[:-1]), axis=axis))

    return split


def _slice(build: Build) -> Function:
    if build.opset < 10:
        starts, ends = build.integers("starts") or (), build.integers("ends") or ()
        axes = build.integers("axes") or tuple(range(len(starts)))
        return lambda x: x[_index(x, starts, ends, axes, (1,) * len(starts))]
    fixed = [build.constant(index) for index in range(1, 5)]
    if all(array is not None or not build.given(i + 1) for i, array in enumerate(fixed)):
        return _fixed_slice([None if array is None else ints(array) for array in fixed])

    def run(x: AnyArray, *rest: AnyArray | None) -> Any:
        return _sliced(x, *(None if array is None else ints(array) for array in rest))

    return run


def _fixed_slice(known: list[Any]) -> Function:
    """A constant slice; with positive steps it depends on the number of axes only."""
    indices: dict[int, Any] = {}
    forwards = known[3] is None or min(known[3], default=1) > 0

    def run(x: AnyArray) -> Any:
        index = indices.get(x.ndim)
        if index is None:
            starts, ends, axes, steps = known
            axes = range(len(starts)) if axes is None else axes
            steps = [1] * len(starts) if steps is None else steps
            index = _index(x, starts, ends, axes, steps)
            if forwards:
                indices[x.ndim] = index
        return x[index]

    return OfFirst(run)


def _sliced(x: AnyArray, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    return x[_index(x, starts, ends, axes, steps)]


def _index(x: AnyArray, starts: Any, ends: Any, axes: Any, steps: Any) -> tuple[slice, ...]:
    """The slice of each axis; backwards, an end before the first means up to it."""
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis_of(axis, x.ndim)
        length = x.shape[axis]
        if step < 0:
            start = min(start + length if start < 0 else start, length - 1)
            end = end + length if end < 0 else end
            index[axis] = slice(max(start, 0), None if end < 0 else end, step)
            if start < 0:
                index[axis] = slice(0, 0)
        else:
            index[axis] = slice(start, end, step)
    return tuple(index)


# --- looking up -----------------------------------------------------------------------------


def _gather(build: Build) -> Function:
    axis = build.integer("axis", 0)
    return lambda x, indices: np.take(x, indices, axis=axis)


def _gather_elements(build: Build) -> Function:
    axis = build.integer("axis", 0)

    def gather(x: AnyArray, indices: AnyArray) -> Any:
        places: list[AnyArray] = list(np.indices(indices.shape, sparse=True))
        places[axis] = indices
        return x[tuple(places)]

    return gather


def _gather_nd(build: Build) -> Function:
    batch = build.integer("batch_dims", 0)

    def gather(x: AnyArray, indices: AnyArray) -> Any:
        shared = indices.shape[:batch]
        if not batch:
            return x[tuple(np.moveaxis(indices, -1, 0))]
        rows = x.reshape(-1, *x.shape[batch:])
        own = indices.reshape(-1, *indices.shape[batch:])
        found = [row[tuple(np.moveaxis(one, -1, 0))] for row, one in zip(rows, own, strict=True)]
        return np.stack(found).reshape(*shared, *found[0].shape)

    return gather


def _scatter_elements(build: Build) -> Function:
    axis, how = build.integer("axis", 0), build.text("reduction", "none")
    put = _reduction(build, how)

    def scatter(x: AnyArray, indices: AnyArray, updates: AnyArray) -> Any:
        places: list[AnyArray] = list(np.indices(indices.shape, sparse=True))
        places[axis] = np.where(indices < 0, indices + x.shape[axis], indices)
        y = x.copy()
        put(y, tuple(places), updates)
        return y

    return scatter


def _scatter_nd(build: Build) -> Function:
    put = _reduction(build, build.text("reduction", "none"))

    def scatter(x: AnyArray, indices: AnyArray, updates: AnyArray) -> Any:
        y = x.copy()
        put(y, tuple(np.moveaxis(indices, -1, 0)), updates)
        return y

    return scatter


def _reduction(build: Build, how: str) -> Function:
    found: dict[str, Any] = {
        "add": np.add.at,
        "mul": np.multiply.at,
        "max": np.maximum.at,
        "min": np.minimum.at,
    }
    if how == "none":
        return lambda y, places, updates: y.__setitem__(places, updates)
    if how not in found:
        raise build.unsupported(f"reduction {how!r}")
    put: Function = found[how]
    return put


def _one_hot(build: Build) -> Function:
    axis = build.integer("axis", -1)

    def one_hot(indices: AnyArray, depth: AnyArray, values: AnyArray) -> Any:
        (size,) = ints(depth)
        check_size((*indices.shape, size))
        where = axis + indices.ndim + 1 if axis < 0 else axis
        numbers = np.asarray(indices).astype(np.int64)
        places = np.expand_dims(np.where(numbers < 0, numbers + size, numbers), where)
        range_shape = [1] * (indices.ndim + 1)
        range_shape[where] = size
        return np.where(places == np.arange(size).reshape(range_shape), values[1], values[0])

    return one_hot


def _compress(build: Build) -> Function:
    axis = build.integer("axis", 0) if "axis" in build.node.attributes else None
    return lambda x, condition: np.compress(condition, x, axis=axis)


# --- making ---------------------------------------------------------------------------------


def _constant(build: Build) -> Function:
    forms = build.node.attributes
    value: AnyArray | None = build.array("value")
    if "value_float" in forms:
        value = np.array(build.number("value_float", 0), np.float32)
    elif "value_int" in forms:
        value = np.array(build.integer("value_int", 0), np.int64)
    elif "value_floats" in forms:
        value = np.array(build.numbers("value_floats"), np.float32)
    elif "value_ints" in forms:
        value = np.array(build.integers("value_ints"), np.int64)
    if value is None:
        raise build.unsupported(f"a constant given as {', '.join(forms) or 'nothing'}")
    return lambda: value


def _constant_of_shape(build: Build) -> Function:
    value = build.array("value")
    fill = np.zeros(1, np.float32) if value is None else value
    if fill.size != 1:
        raise GraphError(f"{build.node}: value: expected one number, got shape {fill.shape}")

    def make(shape: AnyArray) -> Any:
        sizes = ints(shape)
        check_size(sizes)
        return np.full(sizes, fill.reshape(()), fill.dtype)

    return make


def _range(start: AnyArray, limit: AnyArray, delta: AnyArray) -> Any:
    first, end, step = (array.reshape(()).item() for array in (start, limit, delta))
    check_size((max(0, int(np.ceil((end - first) / step))),))
    return np.arange(first, end, step, dtype=start.dtype)


# --- padding --------------------------------------------------------------------------------


def _pad(build: Build) -> Function:
    mode = build.text("mode", "constant")
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise build.unsupported(f"mode {mode!r}")
    if build.opset < 11:
        pads = build.integers("pads") or build.integers("paddings") or ()
        value = build.number("value", 0.0)
        return lambda x: _padded(x, list(pads), mode, value, None)
    if build.opset < 18 and build.given(3):
        raise GraphError(f"{build.node}: axes: expected none before version 18")
    fixed = build.constant(1)
    if mode == "reflect" and fixed is not None and not build.given(3):
        reflection = _fixed_reflection(ints(fixed))
        if reflection is not None:
            return reflection

    def run(
        x: AnyArray,
        pads: AnyArray,
        value: AnyArray | None = None,
        axes: AnyArray | None = None,
    ) -> Any:
        fill = 0 if value is None else value.reshape(())
        return _padded(x, ints(pads), mode, fill, None if axes is None else ints(axes))

    return run


def _padded(x: AnyArray, pads: list[int], mode: str, value: Any, axes: list[int] | None) -> Any:
    axes = list(range(x.ndim)) if axes is None else [axis_of(axis, x.ndim) for axis in axes]
    if len(pads) != 2 * len(axes):
        raise ValueError(f"pads: expected {2 * len(axes)} numbers, got {len(pads)}")
    widths = [(0, 0)] * x.ndim
    for axis, before, behind in zip(axes, pads, pads[len(axes) :], strict=False):
        widths[axis] = (before, behind)
    # A negative width cuts.
    cut = tuple(
        slice(max(0, -before), size - max(0, -behind))
        for (before, behind), size in zip(widths, x.shape, strict=True)
    )
    x = x[cut] if min(pads, default=0) < 0 else x
    added = [(max(0, before), max(0, behind)) for before, behind in widths]
    check_size([size + sum(ends) for size, ends in zip(x.shape, added, strict=True)])
    if mode == "constant":
        y = np.full(
            [size + sum(ends) for size, ends in zip(x.shape, added, strict=True)], value, x.dtype
        )
        inner = [slice(a, a + size) for (a, _), size in zip(added, x.shape, strict=True)]
        y[tuple(inner)] = x
        return y
    for axis, (before, behind) in enumerate(added):
        if before or behind:
            x = _padded_axis(x, axis, before, behind, mode)
    return x


def _fixed_reflection(pads: list[int]) -> Function | None:
    """Reflect one axis by constant widths; None for several axes or a negative width."""
    axes = len(pads) // 2
    padded = [axis for axis in range(axes) if pads[axis] or pads[axes + axis]]
    if len(padded) != 1 or min(pads) < 0 or len(pads) % 2:
        return None
    (axis,) = padded
    before, behind = pads[axis], pads[axes + axis]
    places: dict[int, AnyArray] = {}

    def run(x: AnyArray, *_: AnyArray | None) -> Any:
        if x.ndim != axes:
            raise ValueError(f"pads: expected {2 * x.ndim} numbers, got {len(pads)}")
        size = x.shape[axis]
        if max(before, behind) >= size:
            return _padded_axis(x, axis, before, behind, "reflect")
        indices = places.get(size)
        if indices is None:
            check_size([n + (before + behind) * (i == axis) for i, n in enumerate(x.shape)])
            indices = np.pad(np.arange(size), (before, behind), mode="reflect")
            places.clear() if len(places) > 64 else None
            places[size] = indices
        return x.take(indices, axis=axis)

    return run


def _padded_axis(x: AnyArray, axis: int, before: int, behind: int, mode: str) -> Any:
    """Pad with elements of the axis itself; a plain reflection is three pieces."""
    size = x.shape[axis]
    if mode != "reflect" or max(before, behind) >= size:
        widths = [(0, 0)] * x.ndim
        widths[axis] = (before, behind)
        return np.pad(x, widths, mode=mode)  # type: ignore[call-overload]
    lead = (slice(None),) * axis
    first = x[(*lead, slice(before, 0, -1))]
    last = x[(*lead, slice(size - 2, size - 2 - behind if behind < size - 1 else None, -1))]
    return np.concatenate((first, x, last) if behind else (first, x), axis=axis)


TABLE: Mapping[str, Builder] = {
    "Compress": _compress,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Expand": plain(_expand),
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "NonZero": plain(lambda x: np.array(np.nonzero(x), np.int64)),
    "OneHot": _one_hot,
    "Pad": _pad,
    "Range": plain(_range),
    "Reshape": _reshape,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Shape": _shape,
    "Size": plain(lambda x: np.array(x.size, np.int64)),
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": plain(_tile),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
