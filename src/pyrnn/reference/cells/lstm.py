"""The LSTM cell, as `torch.nn.LSTMCell` has it (gates i f g o).

i = σ(W_ii x + b_ii + W_hi h + b_hi)      and f, o likewise
g = tanh(W_ig x + b_ig + W_hg h + b_hg)
c' = f ∘ c + i ∘ g
h' = o ∘ tanh(c'),   or W_hr (o ∘ tanh(c')) with a projection
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference.activations import sigmoid
from pyrnn.reference.affine import hidden_backward, hidden_product, input_backward, input_product
from pyrnn.reference.projection import project, project_backward


class Saved(NamedTuple):
    """The cache of one step."""

    x: Array | Indices
    h: Array
    mask: Array | None
    c: Array
    i: Array
    f: Array
    g: Array
    o: Array
    c_next: Array


def forward(
    x: Array | Indices, state: State, parameters: Parameters, mask: Array | None = None
) -> tuple[State, Saved]:
    h, c = state
    z = input_product(x, parameters) + hidden_product(h, parameters, mask)
    z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
    c_next = f * c + i * g
    h_next = project(o * np.tanh(c_next), parameters)
    return (h_next, c_next), Saved(x, h, mask, c, i, f, g, o, c_next)


def backward(
    saved: Saved, dstate: State, parameters: Parameters
) -> tuple[Array | None, State, dict[str, Array]]:
    dh_next, dc_next = dstate
    _, _, _, c, i, f, g, o, c_next = saved
    tanh_c = np.tanh(c_next)
    doutput, projection_grads = project_backward(dh_next, o * tanh_c, parameters)
    dc_next = dc_next + doutput * o * (1 - tanh_c**2)
    dz_i = dc_next * g * i * (1 - i)
    dz_f = dc_next * c * f * (1 - f)
    dz_g = dc_next * i * (1 - g**2)
    dz_o = doutput * tanh_c * o * (1 - o)
    dz = np.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1)
    dx, input_grads = input_backward(dz, saved.x, parameters)
    dh, hidden_grads = hidden_backward(dz, saved.h, parameters, saved.mask)
    return dx, (dh, dc_next * f), input_grads | hidden_grads | projection_grads
