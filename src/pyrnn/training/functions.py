"""Cosines and powers with the same bits everywhere: the C library's depend on its version."""

from __future__ import annotations

from typing import Any

import numpy as np


def raised_cosine(turns: Any) -> Any:
    """(1 + cos(2π t)) / 2 of numbers t, exact where it is 0 or 1.

    With t brought to [0, 1/2]: 1 − sin²(π t) up to 1/4, sin²(π (1/2 − t)) beyond.
    """
    t = np.abs(np.fmod(turns, 1.0))
    t = np.minimum(t, 1.0 - t)
    beyond = t > 0.25
    sine = _sine(np.pi * np.where(beyond, 0.5 - t, t))
    return np.where(beyond, sine * sine, 1.0 - sine * sine)


def cosine(turns: Any) -> Any:
    """Return cos(2π t)."""
    return 2.0 * raised_cosine(turns) - 1.0


def _sine(x: Any) -> Any:
    """The series of sin x, long enough for x in [0, π/4]."""
    square = x * x
    sum_of_terms = 0.0 * square
    for k in range(17, 1, -2):
        sum_of_terms = (1.0 + sum_of_terms) * (-square / (k * (k - 1)))
    return x + x * sum_of_terms


def power(base: float, exponent: int) -> float:
    """Return base^exponent for a whole exponent of at least 0, by squaring."""
    product = 1.0
    while exponent:
        if exponent & 1:
            product *= base
        base *= base
        exponent >>= 1
    return product
