"""Truncated back-propagation through time, TBPTT(k1, k2), as a plain loop over windows.

The losses of steps [s, s + k1) are back-propagated to step s + k1 - k2, for s = 0, k1, 2 k1, ...;
steps before the first are left out. This is BPTT(h; h') of Williams and Peng 1990, with h = k2
and h' = k1. k1 = k2 means chunks with carried state. k1 = 1 is the sliding window, in which
each step's loss is back-propagated through at most k2 steps, its own included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pyrnn._types import Array, is_indices
from pyrnn.reference.recurrence import sequence
from pyrnn.reference.sums import Total


def windows(time_steps: int, k1: int, k2: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, first loss, stop) of each window over ``time_steps`` steps."""
    for first_loss in range(0, time_steps, k1):
        end = first_loss + k1
        yield max(0, end - k2), first_loss, min(end, time_steps)


def backward_windows(
    saved: Sequence[sequence.Saved],
    dy: Array,
    k1: int,
    k2: int,
    masks: Sequence[Array | None],
) -> tuple[Array | None, list[dict[str, Array]]]:
    """Back-propagate each window through a stack of layers, lowest first, and sum the gradients.

    ``masks[l]`` is what layer l's output was multiplied by before layer l + 1.
    """
    steps = [list(one.steps) for one in saved]
    totals = [
        {n: Total(np.zeros_like(a, subok=False)) for n, a in one.run.parameters.items()}
        for one in saved
    ]
    x = saved[0].run.x
    dx = None if is_indices(x) else np.zeros(x.shape, dy.dtype)
    for start, first_loss, stop in windows(len(dy), k1, k2):
        dloss = np.zeros_like(dy)
        dloss[first_loss:stop] = dy[first_loss:stop]
        dlayer: Array | None = dloss
        for layer in reversed(range(len(saved))):
            mask = masks[layer] if layer < len(saved) - 1 else None
            assert dlayer is not None
            window = saved[layer]._replace(steps=steps[layer][start:stop])
            dlayer, _, window_grads = sequence.backward(
                window, dlayer if mask is None else dlayer * mask, sequence.zero_state(window.run)
            )
            for name, grad in window_grads.items():
                totals[layer][name].add(grad)
        if dx is not None and dlayer is not None:
            dx += dlayer
    return dx, [{name: total.value() for name, total in of.items()} for of in totals]
