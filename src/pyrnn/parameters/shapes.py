"""The parameters of each cell: their names in order, and their shapes."""

from __future__ import annotations

from pyrnn.backend import selection


def of_cell(
    cell: str, input_size: int, hidden_size: int, bias: bool, proj_size: int = 0
) -> dict[str, tuple[int, ...]]:
    """The parameters of one layer in one direction: torch's, in torch's order, then the others."""
    facts = selection.cell_facts(cell)
    gates = facts.gates
    rows = gates * hidden_size
    columns = {"ih": input_size, "hh": proj_size or hidden_size}
    sides = [side for side in columns if f"weight_{side}" in facts.parameters]
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
    rows = selection.cell_facts(cell).gates * hidden_size
    shapes: dict[str, tuple[int, ...]] = {"gain_ih": (rows,), "gain_hh": (rows,)}
    if cell == "lstm_layer_norm":
        shapes["gain_c"] = (hidden_size,)
        if bias:
            shapes["bias_c"] = (hidden_size,)
    return shapes
