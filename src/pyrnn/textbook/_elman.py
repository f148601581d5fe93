"""The tanh recurrence over columns, a' = tanh(W_x x + W_a a + b), by the active backend."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.textbook._layout import flip


class Weights(NamedTuple):
    """W_x (n_a, n_x), W_a (n_a, n_a) and b (n_a, 1), whatever an article calls them."""

    w_x: Array
    w_a: Array
    b: Array


class Gradients(NamedTuple):
    """Gradients of the sequence (n_x, m, T), the initial state (n_a, m) and the weights.

    ``states`` are the states of the forward pass, as rows (T, m, n_a).
    """

    dx: Array
    da0: Array
    dw_x: Array
    dw_a: Array
    db: Array
    states: Array


def core_parameters(w_x: Array, w_a: Array, b: Array) -> dict[str, Array]:
    """Return the articles' parameters, b (n_a,), under the core's names.

    The core's cells have two biases or none. The articles' single bias becomes the first of them.
    """
    return {"weight_ih": w_x, "weight_hh": w_a, "bias_ih": b, "bias_hh": np.zeros_like(b)}


def states(x: Array, a0: Array, weights: Weights) -> Array:
    """Return the state after every step, as rows (T, m, n_a), of x (n_x, m, T), a0 (n_a, m)."""
    return _run(x, a0, weights, keep=False)[0]


def gradients(da: Array, x: Array, a0: Array, weights: Weights) -> Gradients:
    """Back-propagate da (n_a, m, T), the gradient of each step's own loss, through time."""
    states, saved = _run(x, a0, weights, keep=True)
    dx, (da0,), grads = selection.current().backward(saved, flip(da), None)
    assert dx is not None
    return Gradients(
        flip(dx),
        flip(da0),
        grads["weight_ih"],
        grads["weight_hh"],
        grads["bias_ih"][:, None],
        states,
    )


def _run(x: Array, a0: Array, weights: Weights, keep: bool) -> tuple[Array, Any]:
    backend = selection.current()
    parameters = core_parameters(weights.w_x, weights.w_a, weights.b[:, 0])
    packed = backend.pack("rnn_tanh", parameters)
    y, _, saved = backend.forward(packed, flip(x), (flip(a0),), keep=keep)
    return y, saved
