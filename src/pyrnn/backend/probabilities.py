"""Probabilities and their logarithms from scores, with the same bits on every processor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn.backend import selection


def log_softmax(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Logarithms of the probabilities along the last axis, in float64."""
    backend = selection.current()
    shifted = _below_largest(scores)
    sums = backend.exp(shifted).sum(axis=-1, keepdims=True)
    logarithms: npt.NDArray[np.float64] = shifted - backend.log(sums)
    return logarithms


def softmax(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Probabilities along the last axis, in float64."""
    probabilities: npt.NDArray[Any] = selection.current().exp(_below_largest(scores))
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    return probabilities


def _below_largest(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The scores, moved so that the largest is 0: then no exponential overflows."""
    shifted: npt.NDArray[np.float64] = scores.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    return shifted
