"""What ranks tell each other while each computes its rows of one batch.

A layer may need numbers of all rows in the middle of the forward or the backward pass (batch
normalisation). A rank that has no row of the batch does not run the model, so it cannot know when.
Therefore every exchange begins with a message of one form: how many numbers follow, and 0 at the
end of the forward pass, with what is known of the loss by then. A rank without rows takes part with
zeros until that end, and in the backward pass as often as in the forward pass.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn._types import Array
from pyrnn.distributed.ranks import Ranks, on_all_ranks

Numbers = npt.NDArray[np.float64]


class Told(NamedTuple):
    """Of each rank: whether it has rows of the batch, and its numbers."""

    rows: list[bool]
    numbers: list[list[float]]


class BatchExchange:
    """The exchanges of one batch, seen from one rank.

    Parameters
    ----------
    ranks : Ranks
        All of them.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._calls = 0

    def __call__(self, own: Array) -> Array:
        """The vectors of all ranks, (P, n), in their order; zeros of those without rows."""
        self._announce(own.size, has_rows=True)
        return self._ranks.told(*own.tolist())

    def end_forward(self, *numbers: float, has_rows: bool) -> Told:
        """Up to four numbers of each rank when all have done the forward pass."""
        while True:
            told = self._announce(0, *numbers, has_rows=has_rows)
            size = int(told[:, 0].max())
            if not size:
                return Told([bool(flag) for flag in told[:, 1]], told[:, 2:].tolist())
            self._follow(size)
            self._calls += 1

    def backward_without_rows(self) -> None:
        """Take part in the exchanges of a backward pass that this rank has no rows for."""
        for _ in range(self._calls):
            self._follow(int(self._announce(0, has_rows=False)[:, 0].max()))

    def _announce(
        self,
        size: int,
        a: float = 0.0,
        b: float = 0.0,
        c: float = 0.0,
        d: float = 0.0,
        *,
        has_rows: bool,
    ) -> Numbers:
        """Tell how many numbers follow; all ranks with rows say the same."""
        told = self._ranks.told(float(size), float(has_rows), a, b, c, d)
        if (told[told[:, 1] > 0, 0] != told[:, 0].max()).any():
            with on_all_ranks:
                raise RuntimeError(
                    "model: expected the same layers, called in one order, on all ranks"
                )
        return told

    def _follow(self, size: int) -> None:
        self._ranks.told(*[0.0] * size)
