"""The GRU cell with layer normalisation, the reset after the product (gates r z n).

a = gain_ih ∘ n(W_ih x) + b_ih,   b = gain_hh ∘ n(W_hh h) + b_hh,   n over all 3H numbers
r = σ(a_r + b_r)      and z likewise
n = tanh(a_n + r ∘ b_n)
h' = (1 − z) ∘ n + z ∘ h

Source: J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", arXiv:1607.06450, in the form
of `torch.nn.GRU`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference.activations import USUAL, Choice, sigmoid
from pyrnn.reference.layer_norm import (
    Normalised,
    hidden_side,
    hidden_side_backward,
    input_side,
    input_side_backward,
)


class Saved(NamedTuple):
    """The cache of one step; ``hidden_n`` is b_n."""

    x: Array | Indices
    h: Array
    mask: Array | None
    r: Array
    z: Array
    n: Array
    hidden_n: Array
    normal_x: Normalised
    normal_h: Normalised


def forward(
    x: Array | Indices,
    state: State,
    parameters: Parameters,
    mask: Array | None = None,
    by: Choice = USUAL,
) -> tuple[State, Saved]:
    (h,) = state
    a, normal_x = input_side(x, parameters, by.eps)
    b, normal_h = hidden_side(h, parameters, mask, by.eps)
    input_r, input_z, input_n = np.split(a, 3, axis=1)
    hidden_r, hidden_z, hidden_n = np.split(b, 3, axis=1)
    r = sigmoid(input_r + hidden_r)
    z = sigmoid(input_z + hidden_z)
    n = np.tanh(input_n + r * hidden_n)
    h_next = (1 - z) * n + z * h
    return (h_next,), Saved(x, h, mask, r, z, n, hidden_n, normal_x, normal_h)


def backward(
    saved: Saved, dstate: State, parameters: Parameters, by: Choice = USUAL
) -> tuple[Array | None, State, dict[str, Array]]:
    (dh_next,) = dstate
    x, h, mask, r, z, n, hidden_n, normal_x, normal_h = saved
    dz_n = dh_next * (1 - z) * (1 - n**2)
    dz_z = dh_next * (h - n) * z * (1 - z)
    dz_r = dz_n * hidden_n * r * (1 - r)
    input_dz = np.concatenate([dz_r, dz_z, dz_n], axis=1)
    hidden_dz = np.concatenate([dz_r, dz_z, dz_n * r], axis=1)
    dx, input_grads = input_side_backward(input_dz, normal_x, x, parameters)
    dh, hidden_grads = hidden_side_backward(hidden_dz, normal_h, h, parameters, mask)
    return dx, (dh_next * z + dh,), input_grads | hidden_grads
