"""The list of cells, a file each. A new cell is added here; tests over all cells find it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference.activations import Choice, parse_cell_name
from pyrnn.reference.cells import (
    activated,
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

# The shape of each parameter, in these sizes: "gates" for a row of every unit in every gate,
# "peepholes" for every gate but one, "input", "hidden", and "output" (of h: the projection's size,
# or "hidden").
Shapes = Mapping[str, "tuple[str, ...]"]

INPUT_SIDE: Shapes = {"weight_ih": ("gates", "input"), "bias_ih": ("gates",)}
BOTH_SIDES: Shapes = {
    "weight_ih": ("gates", "input"),
    "weight_hh": ("gates", "output"),
    "bias_ih": ("gates",),
    "bias_hh": ("gates",),
}
PROJECTION: Shapes = {"weight_hr": ("output", "hidden")}
PEEPHOLES: Shapes = {"weight_peephole": ("peepholes",)}
GAINS: Shapes = {"gain_ih": ("gates",), "gain_hh": ("gates",)}
NORMALISED_C: Shapes = {"gain_c": ("hidden",), "bias_c": ("hidden",)}


class Cell(NamedTuple):
    """One cell: how many gates and states it has, its step in both directions, its parameters.

    ``forward(x, state, parameters, mask) -> state', saved``, where mask (N, size of h) or None is
    what h is multiplied with before its products, and
    ``backward(saved, dstate', parameters) -> dx, dstate, grads``.
    ``parameters`` are all that there can be, in order: those that begin with "bias" may be absent
    together, and ``weight_hr`` where h is not projected.
    """

    gates: int
    states: int
    forward: StepForward
    backward: StepBackward
    parameters: Shapes = BOTH_SIDES

    @property
    def projects(self) -> bool:
        """Whether h may be projected."""
        return "weight_hr" in self.parameters

    def shapes(
        self, input_size: int, hidden_size: int, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, with or without biases and a projection (0: without)."""
        sizes = {
            "gates": self.gates * hidden_size,
            "peepholes": (self.gates - 1) * hidden_size,
            "input": input_size,
            "hidden": hidden_size,
            "output": proj_size or hidden_size,
        }
        return {
            name: tuple(sizes[size] for size in shape)
            for name, shape in self.parameters.items()
            if (bias or not name.startswith("bias")) and (proj_size or name != "weight_hr")
        }

    def state_sizes(self, parameters: Parameters) -> tuple[int, ...]:
        """Features of each state: H, but P of a projected h."""
        hidden_size = len(parameters["weight_ih"]) // self.gates
        output_size = len(parameters.get("weight_hr", range(hidden_size)))
        return (output_size, hidden_size)[: self.states]


CELLS: dict[str, Cell] = {
    "rnn_tanh": Cell(1, 1, rnn.tanh_forward, rnn.tanh_backward),
    "rnn_relu": Cell(1, 1, rnn.relu_forward, rnn.relu_backward),
    "lstm": Cell(4, 2, lstm.forward, lstm.backward, {**BOTH_SIDES, **PROJECTION}),
    "gru": Cell(3, 1, gru.forward, gru.backward),
    "lstm_peephole": Cell(
        4,
        2,
        lstm_peephole.forward,
        lstm_peephole.backward,
        {**BOTH_SIDES, **PROJECTION, **PEEPHOLES},
    ),
    "lstm_coupled": Cell(
        3, 2, lstm_coupled.forward, lstm_coupled.backward, {**BOTH_SIDES, **PROJECTION}
    ),
    "lstm_coupled_peephole": Cell(
        3,
        2,
        lstm_coupled.forward,
        lstm_coupled.backward,
        {**BOTH_SIDES, **PROJECTION, **PEEPHOLES},
    ),
    "gru_reset_before": Cell(3, 1, gru_reset_before.forward, gru_reset_before.backward),
    "lstm_layer_norm": Cell(
        4,
        2,
        lstm_layer_norm.forward,
        lstm_layer_norm.backward,
        {**BOTH_SIDES, **GAINS, **NORMALISED_C},
    ),
    "gru_layer_norm": Cell(
        3, 1, gru_layer_norm.forward, gru_layer_norm.backward, {**BOTH_SIDES, **GAINS}
    ),
    "min_gru": Cell(2, 1, min_gru.forward, min_gru.backward, INPUT_SIDE),
}

# Cells with activations, or a form of layer norm, that a layer chooses: the functions of a step
# without these, and the cell with the same parameters.
_ACTIVATED: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "rnn_activated": (activated.rnn_forward, activated.rnn_backward, "rnn_tanh"),
    "lstm_activated": (activated.lstm_forward, activated.lstm_backward, "lstm"),
    "gru_activated": (activated.gru_forward, activated.gru_backward, "gru"),
    **{
        f"{name}_activated": (activated.lstm_forward, activated.lstm_backward, name)
        for name in ("lstm_peephole", "lstm_coupled", "lstm_coupled_peephole")
    },
    "lstm_layer_norm": (lstm_layer_norm.forward, lstm_layer_norm.backward, "lstm_layer_norm"),
    "gru_layer_norm": (gru_layer_norm.forward, gru_layer_norm.backward, "gru_layer_norm"),
    "gru_reset_before_activated": (
        activated.gru_reset_before_forward,
        activated.gru_reset_before_backward,
        "gru_reset_before",
    ),
}


@lru_cache(maxsize=256)
def _activated(name: str, choice: Choice) -> Cell:
    forward, backward, like = _ACTIVATED[name]
    return CELLS[like]._replace(
        forward=partial(forward, by=choice), backward=partial(backward, by=choice)
    )


CELLS |= {name: _activated(name, Choice()) for name in _ACTIVATED if name not in CELLS}


def cell_of(name: str) -> Cell:
    """The cell of that name: one of `CELLS`, some of which may name activations of their own."""
    base, choice = parse_cell_name(name)
    return CELLS[base] if base == name else _activated(base, choice)
