"""The two passes of a stack through its layers and directions, on arrays that have been checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pyrnn import _checks, _pieces, _warnings
from pyrnn._types import Array, Noise, OneStep, State
from pyrnn.backend import selection
from pyrnn.layers import _finished, _options
from pyrnn.layers._cache import StackKept
from pyrnn.layers._options import Option, Setting
from pyrnn.layers.recurrent import _noise
from pyrnn.layers.recurrent._call.arguments import joined, part_of
from pyrnn.layers.recurrent._call.segments import Group
from pyrnn.layers.recurrent._weights.stack import StackWeights

_NO_NOISES: Sequence[Noise | None] = (None, None)

MergeMode = Literal["concat", "sum", "mul", "ave"]
Lengths = npt.NDArray[np.intp]


class StackPasses(StackWeights):
    """Forward and backward pass, with what is drawn for them."""

    batch_first: Option[bool] = Option(_checks.flag)
    reverse: Option[bool] = Option(_checks.flag)
    merge_mode: Option[MergeMode] = Option(_options.one_of(MergeMode))
    dropout: Setting[float] = Setting(_options.rate)
    input_dropout: Setting[float] = Setting(_options.rate)
    recurrent_dropout: Setting[float] = Setting(_options.rate)
    zoneout: Setting[Any] = Setting(_options.rate)

    _generator: np.random.Generator

    def _take(self, arguments: Mapping[str, Any]) -> None:
        """As every layer's; a layer with a cell of its own may leave these out."""
        left_out = {"reverse": False, "merge_mode": "concat", "input_dropout": 0.0}
        super()._take({**left_out, **arguments})

    def _check_together(self, options: Mapping[str, Any]) -> None:
        super()._check_together(options)
        if options["bidirectional"] and options["reverse"]:
            raise ValueError(
                "reverse: expected False for a bidirectional layer, which runs both ways, got True"
            )
        if options["merge_mode"] != "concat" and not options["bidirectional"]:
            raise ValueError(
                "merge_mode: expected 'concat' for a layer of one direction, got "
                f"{options['merge_mode']!r}"
            )

    # --- forward ----------------------------------------------------------------------------

    def _make_ready(self, chosen: selection.Backend | None) -> OneStep:
        fixed, zoneout = self._fixed, self.zoneout
        if fixed is None or self.bidirectional:
            return StackWeights._ready[1]
        rates = _noise.zoneout_rates(zoneout, len(self._state_names))
        step = fixed.one_step(selection.current(), self.batch_first, rates)
        self._ready = chosen, step
        if self._fixed is not fixed or self.zoneout is not zoneout:
            self._not_ready()
        return step

    def _pass_forward(
        self,
        backend: selection.Backend,
        x: Any,
        states: State | None,
        lengths: Lengths | None,
        keep: bool,
        checkpoint: int,
        groups: Sequence[Group] | None = None,
    ) -> tuple[Array, list[State], StackKept]:
        """The output (T, N, features), the final state of each layer and direction, what is kept.

        ``groups`` are the segments that run, where there is a mask or a reset.
        """
        if groups is not None:
            outputs, final, kept = self._run_segments(backend, x, states, groups, keep, checkpoint)
        elif lengths is None and x.shape[1]:
            outputs, final, kept = self._run(backend, x, states, None, keep, checkpoint)
        else:
            outputs, final, kept = self._run_occupied(backend, x, states, lengths, keep, checkpoint)
        if len(outputs) == 1:
            return outputs[0], final, kept
        if self.merge_mode == "mul":
            kept.top = outputs
        return _merged(outputs, self.merge_mode), final, kept

    def _run_segments(
        self,
        backend: selection.Backend,
        x: Any,
        states: State | None,
        groups: Sequence[Group],
        keep: bool,
        checkpoint: int,
    ) -> tuple[list[Array], list[State], StackKept]:
        """Run the segments of sequences, one group after the other."""
        time_steps, batch_size = x.shape[:2]
        reverses = self._reverses()
        outputs = [self._zero_output(time_steps, batch_size) for _ in range(self.num_directions)]
        final = self._zero_states(batch_size)
        parts = []
        for group in groups:
            before = None if states is None else group.first_state(states, reverses)
            part, after, kept = self._run_occupied(
                backend, group.input(x), before, group.counts, keep, checkpoint
            )
            for reverse, whole, one in zip(reverses, outputs, part, strict=False):
                group.set_output(whole, one, reverse)
            group.set_last(final, after, reverses)
            parts.append(kept)
        kept = StackKept()
        kept.groups, kept.parts, kept.indices = groups, parts, x.dtype.kind in "iu"
        return outputs, final, kept

    def _run_occupied(
        self,
        backend: selection.Backend,
        x: Any,
        states: State | None,
        lengths: Lengths | None,
        keep: bool,
        checkpoint: int,
    ) -> tuple[list[Array], list[State], StackKept]:
        """Run the sequences that have a step; the outputs of others are zero, their states stay."""
        rows = _occupied(lengths, x.shape[1])
        if rows is None:
            return self._run(backend, x, states, lengths, keep, checkpoint)
        time_steps, batch_size = x.shape[:2]
        outputs = [self._zero_output(time_steps, batch_size) for _ in range(self.num_directions)]
        final = self._zero_states(batch_size)
        if states is not None:
            indices = range(self.num_layers * self.num_directions)
            final = [tuple(part[index].copy() for part in states) for index in indices]
        kept = StackKept()
        if rows.size:
            assert lengths is not None
            chosen = None if states is None else tuple(part[:, rows] for part in states)
            part, after, kept = self._run(
                backend, _of_rows(x, rows), chosen, lengths[rows], keep, checkpoint
            )
            for whole, one in zip(outputs, part, strict=True):
                _put_rows(whole, rows, one)
            _put(final, after, rows)
        kept.rows, kept.indices = rows, x.dtype.kind in "iu"
        return outputs, final, kept

    def _run(
        self,
        backend: selection.Backend,
        x: Any,
        states: State | None,
        lengths: Lengths | None,
        keep: bool,
        checkpoint: int,
    ) -> tuple[list[Array], list[State], StackKept]:
        """Run sequences of which none is empty; the outputs of the top layer in each direction."""
        weights = self._weights(backend)
        options = self.__dict__  # a look at each option by its name costs five times as much
        bidirectional, reverse = options["bidirectional"], options["reverse"]
        draws = options["zoneout"] or (
            options["training"]
            and (options["dropout"] or options["input_dropout"] or options["recurrent_dropout"])
        )
        kept = StackKept()
        final: list[State] = []
        outputs: list[Array] = []
        mask: Array | None = None
        noises: Sequence[Noise | None] = _NO_NOISES
        for layer in range(options["num_layers"]):
            if draws:
                mask, noises = self._draw_for(layer, x)
                x = x if mask is None else _noise.masked(x, mask)
            kept.masks.append(mask)
            if not bidirectional:
                before = None if states is None else part_of(states, layer)
                x, last, saved = backend.forward(
                    weights[layer], x, before, lengths, reverse, keep, checkpoint, noises[0]
                )
                final.append(last)
                kept.saved.append(saved)
                continue
            both = slice(2 * layer, 2 * layer + 2)
            befores = [part_of(states, 2 * layer), part_of(states, 2 * layer + 1)]
            walks = backend.forward_both(
                weights[both], x, befores, lengths, keep, checkpoint, noises
            )
            outputs = [walk[0] for walk in walks]
            final += [walk[1] for walk in walks]
            kept.saved += [walk[2] for walk in walks]
            if layer + 1 < options["num_layers"]:
                x = _merged(outputs, self.merge_mode)
                kept.outputs.append(outputs if self.merge_mode == "mul" else None)
        return outputs if bidirectional else [x], final, kept

    # --- backward ---------------------------------------------------------------------------

    def _pass_backward(
        self, backend: selection.Backend, kept: StackKept, dy: Array, dstates: State | None
    ) -> tuple[Array | None, list[State], dict[str, Array]]:
        """Gradients of x, of the initial states and of the parameters."""
        parts = _parted(dy, self.merge_mode, kept.top) if self.bidirectional else (dy,)
        if kept.groups is None:
            take = _finished.asked(self)
            if kept.rows is None:
                return self._run_back(backend, kept, parts, dstates, take)
            return self._occupied_back(backend, kept, parts, dstates, take)
        time_steps, batch_size = dy.shape[:2]
        reverses = self._reverses()
        dx = None if kept.indices else self._zero_input(time_steps, batch_size)
        dfirst = self._zero_states(batch_size)
        total: dict[str, Array] = {}
        for group, saved in zip(kept.groups, kept.parts, strict=True):
            doutputs = [
                group.output_gradient(part, reverse)
                for part, reverse in zip(parts, reverses, strict=False)
            ]
            after = None if dstates is None else group.last_state(dstates, reverses)
            dpart, dbefore, grads = self._occupied_back(backend, saved, doutputs, after)
            if dx is not None and dpart is not None:
                group.set_input_gradient(dx, dpart)
            group.set_first(dfirst, dbefore, reverses)
            with _warnings.unwarned():
                total = {n: total[n] + g for n, g in grads.items()} if total else grads
        return dx, dfirst, total

    def _occupied_back(
        self,
        backend: selection.Backend,
        kept: StackKept,
        parts: Sequence[Array],
        dstates: State | None,
        take: _finished.Take | None = None,
    ) -> tuple[Array | None, list[State], dict[str, Array]]:
        """Backward of `_run_occupied`."""
        rows = kept.rows
        if rows is None:
            return self._run_back(backend, kept, parts, dstates, take)
        time_steps, batch_size = parts[0].shape[:2]
        dx = None if kept.indices else self._zero_input(time_steps, batch_size)
        dfirst = self._zero_states(batch_size)
        if dstates is not None:
            indices = range(self.num_layers * self.num_directions)
            dfirst = [tuple(part[index].copy() for part in dstates) for index in indices]
        if not rows.size:
            return dx, dfirst, {n: np.zeros_like(a) for n, a in self._parameters.items()}
        chosen = None if dstates is None else tuple(part[:, rows] for part in dstates)
        dparts = [_of_rows(part, rows) for part in parts]
        dpart, dbefore, grads = self._run_back(backend, kept, dparts, chosen, take)
        if dx is not None and dpart is not None:
            _put_rows(dx, rows, dpart)
        _put(dfirst, dbefore, rows)
        return dx, dfirst, grads

    def _run_back(
        self,
        backend: selection.Backend,
        kept: StackKept,
        parts: Sequence[Array],
        dstates: State | None,
        take: _finished.Take | None,
    ) -> tuple[Array | None, list[State], dict[str, Array]]:
        """Backward of `_run`, with ``take`` given the gradients of each layer."""
        dfirst: list[State] = []
        cell_grads: list[dict[str, Array]] = []
        dx: Array | None = None
        bidirectional = self.bidirectional
        for layer in range(len(kept.masks) - 1, -1, -1):
            walks: Sequence[selection.Backward]
            if bidirectional:
                if dx is not None:
                    parts = _parted(dx, self.merge_mode, kept.outputs[layer])
                both = slice(2 * layer, 2 * layer + 2)
                afters = [part_of(dstates, 2 * layer), part_of(dstates, 2 * layer + 1)]
                walks = backend.backward_both(kept.saved[both], parts, afters)
            else:
                dy = parts[0] if dx is None else dx
                after = None if dstates is None else part_of(dstates, layer)
                walks = (backend.backward(kept.saved[layer], dy, after),)
            # Collected from the last layer and direction to the first, reversed below.
            for _, dbefore, grads in reversed(walks):
                dfirst.append(dbefore)
                cell_grads.append(grads)
                if take is not None:
                    take(grads)
            dx = walks[0][0]
            other = walks[-1][0]
            if bidirectional and dx is not None and other is not None:
                with _warnings.unwarned():  # entering it takes as long as a short step
                    dx = _pieces.mapped(np.add, other, dx)
            mask = kept.masks[layer]
            if mask is not None and dx is not None:
                dx = _noise.masked(dx, mask)
        dfirst.reverse()
        cell_grads.reverse()
        return dx, dfirst, joined(cell_grads)

    def _windows_back(
        self, backend: selection.Backend, kept: StackKept, dy: Array, k1: int, k2: int
    ) -> tuple[Array | None, dict[str, Array]]:
        """Truncated backward of `_run_occupied`: gradients of x and of the parameters."""
        rows = kept.rows
        if rows is not None and not rows.size:
            dx, _, grads = self._pass_backward(backend, kept, dy, None)
            return dx, grads
        masks = [*kept.masks[1:], None]
        occupied = dy if rows is None else _of_rows(dy, rows)
        dx, cell_grads = backend.backward_windows(kept.saved, occupied, k1, k2, masks)
        if dx is not None and kept.masks[0] is not None:
            dx = _noise.masked(dx, kept.masks[0])
        if dx is not None and rows is not None:
            whole = self._zero_input(*dy.shape[:2])
            _put_rows(whole, rows, dx)
            dx = whole
        return dx, joined(cell_grads)

    # --- sizes ------------------------------------------------------------------------------

    @property
    def _features(self) -> int:
        """Features of the output of a layer."""
        directions = self.num_directions if self.merge_mode == "concat" else 1
        return directions * self._output_size

    def _reverses(self) -> list[bool]:
        """For each layer and direction, whether it runs in reverse."""
        directions = [False, True] if self.bidirectional else [self.reverse]
        return directions * self.num_layers

    def _zero_states(self, batch_size: int) -> list[State]:
        """The state of each layer and direction."""
        sizes = self._state_sizes().values()
        return [
            tuple(np.zeros((batch_size, size), self.dtype) for size in sizes)
            for _ in range(self.num_layers * self.num_directions)
        ]

    def _zero_output(self, time_steps: int, batch_size: int) -> Array:
        """The output of one direction."""
        return np.zeros((time_steps, batch_size, self._output_size), self.dtype)

    def _zero_input(self, time_steps: int, batch_size: int) -> Array:
        return np.zeros((time_steps, batch_size, self.input_size), self.dtype)

    # --- noise ------------------------------------------------------------------------------

    def _draw_for(self, layer: int, x: Any) -> tuple[Array | None, list[Noise | None]]:
        """Draw the mask of zeros and 1 / (1 - p) before a layer; the noise of each direction."""
        # One mask of the input for all time steps of a sequence.
        rate, shape = (self.dropout, x.shape) if layer else (self.input_dropout, x.shape[1:])
        mask = None
        if self.training and rate:
            mask = _noise.dropout_mask(self._generator, shape, rate, self.dtype)
        return mask, [self._draw_noise(*x.shape[:2]) for _ in range(self.num_directions)]

    def _draw_noise(self, time_steps: int, batch_size: int) -> Noise | None:
        """Draw the noise for one layer and direction; in eval mode, its mean."""
        rates = _noise.zoneout_rates(self.zoneout, len(self._state_names))
        if not self.training:
            return _noise.expected(rates)
        sizes = self._state_sizes().values()
        shapes = tuple((time_steps, batch_size, size) for size in sizes)
        return _noise.draw(self._generator, shapes, self.recurrent_dropout, rates, self.dtype)


def _occupied(lengths: Lengths | None, batch_size: int) -> Lengths | None:
    """The sequences that have a step; None if all have."""
    if lengths is None:
        return None if batch_size else np.zeros(0, np.intp)
    return None if lengths.size and lengths.all() else np.flatnonzero(lengths)


def _of_rows(array: Array, rows: Lengths) -> Array:
    """Some sequences of all (T, N, ...)."""
    found = np.empty((len(array), len(rows), *array.shape[2:]), array.dtype)
    for some in _pieces.pieces(len(found), math.prod(found.shape[1:])):
        found[some] = array[some][:, rows]
    return found


def _put_rows(whole: Array, rows: Lengths, part: Array) -> None:
    """Put sequences where they belong among all."""
    for some in _pieces.pieces(len(part), math.prod(part.shape[1:])):
        whole[some][:, rows] = part[some]


def _put(whole: list[State], part: list[State], rows: Lengths) -> None:
    """Put the states of some rows into those of all, for each layer and direction."""
    for wholes, parts in zip(whole, part, strict=True):
        for one, other in zip(wholes, parts, strict=True):
            one[rows] = other


def _merged(outputs: Sequence[Array], mode: MergeMode) -> Array:
    """One output of those of the directions, (T, N, size of h) each."""
    if len(outputs) == 1:
        return outputs[0]
    one, other = outputs
    if mode == "concat":
        return _pieces.beside(one, other)
    with _warnings.unwarned():
        if mode == "mul":
            return _pieces.mapped(np.multiply, one, other)
        total = _pieces.mapped(np.add, one, other)
        return _halved(total) if mode == "ave" else total


def _parted(dy: Array, mode: MergeMode, outputs: Sequence[Array] | None) -> Sequence[Array]:
    """From the gradient of the merged output to those of both directions."""
    if mode == "concat":
        size = dy.shape[2] // 2
        return dy[:, :, :size], dy[:, :, size:]
    with _warnings.unwarned():
        if outputs is not None:
            one, other = outputs
            return _pieces.mapped(np.multiply, dy, other), _pieces.mapped(np.multiply, dy, one)
        if mode == "ave":
            dy = _halved(dy)
    return dy, dy


def _halved(array: Array) -> Array:
    return _pieces.mapped(lambda some: some * array.dtype.type(0.5), array)
