"""The parameters of a stack of recurrent layers, and the weights that backends compute with."""

from __future__ import annotations

import itertools
import weakref
from functools import partial
from typing import Any

from pyrnn import _checks
from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.layers._options import Option
from pyrnn.layers.recurrent._kind import Kind
from pyrnn.layers.recurrent._weights.fixed import FixedWeights, copied


class StackWeights(Kind):
    """The names and shapes of all parameters; what is packed of them in each mode."""

    num_layers: Option[int] = Option(partial(_checks.size, most=_checks.MAX_LAYERS))
    bidirectional: Option[bool] = Option(_checks.flag)

    _fixed: FixedWeights | None = None
    """In eval mode."""

    @property
    def num_directions(self) -> int:
        """2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def _features(self) -> int:
        """Features of the output of a layer."""
        raise NotImplementedError

    def _suffixes(self) -> list[str]:
        """``l0``, ``l0_reverse``, ``l1``, ...: one for each layer and direction."""
        directions = ("", "_reverse")[: self.num_directions]
        return [f"l{n}{d}" for n, d in itertools.product(range(self.num_layers), directions)]

    def _parameter_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        shapes: list[tuple[str, tuple[int, ...]]] = []
        for index, suffix in enumerate(self._suffixes()):
            first = index < self.num_directions
            columns = self.input_size if first else self._features
            shapes += [(f"{name}_{suffix}", s) for name, s in self._cell_shapes(columns).items()]
        return shapes

    def _cells_of_parameters(self) -> dict[str, dict[str, Array]]:
        """For each suffix the live arrays of its layer and direction, by the cell's own names."""
        cells: dict[str, dict[str, Array]] = {suffix: {} for suffix in self._suffixes()}
        for name, array in self._parameters.items():
            own, _, number = name.rpartition("_l")
            cells[f"l{number}"][own] = array
        return cells

    def _prepare(self) -> None:
        """Set what follows from options and parameters, for a new layer and for a copy."""
        self._cells = self._cells_of_parameters()
        self._streamed: weakref.ref[FixedWeights] | None = None  # by the streams opened last

    def __getstate__(self) -> dict[str, Any]:
        attributes = super().__getstate__()
        del attributes["_cells"], attributes["_streamed"]
        return attributes

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        super().__setstate__(attributes)
        self._prepare()

    def _set_training(self, training: bool) -> None:
        before, self._fixed = self._fixed, None
        if not training:
            self._fixed = FixedWeights(self.cell, self._cells, self._storage, self._compute)
        super()._set_training(training)
        if before is not None:
            self._streamed = weakref.ref(before)
            del before
            kept = self._streamed()
            if kept is not None:  # by streams
                kept.detach()

    def _pack(self, backend: selection.Backend) -> list[Any]:
        """One for each layer and direction."""
        fixed = self._fixed
        if fixed is not None:
            return fixed.packed(backend)
        return [
            backend.pack(self.cell, parameters, f"_{suffix}", follow=True, compute=self._compute)
            for suffix, parameters in self._cells.items()
        ]

    def _fixed_weights(self) -> FixedWeights:
        """The weights as they are now, shared by all streams that were opened with the same."""
        fixed = self._fixed
        if fixed is None and self._streamed is not None:
            fixed = self._streamed()
            if fixed is not None and not self._are_present(fixed):
                fixed = None
        if fixed is None:
            fixed = FixedWeights(self.cell, copied(self._cells), compute=self._compute)
            self._streamed = weakref.ref(fixed)
        return fixed

    def _are_present(self, fixed: FixedWeights) -> bool:
        """Whether these are what a stream of the layer in train mode computes with now."""
        wanted = ("full", self._compute)
        return (fixed.storage, fixed.compute) == wanted and fixed.hold(self._cells)
