"""Sequences of arrays, which decoders that PyTorch exports keep while they loop: `Arrays`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn.interop.onnx.graph import AnyArray
from pyrnn.interop.onnx.operators._build import Build, Builder, Function, axis_of, ints, plain


class Arrays(list[AnyArray]):
    """A sequence, which no operator changes: each makes a new one."""


def _sequence(value: Any) -> Arrays:
    if not isinstance(value, Arrays):
        raise ValueError("expected a sequence of arrays, got an array")
    return value


def _place(sequence: Arrays, place: AnyArray | None, most: int) -> int:
    """An index from the front; ``most`` is the first that is too large."""
    if place is None:
        return len(sequence) if most > len(sequence) else len(sequence) - 1
    index = ints(place)[0]
    found = index + len(sequence) if index < 0 else index
    if not 0 <= found < most:
        raise ValueError(f"expected a place in a sequence of {len(sequence)}, got {index}")
    return found


def _at(sequence: Any, place: AnyArray) -> Any:
    return _sequence(sequence)[_place(sequence, place, len(sequence))]


def _insert(sequence: Any, array: AnyArray, place: AnyArray | None = None) -> Any:
    index = _place(_sequence(sequence), place, len(sequence) + 1)
    return Arrays([*sequence[:index], array, *sequence[index:]])


def _erase(sequence: Any, place: AnyArray | None = None) -> Any:
    index = _place(_sequence(sequence), place, len(sequence))
    return Arrays([*sequence[:index], *sequence[index + 1 :]])


def _joined(build: Build) -> Function:
    axis, new = build.integer("axis", 0), build.flag("new_axis")

    def join(sequence: Any) -> Any:
        arrays = _sequence(sequence)
        return np.stack(arrays, axis) if new else np.concatenate(arrays, axis)

    return join


def _split(build: Build) -> Function:
    axis, keep = build.integer("axis", 0), build.flag("keepdims", True)

    def split(x: AnyArray, sizes: AnyArray | None = None) -> Any:
        along = axis_of(axis, x.ndim)
        total = x.shape[along]
        if sizes is None:
            parts = np.split(x, total, along) if total else []
            return Arrays(parts if keep else [part.squeeze(along) for part in parts])
        if sizes.ndim == 0:
            step = ints(sizes)[0]
            if step < 1:
                raise ValueError(f"split: expected a whole number above 0, got {step}")
            ends = list(range(step, total, step))
        else:
            each = ints(sizes)
            if sum(each) != total or min(each, default=0) < 0:
                raise ValueError(f"split: expected sizes that add up to {total}, got {each}")
            ends = np.cumsum(each)[:-1].tolist()
        return Arrays(np.split(x, ends, along))

    return split


TABLE: Mapping[str, Builder] = {
    "ConcatFromSequence": _joined,
    "SequenceAt": plain(_at),
    "SequenceConstruct": plain(lambda *arrays: Arrays(arrays)),
    "SequenceEmpty": plain(Arrays),
    "SequenceErase": plain(_erase),
    "SequenceInsert": plain(_insert),
    "SequenceLength": plain(lambda sequence: np.array(len(_sequence(sequence)), np.int64)),
    "SplitToSequence": _split,
}
MAKERS = ("SequenceConstruct", "SequenceEmpty", "SplitToSequence")
"""Those of arrays, or of nothing; a sequence is no constant of a graph."""
