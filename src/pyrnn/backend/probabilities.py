"""Probabilities and their logarithms from scores, with the same bits on every processor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn._pieces import pieces
from pyrnn.backend import selection
from pyrnn.reference.layers import pointwise


def log_softmax(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Logarithms of the probabilities along the last axis, in float64."""
    backend = selection.current()
    rows = scores.reshape(-1, scores.shape[-1])
    logarithms = np.empty(rows.shape)
    for some in pieces(*rows.shape):
        shifted = rows[some].astype(np.float64)
        shifted -= shifted.max(axis=-1, keepdims=True)
        sums = backend.exp(shifted).sum(axis=-1, keepdims=True)
        logarithms[some] = shifted - backend.log(sums)
    return logarithms.reshape(scores.shape)


def softmax(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Probabilities along the last axis, in float64."""
    rows = scores.reshape(-1, scores.shape[-1])
    probabilities: npt.NDArray[Any] = pointwise.softmax(rows, selection.current().exp)
    return probabilities.reshape(scores.shape)


def softmax_backward(y: npt.NDArray[Any], dy: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """From the gradient of the probabilities y to that of the scores, of dy's dtype."""
    rows = (array.reshape(-1, array.shape[-1]) for array in (y, dy))
    return pointwise.softmax_backward(*rows).reshape(dy.shape)
