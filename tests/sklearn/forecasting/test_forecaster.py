"""`RNNForecaster`: forecasts, intervals, covariates, calendar, several series, rolling origins."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from pyrnn.sklearn import RNNForecaster


def small(window=12, horizon=4, **options):
    return RNNForecaster(window, horizon, **{"hidden_size": 8, "random_state": 0, **options})


@pytest.fixture(scope="module")
def waves():
    """Two waves whose periods have nothing to do with each other, with a little noise."""
    generator = np.random.default_rng(0)
    steps = np.arange(600)
    return 50 + 10 * (np.sin(steps / 2) + np.sin(steps / 4.7)) + generator.normal(0, 0.3, 600)


@pytest.fixture(scope="module")
def fitted(waves):
    return small(max_iter=30).fit(waves[:500])


def test_it_forecasts_better_than_any_lag(fitted, waves):
    test = fitted.backtest(waves, start=500)
    steps = test.origins[:, None] + np.arange(4)
    for lag in range(4, 13):
        assert test.mae < 0.4 * np.abs(test.actual - waves[steps - lag]).mean()
    np.testing.assert_array_equal(test.actual, waves[steps])
    assert test.rmse >= test.mae


def test_a_backtest_is_the_forecast_of_each_origin(fitted, waves):
    test = fitted.backtest(waves, start=500, step=7, coverage=0.8)
    assert np.diff(test.origins).tolist() == [7] * (len(test.origins) - 1)
    for origin, point, lower, upper in zip(
        test.origins, test.predictions, test.lower, test.upper, strict=True
    ):
        history = waves[:origin]
        np.testing.assert_array_equal(fitted.predict(history), point)
        np.testing.assert_array_equal(fitted.predict(history[-12:]), point)  # the window is enough
        ends = fitted.predict_interval(history, 0.8)
        np.testing.assert_array_equal(ends, [lower, upper])
    chosen = fitted.backtest(waves, origins=test.origins[::-1])
    np.testing.assert_array_equal(chosen.predictions, test.predictions[::-1])


def test_intervals_hold_what_they_say():
    """On noise that grows with a wave: new parts of the same series are held as often."""
    generator = np.random.default_rng(0)
    series = np.sin(np.arange(4000) / 5) + generator.normal(0, 0.3, 4000)
    for options in ({}, {"quantiles": (0.1, 0.5, 0.9)}):
        forecaster = small(max_iter=4, **options).fit(series[:2000])
        for coverage in (0.5, 0.8, 0.9):
            test = forecaster.backtest(series, start=2000, coverage=coverage)
            assert test.coverage == pytest.approx(coverage, abs=0.05)


def test_quantiles_are_wide_where_errors_are_large():
    """Noise in every other stretch of 24 steps, which a covariate tells."""
    generator = np.random.default_rng(0)
    loud = np.arange(3000) // 24 % 2
    series = generator.normal(0, 0.1 + loud)
    forecaster = small(quantiles=(0.1, 0.5, 0.9), max_iter=6).fit(series[:2500], loud[:2500])
    test = forecaster.backtest(series, loud, start=2520, step=24)
    width = (test.upper - test.lower).mean(axis=1)
    assert width[loud[test.origins] == 1].min() > 2 * width[loud[test.origins] == 0].max()
    quantiles = forecaster.predict_quantiles(series[:2500], loud[:2500], loud[2500:2504])
    assert quantiles.shape == (4, 3)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    point = forecaster.predict(series[:2500], loud[:2500], loud[2500:2504])
    np.testing.assert_array_equal(point, quantiles[:, 1])


def test_what_is_known_ahead_is_used():
    """The series follows a covariate at once; its past says nothing of the next step."""
    exog = np.random.default_rng(0).normal(size=800)
    series = 3 * exog + 7
    knowing = small(max_iter=10).fit(series[:700], exog[:700])
    not_knowing = small(max_iter=4, known_ahead=False).fit(series[:700], exog[:700])
    assert knowing.backtest(series, exog, start=700).mae < 0.5
    assert not_knowing.backtest(series, exog, start=700).mae > 1.5
    with pytest.raises(ValueError, match="exog_future: expected 1 covariates as in fit, got none"):
        knowing.predict(series, exog)
    with pytest.raises(ValueError, match="exog_future: expected none, as known_ahead is False"):
        not_knowing.predict(series, exog, exog[:4])
    with pytest.raises(ValueError, match="exog: expected 1 covariates as in fit, got none"):
        knowing.backtest(series, start=700)
    with pytest.raises(ValueError, match="exog: expected 700 steps, got 699"):
        small().fit(series[:700], exog[:699])
    with pytest.raises(ValueError, match="exog_future: expected 4 steps, got 3"):
        knowing.predict(series, exog, exog[:3])
    # What comes after the origin changes nothing, if it is not known ahead.
    changed = np.where(np.arange(800) < 750, exog, 100)
    one, other = (not_knowing.backtest(series, e, origins=[750]) for e in (exog, changed))
    np.testing.assert_array_equal(one.predictions, other.predictions)


def test_several_series_at_once(waves):
    both = np.stack([waves, -3 * np.roll(waves, 5)], axis=1)
    forecaster = small(max_iter=30).fit(both[:500])
    test = forecaster.backtest(both, start=500)
    assert test.predictions.shape == (25, 4, 2)
    steps = test.origins[:, None] + np.arange(4)
    before = np.abs(test.actual - both[steps - 12]).mean(axis=(0, 1))
    assert (np.abs(test.predictions - test.actual).mean(axis=(0, 1)) < 0.5 * before).all()
    assert forecaster.predict(both[:500]).shape == (4, 2)
    lower, upper = forecaster.predict_interval(both[:500])
    assert lower.shape == upper.shape == (4, 2)
    with pytest.raises(ValueError, match="history: expected 2 series as in fit, got 1"):
        forecaster.predict(waves)
    four = small(max_iter=1).fit(np.stack([waves] * 4, axis=1))  # as many as the horizon
    assert four.predict(np.stack([waves] * 4, axis=1)).shape == (4, 4)


def weekly(count=2000):
    """Hours of which those of Sundays are low, and their timestamps."""
    times = np.datetime64("2024-01-01T00", "h") + np.arange(count)
    sunday = np.arange(count) // 24 % 7 == 6
    hour = np.arange(count) % 24
    noise = np.random.default_rng(0).normal(0, 0.1, count)
    return times, np.where(sunday, 0.0, 5 * np.sin(hour / 24 * np.pi)) + noise


def test_the_calendar_tells_the_day_of_the_week():
    times, series = weekly()
    options = {
        "window": 24,
        "horizon": 24,
        "hidden_size": 16,
        "max_iter": 15,
        "stride": 5,
        "learning_rate_init": 0.02,
    }
    knowing = small(calendar=True, **options).fit(series[:1680], timestamps=times[:1680])
    assert knowing.calendar_ == ("hour", "weekday")
    not_knowing = small(**options).fit(series[:1680])
    test = knowing.backtest(series, timestamps=times, start=1680)
    assert test.mae < 0.4 * not_knowing.backtest(series, start=1680).mae
    point = knowing.predict(series[:1704], timestamps=times[:1704])
    np.testing.assert_array_equal(point, test.predictions[1])
    ends = knowing.predict_interval(series[:1704], timestamps=times[:1704])
    np.testing.assert_array_equal(ends, [test.lower[1], test.upper[1]])
    with pytest.raises(ValueError, match="timestamps: expected one for each step, since calendar"):
        knowing.predict(series)
    with pytest.raises(ValueError, match="timestamps: expected one for each step, since calendar"):
        small(calendar=True).fit(series)


def test_pandas_brings_its_timestamps():
    pandas = pytest.importorskip("pandas")
    times, series = weekly(800)
    index = pandas.DatetimeIndex(times).tz_localize("UTC")
    named = pandas.Series(series, index)
    exog = pandas.DataFrame({"warm": series > 2, "step": np.arange(800)}, index)
    options = {"window": 24, "horizon": 24, "max_iter": 1, "calendar": True}
    forecaster = small(**options).fit(named, exog)
    plain = small(**options).fit(series, exog.to_numpy(float), timestamps=times)
    later = pandas.date_range(index[-1], periods=25, freq="h")[1:]
    future = pandas.DataFrame({"warm": [True] * 24, "step": np.arange(24)}, later)
    expected = plain.predict(series, exog.to_numpy(float), future.to_numpy(float), timestamps=times)
    np.testing.assert_array_equal(forecaster.predict(named, exog, future), expected)
    test = forecaster.backtest(named, exog, start="2024-02-02")
    assert test.origins[0] == 32 * 24
    with pytest.raises(ValueError, match="exog: expected the timestamps of the series, 2024-01"):
        forecaster.predict(named, exog.shift(1, "h"), future)
    with pytest.raises(ValueError, match="exog_future: expected the timestamps of the series"):
        forecaster.predict(named, exog, future.shift(1, "h"))


def test_a_refit_at_each_origin(waves):
    forecaster = small(max_iter=1).fit(waves[:300])
    test = forecaster.backtest(waves[:320], start=300, step=10, refit=True)
    assert test.origins.tolist() == [300, 310]
    np.testing.assert_array_equal(test.predictions[0], forecaster.predict(waves[:300]))
    again = small(max_iter=1).fit(waves[:310])
    np.testing.assert_array_equal(test.predictions[1], again.predict(waves[:310]))
    np.testing.assert_array_equal(test.upper[1], again.predict_interval(waves[:310])[1])


# --- parameters -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("window", 0), ("horizon", 1.5), ("cell", "cnn"), ("hidden_size", 0), ("dropout", 2),
        ("quantiles", (0.1, 0.9)), ("quantiles", (0.0, 0.5)), ("calendar", "moon"),
        ("known_ahead", 1), ("lags", (13,)), ("lags", ()), ("loss", "poisson"), ("stride", 0),
        ("calibration_fraction", 0.7), ("alpha", -1), ("batch_size", 0), ("max_iter", 0),
        ("learning_rate_init", "fast"), ("clip_grad_norm", -1), ("dtype", "int8"),
    ],
)  # fmt: skip
def test_parameters_that_are_refused_are_named(waves, option, value):
    times = np.datetime64("2024-01-01", "D") + np.arange(100)
    with pytest.raises((ValueError, TypeError), match=f"^{option}: expected"):
        small(**{"max_iter": 1, option: value}).fit(waves[:100], timestamps=times)


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "lstm"}, {"num_layers": 2, "dropout": 0.1}, {"loss": "squared_error"},
        {"loss": "huber"}, {"lags": (1, 12)}, {"stride": 3}, {"dtype": "float64"},
        {"calibration_fraction": 0}, {"window": 3}, {"quantiles": [0.5]}, {"horizon": 1},
        {"window": 30, "horizon": 40},
    ],
    ids=str,
)  # fmt: skip
def test_options(waves, options):
    forecaster = small(**{"max_iter": 2, **options}).fit(waves)
    assert np.isfinite(forecaster.predict(waves)).all()
    assert len(forecaster.loss_curve_) == 2
    if options.get("calibration_fraction") == 0:
        with pytest.raises(ValueError, match="calibration_fraction: expected more than 0"):
            forecaster.predict_interval(waves)
        test = forecaster.backtest(waves, start=500)
        assert np.isnan(test.upper).all()
        assert test.coverage == 0


def test_a_series_that_is_too_short():
    with pytest.raises(ValueError, match="series: expected at least 20 steps"):
        small().fit(np.arange(19.0))
    forecaster = small(max_iter=1).fit(np.arange(21.0))
    with pytest.raises(ValueError, match="history: expected at least the 12 steps of the window"):
        forecaster.predict(np.arange(11.0))


def test_origins_that_are_refused(fitted, waves):
    for where in ({"start": 5}, {"start": 597}, {"origins": [12, 597]}):
        with pytest.raises(ValueError, match=r"expected origins in \[12, 596\]"):
            fitted.backtest(waves, **where)
    with pytest.raises(ValueError, match="start: expected either start or origins"):
        fitted.backtest(waves)
    with pytest.raises(TypeError, match="origins: expected an array of int"):
        fitted.backtest(waves, origins=[12.5])
    with pytest.raises(ValueError, match="coverage: expected a number"):
        fitted.predict_interval(waves, 1)
    with pytest.raises(ValueError, match="quantiles: expected some in the constructor"):
        fitted.predict_quantiles(waves)
    with pytest.raises(ValueError, match="Input history contains NaN"):
        fitted.predict([*waves, np.nan])


def test_a_constant_series():
    forecaster = small(max_iter=1).fit(np.full(100, 7.0))
    np.testing.assert_allclose(forecaster.predict(np.full(12, 7.0)), 7, atol=1)


def test_it_repeats_itself_and_travels(waves, fitted):
    again = small(max_iter=30).fit(waves[:500])
    np.testing.assert_array_equal(again.predict(waves), fitted.predict(waves))
    carried = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(carried.predict_interval(waves), fitted.predict_interval(waves))
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(waves)
