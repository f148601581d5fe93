"""What layers ask of cells without computing with them: facts, and names of chosen activations."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from pyrnn._imports.lazy import importing


def cell_facts(name: str) -> Any:
    """Return the gates, states and parameters of a cell: its entry in `pyrnn.reference.cells`."""
    with importing():
        from pyrnn.reference.cells import cell_of

    return cell_of(name)


def activations() -> Any:
    """Return the functions that gates and candidates may be, by their names."""
    return _activations_module().FUNCTIONS


def _activations_module() -> Any:
    with importing():
        from pyrnn.reference import activations
    return activations


@functools.lru_cache(maxsize=256)
def _activated_cell(plain: str, functions: tuple[Any, ...], clip: float) -> str:
    module = _activations_module()
    gate, candidate, output = (
        module.Activation(name, *(numbers or module.FUNCTIONS[name].defaults))
        for name, numbers in functions
    )
    return _chosen_cell(plain, f"{plain}_activated", module.Choice(gate, candidate, output, clip))


def _chosen_cell(plain: str, other: str, choice: Any) -> str:
    """Return the name of the plain cell, or of the other one with an unusual choice."""
    module = _activations_module()
    name: str = plain if choice == module.Choice() else module.cell_name(other, choice)
    return name


def activated_cell(plain: str, functions: Sequence[Any], clip: float) -> str:
    """Return the name of a cell with other activations: of gates, candidate and output.

    Each is the name of a function, and its numbers or none for the defaults.
    """
    return _activated_cell(plain, tuple(functions), clip)


def normalised_cell(plain: str, eps: float, normalised_state: bool) -> str:
    """Return the name of a cell with layer norm in this form; ``plain`` itself in the usual one."""
    choice = _activations_module().Choice(eps=eps, normalised_state=normalised_state)
    return _chosen_cell(plain, plain, choice)
