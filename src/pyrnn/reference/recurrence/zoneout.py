"""Zoneout: a state keeps a share m of its old value, state' = m ∘ old + (1 − m) ∘ new.

In train mode m is 0 or 1, drawn for each unit and time step; in eval mode it is the probability of
1. Where m is 0 or 1, one of the values is selected, and the other has no influence on the state or
the gradients, even if it is infinite or NaN. The cell computes ``new`` from the full old states: an
LSTM's h' from the new c', before zoneout acts on c'.

Source: D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden activations",
ICLR 2017.
"""

from __future__ import annotations

import numpy as np

from pyrnn._types import Array, State

Kept = tuple["Array | float", ...]
"""m for each state: zeros and ones (rows, size), or one number for all."""


def mix(new: State, old: State, kept: Kept) -> State:
    """Mix the states after a step with the old ones, of which each keeps its share."""
    return tuple(_mixed(n, o, m) for n, o, m in zip(new, old, kept, strict=True))


def mix_backward(dstate: State, kept: Kept) -> tuple[State, State]:
    """Backward of `mix`: gradients of the new and of the old states."""
    zeros = tuple(np.zeros_like(d) for d in dstate)
    return mix(dstate, zeros, kept), mix(zeros, dstate, kept)


def _mixed(new: Array, old: Array, m: Array | float) -> Array:
    if not isinstance(m, float):
        chosen: Array = np.where(m == 1, old, new)
        return chosen
    dtype = new.dtype.type
    if m < np.finfo(dtype).tiny:
        return new
    share, rest = dtype(m), dtype(1 - m)  # 1 - m is rounded once
    return old if rest == 0 else share * old + rest * new
