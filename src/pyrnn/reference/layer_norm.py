"""Layer normalisation within a recurrent cell: of both products, and of an LSTM's cell.

n(a) = (a − mean(a)) / √(var(a) + ε)   over the last axis, with the biased variance

ε is 1e-5 by default.

Source: J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", arXiv:1607.06450.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyrnn._types import Array, Indices, Parameters
from pyrnn.reference.affine import (
    add_bias,
    hidden_backward,
    hidden_product,
    input_backward,
    input_product,
)
from pyrnn.reference.sums import sum_of_rows

EPSILON = 1e-5


class Normalised(NamedTuple):
    """n(a), and 1 / √(var(a) + ε) of each row, (N, 1)."""

    value: Array
    scale: Array


def normalise(a: Array, eps: float = EPSILON) -> Normalised:
    """n(a) of each row."""
    centred = a - a.mean(axis=1, keepdims=True)
    scale = 1 / np.sqrt((centred**2).mean(axis=1, keepdims=True) + eps)
    return Normalised(centred * scale, scale)


def normalise_backward(dn: Array, normalised: Normalised) -> Array:
    """From the gradient of n(a) to that of a."""
    n, scale = normalised
    along = (dn * n).mean(axis=1, keepdims=True)
    da: Array = scale * (dn - dn.mean(axis=1, keepdims=True) - n * along)
    return da


def affine(normalised: Normalised, parameters: Parameters, side: str) -> Array:
    """Gain ∘ n + bias, with the parameters of a side: "ih", "hh" or "c"."""
    return add_bias(parameters[f"gain_{side}"] * normalised.value, parameters, f"bias_{side}")


def affine_backward(
    dz: Array, normalised: Normalised, parameters: Parameters, side: str
) -> tuple[Array, dict[str, Array]]:
    """From the gradient of `affine` to that of a, and those of its parameters."""
    grads = {f"gain_{side}": sum_of_rows(dz * normalised.value)}
    if f"bias_{side}" in parameters:
        grads[f"bias_{side}"] = sum_of_rows(dz)
    return normalise_backward(dz * parameters[f"gain_{side}"], normalised), grads


def input_side(
    x: Array | Indices, parameters: Parameters, eps: float = EPSILON
) -> tuple[Array, Normalised]:
    """gain_ih ∘ n(W_ih x) + bias_ih, and the cache for its backward."""
    normalised = normalise(input_product(x, _weight(parameters, "weight_ih")), eps)
    return affine(normalised, parameters, "ih"), normalised


def hidden_side(
    h: Array, parameters: Parameters, mask: Array | None, eps: float = EPSILON
) -> tuple[Array, Normalised]:
    """gain_hh ∘ n(W_hh h) + bias_hh, and the cache for its backward."""
    normalised = normalise(hidden_product(h, _weight(parameters, "weight_hh"), mask), eps)
    return affine(normalised, parameters, "hh"), normalised


def input_side_backward(
    dz: Array, normalised: Normalised, x: Array | Indices, parameters: Parameters
) -> tuple[Array | None, dict[str, Array]]:
    """Backward of `input_side`: dx (None for integers), gradients of its parameters."""
    da, grads = affine_backward(dz, normalised, parameters, "ih")
    dx, product_grads = input_backward(da, x, _weight(parameters, "weight_ih"))
    return dx, grads | product_grads


def hidden_side_backward(
    dz: Array, normalised: Normalised, h: Array, parameters: Parameters, mask: Array | None
) -> tuple[Array, dict[str, Array]]:
    """Backward of `hidden_side`: dh, gradients of its parameters."""
    db, grads = affine_backward(dz, normalised, parameters, "hh")
    dh, product_grads = hidden_backward(db, h, _weight(parameters, "weight_hh"), mask)
    return dh, grads | product_grads


def _weight(parameters: Parameters, name: str) -> dict[str, Array]:
    """A weight without its bias, which is added after the normalisation."""
    return {name: parameters[name]}
