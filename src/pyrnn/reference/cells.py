"""The list of cells: a new cell is entered here, and every test that runs over cells finds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference import gru, lstm, rnn

StepForward = Callable[["Array | Indices", State, Parameters], "tuple[State, Any]"]
StepBackward = Callable[[Any, State, Parameters], "tuple[Array | None, State, dict[str, Array]]"]


class Cell(NamedTuple):
    """One cell: how many gates and states it has, and its step in both directions.

    ``forward(x, state, parameters) -> state', saved`` and
    ``backward(saved, dstate', parameters) -> dx, dstate, grads``.
    """

    gates: int
    states: int
    forward: StepForward
    backward: StepBackward


CELLS: dict[str, Cell] = {
    "rnn_tanh": Cell(1, 1, rnn.tanh_forward, rnn.tanh_backward),
    "rnn_relu": Cell(1, 1, rnn.relu_forward, rnn.relu_backward),
    "lstm": Cell(4, 2, lstm.forward, lstm.backward),
    "gru": Cell(3, 1, gru.forward, gru.backward),
}
