"""The walk over time: forward, back-propagation through time, and its truncated forms.

A sequence here is one layer in one direction. Sequences of a batch may differ in length: step s
advances the rows that are longer than s; a reversed walk starts at each sequence's own end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn._types import Array, Indices, Parameters, State, is_indices
from pyrnn.reference.cells import CELLS


class Step(NamedTuple):
    """One step of the walk: the rows it advanced, the time each was at, the cell's values."""

    rows: npt.NDArray[np.intp]
    times: npt.NDArray[np.intp]
    saved: Any


class Saved(NamedTuple):
    """All that the way back needs."""

    cell: str
    parameters: Parameters
    x: Array | Indices
    output_shape: tuple[int, int, int]
    steps: list[Step]


def forward(
    cell: str,
    parameters: Parameters,
    x: Array | Indices,
    state: State,
    lengths: npt.NDArray[np.intp] | None = None,
    reverse: bool = False,
) -> tuple[Array, State, Saved]:
    """Run a cell over time.

    ``x`` is (T, N, I), or (T, N) of one-hot indices; each state is (N, H). Returns ``y`` (T, N, H),
    zero past a sequence's length, the state after each sequence's last step, and what `backward`
    needs.
    """
    step_forward = CELLS[cell].forward
    time_steps, batch_size = x.shape[:2]
    if lengths is None:
        lengths = np.full(batch_size, time_steps, dtype=np.intp)
    y = np.zeros((time_steps, *state[0].shape), dtype=state[0].dtype)
    state = tuple(s.copy() for s in state)
    steps = []
    for step in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero(lengths > step)
        times = lengths[rows] - 1 - step if reverse else np.full(len(rows), step, dtype=np.intp)
        state_rows, saved = step_forward(x[times, rows], tuple(s[rows] for s in state), parameters)
        for whole, part in zip(state, state_rows, strict=True):
            whole[rows] = part
        y[times, rows] = state_rows[0]
        steps.append(Step(rows, times, saved))
    return y, state, Saved(cell, parameters, x, y.shape, steps)


def backward(
    saved: Saved, dy: Array, dstate: State
) -> tuple[Array | None, State, dict[str, Array]]:
    """Back-propagate through the whole sequence: dx, the initial state's gradient, and grads."""
    step_backward = CELLS[saved.cell].backward
    grads = {name: np.zeros_like(array) for name, array in saved.parameters.items()}
    dx = None if is_indices(saved.x) else np.zeros(saved.x.shape, dy.dtype)
    dstate = tuple(d.copy() for d in dstate)
    for rows, times, step in reversed(saved.steps):
        dh, *rest = (d[rows] for d in dstate)
        dstate_rows = (dh + dy[times, rows], *rest)
        dx_rows, dstate_rows, step_grads = step_backward(step, dstate_rows, saved.parameters)
        for whole, part in zip(dstate, dstate_rows, strict=True):
            whole[rows] = part
        if dx is not None and dx_rows is not None:
            dx[times, rows] = dx_rows
        for name, grad in step_grads.items():
            grads[name] += grad
    return dx, dstate, grads
