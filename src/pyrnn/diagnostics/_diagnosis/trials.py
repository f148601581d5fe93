"""A target evaluated at small numbers of steps and sequences, for the diagnosis of a fault."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pyrnn import _warnings
from pyrnn._types import Array
from pyrnn.diagnostics._differentiable import Differentiable, Point
from pyrnn.diagnostics._sample import Sample, sample

ALL = -1
"""Every output is weighted: of all steps, and the state after the last one."""
STATE = -2
"""Only the state after the last step is weighted."""
_MOST = {0: 12, 1: 6}
"""Rows and columns of a matrix that are compared; 6 along any further axis."""


class Axes(NamedTuple):
    """Which axis of x, and of y, is which; None where there is no such axis."""

    time: int | None
    batch: int | None
    feature: int | None


class Comparison(NamedTuple):
    """One array's analytic gradient, and the numeric one on a grid of its elements."""

    name: str
    analytic: Array
    numeric: Array
    grid: tuple[Any, ...]
    right: bool
    shape: tuple[int, ...]

    @property
    def block(self) -> Array:
        """The analytic gradient on the grid."""
        return np.asarray(self.analytic[np.ix_(*self.grid)], dtype=np.float64)

    @property
    def shaped(self) -> bool:
        """Whether the analytic gradient has the shape of its array."""
        return self.numeric.size > 0 or self.analytic.size == 0


class Trial:
    """One evaluation; comparisons are made when they are first asked for."""

    def __init__(self, found: Sample, axes: Axes, epsilon: float, tolerance: float) -> None:
        self.found, self.axes = found, axes
        self._epsilon, self._tolerance = epsilon, tolerance
        self._known: dict[str, Comparison] = {}

    @property
    def names(self) -> list[str]:
        """The arrays that have a gradient."""
        return list(self.found.analytic)

    @property
    def parameters(self) -> list[str]:
        """Those of them that are parameters."""
        return [name for name in self.names if name in self.found.point.parameters]

    def compared(self, name: str) -> Comparison:
        """Compare one array's gradient."""
        if name not in self._known:
            self._known[name] = self._compare(name)
        return self._known[name]

    def wrong(self) -> list[str]:
        """The arrays whose gradient is wrong."""
        return [name for name in self.names if not self.compared(name).right]

    def _compare(self, name: str) -> Comparison:
        array, analytic = self.found.arrays[name], self.found.analytic[name]
        if analytic.shape != array.shape:
            return Comparison(name, analytic, np.empty(0), (), False, array.shape)
        grid = self._grid(name, array.shape)
        picked = np.ravel_multi_index(np.ix_(*grid), array.shape).reshape(-1)
        entry, numeric = self.found.entry_and_numeric(name, picked, self._epsilon, self._tolerance)
        right = entry.relative <= self._tolerance
        block = numeric.reshape([len(g) for g in grid])
        return Comparison(name, analytic, block, grid, right, array.shape)

    def _grid(self, name: str, shape: tuple[int, ...]) -> tuple[Any, ...]:
        """Evenly spread positions along each axis; all of x's steps and sequences."""
        whole = (self.axes.time, self.axes.batch) if name == "x" else ()
        most = [size if n in whole else _MOST.get(n, 6) for n, size in enumerate(shape)]
        return tuple(
            np.unique(np.linspace(0, size - 1, min(size, limit)).round().astype(int))
            for size, limit in zip(shape, most, strict=True)
        )


class Trials:
    """Evaluations of one target, by numbers of steps and sequences and by what is weighted."""

    def __init__(
        self,
        differentiable: Differentiable,
        first: Sample,
        epsilon: float,
        tolerance: float,
        seed: int,
    ) -> None:
        self.target = differentiable.target
        self.axes = _axes(self.target, first)
        self._differentiable = differentiable.without_options()
        self._first, self._seed = first, seed
        self._epsilon, self._tolerance = epsilon, tolerance
        self._known: dict[tuple[int, int, int, bool], Trial] = {}

    @property
    def steps(self) -> int:
        """How many time steps the user's x has."""
        return 1 if self.axes.time is None else int(self._first.point.x.shape[self.axes.time])

    @property
    def batched(self) -> bool:
        """Whether the target takes several sequences at once."""
        return self.axes.batch is not None

    def at(self, steps: int, batch: int, weighted: int = ALL, *, symmetric: bool = False) -> Trial:
        """Evaluate: ``weighted`` is a step whose output alone counts, ALL or STATE.

        With ``symmetric`` each square parameter is made symmetric first.
        """
        key = steps, batch, weighted, symmetric
        if key not in self._known:
            self._known[key] = self._evaluate(*key)
        return self._known[key]

    def reads(self, name: str, trial: Trial) -> bool:
        """Whether outputs become NaN where a parameter is NaN: then forward reads it."""
        return reads_nan(self._differentiable, trial.found.point, name)

    def states(self, trial: Trial) -> list[tuple[Array, ...]]:
        """The state after each step, its parts as they are; of targets that return one."""
        found, time = trial.found, self.axes.time
        if time is None:
            return [found.outputs.state or (found.outputs.y,)]
        steps = found.point.x.shape[time]
        if not self._differentiable.returns_state:
            return [(np.take(found.outputs.y, step, axis=time),) for step in range(steps)]
        before = [np.take(found.point.x, range(step + 1), axis=time) for step in range(steps)]
        points = [found.point._replace(x=x) for x in before]
        return [self._differentiable.at(point).outputs().state for point in points]

    def _evaluate(self, steps: int, batch: int, weighted: int, symmetric: bool) -> Trial:
        generator = np.random.default_rng((self._seed, steps, batch))
        point = self._point(steps, batch, generator)
        if symmetric:
            for array in point.parameters.values():
                if array.ndim == 2 and array.shape[0] == array.shape[1]:
                    array[...] = made_symmetric(array)

        def weigh(outputs: list[Array]) -> list[Array]:
            weights: list[Array] = [generator.standard_normal(part.shape) for part in outputs]
            if weighted == ALL:
                return weights
            for part in weights[1:]:
                part *= weighted == STATE
            weights[0] *= self._chosen(weights[0], weighted)
            return weights

        with _warnings.unwarned():
            found = sample(self._differentiable, point, weigh, strict=False)
        return Trial(found, self.axes, self._epsilon, self._tolerance)

    def _chosen(self, y: Array, weighted: int) -> Array:
        """Ones at the weighted step, zeros elsewhere."""
        ones = np.zeros(y.shape)
        if weighted >= 0:
            index: list[Any] = [slice(None)] * y.ndim
            if self.axes.time is not None:
                index[self.axes.time] = weighted
            ones[tuple(index)] = 1.0
        return ones

    def _point(self, steps: int, batch: int, generator: np.random.Generator) -> Point:
        """The target's parameters, with an x and a state of that size."""
        first, shape = self._first.point, list(self._first.point.x.shape)
        sizes = {self.axes.time: steps, self.axes.batch: batch}
        shape = [sizes.get(axis, size) for axis, size in enumerate(shape)]
        if first.x.dtype.kind in "iu":
            largest = int(first.x.max(initial=0))
            x: Any = generator.integers(0, largest + 1, shape).astype(first.x.dtype)
        else:
            x = generator.standard_normal(shape)
        state = None  # a layer's is drawn
        if hasattr(self.target, "batch_axis"):
            state = tuple(
                generator.standard_normal(_with(part.shape, self.target.batch_axis, batch))
                for part in first.state
            )
        return self._differentiable.point(x, state, generator)


def reads_nan(differentiable: Differentiable, point: Point, name: str) -> bool:
    """Whether outputs become NaN where a parameter is NaN."""
    spoiled = {n: a * np.nan if n == name else a for n, a in point.parameters.items()}
    with _warnings.unwarned():
        outputs = differentiable.at(point._replace(parameters=spoiled)).outputs()
    return any(bool(np.isnan(part).any()) for part in outputs.arrays())


def made_symmetric(array: Array, *, last: bool = False) -> Array:
    """(A + Aᵀ) / 2 of a square matrix; of another one its first, or last, square blocks."""
    if array.ndim != 2 or min(array.shape) == 1:
        return array
    symmetric = array.copy()
    size = min(array.shape)
    longest = max(array.shape)
    starts = range(0, longest, size) if longest % size == 0 else [longest - size if last else 0]
    for start in starts:
        columns = array.shape[0] < array.shape[1]
        block = (slice(None), slice(start, start + size))
        block = block if columns else block[::-1]
        symmetric[block] = (array[block] + array[block].T) / 2
    return symmetric


def _with(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _axes(target: Any, first: Sample) -> Axes:
    """The axes of x: of learners' functions by their form, of layers by the convention."""
    x, y = first.point.x, first.outputs.y
    if hasattr(target, "axes"):
        return Axes(*target.axes(x.ndim))
    has_features = x.dtype.kind not in "iu"
    feature = x.ndim - 1 if has_features else None
    leading = x.ndim - has_features
    if leading == 2:
        return Axes(1, 0, feature) if getattr(target, "batch_first", False) else Axes(0, 1, feature)
    if leading != 1:
        return Axes(None, None, feature)
    state = first.outputs.state
    is_sequence = hasattr(target, "num_layers") or (bool(state) and state[0].shape != y.shape)
    return Axes(0, None, feature) if is_sequence else Axes(None, 0, feature)
