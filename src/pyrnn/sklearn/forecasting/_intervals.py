"""Conformal prediction intervals: their width follows from errors on held-out parts of the series.

Sources: Vovk, Gammerman, Shafer, "Algorithmic learning in a random world", 2005 (split conformal
prediction); Romano, Patterson, Candès, "Conformalized quantile regression", NeurIPS 2019.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
ENOUGH = 100
"""The smallest number of errors that the width of an interval is computed from."""


def held_out_blocks(first: int, last: int, horizon: int, fraction: float) -> list[tuple[int, int]]:
    """Stretches [start, end) of steps, spread evenly over [first, last), for calibration.

    Each is three horizons long where several of these fit: many short stretches cover all seasons,
    but the windows at the ends of each are lost for training.
    """
    steps = last - first
    total = max(horizon, round(fraction * steps))
    length = max(horizon, min(3 * horizon, total // 3))
    count = max(1, total // length)
    if count == 1:
        return [(last - length, last)]
    gap = (steps - count * length) / count
    starts = [first + round(gap * (number + 0.5) + length * number) for number in range(count)]
    return [(start, start + length) for start in starts]


def outside(origins: npt.NDArray[np.intp], horizon: int, blocks: list[tuple[int, int]]) -> Floats:
    """Which origins have no step of their horizon in a block."""
    free = np.ones(len(origins), bool)
    for start, end in blocks:
        free &= (origins + horizon <= start) | (origins >= end)
    return free


def inside(horizon: int, blocks: list[tuple[int, int]], stride: int) -> npt.NDArray[np.intp]:
    """Origins whose whole horizon is in a block."""
    ranges = [np.arange(start, end - horizon + 1, stride) for start, end in blocks]
    return np.concatenate(ranges)


def rank_of(scores: npt.NDArray[Any], share: float) -> Floats:
    """For each column the smallest number that this share of the scores does not exceed."""
    count = len(scores)
    rank = min(count, int(np.ceil(count * share - 1e-9)))
    ordered: Floats = np.sort(scores, axis=0)[rank - 1].astype(np.float64)
    return ordered


class Calibration(NamedTuple):
    """Errors of held-out forecasts, and the time of day of each forecast.

    ``errors``: (n, horizon, series, quantiles), the actual values minus the forecast. ``moments``:
    (n,), from 0 to 1, or None if the network does not use the time of day. ``independent``: how
    many of the forecasts have no step in common.
    """

    errors: npt.NDArray[np.float32]
    moments: Floats | None
    independent: int

    def near(self, moment: float | None) -> npt.NDArray[np.float32]:
        """Errors of forecasts made within an hour of a time of day; all errors if these are few.

        A forecast at midnight errs at another step of the horizon than one at noon.
        """
        if self.moments is None or moment is None:
            return self.errors
        distance = np.abs((self.moments - moment + 0.5) % 1 - 0.5)
        close = distance <= 1.001 / 24
        return self.errors[close] if np.count_nonzero(close) >= ENOUGH else self.errors

    def widths(
        self, moment: float | None, share: float, low: int, high: int
    ) -> tuple[Floats, Floats]:
        """How far below and above the forecasts of two quantiles an interval reaches.

        With one quantile, the errors above and below are ranked separately. Forecasts that share
        steps count as one: the share is taken of ``independent + 1`` forecasts, which include the
        next one.
        """
        share = min(1.0, share * (1 + 1 / self.independent))
        errors = self.near(moment)
        if low == high:
            each = (1 + share) / 2
            return rank_of(-errors[..., low], each), rank_of(errors[..., low], each)
        both = rank_of(np.maximum(-errors[..., low], errors[..., high]), share)
        return both, both
