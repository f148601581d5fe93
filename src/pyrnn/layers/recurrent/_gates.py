"""The gates of a layer over time, as the reference computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyrnn._types import Array

GATES = ("i", "f", "g", "o", "r", "z", "n")
"""What gates and candidates are called in `pyrnn.reference`."""


def over_time(saved: Sequence[Any], suffixes: Sequence[str], steps: int) -> dict[str, Array]:
    """Each gate (T, N, H) of each layer and direction, from what the reference keeps of a pass."""
    found: dict[str, Array] = {}
    for of_one, suffix in zip(saved, suffixes, strict=True):
        for rows, times, step, _ in of_one.steps:
            for name in GATES:
                values = getattr(step, name, None)
                if values is not None:
                    shape = (steps, of_one.run.x.shape[1], values.shape[1])
                    gate = found.setdefault(f"{name}_{suffix}", np.zeros(shape, values.dtype))
                    gate[times, rows] = values
    return found
