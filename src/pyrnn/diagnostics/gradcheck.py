"""Check analytic gradients against central differences: for any layer, cell or model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pyrnn import _checks, _warnings
from pyrnn._types import Array
from pyrnn.diagnostics._differentiable import Differentiable, Gradients, Point

ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""Error of an output, relative to its size, that a right difference may show."""
WIDE = 1e-3
"""A step over which rounding matters little, for elements of size 1."""


Positions = np.ndarray[Any, np.dtype[np.intp]]


class _Probe(NamedTuple):
    """f around a point: its outputs, their weights, and what rounding does to their sum."""

    evaluate: Callable[[], list[Array]]
    weights: list[Array]
    rounding: float


@dataclass(frozen=True)
class GradcheckEntry:
    """One array's gradient: where it is farthest from the central difference.

    ``absolute`` is the difference there; ``relative`` is that over the largest magnitude of the
    array's gradient, but no more than the tolerance where rounding explains the difference.
    ``index``, ``analytic`` and ``numeric`` say where it is, and what was there. ``tried`` elements
    were looked at.
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
    """Compare analytic gradients with central differences (f(a + h) − f(a − h)) / 2h.

    f is a sum of all outputs and final states, weighted at random, so that no error can hide
    behind another. Checked are x, the first state and every parameter, whatever their scale:
    h = ε max(1, |a|) for each element a.

    Parameters
    ----------
    target : layer, cell or model
        In float64. It is not modified. One of your own has a dict ``parameters`` of live arrays,
        ``forward(x, state=None) -> (y, state, cache)`` and ``backward(cache, dy, dstate=None) ->
        (dx, dstate0, grads)``, and can be copied with `copy.deepcopy`. If it has no state, it
        returns None for both states and need not take ``state`` and ``dstate``. If ``dx`` is
        None, x is not checked.
    x : array
        As the target takes it: float64, or indices, which have no gradient.
    state : array or pair of arrays, optional
        The first state; drawn from N(0, 1) if not given, since at zero a wrong gradient of the
        recurrent weights would not show in one step.
    lengths : array of int, optional
        For a target whose forward takes it, as recurrent layers do.
    epsilon : float
        ε.
    tolerance : float
        Largest relative difference that passes; relative to the largest magnitude in the array's
        gradient. What rounding leaves of a difference passes as well (see Notes).
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
        keeps too few digits. If forward or backward does not return three values.
    ValueError
        If a gradient has another shape or name than what it belongs to, or indices have one; if x,
        the state, a parameter or an output is not finite, as there are no differences then. A
        gradient that is not finite is a wrong one: the report shows it.

    Notes
    -----
    An output y is rounded by up to about 4u |y|, u = 2.2e-16, so a difference is no finer than
    r = 4u √(Σ (w y)²) / h, with the weights w of f. Where only r could excuse an element, it is
    compared again with differences over larger steps, 0.001 and 0.0005 max(1, |a|), whose r is
    less. It may then differ by this r and by what these two differ by. So gradients of 1e-9 are
    checked beside outputs near 1; those of 1e-13 cannot be.

    Where a ReLU's input is near 0, the numeric difference is unreliable. Source: Goodfellow,
    Bengio, Courville, "Deep Learning", 2016, section 11.5.

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
    x, state = _check_doubles(target, x, state)
    point = differentiable.point(x, state, generator)
    evaluation = differentiable.at(point)
    outputs = evaluation.outputs()
    if len(outputs.state) != len(point.state):
        raise ValueError(f"state: expected {len(outputs.state)} arrays, got {len(point.state)}")
    arrays = outputs.arrays()
    for array in arrays:
        _refuse_infinities("target", array, "outputs")
    weights: list[Array] = [generator.standard_normal(array.shape) for array in arrays]
    rounding = ROUNDING * _norm([w * y for w, y in zip(weights, arrays, strict=True)])
    analytic = _by_name(point, evaluation.gradients(outputs, weights))
    probe = _Probe(
        lambda: differentiable.at(point).outputs().arrays(),
        weights,
        rounding,
    )
    entries = {}
    for name, array in _arrays(point).items():
        if name in analytic:
            picked = _pick(array.size, samples, generator)
            gradient = analytic[name].reshape(-1)[picked]
            found = _resolved(probe, array, picked, gradient, epsilon, tolerance)
            entries[name] = _entry(name, array.shape, picked, gradient, *found, tolerance)
    return GradcheckReport(entries, tolerance)


def _check_doubles(target: Any, x: Any, state: Any) -> tuple[Any, Any]:
    """A copy of x and the state's arrays, if everything is float64."""
    for name, array in target.parameters.items():
        if array.dtype != np.float64:
            raise TypeError(
                f"target: expected float64 parameters, got {array.dtype} in {name!r}; build it "
                "with dtype='float64'"
            )
        _refuse_infinities("target", array, f"parameters in {name!r}")
    double = np.dtype(np.float64)
    values = np.array(_checks.as_array("x", x), order="C")
    if values.dtype.kind not in "iu":
        values = _checks.float_array("x", values, double)
        _refuse_infinities("x", values)
    if state is not None:
        parts = state if isinstance(state, (tuple, list)) else (state,)
        state = tuple(_checks.float_array("state", part, double) for part in parts)
        for part in state:
            _refuse_infinities("state", part)
    return values, state


def _refuse_infinities(name: str, array: Array, what: str = "numbers") -> None:
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise ValueError(f"{name}: expected finite {what}, got {array[at]} at {at}")


def _norm(arrays: list[Array]) -> float:
    """√(Σ a²), also where a² would overflow."""
    largest = max((float(np.abs(array).max(initial=0.0)) for array in arrays), default=0.0)
    if largest == 0:
        return 0.0
    return largest * math.sqrt(sum(float(np.square(array / largest).sum()) for array in arrays))


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
    if gradients.dx is not None and point.x.dtype.kind in "iu":
        raise ValueError("dx: expected None, since x holds indices")
    named = {} if gradients.dx is None else {"x": gradients.dx}
    named |= {**_state_names(gradients.dstate), **gradients.grads}
    checked = {}
    for name, array in _arrays(point).items():
        if name in named:
            gradient = _checks.as_array(name, named[name])
            if gradient.dtype.kind not in "iuf":
                raise TypeError(f"{name}: expected a gradient of floats, got {gradient.dtype}")
            if gradient.shape != array.shape:
                raise ValueError(
                    f"{name}: expected a gradient of shape {array.shape}, got {gradient.shape}"
                )
            checked[name] = gradient
    return checked


def _pick(size: int, samples: int | None, generator: np.random.Generator) -> Positions:
    """Positions to try in an array of that size."""
    if samples is None or samples >= size:
        return np.arange(size)
    return np.sort(generator.choice(size, samples, replace=False))


def _differences(
    probe: _Probe, array: Array, picked: Positions, step: float
) -> tuple[Array, Array]:
    """Central differences with respect to elements of ``array``, and how far rounding moves them.

    The elements are changed in turn, by ``step`` or, if they are larger than 1, that share.
    """
    flat = array.reshape(-1)
    steps = step * np.maximum(1.0, np.abs(flat[picked]))
    differences = np.empty(len(picked))
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
            differences[n] = change / (above - below)
    return differences, probe.rounding / steps


def _resolved(
    probe: _Probe,
    array: Array,
    picked: Positions,
    analytic: Array,
    epsilon: float,
    tolerance: float,
) -> tuple[Array, Array]:
    """`_differences`, over larger steps where rounding alone could excuse a wrong gradient."""
    numeric, rounding = _differences(probe, array, picked, epsilon)
    errors = _errors(analytic, numeric)
    excused = (errors > tolerance * _largest(analytic, numeric)) & (errors <= rounding)
    again = np.flatnonzero(excused)
    if again.size and epsilon < WIDE / 2:
        whole, _ = _differences(probe, array, picked[again], WIDE)
        half, left = _differences(probe, array, picked[again], WIDE / 2)
        numeric[again], rounding[again] = half, left + _errors(half, whole)
    return numeric, rounding


def _errors(a: Array, b: Array) -> Array:
    with _warnings.unwarned():
        errors: Array = np.abs(a - b)
    return errors


def _largest(analytic: Array, numeric: Array) -> float:
    return max(float(np.abs(analytic).max()), float(np.abs(numeric).max()))


def _entry(
    name: str,
    shape: tuple[int, ...],
    picked: Positions,
    analytic: Array,
    numeric: Array,
    rounding: Array,
    tolerance: float,
) -> GradcheckEntry:
    errors = _errors(analytic, numeric)
    with _warnings.unwarned():
        relative = errors / (_largest(analytic, numeric) or 1.0)  # NaN stays NaN
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
