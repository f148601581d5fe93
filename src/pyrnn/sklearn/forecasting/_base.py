"""The work of `RNNForecaster`: arguments, training, calibration, forecasts at many origins."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from pyrnn import _checks
from pyrnn.layers.composition.sequential import Sequential
from pyrnn.sklearn import _network
from pyrnn.sklearn._estimator import Estimator
from pyrnn.sklearn._sequences import Scaler, scaler_of
from pyrnn.sklearn._threads import threads_of_worker
from pyrnn.sklearn._training import Verbose
from pyrnn.sklearn.forecasting import _calendar, _intervals
from pyrnn.sklearn.forecasting._loss import LOSSES, QuantileLoss
from pyrnn.sklearn.forecasting._series import Table, future_times, position, read_table
from pyrnn.sklearn.forecasting._windows import Layout, WindowBatches, Windows, best_base
from pyrnn.sklearn.forecasting.backtest import Backtest
from pyrnn.training.run.trainer import Trainer
from pyrnn.training.schedules.one_cycle import OneCycleLR

Indices = npt.NDArray[np.intp]
MOST_WINDOWS = 5000
"""Of an epoch, unless ``stride`` says otherwise."""
FEWEST_EPOCHS, MOST_EPOCHS, STEPS = 15, 60, 2400
"""Unless ``max_iter`` is given, there are enough epochs for this many steps."""
AT_ONCE = 256
"""Windows in a batch of a forecast."""


class BaseForecaster(Estimator):
    """Base class of `RNNForecaster`, which has the constructor and what users call."""

    bidirectional = False
    pooling = "last"
    solver = "adam"

    # --- training ---------------------------------------------------------------------------

    def _fit(self, table: Table, exog: Any) -> None:
        layout, quantiles = self._layout(), self._checked_quantiles()
        loss = LOSSES[_checks.choice("loss", self.loss, LOSSES)]
        covariates = self._covariates("exog", exog, len(table), None, table.times)
        origins = np.arange(layout.window, len(table) - layout.horizon + 1)
        training, calibration, count = self._divide(origins, layout, len(table))
        random = np.random.default_rng(
            int(check_random_state(self.random_state).randint(2**31 - 1))
        )
        self.calendar_: tuple[str, ...] = ()
        if self.calendar is not False:
            self._need_times(table.times)
            self.calendar_ = _calendar.chosen(self.calendar, table.times)
        self._flat, self._quantiles, self._fitted_layout = table.is_flat, quantiles, layout
        self.n_series_: int = table.values.shape[1]
        self.n_exog_: int = covariates.shape[1]
        self.scaler_: Scaler = scaler_of(table.values, None)
        self._exog_scaler: Scaler | None = scaler_of(covariates, None) if self.n_exog_ else None
        series_ = self.scaler_.apply(table.values, np.float64)
        self.base_lag_: int = best_base(layout, series_, training)
        windows = self._windows(table, covariates, table.times)
        differences = windows.truth(training) - windows.bases(training)
        self._scale = np.sqrt(np.square(differences.astype(np.float64)).mean(axis=(0, 1)))
        self._scale[self._scale == 0] = 1.0
        features = windows.inputs(training[:1]).shape[-1]
        outputs = self.n_series_ * (len(quantiles) or 1)
        self.model_: Sequential = _network.build(self, features, outputs, True, random)
        with threads_of_worker():
            self._train(windows, training, QuantileLoss(quantiles) if quantiles else loss, random)
            self._calibrate(windows, calibration, count, table.times)

    def _train(self, windows: Windows, origins: Indices, loss: Any, random: Any) -> None:
        size = _checks.size("batch_size", self.batch_size)
        each = -(-len(origins) // size)
        epochs = min(max(FEWEST_EPOCHS, STEPS // each), MOST_EPOCHS)
        if self.max_iter is not None:
            epochs = _checks.size("max_iter", self.max_iter)
        optimizer = _network.optimizer_of(self, self.model_)
        trainer = Trainer(
            self.model_,
            loss,
            optimizer,
            scheduler=OneCycleLR(
                optimizer, optimizer.lr, total_steps=epochs * each + 1, cycle_momentum=False
            ),
            clip_grad_norm=self.clip_grad_norm,
            seed=int(random.integers(2**31)),
        )
        data = WindowBatches(windows, origins, self._scale, size)
        history = trainer.fit(data, epochs=epochs, callbacks=[Verbose()] if self.verbose else [])
        self.loss_curve_: list[float] = [float(value) for value in history["loss"]]
        self.model_.eval()

    def _divide(
        self, origins: Indices, layout: Layout, length: int
    ) -> tuple[Indices, Indices, int]:
        """Origins to train on, those to calibrate with, and how many of these share no step."""
        fraction = _checks.finite_number("calibration_fraction", self.calibration_fraction, 0, 0.5)
        blocks = []
        if fraction and len(origins):
            blocks = _intervals.held_out_blocks(layout.window, length, layout.horizon, fraction)
        training = origins[_intervals.outside(origins, layout.horizon, blocks)]
        if not len(training):
            needed = layout.window + layout.horizon * (2 if fraction else 1)
            raise ValueError(
                f"series: expected at least {needed} steps for this window and horizon, plus "
                f"those to learn from, got {length}"
            )
        stride = self.stride
        if stride is None:
            stride = max(1, len(training) // MOST_WINDOWS)
            while np.gcd(stride, layout.horizon) > 1:  # so that all times of day occur
                stride += 1
        stride = _checks.size("stride", stride)
        calibration: Indices = np.zeros(0, np.intp)
        if blocks:
            every = max(1, len(blocks) * (blocks[0][1] - blocks[0][0]) // MOST_WINDOWS)
            calibration = _intervals.inside(layout.horizon, blocks, every)
        count = sum((end - start) // layout.horizon for start, end in blocks)
        return training[::stride], calibration, count

    def _calibrate(self, windows: Windows, origins: Indices, count: int, times: Any) -> None:
        self._calibration: _intervals.Calibration | None = None
        if len(origins):
            forecast = self._forecast(windows, origins)
            truth = self.scaler_.undo(windows.truth(origins).astype(np.float64))
            errors = (truth.transpose(1, 0, 2)[..., None] - forecast).astype(np.float32)
            moments = self._moments(times, origins)
            self._calibration = _intervals.Calibration(errors, moments, count)

    # --- parameters and arguments -----------------------------------------------------------

    def _layout(self) -> Layout:
        window, horizon = _checks.size("window", self.window), _checks.size("horizon", self.horizon)
        if self.lags is None:
            lags = sorted({lag for lag in (1, horizon, 7 * horizon, window) if lag <= window})
        else:
            lags = sorted({_checks.size("lags", lag, most=window) for lag in self.lags})
            if not lags:
                raise ValueError("lags: expected one or more, got none")
        return Layout(window, horizon, tuple(lags))

    def _checked_quantiles(self) -> tuple[float, ...]:
        if self.quantiles is None:
            return ()
        quantiles = tuple(
            sorted({_checks.finite_number("quantiles", q, 0.0, 1.0) for q in self.quantiles})
        )
        if 0.5 not in quantiles or quantiles[0] <= 0 or quantiles[-1] >= 1:
            got = _checks.shown(self.quantiles)
            raise ValueError(f"quantiles: expected numbers between 0 and 1, 0.5 too, got {got}")
        return quantiles

    def _covariates(
        self, name: str, exog: Any, length: int, columns: int | None, times: Any
    ) -> npt.NDArray[np.float64]:
        """Check covariates (length, columns); with ``columns`` None, any number of columns."""
        if exog is None:
            if columns:
                raise ValueError(f"{name}: expected {columns} covariates as in fit, got none")
            return np.zeros((length, 0))
        values, _, own = read_table(name, exog)
        if columns is not None and values.shape[1] != columns:
            raise ValueError(f"{name}: expected {columns} covariates as in fit, got {values.shape}")
        if len(values) != length:
            raise ValueError(f"{name}: expected {length} steps, got {len(values)}")
        if own is not None and times is not None:
            differ = _calendar.local(own) != _calendar.local(times)
            if differ.any():
                first = int(differ.argmax())
                raise ValueError(
                    f"{name}: expected the timestamps of the series, {times[first]} at step "
                    f"{first}, got {own[first]}"
                )
        return values

    def _need_times(self, times: Any) -> None:
        if times is None:
            raise ValueError(
                "timestamps: expected one for each step, since calendar is set, or a pandas index"
            )

    def _windows(self, table: Table, covariates: Any, times: Any) -> Windows:
        """The windows of a series, with what is known of its steps and of those after its end."""
        dtype = _checks.float_dtype(self.dtype)
        columns = []
        if self._exog_scaler is not None:
            columns.append(self._exog_scaler.apply(covariates, dtype))
        if self.calendar_:
            columns.append(_calendar.features(times, self.calendar_).astype(dtype))
        steps = len(covariates)
        known = np.concatenate([np.zeros((steps, 0), dtype), *columns], axis=1)
        hidden = 0 if _checks.flag("known_ahead", self.known_ahead) else self.n_exog_
        series = self.scaler_.apply(table.values, dtype)
        return Windows(self._fitted_layout, series, known, hidden, self.base_lag_)

    # --- forecasts --------------------------------------------------------------------------

    def _forecast(self, windows: Windows, origins: Indices) -> npt.NDArray[np.float64]:
        """(n, horizon, series, quantiles), in the units of the series; one "quantile" at least."""
        parts = []
        for start in range(0, len(origins), AT_ONCE):
            some = origins[start : start + AT_ONCE]
            y, _ = self.model_(windows.inputs(some))
            y = y[self._fitted_layout.window :].astype(np.float64)
            y = y.reshape(*y.shape[:2], self.n_series_, -1)
            y = y * self._scale[:, None] + windows.bases(some)[..., None]
            y = y * self.scaler_.scale[:, None] + self.scaler_.mean[:, None]
            parts.append(np.sort(y, axis=-1).swapaxes(0, 1))  # quantiles that cross are sorted
        return np.concatenate(parts)

    def _ahead(self, history: Any, exog: Any, exog_future: Any, timestamps: Any) -> tuple[Any, Any]:
        """(1, horizon, series, quantiles) after a history, and the time of day of the forecast."""
        check_is_fitted(self, "model_")
        window, horizon, _ = self._fitted_layout
        table = read_table("history", history, timestamps)
        self._check_history(table)
        covariates = self._covariates("exog", exog, len(table), self.n_exog_, table.times)
        if self.known_ahead:
            later = None
            if getattr(exog_future, "index", None) is not None and table.times is not None:
                later = future_times(table.times, horizon)
            after = self._covariates("exog_future", exog_future, horizon, self.n_exog_, later)
        elif exog_future is not None:
            raise ValueError("exog_future: expected none, as known_ahead is False")
        else:
            after = np.zeros((horizon, self.n_exog_))
        times: Any = None
        if self.calendar_:
            self._need_times(table.times)
            later = _calendar.local(future_times(table.times, horizon))
            times = np.concatenate([_calendar.local(table.times[-window:]), later])
        known = np.concatenate([covariates[-window:], after])
        seen = Table(table.values[-window:], table.is_flat, None)
        with threads_of_worker():
            forecast = self._forecast(self._windows(seen, known, times), np.array([window]))
        return forecast, self._moments(times, np.array([window]))

    def _check_history(self, table: Table) -> None:
        if table.values.shape[1] != self.n_series_:
            raise ValueError(
                f"history: expected {self.n_series_} series as in fit, got {table.values.shape[1]}"
            )
        if len(table) < self._fitted_layout.window:
            raise ValueError(
                f"history: expected at least the {self._fitted_layout.window} steps of the window, "
                f"got {len(table)}"
            )

    def _point(self, forecast: Any) -> Any:
        return forecast[..., self._quantiles.index(0.5) if self._quantiles else 0]

    def _interval(
        self, forecast: Any, coverage: float, moments: Any = None
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The ends for forecasts (n, horizon, series, quantiles) made at some moments (n,)."""
        share = _checks.finite_number("coverage", coverage, 0.0, 1.0)
        if not 0 < share < 1:
            raise ValueError(f"coverage: expected a number between 0 and 1, got {coverage}")
        if self._calibration is None:
            raise ValueError("calibration_fraction: expected more than 0 for intervals, got 0")
        low = high = 0
        if self._quantiles:
            wanted = np.array([1 - share, 1 + share]) / 2
            low, high = np.abs(np.array(self._quantiles)[:, None] - wanted).argmin(axis=0)
        lower, upper = forecast[..., low].copy(), forecast[..., high].copy()
        groups = [None] if moments is None else np.unique(moments)
        for moment in groups:
            rows = slice(None) if moment is None else moments == moment
            below, above = self._calibration.widths(moment, share, low, high)
            lower[rows] -= below
            upper[rows] += above
        return np.minimum(lower, upper), np.maximum(lower, upper)

    def _moments(self, times: Any, origins: Indices) -> Any:
        """The time of day of the forecasts, if the network uses it."""
        if "hour" not in self.calendar_:
            return None
        return _calendar.moments(times)[origins]

    # --- rolling origins --------------------------------------------------------------------

    def _backtest(
        self, table: Table, exog: Any, which: tuple[Any, Any, Any], coverage: float, refit: bool
    ) -> Backtest:
        check_is_fitted(self, "model_")
        self._check_history(table)
        covariates = self._covariates("exog", exog, len(table), self.n_exog_, table.times)
        if self.calendar_:
            self._need_times(table.times)
        chosen = self._origins(table, *which)
        if _checks.flag("refit", refit):
            forecast, ends = self._refitted(table, covariates, chosen, coverage)
        else:
            with threads_of_worker():
                forecast = self._forecast(self._windows(table, covariates, table.times), chosen)
            ends = None
            if self._calibration is not None:
                ends = self._interval(forecast, coverage, self._moments(table.times, chosen))
        steps = chosen[:, None] + np.arange(self._fitted_layout.horizon)
        point, actual = self._point(forecast), table.values[steps]
        if ends is None:
            ends = np.full(point.shape, np.nan), np.full(point.shape, np.nan)
        shaped = [a[..., 0] if self._flat else a for a in (point, actual, *ends)]
        return Backtest(chosen, *shaped)

    def _origins(self, table: Table, start: Any, step: Any, origins: Any) -> Indices:
        window, horizon, _ = self._fitted_layout
        if (origins is None) == (start is None):
            raise ValueError("start: expected either start or origins")
        if origins is None:
            first = position(table.times, start, len(table))
            stride = horizon if step is None else _checks.size("step", step)
            chosen = np.arange(first, len(table) - horizon + 1, stride)
        else:
            chosen = np.asarray(origins)
            if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
                raise TypeError(f"origins: expected an array of int, got {_checks.shown(origins)}")
        least, most = window, len(table) - horizon
        if not len(chosen) or chosen.min() < least or chosen.max() > most:
            name = "start" if origins is None else "origins"
            got = f"{chosen.min()} to {chosen.max()}" if len(chosen) else "none"
            raise ValueError(f"{name}: expected origins in [{least}, {most}], got {got}")
        return chosen

    def _refitted(
        self, table: Table, covariates: Any, origins: Indices, coverage: float
    ) -> tuple[Any, Any]:
        forecasts, ends = [], []
        for origin in origins.tolist():
            steps, times = slice(None, origin), None
            if table.times is not None:
                times = table.times[:origin]
            exog = covariates[steps] if self.n_exog_ else None
            copy = clone(self).fit(table.values[steps], exog, timestamps=times)
            windows = copy._windows(table, covariates, table.times)
            forecast = copy._forecast(windows, np.array([origin]))
            forecasts.append(forecast)
            if copy._calibration is not None:
                moments = copy._moments(table.times, np.array([origin]))
                ends.append(copy._interval(forecast, coverage, moments))
        joined = [np.concatenate(part) for part in zip(*ends, strict=True)] if ends else None
        return np.concatenate(forecasts), joined
