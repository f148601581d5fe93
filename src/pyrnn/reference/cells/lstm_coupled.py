"""The LSTM cell whose input gate is coupled to the forget gate: f = 1 − i (gates i g o).

i = σ(W_ii x + b_ii + W_hi h + b_hi)      and o likewise
g = tanh(W_ig x + b_ig + W_hg h + b_hg)
c' = (1 − i) ∘ c + i ∘ g
h' = o ∘ tanh(c'),   or W_hr (o ∘ tanh(c')) with a projection

With ``weight_peephole`` (2H,), rows i o: σ of i also sees p_i ∘ c, and that of o sees p_o ∘ c'.

Source: K. Greff et al., "LSTM: a search space odyssey", IEEE TNNLS 28, 2017 (CIFG); ONNX's LSTM
with ``input_forget=1``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference.activations import sigmoid
from pyrnn.reference.affine import hidden_backward, hidden_product, input_backward, input_product
from pyrnn.reference.projection import project, project_backward
from pyrnn.reference.sums import sum_of_rows


class Saved(NamedTuple):
    """The cache of one step."""

    x: Array | Indices
    h: Array
    mask: Array | None
    c: Array
    i: Array
    g: Array
    o: Array
    c_next: Array


def forward(
    x: Array | Indices, state: State, parameters: Parameters, mask: Array | None = None
) -> tuple[State, Saved]:
    h, c = state
    p_i, p_o = _peepholes(parameters)
    z = input_product(x, parameters) + hidden_product(h, parameters, mask)
    z_i, z_g, z_o = np.split(z, 3, axis=1)
    i, g = sigmoid(_plus(z_i, p_i, c)), np.tanh(z_g)
    c_next = (1 - i) * c + i * g
    o = sigmoid(_plus(z_o, p_o, c_next))
    h_next = project(o * np.tanh(c_next), parameters)
    return (h_next, c_next), Saved(x, h, mask, c, i, g, o, c_next)


def backward(
    saved: Saved, dstate: State, parameters: Parameters
) -> tuple[Array | None, State, dict[str, Array]]:
    dh_next, dc_next = dstate
    _, _, _, c, i, g, o, c_next = saved
    p_i, p_o = _peepholes(parameters)
    tanh_c = np.tanh(c_next)
    doutput, projection_grads = project_backward(dh_next, o * tanh_c, parameters)
    dz_o = doutput * tanh_c * o * (1 - o)
    dc_next = _plus(dc_next + doutput * o * (1 - tanh_c**2), p_o, dz_o)
    dz_i = dc_next * (g - c) * i * (1 - i)
    dz_g = dc_next * i * (1 - g**2)
    dz = np.concatenate([dz_i, dz_g, dz_o], axis=1)
    dx, input_grads = input_backward(dz, saved.x, parameters)
    dh, hidden_grads = hidden_backward(dz, saved.h, parameters, saved.mask)
    dc = _plus(dc_next * (1 - i), p_i, dz_i)
    grads = input_grads | hidden_grads | projection_grads
    if "weight_peephole" in parameters:
        dpeephole = np.concatenate([dz_i * c, dz_o * c_next], axis=1)
        grads["weight_peephole"] = sum_of_rows(dpeephole)
    return dx, (dh, dc), grads


def _peepholes(parameters: Parameters) -> tuple[Array | None, Array | None]:
    """p_i and p_o, or None where there are none."""
    if "weight_peephole" not in parameters:
        return None, None
    p_i, p_o = np.split(parameters["weight_peephole"], 2)
    return p_i, p_o


def _plus(a: Array, peephole: Array | None, b: Array) -> Array:
    """A + peephole ∘ b; a alone without peepholes, as 0 · b would be NaN for an infinite b."""
    return a if peephole is None else a + peephole * b
