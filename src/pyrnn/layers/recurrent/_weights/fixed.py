"""A recurrent layer's weights at one moment, packed once for all that compute with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn._pickling import pickled_all, public
from pyrnn._types import Array, Compute, OneStep, Parameters, StepForm, Storage
from pyrnn.backend import selection

Cells = Mapping[str, Parameters]
"""The arrays of each layer and direction, by its suffix."""

_ONE_STEPS = 8
"""The largest number of those that are kept: rates of zoneout may vary."""


@public("pyrnn", "_FixedWeights")
class FixedWeights:
    """The weights that a layer in eval mode and its streams share.

    They refer to the arrays of the layer, which are read-only in eval mode; `detach` replaces them
    by copies before the arrays change.
    """

    storage: Storage = "full"
    compute: Compute = "full"

    def __init__(
        self, cell: str, cells: Cells, storage: Storage = "full", compute: Compute = "full"
    ) -> None:
        self._cell = cell
        self._cells = cells
        self.storage = storage
        self.compute = compute
        self._packed: dict[str, list[Any]] = {}
        self._one_steps: dict[Any, OneStep] = {}

    def packed(self, backend: selection.Backend) -> list[Any]:
        """In the form that the backend computes with: one for each layer and direction."""
        packed = self._packed.get(backend.name)
        if packed is None:
            packed = self._packed[backend.name] = [
                backend.pack(
                    self._cell,
                    parameters,
                    f"_{suffix}",
                    storage=self.storage,
                    compute=self.compute,
                )
                for suffix, parameters in self._cells.items()
            ]
        return packed

    def one_step(
        self, backend: selection.Backend, batch_first: bool, rates: tuple[float, ...]
    ) -> OneStep:
        """What computes single steps of a layer of one direction with these rates of zoneout."""
        key = (backend.name, batch_first, rates)
        step = self._one_steps.get(key)
        if step is None:
            if len(self._one_steps) >= _ONE_STEPS:
                self._one_steps.clear()
            form: StepForm = "batch_first" if batch_first else "time_first"
            step = backend.one_step(self.packed(backend), form, rates)
            self._one_steps[key] = step
        return step

    def detach(self) -> None:
        """Take copies of the arrays; what is packed from now on is packed from these."""
        self._cells = copied(self._cells)
        self._packed = {}
        self._one_steps = {}

    def hold(self, cells: Cells) -> bool:
        """Whether these arrays have the same bits."""
        return all(
            _same_bits(array, cells[suffix][name])
            for suffix, parameters in self._cells.items()
            for name, array in parameters.items()
        )

    def __getstate__(self) -> dict[str, Any]:
        cells = {suffix: pickled_all(parameters) for suffix, parameters in self._cells.items()}
        return {
            "_cell": self._cell,
            "_cells": cells,
            "storage": self.storage,
            "compute": self.compute,
        }

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes, _packed={}, _one_steps={})
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
