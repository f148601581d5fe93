"""Losses: the value and its gradient in one function."""

from __future__ import annotations

import numpy as np

from pyrnn._types import Array, Indices


def softmax_cross_entropy(logits: Array, targets: Indices) -> tuple[float, Array]:
    """Sum over rows of -ln softmax(logits)[target], and its gradient softmax(logits) - one-hot.

    ``logits`` is (M, V), ``targets`` (M,). The largest logit of a row is taken off first, so that
    nothing overflows; the sum over rows is accumulated in float64.
    """
    rows = np.arange(len(targets))
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    loss = (np.log(sums[:, 0]) - shifted[rows, targets]).sum(dtype=np.float64)
    dlogits = exponentials / sums
    dlogits[rows, targets] -= 1
    return float(loss), dlogits
