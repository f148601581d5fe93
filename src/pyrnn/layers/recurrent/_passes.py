"""The two passes of a stack through its layers and directions, on arrays that have been checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pyrnn import _checks, _options, _warnings
from pyrnn._options import Option, Setting
from pyrnn._types import Array, Noise, State
from pyrnn.backend import selection
from pyrnn.layers._cache import StackKept
from pyrnn.layers.recurrent import _noise
from pyrnn.layers.recurrent._arguments import joined, part_of
from pyrnn.layers.recurrent._weights import StackWeights

MergeMode = Literal["concat", "sum", "mul", "ave"]
Lengths = npt.NDArray[np.intp]


class StackPasses(StackWeights):
    """Forward and backward pass, with what is drawn for them."""

    reverse: Option[bool] = Option(_checks.flag)
    merge_mode: Option[MergeMode] = Option(_options.one_of(MergeMode))
    dropout: Setting[float] = Setting(_options.rate)
    recurrent_dropout: Setting[float] = Setting(_options.rate)
    zoneout: Setting[Any] = Setting(_options.rate)

    _generator: np.random.Generator

    def _take(self, arguments: Mapping[str, Any]) -> None:
        """As every layer's; a layer with a cell of its own may leave these out."""
        super()._take({"reverse": False, "merge_mode": "concat", **arguments})

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

    def _pass_forward(
        self,
        x: Any,
        states: State | None,
        lengths: Lengths | None,
        keep: bool,
        checkpoint: int,
    ) -> tuple[Array, list[State], StackKept]:
        """The output (T, N, features), the final state of each layer and direction, what is kept.

        Sequences of length 0 have no part in it: their outputs are zero, their states stay.
        """
        rows = _occupied(lengths, x.shape[1])
        if rows is None:
            return self._run(x, states, lengths, keep, checkpoint)
        time_steps, batch_size = x.shape[:2]
        y = np.zeros((time_steps, batch_size, self._features), self.dtype)
        final = [
            tuple(part.copy() for part in part_of(states, index) or self._zero_state(batch_size))
            for index in range(self.num_layers * self.num_directions)
        ]
        kept = StackKept([], [], [])
        if rows.size:
            assert lengths is not None
            chosen = None if states is None else tuple(part[:, rows] for part in states)
            outputs, after, kept = self._run(x[:, rows], chosen, lengths[rows], keep, checkpoint)
            y[:, rows] = outputs
            for whole, part in zip(final, after, strict=True):
                for one, other in zip(whole, part, strict=True):
                    one[rows] = other
        return y, final, kept._replace(rows=rows, indices=x.dtype.kind in "iu")

    def _run(
        self, x: Any, states: State | None, lengths: Lengths | None, keep: bool, checkpoint: int
    ) -> tuple[Array, list[State], StackKept]:
        """`_pass_forward` of sequences of which none is empty."""
        time_steps, batch_size = x.shape[:2]
        backend = selection.current()
        weights = self._weights(backend)
        final: list[State] = []
        kept = StackKept([], [], [])
        y = x
        for layer in range(self.num_layers):
            mask = self._dropout_mask(y) if layer else None
            source = y if mask is None else _noise.masked(y, mask)
            walks: Sequence[selection.Forward]
            if self.bidirectional:
                both = slice(2 * layer, 2 * layer + 2)
                befores = [part_of(states, 2 * layer), part_of(states, 2 * layer + 1)]
                noises = [self._draw_noise(time_steps, batch_size) for _ in range(2)]
                walks = backend.forward_both(
                    weights[both], source, befores, lengths, keep, checkpoint, noises
                )
                outputs = [walk[0] for walk in walks]
                y = _merged(outputs, self.merge_mode)
                kept.outputs.append(outputs if self.merge_mode == "mul" else None)
            else:
                before = part_of(states, layer)
                noise = self._draw_noise(time_steps, batch_size)
                walk = backend.forward(
                    weights[layer], source, before, lengths, self.reverse, keep, checkpoint, noise
                )
                walks, y = (walk,), walk[0]
            for _, last, saved in walks:
                final.append(last)
                kept.saved.append(saved)
            kept.masks.append(mask)
        return y, final, kept

    # --- backward ---------------------------------------------------------------------------

    def _pass_backward(
        self, backend: selection.Backend, kept: StackKept, dy: Array, dstates: State | None
    ) -> tuple[Array | None, list[State], dict[str, Array]]:
        """Gradients of x, of the initial states and of the parameters."""
        rows = kept.rows
        if rows is None:
            return self._run_back(backend, kept, dy, dstates)
        time_steps, batch_size = dy.shape[:2]
        dx = None
        if not kept.indices:
            dx = np.zeros((time_steps, batch_size, self.input_size), self.dtype)
        dfirst = [
            tuple(part.copy() for part in part_of(dstates, index) or self._zero_state(batch_size))
            for index in range(self.num_layers * self.num_directions)
        ]
        if not rows.size:
            return dx, dfirst, {n: np.zeros_like(a) for n, a in self._parameters.items()}
        chosen = None if dstates is None else tuple(part[:, rows] for part in dstates)
        dpart, dbefore, grads = self._run_back(backend, kept, dy[:, rows], chosen)
        if dx is not None and dpart is not None:
            dx[:, rows] = dpart
        for whole, part in zip(dfirst, dbefore, strict=True):
            for one, other in zip(whole, part, strict=True):
                one[rows] = other
        return dx, dfirst, grads

    def _run_back(
        self, backend: selection.Backend, kept: StackKept, dy: Array, dstates: State | None
    ) -> tuple[Array | None, list[State], dict[str, Array]]:
        dlayer = dy
        dfirst: list[State] = []
        cell_grads: list[dict[str, Array]] = []
        dx: Array | None = None
        for layer in range(self.num_layers - 1, -1, -1):
            walks: Sequence[selection.Backward]
            if self.bidirectional:
                both = slice(2 * layer, 2 * layer + 2)
                parts = _parted(dlayer, self.merge_mode, kept.outputs[layer])
                afters = [part_of(dstates, 2 * layer), part_of(dstates, 2 * layer + 1)]
                walks = backend.backward_both(kept.saved[both], parts, afters)
            else:
                after = part_of(dstates, layer)
                walks = (backend.backward(kept.saved[layer], dlayer, after),)
            dx = None
            # Collected from the last layer and direction to the first, reversed below.
            for dpart, dbefore, grads in reversed(walks):
                dfirst.append(dbefore)
                cell_grads.append(grads)
                if dpart is not None:
                    with _warnings.unwarned():
                        dx = dpart if dx is None else dx + dpart
            mask = kept.masks[layer]
            if mask is not None and dx is not None:
                dx = _noise.masked(dx, mask)
            if dx is not None:
                dlayer = dx
        dfirst.reverse()
        cell_grads.reverse()
        return dx, dfirst, joined(cell_grads)

    # --- sizes ------------------------------------------------------------------------------

    @property
    def _features(self) -> int:
        """Features of the output of a layer."""
        directions = self.num_directions if self.merge_mode == "concat" else 1
        return directions * self._output_size

    def _zero_state(self, batch_size: int) -> State:
        """The state of one layer in one direction."""
        sizes = self._state_sizes().values()
        return tuple(np.zeros((batch_size, size), self.dtype) for size in sizes)

    # --- noise ------------------------------------------------------------------------------

    def _dropout_mask(self, y: Array) -> Array | None:
        """Draw a mask of zeros and 1 / (1 - p) between two layers; None without dropout."""
        if not self.training or self.dropout == 0:
            return None
        return _noise.dropout_mask(self._generator, y.shape, self.dropout, self.dtype)

    def _draw_noise(self, time_steps: int, batch_size: int) -> Noise | None:
        """Draw the noise for one layer and direction; in eval mode, its mean."""
        rates = _noise.zoneout_rates(self.zoneout, len(self._state_names))
        if not rates and not self.recurrent_dropout:
            return None
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


def _merged(outputs: Sequence[Array], mode: MergeMode) -> Array:
    """One output of those of both directions, (T, N, size of h) each."""
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
