"""The GRU cell with the reset after the product, as `torch.nn.GRUCell` has it (gates r z n).

r = σ(W_ir x + b_ir + W_hr h + b_hr)      and z likewise
n = tanh(W_in x + b_in + r ∘ (W_hn h + b_hn))
h' = (1 − z) ∘ n + z ∘ h
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference.activations import sigmoid
from pyrnn.reference.affine import hidden_backward, hidden_product, input_backward, input_product


class Saved(NamedTuple):
    """The cache of one step; ``hidden_n`` is W_hn h + b_hn."""

    x: Array | Indices
    h: Array
    mask: Array | None
    r: Array
    z: Array
    n: Array
    hidden_n: Array


def forward(
    x: Array | Indices, state: State, parameters: Parameters, mask: Array | None = None
) -> tuple[State, Saved]:
    (h,) = state
    input_r, input_z, input_n = np.split(input_product(x, parameters), 3, axis=1)
    hidden_r, hidden_z, hidden_n = np.split(hidden_product(h, parameters, mask), 3, axis=1)
    r = sigmoid(input_r + hidden_r)
    z = sigmoid(input_z + hidden_z)
    n = np.tanh(input_n + r * hidden_n)
    h_next = (1 - z) * n + z * h
    return (h_next,), Saved(x, h, mask, r, z, n, hidden_n)


def backward(
    saved: Saved, dstate: State, parameters: Parameters
) -> tuple[Array | None, State, dict[str, Array]]:
    (dh_next,) = dstate
    _, h, mask, r, z, n, hidden_n = saved
    dz_n = dh_next * (1 - z) * (1 - n**2)
    dz_z = dh_next * (h - n) * z * (1 - z)
    dz_r = dz_n * hidden_n * r * (1 - r)
    input_dz = np.concatenate([dz_r, dz_z, dz_n], axis=1)
    hidden_dz = np.concatenate([dz_r, dz_z, dz_n * r], axis=1)
    dx, input_grads = input_backward(input_dz, saved.x, parameters)
    dh, hidden_grads = hidden_backward(hidden_dz, h, parameters, mask)
    return dx, (dh_next * z + dh,), input_grads | hidden_grads
