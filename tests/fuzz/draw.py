"""Arguments of a case, drawn from its seed: the same seed draws the same case, anywhere."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tests.fuzz.layouts import IN_PLACE, LAYOUTS, expand

T = TypeVar("T")

SIZES = (1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17)
"""Of features: around the widths of vectors, mostly small."""
LARGE_SIZES = (20, 31, 32, 33, 48, 64, 65, 70, 100)
Numbers = tuple[float, ...]
WILD: dict[str, dict[str, tuple[Numbers, Numbers]]] = {
    "": {"float32": ((0.0,), (1.0,)), "float64": ((0.0,), (1.0,))},
    "tiny": {
        "float32": ((0.0, -0.0, 1e-40, -1e-40, 1e-45, 1e-30), (1e-40, 1e-30, 1e-3)),
        "float64": ((0.0, -0.0, 1e-310, -1e-310, 5e-324, 1e-290), (1e-310, 1e-290, 1e-3)),
    },
    "huge": {
        "float32": ((1e30, -1e30, 1e33, -1e33, -1e15), (30.0, 1e3, 1e15, 1e30)),
        "float64": ((1e250, -1e250, 1e280, -1e280, -1e120), (30.0, 1e3, 1e120, 1e250)),
    },
    "not finite": {
        "float32": ((np.nan, np.inf, -np.inf), (1.0, 30.0)),
        "float64": ((np.nan, np.inf, -np.inf), (1.0, 30.0)),
    },
}
"""Kinds of numbers by name: what single ones are, and what whole arrays are multiplied with. A case
has one kind, because what counts as zero, multiplied with what is huge, would not be tiny. Products
of what is huge overflow or are far from it: in between, the order of a sum decides."""


class Mode(NamedTuple):
    """How to draw a case once more, to learn how much rounding does to it.

    ``dtype`` takes the place of the case's own; ``nudge`` (if not 0) seeds a change of every number
    by up to one unit in the last place; ``flush`` makes subnormal numbers zeros, as the core does;
    ``chains`` sums products in the core's order.
    """

    dtype: str | None = None
    nudge: int = 0
    flush: bool = False
    chains: bool = False


class Draw:
    """Draws the arguments of one case."""

    def __init__(self, entry: str, seed: int, number: int, mode: Mode | None = None) -> None:
        self.random = random.Random(f"{entry}/{seed}/{number}")
        self._numbers = np.random.Generator(np.random.PCG64(self.random.getrandbits(128)))
        self._nudges = np.random.default_rng(mode.nudge) if mode and mode.nudge else None
        self.mode = mode
        self.drawn_dtype = self.random.choice(("float32", "float32", "float64"))
        self.dtype = (mode and mode.dtype) or self.drawn_dtype
        """What a case's arrays have: what was drawn, or what the mode says."""
        self.mutations = self.random.choices((0, 1, 2), (62, 30, 8))[0]
        self.wild = self.choice(tuple(WILD)) if self.chance(0.35) else ""
        self.layouts = self.chance(0.6)
        self.large = self.chance(0.01)

    # --- decisions --------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random.random() < probability

    def choice(self, options: Sequence[T]) -> T:
        """One of them."""
        return self.random.choice(options)

    def integer(self, low: int, high: int) -> int:
        """A number in [low, high]."""
        return self.random.randint(low, high)

    def size(self) -> int:
        """How many features."""
        return self.choice(LARGE_SIZES if self.large else SIZES)

    def steps(self) -> int:
        """How many time steps."""
        return self.integer(20, 50) if self.large else self.choice((1, 1, 2, 3, 4, 5, 7, 11))

    def rows(self) -> int:
        """How many sequences."""
        return self.integer(8, 40) if self.large else self.choice((1, 1, 2, 3, 4, 6, 9))

    def dtype_argument(self) -> Any:
        """The dtype, in one of the forms in which it can be named."""
        dtype = np.dtype(self.dtype)
        return self.choice((self.dtype, dtype, dtype.type, dtype.newbyteorder(">"), dtype.char))

    # --- arrays -----------------------------------------------------------------------------

    def array(self, *shape: int, scale: float = 1.0, in_place: bool = False) -> Any:
        """A float array of the case's dtype, in some layout."""
        names: Sequence[str] = IN_PLACE if in_place else tuple(LAYOUTS)
        layout = self.choice(names) if self.layouts and self.chance(0.4) else ""
        values = expand(layout, self._values(shape, scale))
        with np.errstate(over="ignore", under="ignore"):
            values = self.settled(values)
        return LAYOUTS[layout](values) if layout else values

    def settled(self, values: np.ndarray) -> np.ndarray:
        """Numbers as the case's dtype has them, in the mode's dtype, nudged if it says so."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            values = values.astype(self.drawn_dtype)
            if self._nudges is not None:
                unit = np.finfo(self.drawn_dtype).eps
                values *= 1 + unit * self._nudges.choice((-1, 0, 1), values.shape)
                values = values.astype(self.drawn_dtype)
            if self.mode is not None and self.mode.flush:
                values[np.abs(values) < np.finfo(self.drawn_dtype).tiny] = 0
            return values.astype(self.dtype)

    def settle(self, parameters: dict[str, Any]) -> None:
        """The same for a layer's first values, in place."""
        if self.mode is not None:
            for array in parameters.values():
                array[...] = self.settled(array)

    def integers(self, *shape: int, below: int, least: int = 0) -> Any:
        """Whole numbers in [least, below), of some integer dtype, in some layout or as a list."""
        low, high = min(least, below - 1), max(below, least + 1)
        values = np.asarray(self._numbers.integers(low, high, shape))
        types = [t for t in "bhilqBHILQ" if np.iinfo(t).max >= high]
        if not self.layouts:
            return values
        array = values.astype(self.choice(types))
        layout = self.choice(("", "", "list", *LAYOUTS))
        if layout == "list":
            return values.tolist()
        return LAYOUTS[layout](expand(layout, array)) if layout else array

    def _values(self, shape: tuple[int, ...], scale: float) -> np.ndarray:
        values = np.asarray(scale * self._numbers.standard_normal(shape))
        kind = self.random.random()
        specials, scales = WILD[self.wild][self.drawn_dtype]
        if self.wild and kind < 0.45:
            if kind < 0.2:
                values *= self.choice(scales)
            elif values.size:
                places = self._numbers.random(shape) < self.choice((0.02, 0.2))
                count = int(places.sum())
                values[places] = self._numbers.choice(specials, count)
                if self.wild == "huge":  # no two equal ones, whose sum would be all rounding
                    values[places] *= self._numbers.uniform(1, 2, count)
        elif kind > 0.97:
            values[...] = self.choice((0.0, 1.0, -1.0))
        elif kind > 0.94:
            np.round(values, out=values)
        return values
