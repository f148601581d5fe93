"""A stack of layers that advances one time step a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference.cells import CELLS


class Stream:
    """Keeps the states of all layers, (layers, N, H) each, between steps."""

    def __init__(
        self,
        cell: str,
        layers: Sequence[Parameters],
        batch_size: int,
        check: Callable[[Any, Any], tuple[Array | Indices, Array | None]],
    ) -> None:
        self._cell = CELLS[cell]
        self._layers = layers
        self._check = check
        weight = layers[0]["weight_hh"]
        shape = (len(layers), batch_size, weight.shape[1])
        self._state: State = tuple(np.zeros(shape, weight.dtype) for _ in range(self._cell.states))

    def step(self, x_t: Any, out: Array | None = None, /) -> Array:
        """Advance all layers: each takes the new h of the one below it as its x."""
        x, out = self._check(x_t, out)
        new = [np.empty_like(s) for s in self._state]
        for layer, parameters in enumerate(self._layers):
            state = tuple(s[layer] for s in self._state)
            state, _ = self._cell.forward(x, state, parameters)
            h = x = state[0]
            for whole, part in zip(new, state, strict=True):
                whole[layer] = part
        self._state = tuple(new)
        if out is None:
            return h
        out[...] = h
        return out

    def state(self) -> State:
        """Copies of the states."""
        return tuple(s.copy() for s in self._state)

    def set_state(self, state: State, /) -> None:
        """Take over states of that shape."""
        self._state = tuple(s.copy() for s in state)
