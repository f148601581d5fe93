"""Whether two results are equal: to the bit, or as far as rounding leaves them.

The core may differ from the reference by the guaranteed relative tolerance. Where a case makes more
of rounding than that, what rounding does to it is found out: the reference computes it once more in
a wider type; several times with its numbers, its exp, tanh and sigmoid, and what layer norm takes,
nudged by a unit in their last place; once with what is nearly subnormal flushed to zero; and once
with its products summed as the core sums them. The core may then be off by `FACTOR` times the most
that the reference moved.

Where finite numbers overflow, the result depends on the order of a sum; see docs/numerics.md. That
they do is proven, not taken for granted: the wider reference, in which nothing overflows, has a
finite number or another infinity where the reference has not. If the core differs from the
reference in the kind of such an element, everything that is computed from it may differ, and the
case is *undecided*. The same overflow in both, and a case in which nothing overflows, are compared
in full. The fuzzer counts undecided cases, and its test bounds their share.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tests.fuzz.draw import Mode

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
FACTOR = 8
NUDGES = 48
LOOKS = (3, 6, 12, 24)
"""After so many modes it looks whether they explain the difference: each explains more."""
LONG = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant
WIDER = {"float32": "longdouble" if LONG else "float64", "float64": "longdouble" if LONG else None}
"""In what the reference computes once more; long double is as wide as double on some machines."""

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


class Difference(NamedTuple):
    """What differs by more than rounding explains, and whether overflow leaves that open."""

    found: str | None = None
    undecided: bool = False


def difference(
    got: Flat,
    expected: Flat,
    dtype: str,
    rerun: Callable[[Mode], Flat | None],
    nan_or_infinity: bool = False,
) -> Difference:
    """Compare with the reference's result; ``rerun`` is the reference in another mode.

    ``nan_or_infinity``: where one has an infinity, the other may have NaN.
    """
    if nan_or_infinity:
        got, expected = _merged(got), _merged(expected)
    found = form_difference(got, expected)
    if found:
        return Difference(found)
    wrong = {path for path in got if not _close(got[path], expected[path], dtype)}
    if not wrong:
        return Difference()
    wide = rerun(Mode(dtype=WIDER[dtype])) if WIDER[dtype] else None
    if wide is not None and any(
        _overflow_decides(got[path], expected[path], wide.get(path)) for path in got
    ):
        return Difference(undecided=True)
    modes = [Mode(flush=True), Mode(chains=True), *(Mode(nudge=n) for n in range(1, NUDGES + 1))]
    known = [wide]
    for number, mode in enumerate(modes, 2):
        known.append(rerun(mode))
        if number in LOOKS or mode is modes[-1]:
            others = [other for other in known if other and list(other) == list(got)]
            found = _first_unexplained(got, expected, sorted(wrong), others, dtype)
            if not found:
                break
    return Difference(found)


def _first_unexplained(
    got: Flat, expected: Flat, paths: list[str], others: list[Flat], dtype: str
) -> str | None:
    for path in paths:
        found = _unexplained(got[path], expected[path], [other[path] for other in others], dtype)
        if found:
            return f"{general(path)}: {found}"
    return None


def _merged(results: Flat) -> Flat:
    """NaN in place of infinities."""
    return {
        path: np.where(np.isinf(value), value.dtype.type(np.nan), value)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
        else value
        for path, value in results.items()
    }


def _overflow_decides(value: Any, expected: Any, wide: Any) -> bool:
    """Whether the core differs from the reference in the kind of a number that overflowed."""
    a, b, c = np.asarray(value), np.asarray(expected), np.asarray(wide)
    if a.dtype.kind != "f" or c.dtype.kind != "f" or b.shape != c.shape:
        return False
    overflowed = ~np.isfinite(b) & (_kinds(b) != _kinds(c))
    return bool((overflowed & (_kinds(a) != _kinds(b))).any())


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
    a, b = a[finite], b[finite]
    return _worst(a, b) <= TOLERANCE[dtype] * _scale(b) + least(dtype)


def _unexplained(value: Any, expected: Any, others: list[Any], dtype: str) -> str | None:
    """How an array differs, beyond what happened to the reference in other modes."""
    if not isinstance(value, (np.ndarray, float, np.floating)) or not others:
        return "another value"
    a, b = np.asarray(value), np.asarray(expected)
    if a.dtype.kind != "f":
        return "other integers"
    kinds = _kinds(b)
    unsure = np.zeros(b.shape, bool)
    moved = 0.0
    for other in others:
        c = np.asarray(other)
        if c.shape != b.shape:
            continue
        beyond = np.isfinite(c) & (np.abs(c) > np.finfo(b.dtype).max)  # of a wider type
        unsure |= (_kinds(c) != kinds) | beyond
        both = np.isfinite(b) & np.isfinite(c) & ~beyond
        moved = max(moved, _worst(b[both], c[both]))
    sure = ~unsure
    if (_kinds(a) != kinds)[sure].any():
        return "NaN or infinity elsewhere"
    finite = np.isfinite(a) & np.isfinite(b) & sure
    error = _worst(a[finite], b[finite])
    allowed = TOLERANCE[dtype] * _scale(b[finite]) + least(dtype)
    if error > allowed + FACTOR * moved:
        return "another value"
    return None


def _kinds(array: np.ndarray) -> np.ndarray:
    """0 for a finite number, and one number each for NaN, infinity and minus infinity."""
    return np.isnan(array) + 2 * np.isposinf(array) + 3 * np.isneginf(array)


def _worst(a: np.ndarray, b: np.ndarray) -> float:
    wide = np.longdouble
    with np.errstate(over="ignore"):
        return float(np.abs(a.astype(wide) - b.astype(wide)).max(initial=0.0))


def _scale(array: np.ndarray) -> float:
    return float(np.abs(array).max(initial=0.0))


def least(dtype: Any) -> float:
    """Subnormal numbers may count as zero."""
    return 1e4 * float(np.finfo(dtype).tiny)
