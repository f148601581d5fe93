"""The minimal GRU, whose gates do not see h: by steps, or all times at once (gates z n).

z = σ(W_iz x + b_iz)
n = W_in x + b_in
h' = (1 − z) ∘ h + z ∘ n

As in its paper, z is the share of the new value. In `gru` it is the share of the old h. n has no
activation. There is no W_hh, so a mask on h would have no effect.

Source: L. Feng et al., "Were RNNs all we needed?", arXiv:2410.01201.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference.activations import sigmoid
from pyrnn.reference.affine import input_backward, input_product


class Saved(NamedTuple):
    """The cache of one step."""

    x: Array | Indices
    h: Array
    z: Array
    n: Array


def forward(
    x: Array | Indices, state: State, parameters: Parameters, mask: Array | None = None
) -> tuple[State, Saved]:
    (h,) = state
    z_z, n = np.split(input_product(x, parameters), 2, axis=1)
    z = sigmoid(z_z)
    return ((1 - z) * h + z * n,), Saved(x, h, z, n)


def backward(
    saved: Saved, dstate: State, parameters: Parameters
) -> tuple[Array | None, State, dict[str, Array]]:
    (dh_next,) = dstate
    x, h, z, n = saved
    dz_z = dh_next * (n - h) * z * (1 - z)
    dz = np.concatenate([dz_z, dh_next * z], axis=1)
    dx, grads = input_backward(dz, x, parameters)
    return dx, (dh_next * (1 - z),), grads


def parallel(x: Array | Indices, h: Array, parameters: Parameters) -> Array:
    """Compute all steps at once: x (T, N, I) or indices (T, N), h (N, H) -> y (T, N, H).

    A step is the map h -> a ∘ h + b with a = 1 − z and b = z ∘ n. Two such maps in a row are again
    one, (a₂ a₁, a₂ b₁ + b₂). So log₂ T rounds suffice: in round r, each map is combined with the
    one 2ʳ steps before it; afterwards the map at time t leads from the initial h to h_t.
    """
    rows = x.reshape(-1) if x.ndim == 2 else x.reshape(-1, x.shape[2])
    product = input_product(rows, parameters).reshape(*x.shape[:2], -1)
    z_z, n = np.split(product, 2, axis=2)
    z = sigmoid(z_z)
    a, b = 1 - z, z * n
    distance = 1
    while distance < len(x):
        b[distance:] += a[distance:] * b[:-distance]
        a[distance:] *= a[:-distance]
        distance *= 2
    return a * h + b
