"""Truncated back-propagation through time, TBPTT(k1, k2), as a plain loop over windows.

Every k1 steps, the losses of the last k1 steps go back over the last k2 steps (Williams and Peng
1990). k1 = k2 are chunks with carried state; k1 = 1 is the sliding window, in which each step's
loss reaches back over at most k2 steps, its own among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pyrnn._types import Array, is_indices
from pyrnn.reference import sequence
from pyrnn.reference.cells import CELLS


def windows(time_steps: int, k1: int, k2: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, first loss, stop) of each window over ``time_steps`` steps."""
    for first_loss in range(0, time_steps, k1):
        stop = min(first_loss + k1, time_steps)
        yield max(0, stop - k2), first_loss, stop


def backward_windows(
    saved: Sequence[sequence.Saved],
    dy: Array,
    k1: int,
    k2: int,
    masks: Sequence[Array | None],
) -> tuple[Array | None, list[dict[str, Array]]]:
    """Back-propagate each window through a stack of layers, lowest first; sum what comes.

    ``masks[l]`` is what layer l's output was multiplied with on its way to layer l + 1.
    """
    grads = [{name: np.zeros_like(a) for name, a in s.parameters.items()} for s in saved]
    x = saved[0].x
    dx = None if is_indices(x) else np.zeros(x.shape, dy.dtype)
    for start, first_loss, stop in windows(len(dy), k1, k2):
        dloss = np.zeros_like(dy)
        dloss[first_loss:stop] = dy[first_loss:stop]
        dlayer: Array | None = dloss
        for layer in reversed(range(len(saved))):
            mask = masks[layer] if layer < len(saved) - 1 else None
            assert dlayer is not None
            window = saved[layer]._replace(steps=saved[layer].steps[start:stop])
            dlayer, _, window_grads = sequence.backward(
                window, dlayer if mask is None else dlayer * mask, _zero_states(window)
            )
            for name, grad in window_grads.items():
                grads[layer][name] += grad
        if dx is not None and dlayer is not None:
            dx += dlayer
    return dx, grads


def _zero_states(saved: sequence.Saved) -> tuple[Array, ...]:
    """Zero gradients for the states after a window."""
    _, batch_size, hidden_size = saved.output_shape
    dtype = saved.parameters["weight_hh"].dtype
    states = CELLS[saved.cell].states
    return tuple(np.zeros((batch_size, hidden_size), dtype) for _ in range(states))
