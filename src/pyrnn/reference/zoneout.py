"""Zoneout: a state keeps a share m of its old value, state' = m ∘ old + (1 − m) ∘ new.

In training m is 0 or 1, drawn for each unit and step; afterwards it is the probability of 1. The
cell computes ``new`` from whole old states: an LSTM's h' from c' before any of c' is held back.

Source: D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden activations",
ICLR 2017.
"""

from __future__ import annotations

from pyrnn._types import Array, State


def mix(new: State, old: State, kept: tuple[Array, ...]) -> State:
    """The states after a step, for each its share that is kept."""
    return tuple(m * o + (1 - m) * n for n, o, m in zip(new, old, kept, strict=True))


def mix_backward(dstate: State, kept: tuple[Array, ...]) -> tuple[State, State]:
    """The way back of `mix`: gradients of the new and of the old states."""
    dold = tuple(m * d for d, m in zip(dstate, kept, strict=True))
    return tuple(d - part for d, part in zip(dstate, dold, strict=True)), dold
