"""What a weight matrix multiplies, found from its numeric gradient: an outer product per step.

With one sequence, the gradient of W in ``z_t = W v_t + ...`` is Σ_t dz_t ⊗ v_t. So it tells which
of the known vectors v_t are multiplied with W; and solving for dz_t tells what an analytic gradient
used in each step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyrnn._types import Array
from pyrnn.diagnostics._diagnosis.trials import Comparison, Trial, Trials

CLOSE = 1e-4
"""Two vectors count as equal within this, relative to the larger."""

NAMES = {
    "before": "the state before the step",
    "after": "the state after the step",
    "x": "the step's x",
    "before, x": "the state before and x",
    "x, before": "x and the state before",
    "after, x": "the state after and x",
    "x, after": "x and the state after",
}


class Role(NamedTuple):
    """What a matrix multiplies with: the key of vectors, (T, C), and whether from the left."""

    key: str
    vectors: Array
    transposed: bool

    def parts(self, comparison: Comparison, block: Array) -> tuple[Array, float]:
        """The dz_t, (T, R), whose outer products with the vectors sum to a gradient; the misfit."""
        rows, columns = comparison.grid
        matrix, chosen = (block.T, rows) if self.transposed else (block, columns)
        known = self.vectors[:, chosen]
        solution = np.linalg.lstsq(known.T, matrix.T, rcond=None)[0]
        misfit = np.abs(solution.T @ known - matrix).max(initial=0.0)
        return solution, float(misfit / (np.abs(matrix).max(initial=0.0) or 1.0))


def close(a: Array, b: Array) -> bool:
    """Whether two arrays are equal within the error of differences."""
    largest = max(float(np.abs(a).max(initial=0.0)), float(np.abs(b).max(initial=0.0)))
    return a.shape == b.shape and bool(np.abs(a - b).max(initial=0.0) <= CLOSE * largest)


def parallel(a: Array, b: Array) -> bool:
    """Whether one vector is a multiple of the other."""
    norms = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return norms > 0 and abs(float(a @ b)) > (1 - 1e-6) * norms


def vectors(trials: Trials, trial: Trial) -> dict[str, Array]:
    """What weights may multiply with in a trial of one sequence: (T, C) arrays by name."""
    found: dict[str, Array] = {}
    x, axes = trial.found.point.x, trial.axes
    if axes.feature is not None:
        time = [] if axes.time is None else [axes.time]
        order = [*time, *([] if axes.batch is None else [axes.batch]), axes.feature]
        if sorted(order) == list(range(x.ndim)):
            found["x"] = x.transpose(order).reshape(-1, x.shape[axes.feature])
    after = _layers([parts[0] for parts in trials.states(trial) if parts])
    if after and trial.found.point.state:
        first = _layers([trial.found.point.state[0]])
        for layer, states in enumerate(after):
            if len(first) != len(after) or first[layer].shape[1] != states.shape[1]:
                continue
            suffix = f" of layer {layer}" if layer else ""
            found[f"before{suffix}"] = np.concatenate([first[layer], states[:-1]])
            found[f"after{suffix}"] = states
    if "x" in found and "before" in found:
        for state in ("before", "after"):
            found[f"{state}, x"] = np.concatenate([found[state], found["x"]], axis=1)
            found[f"x, {state}"] = np.concatenate([found["x"], found[state]], axis=1)
    return found


def role_of(comparison: Comparison, known: dict[str, Array]) -> Role | None:
    """The vectors that a matrix's numeric gradient is made of, if they are among the known."""
    if comparison.analytic.ndim != 2 or not np.any(comparison.numeric):
        return None
    for key, sequence in known.items():
        for axis in (1, 0):
            role = Role(key, sequence, axis == 0)
            size = comparison.analytic.shape[axis]
            fits = size == sequence.shape[1] and len(comparison.grid[axis]) > len(sequence)
            if fits and role.parts(comparison, comparison.numeric)[1] < CLOSE:
                return role
    return None


def _layers(states: list[Array]) -> list[Array]:
    """For each layer its states over time, (T, H), of one sequence."""
    if not states:
        return []
    shape = states[0].shape
    count = shape[0] if len(shape) == 3 or (len(shape) == 2 and 1 not in shape) else 1
    stacked = np.array([state.reshape(count, -1) for state in states])
    return [stacked[:, layer] for layer in range(count)]
