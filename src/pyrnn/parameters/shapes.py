"""The parameters of each cell: their names in order, and their shapes."""

from __future__ import annotations

from pyrnn.backend import cells


def of_cell(
    cell: str, input_size: int, hidden_size: int, bias: bool, proj_size: int = 0
) -> dict[str, tuple[int, ...]]:
    """The parameters of one layer in one direction: torch's, in torch's order, then the others."""
    shapes: dict[str, tuple[int, ...]] = cells.cell_facts(cell).shapes(
        input_size, hidden_size, bias, proj_size
    )
    return shapes
