"""Central differences, and the error that rounding causes in them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pyrnn import _warnings
from pyrnn._types import Array
from pyrnn.diagnostics._report import GradcheckEntry

ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""Error of an output, relative to its size, that a right difference may show."""
WIDE = 1e-3
"""A step over which rounding matters little, for elements of size 1."""


Positions = np.ndarray[Any, np.dtype[np.intp]]


class Probe(NamedTuple):
    """f around a point: its outputs, their weights, and what rounding does to their sum."""

    evaluate: Callable[[], list[Array]]
    weights: list[Array]
    rounding: float


def refuse_infinities(name: str, array: Array, what: str = "numbers") -> None:
    """Raise ValueError if a number is infinite or NaN, and say where."""
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise ValueError(f"{name}: expected finite {what}, got {array[at]} at {at}")


def norm(arrays: list[Array]) -> float:
    """√(Σ a²), also where a² would overflow."""
    largest = max((float(np.abs(array).max(initial=0.0)) for array in arrays), default=0.0)
    if largest == 0:
        return 0.0
    return largest * math.sqrt(sum(float(np.square(array / largest).sum()) for array in arrays))


def pick(size: int, samples: int | None, generator: np.random.Generator) -> Positions:
    """Positions to try in an array of that size."""
    if samples is None or samples >= size:
        return np.arange(size)
    return np.sort(generator.choice(size, samples, replace=False))


def differences(probe: Probe, array: Array, picked: Positions, step: float) -> tuple[Array, Array]:
    """Central differences with respect to elements of ``array``, and how far rounding moves them.

    The elements are changed in turn, by ``step`` or, if they are larger than 1, that share.
    """
    flat = array.reshape(-1)
    steps = step * np.maximum(1.0, np.abs(flat[picked]))
    found = np.empty(len(picked))
    for n, (position, size) in enumerate(zip(picked, steps, strict=True)):
        value = flat[position]
        above, below = value + size, value - size
        flat[position] = above
        outputs_above = probe.evaluate()
        flat[position] = below
        outputs_below = probe.evaluate()
        flat[position] = value
        # The outputs are subtracted before they are summed: what they share cancels exactly.
        with _warnings.unwarned():
            change = sum(
                float(np.sum(w * (a - b)))
                for w, a, b in zip(probe.weights, outputs_above, outputs_below, strict=True)
            )
            found[n] = change / (above - below)
    return found, probe.rounding / steps


def resolved(
    probe: Probe,
    array: Array,
    picked: Positions,
    analytic: Array,
    epsilon: float,
    tolerance: float,
) -> tuple[Array, Array]:
    """`differences`, over larger steps where rounding alone could excuse a wrong gradient."""
    numeric, rounding = differences(probe, array, picked, epsilon)
    errors = errors_of(analytic, numeric)
    excused = (errors > tolerance * largest(analytic, numeric)) & (errors <= rounding)
    again = np.flatnonzero(excused)
    if again.size and epsilon < WIDE / 2:
        whole, _ = differences(probe, array, picked[again], WIDE)
        half, left = differences(probe, array, picked[again], WIDE / 2)
        numeric[again], rounding[again] = half, left + errors_of(half, whole)
    return numeric, rounding


def errors_of(a: Array, b: Array) -> Array:
    with _warnings.unwarned():
        errors: Array = np.abs(a - b)
    return errors


def largest(analytic: Array, numeric: Array) -> float:
    return max(float(np.abs(analytic).max()), float(np.abs(numeric).max()))


def entry_of(
    name: str,
    shape: tuple[int, ...],
    picked: Positions,
    analytic: Array,
    numeric: Array,
    rounding: Array,
    tolerance: float,
) -> GradcheckEntry:
    errors = errors_of(analytic, numeric)
    with _warnings.unwarned():
        relative = errors / (largest(analytic, numeric) or 1.0)  # NaN stays NaN
    explained = errors <= rounding
    relative[explained] = np.minimum(relative[explained], tolerance)
    worst = int(np.argmax(relative))
    return GradcheckEntry(
        name,
        shape,
        len(picked),
        float(errors[worst]),
        float(relative[worst]),
        tuple(int(i) for i in np.unravel_index(picked[worst], shape)),
        float(analytic[worst]),
        float(numeric[worst]),
    )
