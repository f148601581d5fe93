"""A recurrent layer's weights at one moment, packed once for all that compute with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn._pickling import pickled_all, public
from pyrnn._types import Array, Parameters, Storage
from pyrnn.backend import selection

Cells = Mapping[str, Parameters]
"""The arrays of each layer and direction, by its suffix."""


@public("pyrnn", "_FixedWeights")
class FixedWeights:
    """What a layer in eval mode and its streams share.

    They look at the arrays of the layer, which are read-only then; `detach` gives them copies
    before these change.
    """

    storage: Storage = "full"

    def __init__(self, cell: str, cells: Cells, storage: Storage = "full") -> None:
        self._cell = cell
        self._cells = cells
        self.storage = storage
        self._packed: dict[str, list[Any]] = {}

    def packed(self, backend: selection.Backend) -> list[Any]:
        """In the form that the backend computes with: one for each layer and direction."""
        packed = self._packed.get(backend.name)
        if packed is None:
            packed = self._packed[backend.name] = [
                backend.pack(self._cell, parameters, f"_{suffix}", storage=self.storage)
                for suffix, parameters in self._cells.items()
            ]
        return packed

    def detach(self) -> None:
        """Take copies of the arrays; what is packed from now on is packed from these."""
        self._cells = copied(self._cells)
        self._packed = {}

    def hold(self, cells: Cells) -> bool:
        """Whether these arrays have the same bits."""
        return all(
            _same_bits(array, cells[suffix][name])
            for suffix, parameters in self._cells.items()
            for name, array in parameters.items()
        )

    def __getstate__(self) -> dict[str, Any]:
        cells = {suffix: pickled_all(parameters) for suffix, parameters in self._cells.items()}
        return {"_cell": self._cell, "_cells": cells, "storage": self.storage}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes, _packed={})
        for parameters in self._cells.values():
            for array in parameters.values():
                array.flags.writeable = False


def copied(cells: Cells) -> dict[str, dict[str, Array]]:
    """Copies of all arrays."""
    return {
        suffix: {name: array.copy() for name, array in parameters.items()}
        for suffix, parameters in cells.items()
    }


def _same_bits(one: Array, other: Array) -> bool:
    bits = np.dtype(f"u{one.itemsize}")
    return np.array_equal(one.view(bits), other.view(bits))
