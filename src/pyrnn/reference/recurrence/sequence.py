"""The loop over time: forward, and back-propagation through time.

A sequence here is one layer in one direction. Sequences of a batch may differ in length: step s
advances the rows that are longer than s. The reverse direction starts at each sequence's last step.
"""

from __future__ import annotations

from collections.abc import Iterator, Reversible
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn._types import Array, Indices, Noise, Parameters, State, is_indices
from pyrnn.reference.cells import cell_of
from pyrnn.reference.recurrence import zoneout
from pyrnn.reference.sums import Total


class Run(NamedTuple):
    """What is the same for all time steps.

    ``suffix`` is appended to the parameters' names to name the gradients.
    """

    cell: str
    parameters: Parameters
    x: Array | Indices
    lengths: npt.NDArray[np.intp] | None = None
    reverse: bool = False
    noise: Noise | None = None
    suffix: str = ""


class Step(NamedTuple):
    """One time step: the rows that it advanced, the position of each in time, the cell's cache.

    ``kept`` is how much of its old value each state kept, where there is zoneout.
    """

    rows: npt.NDArray[np.intp]
    times: npt.NDArray[np.intp]
    saved: Any
    kept: zoneout.Kept | None


class Saved(NamedTuple):
    """The cache: what `backward` needs."""

    run: Run
    steps: Reversible[Step]


def forward(run: Run, state: State) -> tuple[Array, State, Saved]:
    """Run a cell over time.

    ``run.x`` is (T, N, I), or (T, N) of one-hot indices; each state is (N, H). Returns ``y``
    (T, N, H), zero past a sequence's length, the state after each sequence's last step, and the
    cache for `backward`.
    """
    y = zero_output(run, state)
    state = copied(state)
    steps = []
    for step, h in walk(run, state, range(count_steps(run))):
        y[step.times, step.rows] = h
        steps.append(step)
    return y, state, Saved(run, steps)


def walk(run: Run, state: State, steps: range) -> Iterator[tuple[Step, Array]]:
    """Advance ``state`` in place; yield each step and the rows of h after it."""
    step_forward = cell_of(run.cell).forward
    noise = run.noise or Noise()
    lengths = _lengths(run)
    for number in steps:
        rows = np.flatnonzero(lengths > number)
        forwards = np.full(len(rows), number, dtype=np.intp)
        times = lengths[rows] - 1 - number if run.reverse else forwards
        old = tuple(s[rows] for s in state)
        mask = None if noise.hidden_mask is None else noise.hidden_mask[rows]
        new, saved = step_forward(run.x[times, rows], old, run.parameters, mask)
        kept = None
        if noise.zoneout is not None:
            kept = tuple(m if isinstance(m, float) else m[times, rows] for m in noise.zoneout)
            new = zoneout.mix(new, old, kept)
        for whole, part in zip(state, new, strict=True):
            whole[rows] = part
        yield Step(rows, times, saved, kept), new[0]


def backward(
    saved: Saved, dy: Array, dstate: State
) -> tuple[Array | None, State, dict[str, Array]]:
    """Back-propagate through the whole sequence: dx, the initial state's gradient, and grads."""
    run = saved.run
    step_backward = cell_of(run.cell).backward
    totals = {
        name: Total(np.zeros_like(array, subok=False)) for name, array in run.parameters.items()
    }
    dx = None if is_indices(run.x) else np.zeros(run.x.shape, dy.dtype)
    dstate = copied(dstate)
    for rows, times, step, kept in reversed(saved.steps):
        dh, *rest = (d[rows] for d in dstate)
        dnew: State = (dh + dy[times, rows], *rest)
        dpast: State = ()
        if kept is not None:
            dnew, dpast = zoneout.mix_backward(dnew, kept)
        dx_rows, dold, step_grads = step_backward(step, dnew, run.parameters)
        if kept is not None:
            dold = tuple(d + past for d, past in zip(dold, dpast, strict=True))
        for whole, part in zip(dstate, dold, strict=True):
            whole[rows] = part
        if dx is not None and dx_rows is not None:
            dx[times, rows] = dx_rows
        for name, grad in step_grads.items():
            totals[name].add(grad)
    return dx, dstate, {name: total.value() for name, total in totals.items()}


def count_steps(run: Run) -> int:
    """Return the number of time steps of the longest sequence."""
    return int(_lengths(run).max(initial=0))


def zero_output(run: Run, state: State) -> Array:
    """Return y (T, N, size of h) of zeros."""
    return np.zeros((len(run.x), *state[0].shape), dtype=state[0].dtype)


def zero_state(run: Run) -> State:
    """Return a state of zeros, (N, size) each; it also serves as a gradient."""
    weight_ih = run.parameters["weight_ih"]
    sizes = cell_of(run.cell).state_sizes(run.parameters)
    return tuple(np.zeros((run.x.shape[1], size), weight_ih.dtype) for size in sizes)


def copied(state: State) -> State:
    """Return a copy of the state."""
    return tuple(s.copy() for s in state)


def _lengths(run: Run) -> npt.NDArray[np.intp]:
    time_steps, batch_size = run.x.shape[:2]
    if run.lengths is None:
        return np.full(batch_size, time_steps, dtype=np.intp)
    return run.lengths
