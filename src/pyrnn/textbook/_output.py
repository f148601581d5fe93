"""The output layer that the articles share: a softmax over W a + b, column by column."""

from __future__ import annotations

from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.textbook import _layout
from pyrnn.textbook.activations import softmax


def predictions(states: Array, weight: Array, bias: Array) -> Array:
    """Return the probabilities (n_y, m, T) for states given as rows (T, m, n_a)."""
    time_steps, batch_size, hidden_size = states.shape
    logits = selection.current().linear(
        states.reshape(time_steps * batch_size, hidden_size), weight, bias[:, 0]
    )
    return softmax(_layout.flip(logits.reshape(time_steps, batch_size, len(weight))))
