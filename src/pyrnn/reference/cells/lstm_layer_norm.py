"""The LSTM cell with layer normalisation (gates i f g o).

z = gain_ih ∘ n(W_ih x) + b_ih + gain_hh ∘ n(W_hh h) + b_hh,   n over all 4H numbers
i, f, o = σ(z_i), σ(z_f), σ(z_o),   g = tanh(z_g)
c' = f ∘ c + i ∘ g
h' = o ∘ tanh(gain_c ∘ n(c') + b_c),   n over the H numbers of c'

The cell carries c' as it is, not normalised. With ``normalised_state`` it carries
m = gain_c ∘ n(c') + b_c in its place, as LayerNormLSTMCell of TensorFlow Addons does. Source:
J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", arXiv:1607.06450, equations 20 to 22.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference.activations import USUAL, Choice, sigmoid
from pyrnn.reference.layer_norm import (
    Normalised,
    affine,
    affine_backward,
    hidden_side,
    hidden_side_backward,
    input_side,
    input_side_backward,
    normalise,
)


class Saved(NamedTuple):
    """The cache of one step; ``tanh_c`` is tanh(gain_c ∘ n(c') + b_c)."""

    x: Array | Indices
    h: Array
    mask: Array | None
    c: Array
    i: Array
    f: Array
    g: Array
    o: Array
    tanh_c: Array
    normal_x: Normalised
    normal_h: Normalised
    normal_c: Normalised


def forward(
    x: Array | Indices,
    state: State,
    parameters: Parameters,
    mask: Array | None = None,
    by: Choice = USUAL,
) -> tuple[State, Saved]:
    h, c = state
    input_z, normal_x = input_side(x, parameters, by.eps)
    hidden_z, normal_h = hidden_side(h, parameters, mask, by.eps)
    z_i, z_f, z_g, z_o = np.split(input_z + hidden_z, 4, axis=1)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
    c_next = f * c + i * g
    normal_c = normalise(c_next, by.eps)
    m = affine(normal_c, parameters, "c")
    tanh_c = np.tanh(m)
    saved = Saved(x, h, mask, c, i, f, g, o, tanh_c, normal_x, normal_h, normal_c)
    return (o * tanh_c, m if by.normalised_state else c_next), saved


def backward(
    saved: Saved, dstate: State, parameters: Parameters, by: Choice = USUAL
) -> tuple[Array | None, State, dict[str, Array]]:
    dh_next, dc_next = dstate
    x, h, mask, c, i, f, g, o, tanh_c, normal_x, normal_h, normal_c = saved
    dm = dh_next * o * (1 - tanh_c**2)
    if by.normalised_state:
        dm = dm + dc_next
    dc_normalised, cell_grads = affine_backward(dm, normal_c, parameters, "c")
    dc_next = dc_normalised if by.normalised_state else dc_next + dc_normalised
    dz_i = dc_next * g * i * (1 - i)
    dz_f = dc_next * c * f * (1 - f)
    dz_g = dc_next * i * (1 - g**2)
    dz_o = dh_next * tanh_c * o * (1 - o)
    dz = np.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1)
    dx, input_grads = input_side_backward(dz, normal_x, x, parameters)
    dh, hidden_grads = hidden_side_backward(dz, normal_h, h, parameters, mask)
    return dx, (dh, dc_next * f), input_grads | hidden_grads | cell_grads
