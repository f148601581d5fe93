"""Check analytic gradients against central differences: for any layer, cell or model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._differentiable import Differentiable, Gradients, Point
from pyrnn._types import Array

FLOOR = 1e-2
"""Gradients below it are compared absolutely: differences of outputs near 1 are no finer."""


@dataclass(frozen=True)
class GradcheckEntry:
    """One array's gradient: where it is farthest from the central difference.

    ``absolute`` is the largest difference; ``relative`` is that over the largest magnitude of the
    array's gradient (or 0.01, if that is smaller). ``index``, ``analytic`` and ``numeric`` say
    where it is, and what was there. ``tried`` elements were looked at.
    """

    name: str
    shape: tuple[int, ...]
    tried: int
    absolute: float
    relative: float
    index: tuple[int, ...]
    analytic: float
    numeric: float


@dataclass(frozen=True)
class GradcheckReport:
    """What `gradcheck` found; true if every gradient is within the tolerance."""

    entries: dict[str, GradcheckEntry]
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether every relative difference is within the tolerance (NaN is not)."""
        return all(entry.relative <= self.tolerance for entry in self.entries.values())

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        head = ("gradient", "shape", "tried", "absolute", "relative", "at", "analytic", "numeric")
        rows = [head, *(self._row(entry) for entry in self.entries.values())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        verdict = "ok" if self.ok else "WRONG"
        return "\n".join([*lines, f"{verdict}: tolerance {self.tolerance:g}, relative"])

    def _row(self, entry: GradcheckEntry) -> tuple[str, ...]:
        mark = "" if entry.relative <= self.tolerance else " <-"
        return (
            entry.name,
            str(entry.shape),
            str(entry.tried),
            f"{entry.absolute:.1e}",
            f"{entry.relative:.1e}{mark}",
            str(entry.index),
            f"{entry.analytic:.9g}",
            f"{entry.numeric:.9g}",
        )


def gradcheck(
    target: Any,
    x: Any,
    state: Any = None,
    *,
    lengths: Any = None,
    epsilon: float = 1e-6,
    tolerance: float = 1e-6,
    samples: int | None = None,
    seed: int = 0,
) -> GradcheckReport:
    """Compare analytic gradients with central differences (f(a + ε) − f(a − ε)) / 2ε.

    f is a sum of all outputs and final states, weighted at random, so that no error can hide
    behind another. Checked are x, the first state and every parameter.

    Parameters
    ----------
    target : layer, cell or model
        In float64. It stays as it is. A model has a dict ``parameters`` of live arrays,
        ``forward(x, state) -> y, state, cache`` and ``backward(cache, dy, dstate) -> grads,
        dstate0``, and can be copied with `copy.deepcopy`.
    x : array
        As the target takes it: float64, or indices, which have no gradient.
    state : array or pair of arrays, optional
        The first state; drawn from N(0, 1) if not given, since at zero a wrong gradient of the
        recurrent weights would not show in one step. Linear and Embedding have none.
    lengths : array of int, optional
        As recurrent layers take it.
    epsilon : float
        ε.
    tolerance : float
        Largest relative difference that passes; relative to the largest magnitude in the array.
    samples : int, optional
        How many elements of each array are tried, drawn at random; all if not given.
    seed : int
        Of the weights of f, the samples and the first state.

    Returns
    -------
    GradcheckReport
        True if all is well; ``print`` shows the largest difference of each array and its place.

    Raises
    ------
    TypeError
        If x, the state or a parameter is not float64: in float32 a difference of two outputs
        keeps too few digits.
    ValueError
        If a gradient has another shape or name than what it belongs to.

    Notes
    -----
    At a kink of relu the difference has no meaning. Source: Goodfellow, Bengio, Courville, "Deep
    Learning", 2016, section 11.5.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.GRU(3, 4, dtype="float64", seed=0)
    >>> x = np.random.default_rng(0).standard_normal((5, 2, 3))
    >>> report = pyrnn.gradcheck(layer, x)
    >>> report.ok
    True
    >>> list(report.entries)
    ['x', 'state', 'weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']
    """
    epsilon = _checks.finite_number("epsilon", epsilon, 1e-12, 1.0)
    tolerance = _checks.finite_number("tolerance", tolerance, 0.0)
    if samples is not None:
        samples = _checks.size("samples", samples)
    generator = np.random.default_rng(_checks.size("seed", seed, least=0))
    differentiable = Differentiable(target, lengths)
    x, state = _check_doubles(differentiable, target, x, state)
    point = differentiable.point(x, state, generator)
    evaluation = differentiable.at(point)
    outputs = evaluation.outputs()
    weights: list[Array] = [generator.standard_normal(array.shape) for array in outputs.arrays()]
    analytic = _by_name(point, evaluation.gradients(outputs, weights))

    def evaluate() -> list[Array]:
        return differentiable.at(point).outputs().arrays()

    entries = {}
    for name, array in _arrays(point).items():
        if name in analytic:
            picked = _pick(array.size, samples, generator)
            numeric = _differences(evaluate, array, picked, weights, epsilon)
            entries[name] = _entry(name, analytic[name], numeric, picked)
    return GradcheckReport(entries, tolerance)


def _check_doubles(
    differentiable: Differentiable, target: Any, x: Any, state: Any
) -> tuple[Any, Any]:
    """A copy of x and the state's arrays, if everything is float64."""
    for name, array in target.parameters.items():
        if array.dtype != np.float64:
            raise TypeError(
                f"target: expected float64 parameters, got {array.dtype} in {name!r}; build it "
                "with dtype='float64'"
            )
    double = np.dtype(np.float64)
    values = np.array(_checks.as_array("x", x))
    if values.dtype.kind not in "iu":
        values = _checks.float_array("x", values, double)
    if state is not None:
        if not differentiable.has_state:
            raise TypeError(f"state: expected None, since {type(target).__name__} takes none")
        parts = state if isinstance(state, (tuple, list)) else (state,)
        state = tuple(_checks.float_array("state", part, double) for part in parts)
    return values, state


def _arrays(point: Point) -> dict[str, Array]:
    """What is checked, by the names of the report."""
    return {"x": point.x, **_state_names(point.state), **point.parameters}


def _state_names(parts: tuple[Array, ...]) -> dict[str, Array]:
    if len(parts) == 1:
        return {"state": parts[0]}
    return {f"state[{n}]": part for n, part in enumerate(parts)}


def _by_name(point: Point, gradients: Gradients) -> dict[str, Array]:
    """Analytic gradients by the names of the report, each of its array's shape."""
    if set(gradients.grads) != set(point.parameters):
        raise ValueError(
            f"grads: expected the names {sorted(point.parameters)}, got {sorted(gradients.grads)}"
        )
    if len(gradients.dstate) != len(point.state):
        raise ValueError(
            f"dstate0: expected {len(point.state)} arrays, got {len(gradients.dstate)}"
        )
    named = {} if gradients.dx is None else {"x": gradients.dx}
    named |= _state_names(gradients.dstate) | gradients.grads
    for name, array in _arrays(point).items():
        if name in named and np.shape(named[name]) != array.shape:
            raise ValueError(
                f"{name}: expected a gradient of shape {array.shape}, got {np.shape(named[name])}"
            )
    return named


def _pick(
    size: int, samples: int | None, generator: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Positions to try in an array of that size."""
    if samples is None or samples >= size:
        return np.arange(size)
    return np.sort(generator.choice(size, samples, replace=False))


def _differences(
    evaluate: Callable[[], list[Array]],
    array: Array,
    picked: np.ndarray[Any, np.dtype[np.intp]],
    weights: list[Array],
    epsilon: float,
) -> Array:
    """Central differences with respect to the picked elements of ``array``, changed in turn."""
    flat = array.reshape(-1)
    differences = np.empty(len(picked))
    for n, position in enumerate(picked):
        value = flat[position]
        above, below = value + epsilon, value - epsilon
        flat[position] = above
        outputs_above = evaluate()
        flat[position] = below
        outputs_below = evaluate()
        flat[position] = value
        # The outputs are subtracted before they are summed: what they share cancels exactly.
        change = sum(
            float(np.sum(w * (a - b)))
            for w, a, b in zip(weights, outputs_above, outputs_below, strict=True)
        )
        differences[n] = change / (above - below)
    return differences


def _entry(
    name: str, gradient: Array, numeric: Array, picked: np.ndarray[Any, np.dtype[np.intp]]
) -> GradcheckEntry:
    analytic = np.reshape(gradient, -1)[picked]
    differences = np.abs(analytic - numeric)
    worst = int(np.argmax(differences))
    scale = max(float(np.abs(analytic).max()), float(np.abs(numeric).max()), FLOOR)
    return GradcheckEntry(
        name,
        gradient.shape,
        len(picked),
        float(differences[worst]),
        float(differences[worst] / scale),
        tuple(int(i) for i in np.unravel_index(picked[worst], gradient.shape)),
        float(analytic[worst]),
        float(numeric[worst]),
    )
