"""The two passes of a stack through its layers and directions, on arrays that have been checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pyrnn import _checks, _warnings
from pyrnn._types import Array, Noise, State
from pyrnn.backend import selection
from pyrnn.layers import _finished, _options
from pyrnn.layers._cache import StackKept
from pyrnn.layers._options import Option, Setting
from pyrnn.layers.recurrent import _noise
from pyrnn.layers.recurrent._call.arguments import joined, part_of
from pyrnn.layers.recurrent._call.segments import Group
from pyrnn.layers.recurrent._weights.fixed import FixedWeights, OneStep
from pyrnn.layers.recurrent._weights.stack import StackWeights

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

    def _one_step(self, fixed: FixedWeights, backend: selection.Backend) -> OneStep:
        """What computes a call in eval mode whose x is a single step; it returns None of others."""
        if self.bidirectional:
            return fixed.one_step[2]
        rates = _noise.zoneout_rates(self.zoneout, len(self._state_names))
        return fixed.use_one_step(backend, self.batch_first, self.zoneout, rates)

    def _pass_forward(
        self,
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
        if groups is None:
            outputs, final, kept = self._run_occupied(x, states, lengths, keep, checkpoint)
        else:
            outputs, final, kept = self._run_segments(x, states, groups, keep, checkpoint)
        if len(outputs) == 1:
            return outputs[0], final, kept
        if self.merge_mode == "mul":
            kept = kept._replace(top=outputs)
        return _merged(outputs, self.merge_mode), final, kept

    def _run_segments(
        self, x: Any, states: State | None, groups: Sequence[Group], keep: bool, checkpoint: int
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
                group.input(x), before, group.counts, keep, checkpoint
            )
            for reverse, whole, one in zip(reverses, outputs, part, strict=False):
                group.set_output(whole, one, reverse)
            group.set_last(final, after, reverses)
            parts.append(kept)
        kept = StackKept([], [], [], indices=x.dtype.kind in "iu", groups=list(groups))
        return outputs, final, kept._replace(parts=parts)

    def _run_occupied(
        self, x: Any, states: State | None, lengths: Lengths | None, keep: bool, checkpoint: int
    ) -> tuple[list[Array], list[State], StackKept]:
        """Run the sequences that have a step; the outputs of others are zero, their states stay."""
        rows = _occupied(lengths, x.shape[1])
        if rows is None:
            return self._run(x, states, lengths, keep, checkpoint)
        time_steps, batch_size = x.shape[:2]
        outputs = [self._zero_output(time_steps, batch_size) for _ in range(self.num_directions)]
        final = self._zero_states(batch_size)
        if states is not None:
            indices = range(self.num_layers * self.num_directions)
            final = [tuple(part[index].copy() for part in states) for index in indices]
        kept = StackKept([], [], [])
        if rows.size:
            assert lengths is not None
            chosen = None if states is None else tuple(part[:, rows] for part in states)
            part, after, kept = self._run(x[:, rows], chosen, lengths[rows], keep, checkpoint)
            for whole, one in zip(outputs, part, strict=True):
                whole[:, rows] = one
            _put(final, after, rows)
        return outputs, final, kept._replace(rows=rows, indices=x.dtype.kind in "iu")

    def _run(
        self, x: Any, states: State | None, lengths: Lengths | None, keep: bool, checkpoint: int
    ) -> tuple[list[Array], list[State], StackKept]:
        """Run sequences of which none is empty; the outputs of the top layer in each direction."""
        time_steps, batch_size = x.shape[:2]
        backend = selection.current()
        weights = self._weights(backend)
        final: list[State] = []
        kept = StackKept([], [], [])
        outputs: list[Array] = []
        for layer in range(self.num_layers):
            if layer:
                source = _merged(outputs, self.merge_mode)
                multiplied = self.bidirectional and self.merge_mode == "mul"
                kept.outputs.append(outputs if multiplied else None)
                mask = self._dropout_mask(source.shape, self.dropout)
            else:
                source = x
                # One mask for all time steps of a sequence.
                mask = self._dropout_mask(x.shape[1:], self.input_dropout)
            source = source if mask is None else _noise.masked(source, mask)
            walks: Sequence[selection.Forward]
            if self.bidirectional:
                both = slice(2 * layer, 2 * layer + 2)
                befores = [part_of(states, 2 * layer), part_of(states, 2 * layer + 1)]
                noises = [self._draw_noise(time_steps, batch_size) for _ in range(2)]
                walks = backend.forward_both(
                    weights[both], source, befores, lengths, keep, checkpoint, noises
                )
            else:
                before = part_of(states, layer)
                noise = self._draw_noise(time_steps, batch_size)
                walk = backend.forward(
                    weights[layer], source, before, lengths, self.reverse, keep, checkpoint, noise
                )
                walks = (walk,)
            outputs = [walk[0] for walk in walks]
            for _, last, saved in walks:
                final.append(last)
                kept.saved.append(saved)
            kept.masks.append(mask)
        return outputs, final, kept

    # --- backward ---------------------------------------------------------------------------

    def _pass_backward(
        self, backend: selection.Backend, kept: StackKept, dy: Array, dstates: State | None
    ) -> tuple[Array | None, list[State], dict[str, Array]]:
        """Gradients of x, of the initial states and of the parameters."""
        parts = _parted(dy, self.merge_mode, kept.top) if self.bidirectional else [dy]
        if kept.groups is None:
            return self._occupied_back(backend, kept, parts, dstates, _finished.asked(self))
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
        dparts = [part[:, rows] for part in parts]
        dpart, dbefore, grads = self._run_back(backend, kept, dparts, chosen, take)
        if dx is not None and dpart is not None:
            dx[:, rows] = dpart
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
        for layer in range(self.num_layers - 1, -1, -1):
            if dx is not None:
                parts = [dx]
                if self.bidirectional:
                    parts = _parted(dx, self.merge_mode, kept.outputs[layer])
            walks: Sequence[selection.Backward]
            if self.bidirectional:
                both = slice(2 * layer, 2 * layer + 2)
                afters = [part_of(dstates, 2 * layer), part_of(dstates, 2 * layer + 1)]
                walks = backend.backward_both(kept.saved[both], parts, afters)
            else:
                after = part_of(dstates, layer)
                walks = (backend.backward(kept.saved[layer], parts[0], after),)
            dx = None
            # Collected from the last layer and direction to the first, reversed below.
            for dpart, dbefore, grads in reversed(walks):
                dfirst.append(dbefore)
                cell_grads.append(grads)
                if take is not None:
                    take(grads)
                if dpart is None or dx is None:
                    dx = dpart if dx is None else dx
                    continue
                with _warnings.unwarned():  # entering it takes as long as a short step
                    dx = dx + dpart
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
        occupied = dy if rows is None else dy[:, rows]
        dx, cell_grads = backend.backward_windows(kept.saved, occupied, k1, k2, masks)
        if dx is not None and kept.masks[0] is not None:
            dx = _noise.masked(dx, kept.masks[0])
        if dx is not None and rows is not None:
            whole = self._zero_input(*dy.shape[:2])
            whole[:, rows] = dx
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

    def _dropout_mask(self, shape: tuple[int, ...], rate: float) -> Array | None:
        """Draw a mask of zeros and 1 / (1 - p) before a layer; None without dropout."""
        if not self.training or rate == 0:
            return None
        return _noise.dropout_mask(self._generator, shape, rate, self.dtype)

    def _draw_noise(self, time_steps: int, batch_size: int) -> Noise | None:
        """Draw the noise for one layer and direction; in eval mode, its mean."""
        if not self.zoneout and not self.recurrent_dropout:
            return None
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


def _put(whole: list[State], part: list[State], rows: Lengths) -> None:
    """Put the states of some rows into those of all, for each layer and direction."""
    for wholes, parts in zip(whole, part, strict=True):
        for one, other in zip(wholes, parts, strict=True):
            one[rows] = other


def _merged(outputs: Sequence[Array], mode: MergeMode) -> Array:
    """One output of those of the directions, (T, N, size of h) each."""
    if len(outputs) == 1:
        return outputs[0]
    if mode == "concat":
        return np.concatenate(outputs, axis=2)
    one, other = outputs
    with _warnings.unwarned():
        if mode == "mul":
            product: Array = one * other
            return product
        total: Array = one + other
        return total * total.dtype.type(0.5) if mode == "ave" else total


def _parted(dy: Array, mode: MergeMode, outputs: Sequence[Array] | None) -> Sequence[Array]:
    """From the gradient of the merged output to those of both directions."""
    if mode == "concat":
        size = dy.shape[2] // 2
        return dy[:, :, :size], dy[:, :, size:]
    with _warnings.unwarned():
        if outputs is not None:
            one, other = outputs
            return dy * other, dy * one
        if mode == "ave":
            dy = dy * dy.dtype.type(0.5)
    return dy, dy
