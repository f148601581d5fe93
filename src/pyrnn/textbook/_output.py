"""The output layer that the articles share: a softmax over W a + b, column by column."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._types import Array, Indices
from pyrnn.backend import selection
from pyrnn.textbook import _layout
from pyrnn.textbook.activations import softmax


class OutputGradients(NamedTuple):
    """Of the states (n_a, m, T), and of the output layer's weight and bias (n_y, 1)."""

    da: Array
    dweight: Array
    dbias: Array


def predictions(states: Array, weight: Array, bias: Array) -> Array:
    """Probabilities (n_y, m, T) from states as rows (T, m, n_a)."""
    return softmax(_layout.flip(_logits(states, weight, bias)))


def loss_and_gradients(
    states: Array, weight: Array, bias: Array, y: npt.ArrayLike
) -> tuple[float, OutputGradients]:
    """Cross-entropy in nats, summed over steps and averaged over the m examples.

    ``states`` are rows (T, m, n_a); ``y`` is one-hot (n_y, m, T), or indices (m, T).
    """
    time_steps, batch_size, hidden_size = states.shape
    targets = class_indices("y", y, (len(weight), batch_size, time_steps))
    rows = states.reshape(time_steps * batch_size, hidden_size)
    logits = _logits(states, weight, bias).reshape(len(rows), len(weight))
    backend = selection.current()
    total, dlogits = backend.softmax_cross_entropy(logits, targets)
    drows, dweight, dbias = backend.linear_backward(
        rows, weight, (dlogits / batch_size).astype(rows.dtype, copy=False)
    )
    da = _layout.flip(drows.reshape(states.shape))
    return total / batch_size, OutputGradients(da, dweight, dbias[:, None])


def class_indices(name: str, values: npt.ArrayLike, shape: tuple[int, int, int]) -> Indices:
    """Indices (T * m,), step after step, from one-hot columns (n, m, T) or indices (m, T)."""
    classes, batch_size, time_steps = shape
    array = _checks.as_array(name, values)
    if array.shape == shape:
        array = indices_of_one_hot(name, array)
    elif array.shape != (batch_size, time_steps):
        raise ValueError(
            f"{name}: expected one-hot columns {shape} or indices {(batch_size, time_steps)}, got "
            f"shape {array.shape}"
        )
    return _checks.index_array(name, array.T.reshape(-1), classes)


def indices_of_one_hot(name: str, array: npt.NDArray[np.generic], what: str = "columns") -> Indices:
    """Where the ones stand along the first axis; anything but one 1 among zeros is refused."""
    ones = array == 1
    if not (np.all(ones | (array == 0)) and np.all(ones.sum(axis=0) == 1)):
        raise ValueError(f"{name}: expected one-hot {what}, a single 1 among zeros in each")
    return np.asarray(ones.argmax(axis=0), dtype=np.intp)


def _logits(states: Array, weight: Array, bias: Array) -> Array:
    """Rows (T, m, n_y)."""
    time_steps, batch_size, hidden_size = states.shape
    logits = selection.current().linear(
        states.reshape(time_steps * batch_size, hidden_size), weight, bias[:, 0]
    )
    return logits.reshape(time_steps, batch_size, len(weight))
