"""The numbers of a case: every peer gets the same weights, input and gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.contest.shapes import GATES, Case

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Problem:
    """Rows of weights in torch's order: i f g o for LSTM, r z n for GRU."""

    weights: dict[str, Array]
    """``weight_ih`` (G·H, I), ``weight_hh`` (G·H, H), ``bias_ih`` and ``bias_hh`` (G·H,)."""

    x: Array
    """(T, N, I)."""

    dy: Array
    """Gradient of y, (T, N, H)."""

    state: tuple[Array, ...]
    """What a single step starts from: h, and for LSTM c, each (1, N, H)."""


def make(case: Case, seed: int = 0) -> Problem:
    """The same numbers every time."""
    generator = np.random.default_rng(seed)

    def normal(*shape: int) -> Array:
        return generator.standard_normal(shape, dtype=np.float32)

    bound = np.float32(1 / math.sqrt(case.hidden_size))

    def uniform(*shape: int) -> Array:
        return bound * (2 * generator.random(shape, dtype=np.float32) - 1)

    rows = GATES[case.cell] * case.hidden_size
    steps, batch, hidden = case.time_steps, case.batch_size, case.hidden_size
    states = 2 if case.cell == "LSTM" else 1
    return Problem(
        weights={
            "weight_ih": uniform(rows, case.input_size),
            "weight_hh": uniform(rows, hidden),
            "bias_ih": uniform(rows),
            "bias_hh": uniform(rows),
        },
        x=normal(steps, batch, case.input_size),
        dy=normal(steps, batch, hidden),
        state=tuple(np.tanh(normal(1, batch, hidden)) for _ in range(states)),
    )
