"""The cells with activations that a layer chooses: of gates σ, candidates φ and c' (ψ).

RNN   h' = φ(z)
LSTM  c' = f ∘ c + i ∘ φ(z_g),   h' = o ∘ ψ(c'),   with i, f, o = σ(z + p ∘ c or c'); f may be 1 − i
GRU   h' = (1 − z) ∘ φ(z_n) + z ∘ h,   r, z = σ(...), the reset after or before the product

Everything else is as in `rnn`, `lstm`, `lstm_peephole`, `lstm_coupled`, `gru` and
`gru_reset_before`; with the usual activations these compute the same. Source: the operators RNN,
LSTM and GRU of ONNX (https://onnx.ai/onnx/operators), whose ``clip`` bounds what goes into σ and φ;
as in onnxruntime it does not bound what goes into ψ.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pyrnn._types import Array, Indices, Parameters, State
from pyrnn.reference.activations import Choice
from pyrnn.reference.affine import (
    hidden_backward,
    hidden_product,
    input_backward,
    input_product,
    masked,
)
from pyrnn.reference.cells.gru_reset_before import hidden_parameters
from pyrnn.reference.projection import project, project_backward
from pyrnn.reference.sums import sum_of_rows

Backward = tuple["Array | None", State, "dict[str, Array]"]


# --- vanilla --------------------------------------------------------------------------------


class SavedRNN(NamedTuple):
    """The cache of one step."""

    x: Array | Indices
    h: Array
    mask: Array | None
    pre: Array


def rnn_forward(
    x: Array | Indices, state: State, parameters: Parameters, mask: Array | None, by: Choice
) -> tuple[State, SavedRNN]:
    (h,) = state
    z = input_product(x, parameters) + hidden_product(h, parameters, mask)
    return (by.of_candidate(z),), SavedRNN(x, h, mask, z)


def rnn_backward(saved: SavedRNN, dstate: State, parameters: Parameters, by: Choice) -> Backward:
    (dh_next,) = dstate
    dz = dh_next * by.candidate_slope(saved.pre)
    dx, input_grads = input_backward(dz, saved.x, parameters)
    dh, hidden_grads = hidden_backward(dz, saved.h, parameters, saved.mask)
    return dx, (dh,), input_grads | hidden_grads


# --- long short-term memory -----------------------------------------------------------------


class SavedLSTM(NamedTuple):
    """The cache of one step; ``pre`` are the pre-activations i f g o, or i g o where f is 1 - i."""

    x: Array | Indices
    h: Array
    mask: Array | None
    c: Array
    i: Array
    f: Array | None
    g: Array
    o: Array
    c_next: Array
    pre: tuple[Array, ...]


def lstm_forward(
    x: Array | Indices, state: State, parameters: Parameters, mask: Array | None, by: Choice
) -> tuple[State, SavedLSTM]:
    h, c = state
    z = input_product(x, parameters) + hidden_product(h, parameters, mask)
    coupled = _coupled(parameters)
    pre: list[Array] = np.split(z, 3 if coupled else 4, axis=1)
    *z_if, z_g, z_o = pre
    *p_if, p_o = _peepholes(parameters, coupled)
    z_if = [_plus(pre, p, c) for pre, p in zip(z_if, p_if, strict=True)]
    i = by.of_gate(z_if[0])
    f = None if coupled else by.of_gate(z_if[1])
    g = by.of_candidate(z_g)
    c_next = (1 - i if f is None else f) * c + i * g
    z_o = _plus(z_o, p_o, c_next)
    o = by.of_gate(z_o)
    h_next = project(o * by.output(c_next), parameters)
    saved = SavedLSTM(x, h, mask, c, i, f, g, o, c_next, (*z_if, z_g, z_o))
    return (h_next, c_next), saved


def lstm_backward(saved: SavedLSTM, dstate: State, parameters: Parameters, by: Choice) -> Backward:
    dh_next, dc_next = dstate
    _, _, _, c, i, f, g, o, c_next, _ = saved
    coupled = _coupled(parameters)
    *z_if, z_g, z_o = saved.pre
    *p_if, p_o = _peepholes(parameters, coupled)
    out = by.output(c_next)
    doutput, projection_grads = project_backward(dh_next, o * out, parameters)
    dz_o = doutput * out * by.gate_slope(z_o)
    dc_next = _plus(dc_next + doutput * o * by.output.slope(c_next), p_o, dz_o)
    dgates = [dc_next * (g - c)] if coupled else [dc_next * g, dc_next * c]
    dz_if = [d * by.gate_slope(pre) for d, pre in zip(dgates, z_if, strict=True)]
    dz_g = dc_next * i * by.candidate_slope(z_g)
    dz = np.concatenate([*dz_if, dz_g, dz_o], axis=1)
    dx, input_grads = input_backward(dz, saved.x, parameters)
    dh, hidden_grads = hidden_backward(dz, saved.h, parameters, saved.mask)
    dc: Array = dc_next * (1 - i if f is None else f)
    for d, p in zip(dz_if, p_if, strict=True):
        dc = _plus(dc, p, d)
    grads = input_grads | hidden_grads | projection_grads
    if "weight_peephole" in parameters:
        dpeephole = [*(d * c for d in dz_if), dz_o * c_next]
        grads["weight_peephole"] = sum_of_rows(np.concatenate(dpeephole, axis=1))
    return dx, (dh, dc), grads


def _coupled(parameters: Parameters) -> bool:
    """Whether there are three gates; W_hh has a column for each feature of h."""
    rows, columns = parameters["weight_hh"].shape
    units = len(parameters["weight_hr"][0]) if "weight_hr" in parameters else columns
    return bool(rows == 3 * units)


def _peepholes(parameters: Parameters, coupled: bool) -> list[Any]:
    """p_i, p_f and p_o, or p_i and p_o; None where there are none."""
    count = 2 if coupled else 3
    if "weight_peephole" not in parameters:
        return [None] * count
    return list(np.split(parameters["weight_peephole"], count))


def _plus(a: Array, peephole: Array | None, b: Array) -> Array:
    """A + peephole ∘ b; a alone without peepholes, as 0 · b would be NaN for an infinite b."""
    return a if peephole is None else a + peephole * b


# --- gated recurrent units ------------------------------------------------------------------


class SavedGRU(NamedTuple):
    """The cache of one step; ``pre`` are the pre-activations r z n.

    ``hidden_n`` is W_hn h + b_hn where the reset acts after that product.
    """

    x: Array | Indices
    h: Array
    mask: Array | None
    r: Array
    z: Array
    n: Array
    pre: tuple[Array, Array, Array]
    hidden_n: Array | None = None


def gru_forward(
    x: Array | Indices, state: State, parameters: Parameters, mask: Array | None, by: Choice
) -> tuple[State, SavedGRU]:
    (h,) = state
    input_r, input_z, input_n = np.split(input_product(x, parameters), 3, axis=1)
    hidden_r, hidden_z, hidden_n = np.split(hidden_product(h, parameters, mask), 3, axis=1)
    z_r, z_z = input_r + hidden_r, input_z + hidden_z
    r, z = by.of_gate(z_r), by.of_gate(z_z)
    z_n = input_n + r * hidden_n
    n = by.of_candidate(z_n)
    h_next = (1 - z) * n + z * h
    return (h_next,), SavedGRU(x, h, mask, r, z, n, (z_r, z_z, z_n), hidden_n)


def gru_backward(saved: SavedGRU, dstate: State, parameters: Parameters, by: Choice) -> Backward:
    (dh_next,) = dstate
    _, h, mask, r, z, n, (z_r, z_z, z_n), _ = saved
    dz_n = dh_next * (1 - z) * by.candidate_slope(z_n)
    dz_z = dh_next * (h - n) * by.gate_slope(z_z)
    assert saved.hidden_n is not None
    dz_r = dz_n * saved.hidden_n * by.gate_slope(z_r)
    input_dz = np.concatenate([dz_r, dz_z, dz_n], axis=1)
    hidden_dz = np.concatenate([dz_r, dz_z, dz_n * r], axis=1)
    dx, input_grads = input_backward(input_dz, saved.x, parameters)
    dh, hidden_grads = hidden_backward(hidden_dz, h, parameters, mask)
    return dx, (dh_next * z + dh,), input_grads | hidden_grads


def gru_reset_before_forward(
    x: Array | Indices, state: State, parameters: Parameters, mask: Array | None, by: Choice
) -> tuple[State, SavedGRU]:
    (h,) = state
    gates, candidate = hidden_parameters(parameters)
    input_r, input_z, input_n = np.split(input_product(x, parameters), 3, axis=1)
    hidden_r, hidden_z = np.split(hidden_product(h, gates, mask), 2, axis=1)
    z_r, z_z = input_r + hidden_r, input_z + hidden_z
    r, z = by.of_gate(z_r), by.of_gate(z_z)
    z_n = input_n + hidden_product(r * masked(h, mask), candidate)
    n = by.of_candidate(z_n)
    h_next = (1 - z) * n + z * h
    return (h_next,), SavedGRU(x, h, mask, r, z, n, (z_r, z_z, z_n))


def gru_reset_before_backward(
    saved: SavedGRU, dstate: State, parameters: Parameters, by: Choice
) -> Backward:
    (dh_next,) = dstate
    _, h, mask, r, z, n, (z_r, z_z, z_n), _ = saved
    gates, candidate = hidden_parameters(parameters)
    dz_n = dh_next * (1 - z) * by.candidate_slope(z_n)
    dz_z = dh_next * (h - n) * by.gate_slope(z_z)
    dreset, candidate_grads = hidden_backward(dz_n, r * masked(h, mask), candidate)
    dz_r = dreset * masked(h, mask) * by.gate_slope(z_r)
    dz_rz = np.concatenate([dz_r, dz_z], axis=1)
    dh, gate_grads = hidden_backward(dz_rz, h, gates, mask)
    dx, grads = input_backward(np.concatenate([dz_rz, dz_n], axis=1), saved.x, parameters)
    for name, grad in gate_grads.items():
        grads[name] = np.concatenate([grad, candidate_grads[name]])
    return dx, (dh_next * z + dh + masked(dreset * r, mask),), grads
