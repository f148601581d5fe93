"""Runs a batch of sequences through layers in a row, with lengths, masks and resets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pyrnn._types import Array
from pyrnn.layers import _arguments
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition._layers import ends_time, takes_lengths, takes_rows
from pyrnn.layers.composition.pooling import LastStep, Pooling
from pyrnn.layers.recurrent._stack import Recurrent

Parts = Mapping[str, "tuple[str, ...]"]
"""The names of the parts of the state of each layer."""


class OverTime(NamedTuple):
    """The arguments of a call about sequences and their time steps."""

    lengths: Any = None
    mask: Any = None
    reset: Any = None
    zero_output_for_mask: Any = False
    batch_first: bool = False

    def options(self, layer: Layer, x: Any) -> dict[str, Any]:
        """The arguments that are given and that a layer takes with its input."""
        if takes_rows(layer):
            flags = self._rows(np.shape(x))
            return {} if flags is None else {"mask": flags}
        if not takes_lengths(layer):
            return {}
        named = {"lengths": self.lengths, "mask": self.mask}
        if not isinstance(layer, Pooling):
            named["reset"] = self.reset
        given = {name: value for name, value in named.items() if value is not None}
        if "mask" in given and not isinstance(layer, Pooling):
            given["zero_output_for_mask"] = self.zero_output_for_mask
        return given

    def _rows(self, shape: tuple[int, ...]) -> Any:
        """Which rows of an input of this shape count; None for all."""
        if self.lengths is None or len(shape) < 3:
            return self.mask
        rows, steps = shape[:2] if self.batch_first else (shape[1], shape[0])
        ends = _arguments.lengths_array("lengths", self.lengths, steps, rows)
        within = np.arange(steps)[:, None] < ends
        within = within.T if self.batch_first else within
        return within if self.mask is None else within & np.asarray(self.mask)


def infer(
    layers: Mapping[str, Layer], parts: Parts, x: Any, states: Mapping[str, Any], over: OverTime
) -> tuple[Any, list[Array]]:
    """The output of the last layer, and the parts of the final state, without a cache."""
    after: list[Array] = []
    reverse = False
    for name, layer in layers.items():
        options = over.options(layer, x)
        if parts[name]:
            x, last = layer(x, states.get(name), **options)  # type: ignore[operator]
            after += last if isinstance(last, tuple) else (last,)
        elif reverse and isinstance(layer, LastStep):
            x = layer._forward(x, over.lengths, over.mask, reverse)[0]
        elif callable(layer):
            x = layer(x, **options)
            if hasattr(layer, "layers"):
                x = x[0]
        else:
            x = layer.forward(x)[0]
        reverse = _runs_in_reverse(layer, reverse)
        if ends_time(layer):
            over = OverTime()
    return x, after


def forward(
    layers: Mapping[str, Layer], parts: Parts, x: Any, states: Mapping[str, Any], over: OverTime
) -> tuple[Any, list[Array], dict[str, Any]]:
    """As `infer`, and the cache of each layer."""
    after: list[Array] = []
    caches: dict[str, Any] = {}
    reverse = False
    for name, layer in layers.items():
        if reverse and isinstance(layer, LastStep):
            x, _, caches[name] = layer._forward(x, over.lengths, over.mask, reverse)
        else:
            options = over.options(layer, x)
            if parts[name]:
                options["state"] = states.get(name)
            x, last, caches[name] = layer.forward(x, **options)
            if last is not None:
                after += last if isinstance(last, tuple) else (last,)
        reverse = _runs_in_reverse(layer, reverse)
        if ends_time(layer):
            over = OverTime()
    return x, after, caches


def _runs_in_reverse(layer: Any, before: bool) -> bool:
    """Whether the last recurrent layer within runs in reverse; ``before`` if there is none."""
    if isinstance(layer, Recurrent):
        return layer.reverse
    for inner in getattr(layer, "layers", {}).values():
        before = _runs_in_reverse(inner, before)
    return before
