"""Whether two results are equal: to the bit, or as far as rounding leaves them.

The core may differ from the reference by the guaranteed relative tolerance. Where a case makes more
of rounding than that, what rounding does to it is found out: the reference computes it once more in
the other dtype, and several times with its numbers, its tanh and its sigmoid nudged by a unit in
their last place. The core may then be off by `FACTOR` times the most that the reference moved, and
may overflow where the reference may. Where finite numbers overflow to NaN in the reference, which
is inf − inf, the core may have a number: a fused multiply-add takes the second product exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tests.fuzz.draw import Mode

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
FACTOR = 8
NUDGES = 16
OTHER = {"float32": "float64", "float64": "float32"}
UNIT = {"float32": float(np.finfo(np.float32).eps), "float64": float(np.finfo(np.float64).eps)}

Flat = dict[str, Any]


def flatten(result: Any) -> Flat:
    """All leaves of nested tuples, lists and dicts, by their paths."""
    return dict(_leaves(result, ""))


def _leaves(result: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(result, Mapping):
        for key, value in result.items():
            yield from _leaves(value, f"{path}.{key}")
    elif isinstance(result, (tuple, list)):
        for index, value in enumerate(result):
            yield from _leaves(value, f"{path}[{index}]")
    else:
        yield path, result


def general(path: str) -> str:
    """A path without its numbers, so that like findings have one name."""
    return re.sub(r"\d+", "#", path)


def form_difference(got: Flat, expected: Flat) -> str | None:
    """What differs in structure, type, shape or dtype."""
    if list(got) != list(expected):
        return f"results {sorted(set(got) ^ set(expected)) or 'in another order'}"
    for path, value in got.items():
        other = expected[path]
        if type(value) is not type(other):
            return f"{general(path)}: type {type(value).__name__} for {type(other).__name__}"
        if isinstance(value, np.ndarray) and value.shape != other.shape:
            return f"{general(path)}: shape"
        if isinstance(value, np.ndarray) and value.dtype != other.dtype:
            return f"{general(path)}: dtype {value.dtype} for {other.dtype}"
    return None


def bit_difference(got: Any, expected: Any) -> str | None:
    """What differs in any bit; one NaN is as good as another."""
    flat, other = flatten(got), flatten(expected)
    found = form_difference(flat, other)
    if found:
        return found
    for path, value in flat.items():
        if not _same_bits(value, other[path]):
            return f"{general(path)}: bits"
    return None


def _same_bits(value: Any, other: Any) -> bool:
    if not isinstance(value, (np.ndarray, float, np.floating)):
        return bool(value == other)
    a, b = np.asarray(value), np.asarray(other)
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    same = (a == b) & (np.signbit(a) == np.signbit(b))
    return bool((same | (np.isnan(a) & np.isnan(b))).all())


def difference(
    got: Flat,
    expected: Flat,
    dtype: str,
    rerun: Callable[[Mode], Flat | None],
    overflows: bool = False,
) -> str | None:
    """What differs by more than rounding explains; ``rerun`` is the reference in another mode.

    ``overflows``: whether NaN in the reference comes of finite numbers.
    """
    found = form_difference(got, expected)
    if found:
        return found
    wrong = {path for path in got if not _close(got[path], expected[path], dtype)}
    if not wrong:
        return None
    others = [(rerun(Mode(dtype=OTHER[dtype])), UNIT[dtype] / UNIT[OTHER[dtype]])]
    others += [(rerun(Mode(nudge=n)), 1.0) for n in range(1, NUDGES + 1)]
    others.append((rerun(Mode(flush=True)), 1.0))
    known = [
        (other, min(1.0, unit)) for other, unit in others if other and list(other) == list(got)
    ]
    for path in sorted(wrong):
        found = _unexplained(
            got[path], expected[path], [(o[path], unit) for o, unit in known], dtype, overflows
        )
        if found:
            return f"{general(path)}: {found}"
    return None


def _close(value: Any, other: Any, dtype: str) -> bool:
    if not isinstance(value, (np.ndarray, float, np.floating)):
        return bool(value == other)
    a, b = np.asarray(value), np.asarray(other)
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    if not np.array_equal(_kinds(a), _kinds(b)):
        return False
    dtype = a.dtype.name if a.dtype.name in TOLERANCE else dtype  # a spoiled argument has another
    finite = np.isfinite(a)
    a, b = a[finite].astype(np.float64), b[finite].astype(np.float64)
    return _worst(a, b) <= TOLERANCE[dtype] * _scale(b) + _least(dtype)


def _unexplained(
    value: Any, expected: Any, others: list[tuple[Any, float]], dtype: str, overflows: bool
) -> str | None:
    """How an array differs, beyond what happened to the reference in other modes."""
    if not isinstance(value, (np.ndarray, float, np.floating)) or not others:
        return "another value"
    a, b = np.asarray(value), np.asarray(expected)
    if a.dtype.kind != "f":
        return "other integers"
    kinds = _kinds(b)
    unsure = np.isnan(b) & overflows
    moved = 0.0
    for other, unit in others:
        c = np.asarray(other)
        if c.shape != b.shape:
            continue
        if unit == 1:
            unsure |= _kinds(c) != kinds
        both = np.isfinite(b) & np.isfinite(c)
        moved = max(moved, unit * _worst(b[both].astype(float), c[both].astype(float)))
    sure = ~unsure
    if (_kinds(a) != kinds)[sure].any():
        return "NaN or infinity elsewhere"
    finite = np.isfinite(a) & np.isfinite(b) & sure
    error = _worst(a[finite].astype(float), b[finite].astype(float))
    allowed = TOLERANCE[dtype] * _scale(b[finite].astype(float)) + _least(dtype)
    if error > allowed + FACTOR * moved:
        return "another value"
    return None


def _kinds(array: np.ndarray) -> np.ndarray:
    """0 for a finite number, and one number each for NaN, infinity and minus infinity."""
    return np.isnan(array) + 2 * np.isposinf(array) + 3 * np.isneginf(array)


def _worst(a: np.ndarray, b: np.ndarray) -> float:
    with np.errstate(over="ignore"):
        return float(np.abs(a - b).max(initial=0.0))


def _scale(array: np.ndarray) -> float:
    return float(np.abs(array).max(initial=0.0))


def _least(dtype: str) -> float:
    """Subnormal numbers may count as zero."""
    return 1e4 * float(np.finfo(dtype).tiny)
