"""`RNNForecaster`: the next steps of one series or several, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from pyrnn._pickling import public
from pyrnn.sklearn.forecasting._base import BaseForecaster
from pyrnn.sklearn.forecasting._series import read_table
from pyrnn.sklearn.forecasting.backtest import Backtest


@public("pyrnn.sklearn")
class RNNForecaster(BaseForecaster):
    """Recurrent network that forecasts one series, or several at once.

    Parameters
    ----------
    window : int
        The number of time steps before the origin that the network sees.
    horizon : int
        The number of time steps that it forecasts.
    cell : {"gru", "lstm", "rnn", "min_gru"}, default "gru"
        The kind of recurrent layer.
    hidden_size : int, default 64
        The number of units of each layer.
    num_layers : int, default 1
        The number of recurrent layers.
    dropout : float, default 0.0
        The share of elements that are set to 0 in training, between layers and before the output.
    quantiles : sequence of float, optional
        Quantiles to forecast, such as ``(0.05, 0.5, 0.95)``; one of them is 0.5. Intervals are
        wider where these predict larger errors.
    calendar : bool, str or sequence of str, default False
        Features of the timestamps: "hour" (the time of day), "weekday", "year" (the time of
        year); True for all that the series is long and fine enough for.
    known_ahead : bool, default True
        Whether covariates are known for the horizon as well, as holidays or a weather forecast
        are; `predict` takes them as ``exog_future``.
    lags : sequence of int, optional
        Values this many steps earlier are shown at each step, as far as they are known and within
        the window. The network corrects the one that forecasts best by itself. By default 1, the
        horizon, seven horizons and the window, as far as the window reaches; a window of whole
        seasons is a good one.
    loss : {"absolute_error", "squared_error", "huber"}, default "absolute_error"
        The loss to minimise, if there are no quantiles.
    stride : int, optional
        The distance of the training windows' origins; about 5000 windows by default.
    calibration_fraction : float, default 0.2
        The share of the series that is not trained on and calibrates the intervals. It lies in
        stretches over the whole series. With 0 there are no intervals.
    alpha : float, default 0.0
        Weight decay.
    batch_size : int, default 32
        The number of windows in a batch.
    learning_rate_init : float, default 0.01
        The largest learning rate: it rises to this and falls to almost 0 in the training.
    max_iter : int, optional
        The number of epochs. By default 15 to 60, which give about 2400 steps of the optimiser.
    random_state : int, RandomState or None, default None
        Draws the initial weights, the order, and what is dropped.
    verbose : bool, default False
        Whether each epoch prints its loss.
    clip_grad_norm : float or None, default 1.0
        The largest norm of the gradients.
    dtype : {"float32", "float64"}, default "float32"
        What the network computes in.

    Attributes
    ----------
    model_ : Sequential
        The network, in eval mode.
    scaler_ : Scaler
        ``mean`` and ``scale`` of each series.
    base_lag_ : int
        The lag whose value the network corrects.
    calendar_ : tuple of str
        The features of the calendar in use.
    loss_curve_ : list of float
        The loss of each epoch.
    n_series_, n_exog_ : int
        The number of series, and of covariates.

    Notes
    -----
    Direct: all steps of the horizon come from one run over the window and the horizon, in which
    no forecast is fed back. Intervals are conformal: their width is what errors in the stretches
    that were held out call for, at each step of the horizon.

    Sources: Vovk, Gammerman, Shafer, "Algorithmic learning in a random world", 2005; Romano,
    Patterson, Candès, "Conformalized quantile regression", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.sklearn import RNNForecaster
    >>> series = np.sin(np.arange(200) / 4) + np.random.default_rng(0).normal(0, 0.1, 200)
    >>> forecaster = RNNForecaster(24, 6, hidden_size=8, max_iter=5).fit(series[:150])
    >>> forecaster.predict(series[:150]).shape
    (6,)
    >>> lower, upper = forecaster.predict_interval(series[:150], coverage=0.9)
    >>> bool((lower < upper).all())
    True
    """

    def __init__(
        self,
        window: int,
        horizon: int,
        cell: str = "gru",
        hidden_size: int = 64,
        *,
        num_layers: int = 1,
        dropout: float = 0.0,
        quantiles: Any = None,
        calendar: Any = False,
        known_ahead: bool = True,
        lags: Any = None,
        loss: str = "absolute_error",
        stride: int | None = None,
        calibration_fraction: float = 0.2,
        alpha: float = 0.0,
        batch_size: int = 32,
        learning_rate_init: float = 0.01,
        max_iter: int | None = None,
        random_state: Any = None,
        verbose: bool = False,
        clip_grad_norm: float | None = 1.0,
        dtype: str = "float32",
    ) -> None:
        self.window = window
        self.horizon = horizon
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout
        self.quantiles = quantiles
        self.calendar = calendar
        self.known_ahead = known_ahead
        self.lags = lags
        self.loss = loss
        self.stride = stride
        self.calibration_fraction = calibration_fraction
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose
        self.clip_grad_norm = clip_grad_norm
        self.dtype = dtype

    # --- training ---------------------------------------------------------------------------

    def fit(self, series: Any, exog: Any = None, *, timestamps: Any = None) -> RNNForecaster:
        """Train on the past of one series, or of several.

        Parameters
        ----------
        series : array, Series or DataFrame
            (T,) for one series, (T, K) for K of them, which are forecast together.
        exog : array, Series or DataFrame, optional
            Covariates, (T,) or (T, columns).
        timestamps : array of datetime64 or DatetimeIndex, optional
            Of each step, (T,), for ``calendar``; a pandas object's own index by default.

        Returns
        -------
        RNNForecaster
            The forecaster itself.

        Raises
        ------
        TypeError, ValueError
            If an argument or a parameter has a wrong type, shape or value, or the series is too
            short for a window, a horizon and the stretches for calibration.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNForecaster
        >>> series = np.sin(np.arange(200) / 4)
        >>> days = np.datetime64("2024-01-01") + np.arange(200)
        >>> forecaster = RNNForecaster(14, 7, hidden_size=8, calendar="weekday", max_iter=2)
        >>> forecaster.fit(series, timestamps=days).calendar_
        ('weekday',)
        """
        self._fit(read_table("series", series, timestamps), exog)
        return self

    # --- use --------------------------------------------------------------------------------

    def predict(
        self, history: Any, exog: Any = None, exog_future: Any = None, *, timestamps: Any = None
    ) -> npt.NDArray[np.float64]:
        """Forecast the steps after a history; the median if there are quantiles.

        Parameters
        ----------
        history : array, Series or DataFrame
            The series up to now, (T,) or (T, K), at least as long as the window; earlier steps are
            ignored.
        exog : array, Series or DataFrame, optional
            The covariates of the same steps.
        exog_future : array, Series or DataFrame, optional
            The covariates of the horizon, (horizon,) or (horizon, columns), with ``known_ahead``.
        timestamps : array of datetime64 or DatetimeIndex, optional
            Of the history. Those of the horizon follow from them.

        Returns
        -------
        array
            The forecasts, (horizon,), or (horizon, K) if the series were given as (T, K).

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong type, shape or value.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNForecaster
        >>> series = np.sin(np.arange(200)[:, None] / [4, 7])  # two series
        >>> forecaster = RNNForecaster(20, 5, hidden_size=8, max_iter=2).fit(series)
        >>> forecaster.predict(series[-20:]).shape
        (5, 2)
        """
        forecast, _ = self._ahead(history, exog, exog_future, timestamps)
        point: npt.NDArray[np.float64] = self._point(forecast)[0]
        return point[:, 0] if self._flat else point

    def predict_quantiles(
        self, history: Any, exog: Any = None, exog_future: Any = None, *, timestamps: Any = None
    ) -> npt.NDArray[np.float64]:
        """Forecast the quantiles of the steps after a history, as the network gives them.

        Parameters
        ----------
        history : array, Series or DataFrame
            The series up to now, (T,) or (T, K), at least as long as the window.
        exog : array, Series or DataFrame, optional
            The covariates of the same steps.
        exog_future : array, Series or DataFrame, optional
            The covariates of the horizon, (horizon,) or (horizon, columns), with ``known_ahead``.
        timestamps : array of datetime64 or DatetimeIndex, optional
            Of the history.

        Returns
        -------
        array
            (horizon, quantiles), or (horizon, K, quantiles), in rising order. They are not
            calibrated; `predict_interval` is.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong type, shape or value, or there are no quantiles.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNForecaster
        >>> series = np.random.default_rng(0).normal(size=200)
        >>> forecaster = RNNForecaster(20, 5, quantiles=(0.1, 0.5, 0.9), max_iter=2).fit(series)
        >>> forecaster.predict_quantiles(series).shape
        (5, 3)
        """
        check_is_fitted(self, "model_")
        if not self._quantiles:
            raise ValueError("quantiles: expected some in the constructor, got None")
        forecast, _ = self._ahead(history, exog, exog_future, timestamps)
        quantiles: npt.NDArray[np.float64] = forecast[0, :, 0] if self._flat else forecast[0]
        return quantiles

    def predict_interval(
        self,
        history: Any,
        coverage: float = 0.9,
        exog: Any = None,
        exog_future: Any = None,
        *,
        timestamps: Any = None,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Forecast intervals that contain the actual value with a given probability.

        Parameters
        ----------
        history : array, Series or DataFrame
            The series up to now, (T,) or (T, K), at least as long as the window.
        coverage : float, default 0.9
            The probability that an interval contains the actual value, in (0, 1).
        exog : array, Series or DataFrame, optional
            The covariates of the same steps.
        exog_future : array, Series or DataFrame, optional
            The covariates of the horizon, (horizon,) or (horizon, columns), with ``known_ahead``.
        timestamps : array of datetime64 or DatetimeIndex, optional
            Of the history.

        Returns
        -------
        lower, upper : array
            The ends of the intervals, (horizon,) or (horizon, K).

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong type, shape or value, or nothing was held out.

        Notes
        -----
        The promise is that of conformal prediction: it holds as far as the future is like the
        stretches that were held out. In a short series these stretches are too few to show rare
        errors.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNForecaster
        >>> series = np.random.default_rng(0).normal(size=200)
        >>> forecaster = RNNForecaster(20, 5, hidden_size=8, max_iter=2).fit(series)
        >>> lower, upper = forecaster.predict_interval(series, 0.9)
        >>> narrow, _ = forecaster.predict_interval(series, 0.5)
        >>> bool((lower < narrow).all())
        True
        """
        forecast, moments = self._ahead(history, exog, exog_future, timestamps)
        lower, upper = (end[0] for end in self._interval(forecast, coverage, moments))
        return (lower[:, 0], upper[:, 0]) if self._flat else (lower, upper)

    # --- rolling origins --------------------------------------------------------------------

    def backtest(
        self,
        series: Any,
        exog: Any = None,
        *,
        start: Any = None,
        step: int | None = None,
        origins: Any = None,
        coverage: float = 0.9,
        refit: bool = False,
        timestamps: Any = None,
    ) -> Backtest:
        """Forecast from many origins of a series, each from the data before it.

        Parameters
        ----------
        series : array, Series or DataFrame
            The whole series, (T,) or (T, K), which includes the steps to forecast.
        exog : array, Series or DataFrame, optional
            The covariates of the same steps.
        start : int or timestamp, optional
            The first origin: the number of a step, negative from the end, or a time.
        step : int, optional
            The distance of origins; the horizon by default.
        origins : array of int, optional
            The origins themselves, instead of ``start`` and ``step``.
        coverage : float, default 0.9
            Of the prediction intervals.
        refit : bool, default False
            Whether a copy is trained again on all data before each origin.
        timestamps : array of datetime64 or DatetimeIndex, optional
            Of each step.

        Returns
        -------
        Backtest
            ``predictions``, ``actual``, ``lower``, ``upper``, and ``mae``, ``rmse``, ``coverage``.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong type, shape or value, or an origin has no window before it
            or no horizon after it.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNForecaster
        >>> series = np.sin(np.arange(200) / 4)
        >>> forecaster = RNNForecaster(24, 6, hidden_size=8, max_iter=5).fit(series[:150])
        >>> forecaster.backtest(series, start=150).predictions.shape
        (8, 6)
        """
        check_is_fitted(self, "model_")
        table = read_table("series", series, timestamps)
        return self._backtest(table, exog, (start, step, origins), coverage, refit)
