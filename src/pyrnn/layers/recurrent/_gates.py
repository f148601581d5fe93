"""The gates of a layer over time, as the reference computes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrnn._types import Array
from pyrnn.layers._cache import StackKept

GATES = ("i", "f", "g", "o", "r", "z", "n")
"""What gates and candidates are called in `pyrnn.reference`."""


def over_time(kept: StackKept, suffixes: Sequence[str], shape: tuple[int, ...]) -> dict[str, Array]:
    """Each gate (T, N, H) of each layer and direction, from what the reference keeps of a pass."""
    found: dict[str, Array] = {}
    steps, batch_size, _ = shape
    for of_one, suffix in zip(kept.saved, suffixes, strict=False):  # none, if all is empty
        for rows, times, step, _ in of_one.steps:
            places = rows if kept.rows is None else kept.rows[rows]
            for name in GATES:
                values = getattr(step, name, None)
                if values is not None:
                    zeros = np.zeros((steps, batch_size, values.shape[1]), values.dtype)
                    found.setdefault(f"{name}_{suffix}", zeros)[times, places] = values
    return found
