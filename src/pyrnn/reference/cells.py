"""The list of cells. A new cell is added here; tests that run over all cells find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference import (
    gru,
    gru_layer_norm,
    gru_reset_before,
    lstm,
    lstm_coupled,
    lstm_layer_norm,
    lstm_peephole,
    min_gru,
    rnn,
)

StepForward = Callable[["Array | Indices", State, Parameters, "Array | None"], "tuple[State, Any]"]
StepBackward = Callable[[Any, State, Parameters], "tuple[Array | None, State, dict[str, Array]]"]

BOTH_SIDES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
INPUT_SIDE = ("weight_ih", "bias_ih")
GAINS = ("gain_ih", "gain_hh")


class Cell(NamedTuple):
    """One cell: how many gates and states it has, its step in both directions, its parameters.

    ``forward(x, state, parameters, mask) -> state', saved``, where h is multiplied by mask (N, size
    of h), if it is not None, before its products; and
    ``backward(saved, dstate', parameters) -> dx, dstate, grads``.
    ``parameters`` are the names of all parameters; those that begin with "bias" may be absent, all
    together. If ``projects``, there may also be a ``weight_hr`` (P, H).
    """

    gates: int
    states: int
    forward: StepForward
    backward: StepBackward
    parameters: tuple[str, ...] = BOTH_SIDES
    projects: bool = False

    def state_sizes(self, parameters: Parameters) -> tuple[int, ...]:
        """Return the number of features of each state: H, or P for a projected h."""
        hidden_size = len(parameters["weight_ih"]) // self.gates
        output_size = len(parameters.get("weight_hr", range(hidden_size)))
        return (output_size, hidden_size)[: self.states]


CELLS: dict[str, Cell] = {
    "rnn_tanh": Cell(1, 1, rnn.tanh_forward, rnn.tanh_backward),
    "rnn_relu": Cell(1, 1, rnn.relu_forward, rnn.relu_backward),
    "lstm": Cell(4, 2, lstm.forward, lstm.backward, projects=True),
    "gru": Cell(3, 1, gru.forward, gru.backward),
    "lstm_peephole": Cell(
        4,
        2,
        lstm_peephole.forward,
        lstm_peephole.backward,
        (*BOTH_SIDES, "weight_peephole"),
        projects=True,
    ),
    "lstm_coupled": Cell(3, 2, lstm_coupled.forward, lstm_coupled.backward, projects=True),
    "lstm_coupled_peephole": Cell(
        3,
        2,
        lstm_coupled.forward,
        lstm_coupled.backward,
        (*BOTH_SIDES, "weight_peephole"),
        projects=True,
    ),
    "gru_reset_before": Cell(3, 1, gru_reset_before.forward, gru_reset_before.backward),
    "lstm_layer_norm": Cell(
        4,
        2,
        lstm_layer_norm.forward,
        lstm_layer_norm.backward,
        (*BOTH_SIDES, *GAINS, "gain_c", "bias_c"),
    ),
    "gru_layer_norm": Cell(
        3, 1, gru_layer_norm.forward, gru_layer_norm.backward, (*BOTH_SIDES, *GAINS)
    ),
    "min_gru": Cell(2, 1, min_gru.forward, min_gru.backward, INPUT_SIDE),
}
