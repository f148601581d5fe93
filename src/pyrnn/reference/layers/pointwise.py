"""Layers of single steps: activations and layer normalisation, with their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pyrnn._pieces import ColumnSums, pieces
from pyrnn._types import Array
from pyrnn.reference.activations import Activation


def activation(name: str, alpha: float, beta: float, x: Array) -> Array:
    """f(x) of each element, also of one alone: one of `pyrnn.reference.activations.FUNCTIONS`."""
    return np.asarray(Activation(name, alpha, beta)(x))


def activation_backward(name: str, alpha: float, beta: float, x: Array, dy: Array) -> Array:
    """dx = dy ∘ f'(x)."""
    return np.asarray(dy * Activation(name, alpha, beta).slope(x))


class Normalised(NamedTuple):
    """n(x), and 1 / √(var(x) + ε) of each row, in float64."""

    value: Array
    scale: Array


def layer_norm(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Normalised]:
    """w ∘ (x − mean) / √(var + ε) + b of each row, with the biased variance, in float64."""
    result, normalised = np.empty(x.shape, x.dtype), np.empty(x.shape)
    scales = np.empty((len(x), 1))
    for rows in pieces(*x.shape):
        wide = x[rows].astype(np.float64)
        centred = wide - wide.mean(axis=1, keepdims=True)
        scale = 1 / np.sqrt((centred**2).mean(axis=1, keepdims=True) + eps)
        y = n = centred * scale
        if weight is not None:
            y = y * weight
        if bias is not None:
            y = y + bias
        result[rows], normalised[rows], scales[rows] = y, n, scale
    return result, Normalised(normalised, scales)


def layer_norm_backward(
    normalised: Normalised, weight: Array | None, dy: Array
) -> tuple[Array, Array, Array]:
    """Gradients (dx, dweight, dbias) of `layer_norm`."""
    result = np.empty(dy.shape, dy.dtype)
    dweight, dbias = (ColumnSums(len(dy), dy.shape[1:]) for _ in range(2))
    for rows in pieces(*dy.shape):
        n, scale = normalised.value[rows], normalised.scale[rows]
        wide = dy[rows].astype(np.float64)
        dn = wide if weight is None else wide * weight
        along = (dn * n).mean(axis=1, keepdims=True)
        result[rows] = scale * (dn - dn.mean(axis=1, keepdims=True) - n * along)
        dweight.add(wide * n)
        dbias.add(wide)
    return result, dweight.value().astype(dy.dtype), dbias.value().astype(dy.dtype)


def softmax(x: Array, exp: Callable[[Array], Array] = np.exp) -> Array:
    """e^x / Σ e^x of each row, in float64. The largest x is subtracted: no e^x overflows."""
    result = np.empty(x.shape)
    for rows in pieces(*x.shape):
        wide = x[rows].astype(np.float64)
        powers = exp(wide - wide.max(axis=1, keepdims=True))
        result[rows] = powers / powers.sum(axis=1, keepdims=True)
    return result


def softmax_backward(y: Array, dy: Array) -> Array:
    """dx = y ∘ (dy − Σ dy ∘ y) of each row, in float64, as dy's dtype."""
    dx = np.empty(dy.shape, dy.dtype)
    for rows in pieces(*dy.shape):
        wide = dy[rows].astype(np.float64)
        dx[rows] = y[rows] * (wide - (wide * y[rows]).sum(axis=1, keepdims=True))
    return dx
