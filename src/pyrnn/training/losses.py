"""Losses: each returns its value and the gradient with respect to the scores."""

from __future__ import annotations

from typing import Any

from pyrnn import _checks
from pyrnn._types import Array
from pyrnn.backend import selection


def softmax_cross_entropy(
    logits: Any, targets: Any, reduction: str = "mean"
) -> tuple[float, Array]:
    """Cross-entropy of softmax(logits) against the right classes, and its gradient.

    Parameters
    ----------
    logits : array
        (..., V), float32 or float64: unnormalised scores.
    targets : array of int
        (...), the right class of each row, in [0, V).
    reduction : {"mean", "sum"}
        Over all rows.

    Returns
    -------
    loss : float
        In nats, accumulated in float64; divide by ln 2 for bits.
    dlogits : array
        Gradient with respect to ``logits``, of its shape and dtype: softmax(logits) minus the
        one-hot target, divided by the number of rows for the mean.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong dtype, shape or value, or there is no row.

    Notes
    -----
    The largest logit of each row is subtracted first, so that no exponential overflows. Source:
    Goodfellow, Bengio, Courville, "Deep Learning", 2016, section 6.2.2.3.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> loss, dlogits = pyrnn.softmax_cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> round(loss, 4)  # ln 4
    1.3863
    >>> dlogits
    array([[ 0.25,  0.25, -0.75,  0.25]])
    """
    _checks.choice("reduction", reduction, ("mean", "sum"))
    scores = _checks.any_float_array("logits", logits)
    if scores.ndim == 0 or not scores.size:
        raise ValueError(f"logits: expected shape (..., V) with a row or more, got {scores.shape}")
    classes = scores.shape[-1]
    indices = _checks.index_array("targets", targets, classes)
    if indices.shape != scores.shape[:-1]:
        raise ValueError(f"targets: expected shape {scores.shape[:-1]}, got {indices.shape}")
    backend = selection.current()
    loss, dlogits = backend.softmax_cross_entropy(_checks.rows(scores), indices.reshape(-1))
    if reduction == "mean":
        loss /= indices.size
        backend.scale([dlogits], 1 / indices.size)
    return loss, dlogits.reshape(scores.shape)
