"""The input of a forecaster's network: the window before an origin, and the horizon after it.

A time step has the series (0 after the origin), whether it is after the origin, the series some
lags before, covariates and the calendar. The network gives, at each step of the horizon, how the
series differs from its value one lag before.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn.training.run.batches import Batch

Floats = npt.NDArray[Any]
Indices = npt.NDArray[np.intp]


class Layout(NamedTuple):
    """The steps of the input: from the window's start to the horizon's end."""

    window: int
    horizon: int
    lags: tuple[int, ...]

    def offsets(self, lag: int) -> Indices:
        """Of each step, where from the origin its lagged value is: the latest one that is known.

        ``window`` steps before the origin or earlier, there is none.
        """
        past = np.arange(-self.window, 0) - lag
        steps = np.arange(self.horizon)
        return np.concatenate([past, steps - lag * (steps // lag + 1)])


class Windows:
    """Inputs and targets at any origins of a series.

    Parameters
    ----------
    layout : Layout
        What is seen.
    series : array
        Standardised, (T, K).
    known : array
        Covariates and calendar, (T + steps after its end, columns).
    hidden : int
        How many of these columns, the first ones, are not known after the origin.
    base : int
        The lag whose value the network corrects.
    """

    def __init__(
        self, layout: Layout, series: Floats, known: Floats, hidden: int, base: int
    ) -> None:
        self.layout = layout
        self.series, self.known = series, known
        self._hidden = hidden
        self.base = base

    def inputs(self, origins: Indices) -> Floats:
        """(window + horizon, N, features)."""
        window, horizon, lags = self.layout
        series, known = self.series, self.known
        count, columns = series.shape[1], known.shape[1]
        steps = np.arange(-window, horizon)[:, None] + origins
        shape = (window + horizon, len(origins), count * (1 + len(lags)) + 1 + columns)
        x = np.zeros(shape, series.dtype)
        x[:window, :, :count] = series[steps[:window]]
        x[window:, :, count] = 1
        place = count + 1
        for lag in lags:
            offsets = self.layout.offsets(lag)
            rows = np.flatnonzero(offsets >= -window)
            x[rows, :, place : place + count] = series[offsets[rows][:, None] + origins]
            place += count
        x[:, :, place:] = known[steps]
        x[window:, :, place : place + self._hidden] = 0
        return x

    def bases(self, origins: Indices) -> Floats:
        """The values that the network corrects, (horizon, N, K)."""
        offsets = self.layout.offsets(self.base)[self.layout.window :]
        values: Floats = self.series[offsets[:, None] + origins]
        return values

    def truth(self, origins: Indices) -> Floats:
        """The actual values, (horizon, N, K)."""
        steps = np.arange(self.layout.horizon)[:, None] + origins
        values: Floats = self.series[steps]
        return values


def best_base(layout: Layout, series: Floats, origins: Indices) -> int:
    """The lag whose own forecast has the smallest mean absolute error."""
    nothing = np.zeros((len(series), 0))
    errors = {}
    for lag in layout.lags:
        windows = Windows(layout, series, nothing, 0, lag)
        errors[lag] = float(np.abs(windows.truth(origins) - windows.bases(origins)).mean())
    return min(errors, key=lambda lag: errors[lag])


class WindowBatches:
    """Batches of origins for a `Trainer`; targets are differences from the base, scaled."""

    batch_first = False

    def __init__(self, windows: Windows, origins: Indices, scale: Floats, size: int) -> None:
        self._windows, self._origins = windows, origins
        self._scale, self._size = scale, size

    def items(self, generator: np.random.Generator | None) -> list[Indices]:
        """Origins of each batch."""
        order = self._origins if generator is None else generator.permutation(self._origins)
        return [order[start : start + self._size] for start in range(0, len(order), self._size)]

    def load(self, item: Indices) -> Batch:
        """The batch of some origins: only the horizon has targets."""
        windows = self._windows
        targets = (windows.truth(item) - windows.bases(item)) / self._scale
        targets = targets.astype(windows.series.dtype)
        x = windows.inputs(item)
        return Batch(x, targets, None, targets.size, len(item), before=windows.layout.window)
