"""A value on its way through a graph: its name, what its axes are, the layers behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pyrnn.interop._made import changed
from pyrnn.layers._layer import Layer
from pyrnn.layers.recurrent._stack import Recurrent

FEATURES, DIRECTIONS, LEVELS = "features", "directions", "levels"
LAST, MEAN = "last", "mean"
"""Axes by what they are; the input's own are "0" and "1"."""


class LeftError(Exception):
    """What no layer is: the name of a node, or of a value, and why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name, self.reason = name, reason


@dataclass
class Path:
    """The value that nodes have made so far; ``time`` is the axis of the input that is time."""

    value: str = ""
    axes: tuple[str, ...] = ()
    time: str | None = None
    layers: dict[str, Layer] = field(default_factory=dict)

    def add(self, name: str, layer: Layer) -> None:
        """A layer behind the others."""
        while name in self.layers:
            name += "_"
        self.layers[name] = layer

    def replace(self, **changes: Any) -> None:
        """The last layer with other options."""
        name, layer = self.layers.popitem()
        self.layers[name] = changed(layer, changes)

    # --- axes -------------------------------------------------------------------------------

    def is_time(self, axis: str) -> bool:
        """Take an axis of the input as that of time, if it may be."""
        if axis not in ("0", "1") or self.time not in (None, axis):
            return False
        self.time = axis
        return True

    def expect(self, name: str, *places: str) -> None:
        """Axes by what they are: "time", "batch" or another name."""
        wrong = LeftError(
            name, f"expected the axes {', '.join(places)}, got {', '.join(self.axes)}"
        )
        if len(self.axes) != len(places):
            raise wrong
        for place, axis in zip(places, self.axes, strict=True):
            if place == "time" and not self.is_time(axis):
                raise wrong
            if place == "batch" and (axis not in ("0", "1") or axis == self.time):
                raise wrong
            if place not in ("time", "batch") and place != axis:
                raise wrong

    def without(self, axis: str) -> None:
        """The value has lost this axis."""
        self.axes = tuple(one for one in self.axes if one != axis)

    def recurrent(self) -> Recurrent | None:
        """The last recurrent layer, if there is one."""
        found = [layer for layer in self.layers.values() if isinstance(layer, Recurrent)]
        return found[-1] if found else None
