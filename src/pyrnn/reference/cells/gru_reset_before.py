"""The GRU cell with the reset before the product, as its paper has it (gates r z n).

r = σ(W_ir x + b_ir + W_hr h + b_hr)      and z likewise
n = tanh(W_in x + b_in + W_hn (r ∘ h) + b_hn)
h' = (1 − z) ∘ n + z ∘ h

Source: K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
machine translation", EMNLP 2014; ONNX's GRU with ``linear_before_reset=0``, Keras' with
``reset_after=False``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference.activations import sigmoid
from pyrnn.reference.affine import (
    hidden_backward,
    hidden_product,
    input_backward,
    input_product,
    masked,
)


class Saved(NamedTuple):
    """The cache of one step."""

    x: Array | Indices
    h: Array
    mask: Array | None
    r: Array
    z: Array
    n: Array


def forward(
    x: Array | Indices, state: State, parameters: Parameters, mask: Array | None = None
) -> tuple[State, Saved]:
    (h,) = state
    gates, candidate = hidden_parameters(parameters)
    input_r, input_z, input_n = np.split(input_product(x, parameters), 3, axis=1)
    hidden_r, hidden_z = np.split(hidden_product(h, gates, mask), 2, axis=1)
    r = sigmoid(input_r + hidden_r)
    z = sigmoid(input_z + hidden_z)
    n = np.tanh(input_n + hidden_product(r * masked(h, mask), candidate))
    h_next = (1 - z) * n + z * h
    return (h_next,), Saved(x, h, mask, r, z, n)


def backward(
    saved: Saved, dstate: State, parameters: Parameters
) -> tuple[Array | None, State, dict[str, Array]]:
    (dh_next,) = dstate
    _, h, mask, r, z, n = saved
    gates, candidate = hidden_parameters(parameters)
    dz_n = dh_next * (1 - z) * (1 - n**2)
    dz_z = dh_next * (h - n) * z * (1 - z)
    dreset, candidate_grads = hidden_backward(dz_n, r * masked(h, mask), candidate)
    dz_r = dreset * masked(h, mask) * r * (1 - r)
    dz_rz = np.concatenate([dz_r, dz_z], axis=1)
    dh, gate_grads = hidden_backward(dz_rz, h, gates, mask)
    dx, grads = input_backward(np.concatenate([dz_rz, dz_n], axis=1), saved.x, parameters)
    for name, grad in gate_grads.items():
        grads[name] = np.concatenate([grad, candidate_grads[name]])
    return dx, (dh_next * z + dh + masked(dreset * r, mask),), grads


def hidden_parameters(parameters: Parameters) -> tuple[dict[str, Array], dict[str, Array]]:
    """What multiplies h: the rows of r and z, and those of n."""
    hidden = {name: parameters[name] for name in ("weight_hh", "bias_hh") if name in parameters}
    rows = 2 * (len(hidden["weight_hh"]) // 3)
    gates = {name: array[:rows] for name, array in hidden.items()}
    candidate = {name: array[rows:] for name, array in hidden.items()}
    return gates, candidate
