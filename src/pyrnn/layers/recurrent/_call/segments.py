"""Sequences with masked steps and resets, converted to a batch of sequences without them.

A masked step keeps the state, so the other steps of a sequence form a shorter sequence. Where the
state is reset, another sequence begins. The loop over time gets the segments between the resets,
without their masked steps, each as a separate row. So the bits are those of the segment alone, and
a masked step costs only its copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _pieces, _warnings
from pyrnn._types import Array, State

Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


class Places(NamedTuple):
    """Where elements of x and y, [time, row], lie in the arrays of a group, [step, segment]."""

    times: Indices
    rows: Indices
    steps: Indices
    segments: Indices


class Group(NamedTuple):
    """Segments that run together, in arrays of ``steps`` time steps.

    ``rows`` are the sequences that they are parts of, ``counts`` their steps. ``first`` says which
    begin a sequence, ``last`` which end one, ``begin`` which start with the state that was given:
    the first ones, but where that is reset. ``run`` are the places of the steps that are computed.
    ``held`` are those of masked steps, at which the output of another step is repeated, of a layer
    that runs forward and of one that runs in reverse. ``whole``: x is the group's array as it is.
    """

    steps: int
    rows: Indices
    counts: Indices
    first: Flags
    last: Flags
    begin: Flags
    run: Places
    held: tuple[Places, Places]
    whole: bool

    def input(self, x: Any) -> Any:
        """The group's array of x."""
        if self.whole:
            return x
        taken = np.zeros((self.steps, len(self.rows), *x.shape[2:]), x.dtype)
        run = self.run
        _pieces.move(x, (run.times, run.rows), taken, (run.steps, run.segments))
        return taken

    def set_input_gradient(self, dx: Array, part: Array) -> None:
        """Put the gradient of the group's array into that of x."""
        run = self.run
        _pieces.move(part, (run.steps, run.segments), dx, (run.times, run.rows))

    def set_output(self, y: Array, part: Array, reverse: bool) -> None:
        """Put the group's outputs into y, at all steps that have one."""
        for places in (self.run, self.held[reverse]):
            of = places.steps, places.segments
            _pieces.move(part, of, y, (places.times, places.rows))

    def output_gradient(self, dy: Array, reverse: bool) -> Array:
        """The gradient of the group's outputs: for each, the sum over all steps that repeat it."""
        part = np.zeros((self.steps, len(self.rows), dy.shape[2]), dy.dtype)
        run, held = self.run, self.held[reverse]
        _pieces.move(dy, (run.times, run.rows), part, (run.steps, run.segments))
        if held.times.size:
            # One time step after another: at one, no two elements have the same place.
            bounds = np.searchsorted(held.times, np.arange(len(dy) + 1))
            with _warnings.unwarned():
                for time in np.unique(held.times):
                    at = slice(bounds[time], bounds[time + 1])
                    part[held.steps[at], held.segments[at]] += dy[time, held.rows[at]]
        return part

    def first_state(self, states: State, reverses: list[bool]) -> State:
        """(layers, S, size): the state of a sequence before its first segment to run, else zero."""
        return self._spread(states, [self.last if r else self.begin for r in reverses])

    def last_state(self, states: State, reverses: list[bool]) -> State:
        """(layers, S, size): that after its last segment to run, as a gradient, else zero."""
        return self._spread(states, [self.first if r else self.last for r in reverses])

    def set_first(self, whole: list[State], part: list[State], reverses: list[bool]) -> None:
        """Put what belongs to the state before a sequence where it belongs, (N, size) each."""
        self._collect(whole, part, [self.last if r else self.begin for r in reverses])

    def set_last(self, whole: list[State], part: list[State], reverses: list[bool]) -> None:
        """Put what belongs to the state after a sequence where it belongs, (N, size) each."""
        self._collect(whole, part, [self.first if r else self.last for r in reverses])

    def _spread(self, states: State, chosen: list[Flags]) -> State:
        marks = np.stack(chosen)[:, :, None]
        return tuple(np.where(marks, s[:, self.rows], s.dtype.type(0)) for s in states)

    def _collect(self, whole: list[State], part: list[State], chosen: list[Flags]) -> None:
        for wholes, parts, marks in zip(whole, part, chosen, strict=True):
            for one, other in zip(wholes, parts, strict=True):
                one[self.rows[marks]] = other[marks]


def groups(
    shape: tuple[int, int],
    lengths: Indices | None,
    mask: Flags | None,
    reset: Flags | None,
    zero_output: bool,
) -> list[Group]:
    """The segments of sequences (T, N), in groups that waste at most half of their arrays.

    ``mask`` (T, N) is False at steps that are left out, ``reset`` (T, N) is True where a segment
    begins. With ``zero_output`` masked steps have no output; else they repeat that of the step that
    ran before in the same segment, if there is one.
    """
    time_steps, batch_size = shape
    inside = np.ones(shape, np.bool_)
    if lengths is not None:
        inside = np.arange(time_steps)[:, None] < lengths
    kept = inside if mask is None else inside & mask
    starts = np.zeros(shape, np.bool_) if reset is None else inside & reset
    begin_with_zeros = starts[0].copy()
    starts[0] = True

    # Segments have numbers, row by row.
    per_row = starts.sum(axis=0)
    offsets = np.cumsum(per_row) - per_row
    number = np.cumsum(starts, axis=0) - 1 + offsets
    rows = np.repeat(np.arange(batch_size), per_row)
    counts = np.bincount(number[kept], minlength=len(rows))
    before = np.cumsum(kept, axis=0) - kept
    start_rows, start_times = np.nonzero(starts.T)
    step = before - before[start_times, start_rows][number]  # kept steps of the segment before it
    first = np.isin(np.arange(len(rows)), offsets)
    last = np.isin(np.arange(len(rows)), offsets + per_row - 1)
    begin = first & ~begin_with_zeros[rows]

    masked = inside & ~kept & (not zero_output)
    held = (masked & (step > 0), masked & (step < counts[number]))
    whole = len(rows) == batch_size and not np.any(kept[1:] & ~kept[:-1])
    local = np.zeros(len(rows), np.intp)
    found = []
    for chosen, steps in _sorted(counts, shape):
        local[chosen] = np.arange(len(chosen))
        inner = np.zeros(len(rows), np.bool_)
        inner[chosen] = True
        mine = inner[number]
        run = _places(kept & mine, step, local[number])
        behind = _places(held[0] & mine, step - 1, local[number])
        ahead = _places(held[1] & mine, step, local[number])
        found.append(
            Group(
                steps,
                rows[chosen],
                counts[chosen],
                first[chosen],
                last[chosen],
                begin[chosen],
                run,
                (behind, ahead),
                whole,
            )
        )
    return found


def _places(flags: Flags, step: Indices, segment: Indices) -> Places:
    times, rows = np.nonzero(flags)
    return Places(times, rows, step[times, rows], segment[times, rows])


def _sorted(counts: Indices, shape: tuple[int, int]) -> Iterator[tuple[Indices, int]]:
    """Groups of segments, and the steps of each: one if it is small enough, else by lengths."""
    time_steps, batch_size = shape
    if len(counts) == batch_size:  # without restarts: as many steps as x has
        yield np.arange(len(counts)), time_steps
        return
    longest = int(counts.max())
    if len(counts) * longest <= 2 * time_steps * batch_size:
        yield np.arange(len(counts)), max(longest, 1)
        return
    sizes = np.ceil(np.log2(np.maximum(counts, 1))).astype(np.intp)
    for size in np.unique(sizes)[::-1]:
        chosen = np.flatnonzero(sizes == size)
        yield chosen, max(int(counts[chosen].max()), 1)
