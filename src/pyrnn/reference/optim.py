"""One step of each optimiser, in place, as `torch.optim` defines them; and gradients as a whole.

p is the parameter, g its gradient; the other arrays are the optimiser's memory, zero at first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pyrnn._types import Array


def sgd(
    p: Array,
    g: Array,
    velocity: Array | None,
    *,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    """v ← μ v + g,  p ← p − lr v;  Nesterov: p ← p − lr (g + μ v);  no momentum: v = g."""
    g = _decayed(g, p, weight_decay)
    if velocity is not None:
        velocity *= momentum
        velocity += g
        g = g + momentum * velocity if nesterov else velocity
    p -= lr * g


def adagrad(
    p: Array, g: Array, squares: Array, *, lr: float, eps: float, weight_decay: float
) -> None:
    """s ← s + g²,  p ← p − lr g / (√s + ε)."""
    g = _decayed(g, p, weight_decay)
    squares += g**2
    p -= lr * g / (np.sqrt(squares) + eps)


def rmsprop(
    p: Array,
    g: Array,
    squares: Array,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
) -> None:
    """s ← α s + (1 − α) g²,  p ← p − lr g / (√s + ε)."""
    g = _decayed(g, p, weight_decay)
    squares *= alpha
    squares += (1 - alpha) * g * g  # g² alone may overflow
    p -= lr * g / (np.sqrt(squares) + eps)


def adam(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None:
    """Adam; ``step`` counts from 1.

    m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,
    p ← p − lr m̂ / (√v̂ + ε)  with  m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ).
    Weight decay is added to g, or, if ``decoupled`` (AdamW), applied to p: p ← p − lr λ p.
    """
    if decoupled:
        p *= 1 - lr * weight_decay
    else:
        g = _decayed(g, p, weight_decay)
    # Computed from the larger weight, so that both weights add up to 1 however they are rounded.
    m[...] = m + (1 - beta1) * (g - m) if beta1 > 0.5 else g + beta1 * (m - g)
    v *= beta2
    v += (1 - beta2) * g * g  # g² alone may overflow
    root = np.sqrt(v) / math.sqrt(1 - beta2**step)
    p -= lr / (1 - beta1**step) * m / (root + eps)


def _decayed(g: Array, p: Array, weight_decay: float) -> Array:
    """The gradient of the loss plus λ/2 |p|²."""
    with np.errstate(over="ignore", under="ignore"):
        decay = p.dtype.type(weight_decay)  # which may round to none
    return g + decay * p if decay else g


def norm(arrays: Sequence[Array]) -> float:
    """√(Σ a²) over the elements of all, accumulated in float64.

    Elements are scaled by a power of two first, so that no square overflows or is lost.
    """
    largest = float(np.max([np.abs(array).max(initial=0) for array in arrays], initial=0))
    if largest == 0 or not math.isfinite(largest):
        return largest
    _, exponent = math.frexp(largest)
    squares = (np.ldexp(array.astype(np.float64), -exponent) ** 2 for array in arrays)
    return float(np.ldexp(math.sqrt(sum(square.sum() for square in squares)), exponent))


def scale(arrays: Sequence[Array], factor: float) -> None:
    """Multiply in place, in float64: the factor may be too small for float32."""
    for array in arrays:
        array[...] = np.multiply(array, factor, dtype=np.float64)


def clip(arrays: Sequence[Array], limit: float) -> None:
    """Clip each element to [-limit, limit] in place."""
    for array in arrays:
        np.clip(array, -limit, limit, out=array)
