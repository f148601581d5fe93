"""Cosines and powers with the same bits everywhere: the C library's depend on its version."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def raised_cosine(turns: float) -> float:
    """(1 + cos(2π t)) / 2 of a number t, exact where it is 0 or 1.

    With t brought to [0, 1/2]: 1 − sin²(π t) up to 1/4, sin²(π (1/2 − t)) beyond.
    """
    t = abs(math.fmod(turns, 1.0))
    t = min(t, 1.0 - t)
    beyond = t > 0.25
    sine = _sine(math.pi * (0.5 - t if beyond else t))
    return sine * sine if beyond else 1.0 - sine * sine


def cosines(turns: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return cos(2π t) of each number t, of which many are the same."""
    values, places = np.unique(turns, return_inverse=True)
    found = np.array([2.0 * raised_cosine(value) - 1.0 for value in values.tolist()], np.float64)
    return found[places].reshape(turns.shape)


def _sine(x: float) -> float:
    """The series of sin x, long enough for x in [0, π/4]."""
    square = x * x
    sum_of_terms = 0.0
    for k in range(17, 1, -2):
        sum_of_terms = (1.0 + sum_of_terms) * (-square / (k * (k - 1)))
    return x + x * sum_of_terms


def power(base: float, exponent: int) -> float:
    """Return base^exponent for a whole exponent of at least 0, by squaring."""
    if exponent < 0:
        raise ValueError(f"exponent: expected 0 or more, got {exponent}")
    product = 1.0
    while exponent:
        if exponent & 1:
            product *= base
        base *= base
        exponent >>= 1
    return product
