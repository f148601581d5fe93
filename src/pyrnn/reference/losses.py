"""Losses: the value and its gradient in one function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pyrnn._types import Array, Indices
from pyrnn.reference.activations import sigmoid, softplus


class Functions(NamedTuple):
    """What losses need of float64 numbers, element by element: NumPy's, or a backend's own."""

    exp: Callable[[Array], Array] = np.exp
    log: Callable[[Array], Array] = np.log
    sigmoid: Callable[[Array], Array] = sigmoid
    softplus: Callable[[Array], Array] = softplus


OF_NUMPY = Functions()


def softmax_cross_entropy(logits: Array, targets: Indices) -> tuple[float, Array]:
    """Sum over rows of -ln softmax(logits)[target], and its gradient softmax(logits) - one-hot.

    ``logits`` is (M, V), ``targets`` (M,). The largest logit of a row is subtracted first, so that
    no exponential overflows. With r the sum of the other classes' exponentials, the gradient of the
    target's logit is -r / (r + its own), and the loss of a target that is nearly certain ln(1 + r):
    nothing is subtracted from 1. Losses are added in float64, where even the largest difference of
    float32 logits gives a finite loss.
    """
    rows = np.arange(len(targets))
    largest = logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits - largest)
    sums = exponentials.sum(axis=1, keepdims=True)
    own = exponentials[rows, targets]
    dlogits = exponentials / sums
    exponentials[rows, targets] = 0
    others = exponentials.sum(axis=1)
    below = largest[:, 0].astype(np.float64) - logits[rows, targets]
    losses = np.where(
        own > others,
        np.log1p(others.astype(np.float64)),
        np.log(sums[:, 0].astype(np.float64)) + below,
    )
    dlogits[rows, targets] = -others / sums[:, 0]
    return float(losses.sum()), dlogits


def weighted_cross_entropy(
    logits: Array,
    targets: Indices,
    weights: Array,
    smoothing: float,
    functions: Functions = OF_NUMPY,
) -> tuple[Array, Array]:
    """Cross-entropy of each row against a smoothed target, with a weight for each class.

    With p = softmax(logits), target t, V classes and smoothing ε, in float64:
    loss = −(1−ε) w_t ln p_t − ε/V Σ_c w_c ln p_c,
    dlogits_j = p_j ((1−ε) w_t + ε/V Σ_c w_c) − (1−ε) w_t [j = t] − ε/V w_j.
    """
    rows = np.arange(len(targets))
    scores = logits.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    log_p = scores - _log_of_sum(scores, functions)
    own = (1 - smoothing) * weights[targets]
    losses = -own * log_p[rows, targets]
    p = functions.exp(log_p)
    from_own = p.copy()
    from_own[rows, targets] = _less_one(p[rows, targets], log_p[rows, targets], functions)
    gradient = from_own * own[:, None]
    if smoothing:
        share = smoothing / len(weights)
        losses -= share * (weights * log_p).sum(axis=1)
        gradient += p * (share * weights.sum()) - share * weights
    return losses, gradient


def _log_of_sum(scores: Array, functions: Functions) -> Array:
    """ln Σ_c exp(scores_c) of each row, (M, 1), whose largest score is 0.

    With the rest r of the sum beside that 1, and u = 1 + r rounded, it is ln(1 + r) =
    r ln(u) / (u − 1) (Higham, Accuracy and Stability of Numerical Algorithms, section 1.14): exact
    to rounding also where r is small, as in a row whose class is nearly certain.
    """
    others = functions.exp(scores)
    others[np.arange(len(scores)), scores.argmax(axis=1)] -= 1  # NaN stays
    rest = others.sum(axis=1, keepdims=True)
    rounded = 1 + rest
    above = rounded - 1
    small = above == 0
    logarithm: Array = rest * functions.log(rounded) / np.where(small, 1, above)
    return np.where(small, rest, logarithm)


def _less_one(p: Array, log_p: Array, functions: Functions) -> Array:
    """p − 1, exact to rounding also where p is nearly 1: (p − 1) ln(p) / ln(p rounded).

    Source: Higham, the same chapter.
    """
    near = (log_p > -0.5) & (p != 1)
    known = np.where(near, p, 0.5)
    corrected = (known - 1) * log_p / functions.log(known)
    return np.where(near, corrected, np.where(p == 1, log_p, p - 1))


# --- losses of single elements --------------------------------------------------------------
# Each gives the loss of every element and its derivative, both in float64.


def binary_cross_entropy(
    y: Array, targets: Array, positive: Array, functions: Functions = OF_NUMPY
) -> tuple[Array, Array]:
    """−p t ln σ(y) − (1−t) ln(1 − σ(y)) with a weight p of what is positive; no term overflows.

    = (1−t) y + w ln(1 + e⁻ʸ) with w = 1 + (p−1) t; its derivative is (1−t) − w σ(−y).
    """
    wide, t = y.astype(np.float64), targets.astype(np.float64)
    weight = 1 + (positive - 1) * t
    losses = (1 - t) * wide + weight * functions.softplus(-wide)
    gradient = (1 - t) - weight * functions.sigmoid(-wide)
    return losses, gradient


def mse(y: Array, targets: Array) -> tuple[Array, Array]:
    """(y − t)²."""
    error = y.astype(np.float64) - targets
    return error * error, 2 * error


def l1(y: Array, targets: Array) -> tuple[Array, Array]:
    """|y − t|, with the derivative 0 at 0."""
    error = y.astype(np.float64) - targets
    return np.abs(error), np.sign(error)


def huber(y: Array, targets: Array, delta: float) -> tuple[Array, Array]:
    """(y − t)²/2 up to |y − t| = δ, beyond that δ (|y − t| − δ/2)."""
    error = y.astype(np.float64) - targets
    size = np.abs(error)
    losses = np.where(size <= delta, 0.5 * error * error, delta * (size - 0.5 * delta))
    return losses, np.clip(error, -delta, delta)


def gaussian_nll(
    y: Array, targets: Array, full: bool, functions: Functions = OF_NUMPY
) -> tuple[Array, Array]:
    """−ln N(t; μ, e^s) where y has μ and s side by side in its last axis.

    = (s + (t − μ)² e⁻ˢ) / 2, and ln(2π)/2 more if ``full``.
    """
    mean, log_variance = np.split(y.astype(np.float64), 2, axis=-1)
    error = mean - targets
    scaled = error * functions.exp(-log_variance)
    losses = 0.5 * (log_variance + error * scaled)
    if full:
        losses += 0.5 * math.log(2 * math.pi)
    gradient = np.concatenate([scaled, 0.5 - 0.5 * error * scaled], axis=-1)
    return losses, gradient


def quantile(y: Array, targets: Array, quantiles: Array) -> tuple[Array, Array]:
    """max(q (t − y), (q − 1) (t − y)), with the derivative 0 at y = t."""
    below = targets - y.astype(np.float64)
    losses = np.maximum(quantiles * below, (quantiles - 1) * below)
    gradient = np.where(below > 0, -quantiles, np.where(below < 0, 1 - quantiles, 0 * below))
    return losses, gradient


ELEMENTWISE: dict[str, Callable[..., tuple[Array, Array]]] = {
    "binary_cross_entropy": binary_cross_entropy,
    "mse": mse,
    "l1": l1,
    "huber": huber,
    "gaussian_nll": gaussian_nll,
    "quantile": quantile,
}
"""Losses of single elements by name."""


OF_FUNCTIONS = ("binary_cross_entropy", "gaussian_nll")
"""Those of them that need `Functions`."""


def elementwise(
    name: str, y: Array, targets: Array, *, functions: Functions = OF_NUMPY, **options: Any
) -> tuple[Array, Array]:
    """The loss of that name."""
    if name in OF_FUNCTIONS:
        options["functions"] = functions
    return ELEMENTWISE[name](y, targets, **options)
