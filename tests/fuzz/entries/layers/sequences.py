"""Padding and packing, beside the definitions written out element by element."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import pyrnn
from tests.fuzz.case import Case, entry
from tests.fuzz.draw import Draw

Arguments = dict[str, Any]


def _sequence(draw: Draw, steps: int, features: int | None) -> Any:
    if features is None:
        return draw.array(steps)
    return draw.array(steps, features)


def _draw_sequences(draw: Draw) -> list[Any]:
    """Sequences of numbers, or of integers of one dtype."""
    count, features = draw.integer(1, 6), draw.choice((1, 2, 5))
    lengths = [draw.steps() for _ in range(count)]
    if draw.chance(0.3):
        dtype = draw.choice((np.int64, np.int32, np.uint8))
        return [np.asarray(draw.integers(n, below=9), dtype) for n in lengths]
    more = (2,) if draw.chance(0.2) else ()
    return [draw.array(n, features, *more) for n in lengths]


def _draw_padded(draw: Draw) -> Arguments:
    steps, rows, features = draw.steps(), draw.rows(), draw.choice((0, 1, 2, 5))
    batch_first = draw.chance(0.4)
    lead = (rows, steps) if batch_first else (steps, rows)
    x = draw.integers(*lead, below=9) if draw.chance(0.3) else draw.array(*lead, features)
    return {
        "x": x,
        "lengths": draw.integers(rows, below=steps + 1, least=1),
        "batch_first": batch_first,
    }


def _by_time(x: np.ndarray, batch_first: bool) -> np.ndarray:
    return x.swapaxes(0, 1) if batch_first else x


def _cut(a: Arguments) -> list[np.ndarray]:
    """The sequences of a padded batch."""
    x = _by_time(np.asarray(a["x"]), a["batch_first"])
    native = x.astype(x.dtype.newbyteorder("="))
    return [native[: int(n), row].copy() for row, n in enumerate(np.asarray(a["lengths"]))]


def _padded(sequences: list[Any], batch_first: bool) -> tuple[np.ndarray, np.ndarray]:
    arrays = [np.asarray(sequence) for sequence in sequences]
    lengths = np.array([len(array) for array in arrays], np.int64)
    dtype = arrays[0].dtype.newbyteorder("=")
    x = np.zeros((len(arrays), int(lengths.max()), *arrays[0].shape[1:]), dtype)
    for row, array in zip(x, arrays, strict=True):
        for step, value in enumerate(array):
            row[step] = value
    return (x if batch_first else x.swapaxes(0, 1)), lengths


def _packed(sequences: list[Any]) -> tuple[Any, ...]:
    """Step after step, longest sequence first, those of equal length in their order."""
    arrays = [np.asarray(sequence) for sequence in sequences]
    order = sorted(range(len(arrays)), key=lambda n: -len(arrays[n]))
    longest = len(arrays[order[0]])
    rows = [arrays[n][t] for t in range(longest) for n in order if t < len(arrays[n])]
    sizes = [sum(t < len(array) for array in arrays) for t in range(longest)]
    data = np.array(rows, arrays[0].dtype.newbyteorder("="))
    inverse = [order.index(n) for n in range(len(arrays))]
    return (data, *(np.array(part, np.int64) for part in (sizes, order, inverse)))


@entry("pad_sequence", "pad_sequence")
def pad_case(draw: Draw) -> Case:
    """A list of sequences to a padded batch."""
    arguments = {"sequences": _draw_sequences(draw), "batch_first": draw.chance(0.4)}
    return Case(
        arguments,
        lambda a: pyrnn.pad_sequence(**a),
        expected=lambda a: _padded(a["sequences"], a["batch_first"]),
    )


@entry("unpad_sequence", "unpad_sequence")
def unpad_case(draw: Draw) -> Case:
    """A padded batch to a list of sequences."""
    return Case(_draw_padded(draw), lambda a: pyrnn.unpad_sequence(**a), expected=_cut)


@entry("pack_padded_sequence", "pack_padded_sequence", "PackedSequence")
def pack_padded_case(draw: Draw) -> Case:
    """A padded batch to a packed one; where the order is asked for, it may be refused."""
    arguments = _draw_padded(draw)
    if draw.chance(0.2):
        arguments["enforce_sorted"] = True
        arguments["lengths"] = sorted(np.asarray(arguments["lengths"]).tolist(), reverse=True)
    return Case(
        arguments,
        lambda a: pyrnn.pack_padded_sequence(**a),
        expected=lambda a: _packed(_cut(a)),
        names={"enforce_sorted"},
    )


@entry("pack_sequence", "pack_sequence", "PackedSequence")
def pack_case(draw: Draw) -> Case:
    """A list of sequences to a packed batch."""
    arguments: Arguments = {"sequences": _draw_sequences(draw)}
    if draw.chance(0.2):
        arguments["sequences"].sort(key=lambda one: -len(np.asarray(one)))
        arguments["enforce_sorted"] = True
    return Case(
        arguments,
        lambda a: pyrnn.pack_sequence(**a),
        expected=lambda a: _packed(a["sequences"]),
        names={"enforce_sorted", "lengths"},
    )


@entry("pad_packed_sequence", "pad_packed_sequence", "PackedSequence")
def pad_packed_case(draw: Draw) -> Case:
    """A packed batch back to a padded one; its indices may be left out."""
    sequences = _draw_sequences(draw)
    fields = dict(zip(pyrnn.PackedSequence._fields, _packed(sequences), strict=True))
    missing = draw.choice(((), (), ("sorted_indices",), ("unsorted_indices",)))
    fields |= dict.fromkeys(missing)
    arguments = {"packed": fields, "batch_first": draw.chance(0.4)}
    if draw.chance(0.4):
        arguments["total_length"] = max(len(np.asarray(s)) for s in sequences) + draw.integer(0, 3)

    def run(a: Arguments) -> Any:
        packed = a["packed"]
        if isinstance(packed, dict) and tuple(packed) == pyrnn.PackedSequence._fields:
            packed = pyrnn.PackedSequence(**packed)
        return pyrnn.pad_packed_sequence(
            packed, a["batch_first"], total_length=a.get("total_length")
        )

    return Case(arguments, run, expected=partial(_of_list, sequences))


def _of_list(sequences: list[Any], a: Arguments) -> tuple[np.ndarray, np.ndarray]:
    x, lengths = _padded(sequences, a["batch_first"])
    time = 1 if a["batch_first"] else 0
    more = [(0, 0)] * x.ndim
    more[time] = (0, a.get("total_length", x.shape[time]) - x.shape[time])
    return np.pad(x, more), lengths
