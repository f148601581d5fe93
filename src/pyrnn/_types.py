"""The array types that annotations across the package share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
"""A float32 or float64 array."""

Indices = npt.NDArray[np.integer[Any]]
"""An integer array: one-hot positions, words, characters."""

State = tuple[Array, ...]
"""The state of a cell: ``(h,)``, or ``(h, c)`` for LSTM; each (N, H)."""

Parameters = Mapping[str, Array]
"""Arrays by name, e.g. ``{"weight_ih": ..., "bias_ih": ...}``."""


def is_indices(x: Array | Indices) -> TypeGuard[Indices]:
    """Whether x holds positions of ones instead of one-hot rows."""
    return x.dtype.kind in "iu"
