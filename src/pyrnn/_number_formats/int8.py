"""Integers instead of floats, with a scale for each row: for weights, and for x and h.

A row of a weight matrix becomes integers n in [-127, 127] and a scale s, and represents n ∘ s. s is
max|row| / 127, rounded to 17 bits: then every n s is exact in float32, and quantising n ∘ s again
gives the same n and s. A row of activations becomes integers in [-32767, 32767] and the scale
max|row| / 32767; or in [-127, 127], and max|row| / 127. Numbers are rounded to nearest, ties to
even.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _warnings
from pyrnn._types import Array, Indices

LEAST = np.float32(2.0**-100)
"""A row in which all numbers are smaller counts as zeros."""

MOST_WEIGHT = np.float32(127)
MOST_ACTIVATION, MOST_BYTE = np.float32(32767), np.float32(127)


class Rows(NamedTuple):
    """Integers (rows, columns), and the scale of each row, float32.

    A row with a NaN or an infinity has the scale NaN and zeros, a row of zeros the scale 0.
    """

    numbers: npt.NDArray[np.signedinteger]
    scales: Array


def weights(matrix: Array) -> Rows:
    """Quantise a matrix of weights, (rows, columns) of float32, to 8 bits."""
    largest = _largest(matrix)
    with _warnings.unwarned():
        bits = (largest / MOST_WEIGHT).view(np.uint32)
        scales = ((bits + np.uint32(0x40)) & np.uint32(0xFFFFFF80)).view(np.float32)
        scales = _with_special(scales, largest)
        numbers = np.where(scales[:, None] > 0, np.rint(matrix / scales[:, None]), 0)
    return Rows(numbers.astype(np.int8), scales)


def activations(rows: Array | Indices, most: np.float32 = MOST_ACTIVATION) -> Rows:
    """Quantise rows of x or h, (rows, columns) of float32, to whole numbers of [-most, most]."""
    largest = _largest(rows)
    with _warnings.unwarned():
        scales = _with_special(largest / most, largest)
        factors = (most / largest)[:, None]
        numbers = np.where(scales[:, None] > 0, np.rint(rows * factors), 0)
    return Rows(numbers.astype(np.int16), scales)


def widened(rows: Rows) -> Array:
    """Return the values that the weights represent, exactly, as float32."""
    with _warnings.unwarned():
        return rows.numbers.astype(np.float32) * rows.scales[:, None]


def _largest(rows: Array | Indices) -> Array:
    largest: Array = np.abs(rows).max(axis=1, initial=np.float32(0))
    return largest


def _with_special(scales: Array, largest: Array) -> Array:
    scales = np.where(largest >= LEAST, scales, np.float32(0))
    return np.where(np.isfinite(largest), scales, np.float32(np.nan))
