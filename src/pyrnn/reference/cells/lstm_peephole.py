"""The LSTM cell with peepholes: its gates see the cell (gates i f g o, peepholes i f o).

i = σ(W_ii x + b_ii + W_hi h + b_hi + p_i ∘ c)      and f likewise
g = tanh(W_ig x + b_ig + W_hg h + b_hg)
c' = f ∘ c + i ∘ g
o = σ(W_io x + b_io + W_ho h + b_ho + p_o ∘ c')
h' = o ∘ tanh(c'),   or W_hr (o ∘ tanh(c')) with a projection

Source: F. A. Gers, J. Schmidhuber, "Recurrent nets that time and count", IJCNN 2000. The rows
i f o of ``weight_peephole`` (3H,) are the input P of ONNX's LSTM in the order i f o.
"""

from __future__ import annotations

import numpy as np

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference.activations import sigmoid
from pyrnn.reference.affine import hidden_backward, hidden_product, input_backward, input_product
from pyrnn.reference.cells.lstm import Saved
from pyrnn.reference.projection import project, project_backward
from pyrnn.reference.sums import sum_of_rows


def forward(
    x: Array | Indices, state: State, parameters: Parameters, mask: Array | None = None
) -> tuple[State, Saved]:
    h, c = state
    p_i, p_f, p_o = np.split(parameters["weight_peephole"], 3)
    z = input_product(x, parameters) + hidden_product(h, parameters, mask)
    z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)
    i, f, g = sigmoid(z_i + p_i * c), sigmoid(z_f + p_f * c), np.tanh(z_g)
    c_next = f * c + i * g
    o = sigmoid(z_o + p_o * c_next)
    h_next = project(o * np.tanh(c_next), parameters)
    return (h_next, c_next), Saved(x, h, mask, c, i, f, g, o, c_next)


def backward(
    saved: Saved, dstate: State, parameters: Parameters
) -> tuple[Array | None, State, dict[str, Array]]:
    dh_next, dc_next = dstate
    _, _, _, c, i, f, g, o, c_next = saved
    p_i, p_f, p_o = np.split(parameters["weight_peephole"], 3)
    tanh_c = np.tanh(c_next)
    doutput, projection_grads = project_backward(dh_next, o * tanh_c, parameters)
    dz_o = doutput * tanh_c * o * (1 - o)
    dc_next = dc_next + doutput * o * (1 - tanh_c**2) + dz_o * p_o
    dz_i = dc_next * g * i * (1 - i)
    dz_f = dc_next * c * f * (1 - f)
    dz_g = dc_next * i * (1 - g**2)
    dz = np.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1)
    dx, input_grads = input_backward(dz, saved.x, parameters)
    dh, hidden_grads = hidden_backward(dz, saved.h, parameters, saved.mask)
    dc = dc_next * f + dz_i * p_i + dz_f * p_f
    grads = input_grads | hidden_grads | projection_grads
    dpeephole = np.concatenate([dz_i * c, dz_f * c, dz_o * c_next], axis=1)
    grads["weight_peephole"] = sum_of_rows(dpeephole)
    return dx, (dh, dc), grads
