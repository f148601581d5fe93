"""The parameters of each cell: their names in order, and their shapes."""

from __future__ import annotations

from collections.abc import Mapping

GATES: Mapping[str, int] = {
    "rnn_tanh": 1,
    "rnn_relu": 1,
    "lstm": 4,
    "gru": 3,
    "lstm_peephole": 4,
    "lstm_coupled": 3,
    "lstm_coupled_peephole": 3,
    "gru_reset_before": 3,
    "lstm_layer_norm": 4,
    "gru_layer_norm": 3,
    "min_gru": 2,
}
"""How many gates a cell has: blocks of H rows in its weights."""


def of_cell(
    cell: str, input_size: int, hidden_size: int, bias: bool, proj_size: int = 0
) -> dict[str, tuple[int, ...]]:
    """The parameters of one layer in one direction: torch's, in torch's order, then the others."""
    gates = GATES[cell]
    rows = gates * hidden_size
    sides = ("ih",) if cell == "min_gru" else ("ih", "hh")
    columns = {"ih": input_size, "hh": proj_size or hidden_size}
    shapes: dict[str, tuple[int, ...]] = {f"weight_{s}": (rows, columns[s]) for s in sides}
    if bias:
        shapes |= {f"bias_{side}": (rows,) for side in sides}
    if proj_size:
        shapes["weight_hr"] = (proj_size, hidden_size)
    if cell.endswith("_peephole"):
        shapes["weight_peephole"] = ((gates - 1) * hidden_size,)
    if cell.endswith("_layer_norm"):
        shapes |= _layer_norm(cell, hidden_size, bias)
    return shapes


def _layer_norm(cell: str, hidden_size: int, bias: bool) -> dict[str, tuple[int, ...]]:
    """Gains of both products and, for an LSTM, what normalises its cell."""
    rows = GATES[cell] * hidden_size
    shapes: dict[str, tuple[int, ...]] = {"gain_ih": (rows,), "gain_hh": (rows,)}
    if cell == "lstm_layer_norm":
        shapes["gain_c"] = (hidden_size,)
        if bias:
            shapes["bias_c"] = (hidden_size,)
    return shapes
