"""Checkpointing: keep every m-th state only; backward computes the steps between them again.

Memory for T steps falls to T / m states and the values of m steps, at the cost of one more forward
pass. Steps that are computed again give the same values, so gradients are identical to the bit.
Source: T. Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174; A.
Gruslys et al., "Memory-efficient backpropagation through time", NeurIPS 2016.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyrnn._types import Array, State
from pyrnn.reference.recurrence import sequence
from pyrnn.reference.recurrence.sequence import Run, Saved, Step


class Segments:
    """The time steps in segments, each of which is computed again when it is iterated over."""

    def __init__(self, run: Run, segments: list[tuple[range, State]]) -> None:
        self._run = run
        self._segments = segments

    def __iter__(self) -> Iterator[Step]:
        for steps, state in self._segments:
            yield from self._again(steps, state)

    def __reversed__(self) -> Iterator[Step]:
        for steps, state in reversed(self._segments):
            yield from reversed(self._again(steps, state))

    def _again(self, steps: range, state: State) -> list[Step]:
        return [step for step, _ in sequence.walk(self._run, sequence.copied(state), steps)]


def forward(run: Run, state: State, every: int) -> tuple[Array, State, Saved]:
    """Run as `sequence.forward` does, but keep only the state before every ``every`` steps."""
    y = sequence.zero_output(run, state)
    state = sequence.copied(state)
    count = sequence.count_steps(run)
    segments = []
    for start in range(0, count, every):
        steps = range(start, min(start + every, count))
        segments.append((steps, sequence.copied(state)))
        for step, h in sequence.walk(run, state, steps):
            y[step.times, step.rows] = h
    return y, state, Saved(run, Segments(run, segments))
