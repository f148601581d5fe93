"""A contender: one library, set up in one way, ready to compute one case; who agrees with whom."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

TOLERANCE = 1e-4
"""Outputs may differ by so much of their largest magnitude; all compute in float32."""

Outputs = Mapping[str, npt.ArrayLike]


@dataclass(frozen=True)
class Contender:
    """One library with one setting; the settings of a column compete for its place."""

    column: str
    """Where its time stands in the table: "torch", "onnxruntime bound"."""

    setting: str
    """What is particular about it: "1 thread"; empty if there is no choice."""

    run: Callable[[], Any]
    """Computes the case once."""

    outputs: Callable[[Any], Outputs]
    """The arrays, by name, in what ``run`` returned."""

    context: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext
    """A context around calls of ``run`` that is not part of the timed work."""


def difference(expected: Outputs, got: Outputs) -> float:
    """The largest difference of any array, as a share of that array's largest magnitude."""
    if expected.keys() != got.keys():
        raise KeyError(f"outputs: expected {sorted(expected)}, got {sorted(got)}")
    return max(_difference(name, expected[name], got[name]) for name in expected)


def _difference(name: str, expected: npt.ArrayLike, got: npt.ArrayLike) -> float:
    one, other = np.asarray(expected, np.float64), np.asarray(got, np.float64)
    if one.shape != other.shape:
        raise ValueError(f"{name}: expected shape {one.shape}, got {other.shape}")
    apart = float(np.abs(one - other).max())
    scale = float(np.abs(one).max())
    # A NaN anywhere makes the difference NaN, which is not within any tolerance.
    return apart / scale if scale else apart
