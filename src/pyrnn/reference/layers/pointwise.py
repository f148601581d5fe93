"""Layers of single steps: activations and layer normalisation, with their gradients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyrnn._types import Array
from pyrnn.reference.activations import Activation


def activation(name: str, alpha: float, beta: float, x: Array) -> Array:
    """f(x) of each element: one of `pyrnn.reference.activations.FUNCTIONS`."""
    return Activation(name, alpha, beta)(x)


def activation_backward(name: str, alpha: float, beta: float, x: Array, dy: Array) -> Array:
    """dx = dy ∘ f'(x)."""
    return dy * Activation(name, alpha, beta).slope(x)


class Normalised(NamedTuple):
    """n(x), and 1 / √(var(x) + ε) of each row, in float64."""

    value: Array
    scale: Array


def layer_norm(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Normalised]:
    """w ∘ (x − mean) / √(var + ε) + b of each row, with the biased variance, in float64."""
    wide = x.astype(np.float64)
    centred = wide - wide.mean(axis=1, keepdims=True)
    scale = 1 / np.sqrt((centred**2).mean(axis=1, keepdims=True) + eps)
    normalised = Normalised(centred * scale, scale)
    y = normalised.value
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return y.astype(x.dtype), normalised


def layer_norm_backward(
    normalised: Normalised, weight: Array | None, dy: Array
) -> tuple[Array, Array, Array]:
    """Gradients (dx, dweight, dbias) of `layer_norm`."""
    n, scale = normalised
    wide = dy.astype(np.float64)
    dn = wide if weight is None else wide * weight
    along = (dn * n).mean(axis=1, keepdims=True)
    dx = scale * (dn - dn.mean(axis=1, keepdims=True) - n * along)
    sums = (wide * n).sum(axis=0), wide.sum(axis=0)
    return dx.astype(dy.dtype), sums[0].astype(dy.dtype), sums[1].astype(dy.dtype)
