"""`Backtest`: forecasts from many origins, with the actual values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pyrnn._pickling import public


@public("pyrnn.sklearn")
class Backtest(NamedTuple):
    """Forecasts from rolling origins; `RNNForecaster.backtest` returns it.

    Attributes
    ----------
    origins : array of int
        The first step of each forecast, (n,).
    predictions, actual : array
        The forecasts and the actual values, (n, horizon), or (n, horizon, series).
    lower, upper : array
        The ends of the prediction intervals, of the same shape.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.sklearn import RNNForecaster
    >>> series = np.sin(np.arange(200) / 3)
    >>> forecaster = RNNForecaster(12, 4, hidden_size=8, max_iter=2).fit(series[:150])
    >>> test = forecaster.backtest(series, start=150)
    >>> test.predictions.shape, test.mae == np.abs(test.predictions - test.actual).mean()
    ((12, 4), True)
    """

    origins: Any
    predictions: Any
    actual: Any
    lower: Any
    upper: Any

    @property
    def mae(self) -> float:
        """The mean absolute error."""
        return float(np.abs(self.predictions - self.actual).mean())

    @property
    def rmse(self) -> float:
        """The root of the mean squared error."""
        return float(np.sqrt(np.square(self.predictions - self.actual).mean()))

    @property
    def coverage(self) -> float:
        """The share of actual values inside their interval."""
        within = (self.lower <= self.actual) & (self.actual <= self.upper)
        return float(within.mean())
