"""A stack of layers that advances one time step a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference.cells import cell_of
from pyrnn.reference.recurrence import zoneout as zones


class Stream:
    """Keeps the states of all layers, (layers, N, H) each, between steps.

    ``zoneout`` is the share of its old value that each state keeps; empty for none.
    """

    def __init__(
        self,
        cell: str,
        layers: Sequence[Parameters],
        batch_size: int,
        check: Callable[[Any, Any], tuple[Array | Indices, Array | None]],
        zoneout: tuple[float, ...] = (),
    ) -> None:
        self._cell = cell_of(cell)
        self._layers = layers
        self._check = check
        dtype = layers[0]["weight_ih"].dtype
        self._kept = zoneout
        self._state: State = tuple(
            np.zeros((len(layers), batch_size, size), dtype)
            for size in self._cell.state_sizes(layers[0])
        )

    def step(self, x_t: Any, out: Array | None = None, /) -> Array:
        """Advance all layers by one step; each takes the new h of the layer below as its x."""
        x, out = self._check(x_t, out)
        new = [np.empty_like(s) for s in self._state]
        for layer, parameters in enumerate(self._layers):
            old = tuple(s[layer] for s in self._state)
            state, _ = self._cell.forward(x, old, parameters, None)
            if self._kept:
                state = zones.mix(state, old, self._kept)
            h = x = state[0]
            for whole, part in zip(new, state, strict=True):
                whole[layer] = part
        self._state = tuple(new)
        if out is None:
            return h
        out[...] = h
        return out

    def state(self, rows: Indices | None = None, /) -> State:
        """Return copies of the states of all streams, or of these."""
        return tuple(s.copy() if rows is None else s[:, rows] for s in self._state)

    def set_state(self, state: State, rows: Indices | None = None, /) -> None:
        """Set the states, of the shapes that `state` returns for the same rows."""
        for own, part in zip(self._state, state, strict=True):
            own[:, slice(None) if rows is None else rows] = part
