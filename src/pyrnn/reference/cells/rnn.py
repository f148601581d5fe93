"""The vanilla (Elman) cell, as `torch.nn.RNNCell` has it.

h' = f(W_ih x + b_ih + W_hh h + b_hh),   f = tanh or relu
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference.affine import hidden_backward, hidden_product, input_backward, input_product


class Saved(NamedTuple):
    """The cache of one step."""

    x: Array | Indices
    h: Array
    mask: Array | None
    h_next: Array


def tanh_forward(
    x: Array | Indices, state: State, parameters: Parameters, mask: Array | None = None
) -> tuple[State, Saved]:
    (h,) = state
    h_next = np.tanh(input_product(x, parameters) + hidden_product(h, parameters, mask))
    return (h_next,), Saved(x, h, mask, h_next)


def relu_forward(
    x: Array | Indices, state: State, parameters: Parameters, mask: Array | None = None
) -> tuple[State, Saved]:
    (h,) = state
    h_next = np.maximum(input_product(x, parameters) + hidden_product(h, parameters, mask), 0)
    return (h_next,), Saved(x, h, mask, h_next)


def tanh_backward(
    saved: Saved, dstate: State, parameters: Parameters
) -> tuple[Array | None, State, dict[str, Array]]:
    (dh_next,) = dstate
    return _products_backward(dh_next * (1 - saved.h_next**2), saved, parameters)


def relu_backward(
    saved: Saved, dstate: State, parameters: Parameters
) -> tuple[Array | None, State, dict[str, Array]]:
    (dh_next,) = dstate
    dz = np.where(saved.h_next > 0, dh_next, dh_next.dtype.type(0))
    return _products_backward(dz, saved, parameters)


def _products_backward(
    dz: Array, saved: Saved, parameters: Parameters
) -> tuple[Array | None, State, dict[str, Array]]:
    dx, input_grads = input_backward(dz, saved.x, parameters)
    dh, hidden_grads = hidden_backward(dz, saved.h, parameters, saved.mask)
    return dx, (dh,), input_grads | hidden_grads
