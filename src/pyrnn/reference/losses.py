"""Losses: the value and its gradient in one function."""

from __future__ import annotations

import numpy as np

from pyrnn._types import Array, Indices


def softmax_cross_entropy(logits: Array, targets: Indices) -> tuple[float, Array]:
    """Sum over rows of -ln softmax(logits)[target], and its gradient softmax(logits) - one-hot.

    ``logits`` is (M, V), ``targets`` (M,). The largest logit of a row is taken off first, so that
    no exponential overflows; losses are added in float64, in which float32 logits that lie apart as
    far as can be have a finite loss.
    """
    rows = np.arange(len(targets))
    largest = logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits - largest)
    sums = exponentials.sum(axis=1, keepdims=True)
    below = largest[:, 0].astype(np.float64) - logits[rows, targets]
    loss = (np.log(sums[:, 0].astype(np.float64)) + below).sum()
    dlogits = exponentials / sums
    dlogits[rows, targets] -= 1
    return float(loss), dlogits
