"""The pointwise functions of the cells, safe for every finite input."""

from __future__ import annotations

import numpy as np

from pyrnn._types import Array


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), written with e^-|x| so that nothing overflows."""
    e = np.exp(-np.abs(x))
    value: Array = np.where(x >= 0, 1, e) / (1 + e)
    return value


def softmax(x: Array, axis: int = -1) -> Array:
    """e^x / sum(e^x) along an axis; the maximum is subtracted first, so nothing overflows."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    value: Array = e / e.sum(axis=axis, keepdims=True)
    return value
