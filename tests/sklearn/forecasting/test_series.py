"""Series, covariates and timestamps as callers give them."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from pyrnn.sklearn.forecasting import _calendar
from pyrnn.sklearn.forecasting._series import (
    future_times,
    position,
    read_table,
    read_times,
)


def test_arrays():
    flat = read_table("series", [1, 2, 3])
    assert (flat.values.tolist(), flat.is_flat, flat.times) == ([[1], [2], [3]], True, None)
    assert not read_table("series", np.ones((3, 2))).is_flat


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([1, np.nan], "Input series contains NaN"),
        ([], r"series: expected shape \(T,\) or \(T, columns\), not empty"),
        (np.ones((2, 2, 2)), r"series: expected shape"),
        (["a", "b"], "series: expected numbers, got dtype"),
        ([1j], "series: expected numbers, got dtype complex128"),
        (np.ma.masked_array([1.0, 2.0], [0, 1]), "series: expected an array without a mask"),
    ],
)
def test_what_is_no_series(series, message):
    with pytest.raises(ValueError, match=message):
        read_table("series", series)


def test_timestamps_are_checked():
    with pytest.raises(ValueError, match="timestamps: expected one for each of 3 steps, got 2"):
        read_table("series", [1, 2, 3], ["2024-01-01", "2024-01-02"])
    with pytest.raises(ValueError, match="timestamps: "):
        read_times(["yesterday"])
    with pytest.raises(ValueError, match="timestamps: expected"):
        read_times(np.array(["NaT"], "datetime64[D]"))


def test_timestamps_out_of_order_are_refused():
    hours = np.datetime64("2024-02-28T22", "h") + np.arange(30)
    swapped = hours.copy()
    swapped[[3, 20]] = swapped[[20, 3]]
    for wrong in (hours[::-1], swapped):
        with pytest.raises(ValueError, match="series: expected timestamps in ascending order, got"):
            read_table("series", np.arange(30), wrong)
    pandas = pytest.importorskip("pandas")
    index = pandas.DatetimeIndex([*hours[:29], "NaT"])
    with pytest.raises(ValueError, match="series: expected a timestamp for each step, got NaT"):
        read_table("series", pandas.Series(np.arange(30), index=index))


def test_a_gap_is_told_and_what_calendars_leave_out_is_none():
    hours = np.datetime64("2024-02-28T22", "h") + np.arange(60)
    without = np.delete(hours, [20, 21])
    with pytest.warns(
        UserWarning, match="series: no value between 2024-02-29T17 and 2024-02-29T20"
    ):
        read_table("series", np.arange(58), without)
    clock = hours.copy()
    clock[30:] -= np.timedelta64(1, "h")  # put back in autumn
    read_table("series", np.arange(60), clock)
    pandas = pytest.importorskip("pandas")
    for frequency in ("B", "MS", "QS", "YS", "13h"):
        index = pandas.DatetimeIndex(
            pandas.date_range("2020-01-01", periods=60, freq=frequency).to_numpy()
        )
        assert index.freq is None
        read_table("series", pandas.Series(np.arange(60.0), index=index))


def test_several_series_of_different_lengths_are_told_to_be_columns():
    with pytest.raises(ValueError, match="expected several series as columns"):
        read_table("series", [np.ones(3), np.ones(4)])


def test_the_next_times():
    hours = np.datetime64("2024-02-28T22", "h") + np.arange(3)
    assert future_times(hours, 3).tolist() == (hours[-1] + np.arange(1, 4)).tolist()
    months = np.array(["2024-11", "2024-12"], "datetime64[M]")
    assert future_times(months, 2).astype(str).tolist() == ["2025-01", "2025-02"]
    with pytest.raises(ValueError, match="timestamps: expected two or more"):
        future_times(hours[:1], 3)


def test_the_next_times_of_pandas():
    pandas = pytest.importorskip("pandas")
    for frequency in ("MS", "h", "W-MON", "B"):
        whole = pandas.date_range("2023-12-01", periods=12, freq=frequency)
        assert (future_times(whole[:8], 4) == whole[8:]).all()
        unnamed = pandas.DatetimeIndex(whole[:8].to_numpy())  # the frequency is found
        assert (future_times(unnamed, 4) == whole[8:]).all()
    summer = pandas.date_range("2024-03-30 22:00", periods=8, freq="h", tz="Europe/Berlin")
    assert (future_times(summer[:3], 5) == summer[3:]).all()  # past the hour that is left out
    uneven = summer[[0, 1, 4]]
    assert len(future_times(uneven, 2)) == 2
    periods = pandas.period_range("2024-01", periods=3, freq="M")
    assert read_table("series", pandas.Series([1, 2, 3], periods)).times[0].month == 1


def test_positions():
    pandas = pytest.importorskip("pandas")
    days = pandas.date_range("2024-01-01", periods=10, tz="Europe/Berlin")
    assert position(days, "2024-01-03", 10) == 2
    assert position(np.asarray(days.tz_localize(None)), "2024-01-03", 10) == 2
    assert position(None, -3, 10) == 7
    with pytest.raises(ValueError, match="start: expected the number of a step"):
        position(None, "2024-01-03", 10)
    with pytest.raises(ValueError, match="start: "):
        position(days, "soon", 10)


# --- the calendar ---------------------------------------------------------------------------


def test_features_of_the_calendar():
    times = np.array(["2024-01-01T06", "2024-07-01T18"], "datetime64[h]")
    hour = _calendar.features(times, ("hour",))
    np.testing.assert_allclose(hour, [[1, 0, 0, -1], [-1, 0, 0, -1]], atol=1e-12)
    weekday = _calendar.features(times, ("weekday",))
    assert weekday.argmax(axis=1).tolist() == [0, 0]  # both are Mondays
    year = _calendar.features(np.array(["2024-01-01", "2024-07-01"], "datetime64[D]"), ("year",))
    np.testing.assert_allclose(year, [[0, 1], [np.sin(2 * np.pi * 182 / 366), -1]], atol=1e-3)
    assert _calendar.features(times, ()).shape == (2, 0)


def test_the_local_time_counts():
    pandas = pytest.importorskip("pandas")
    times = pandas.DatetimeIndex(["2024-01-01T00:00", "2024-07-01T00:00"], tz="UTC")
    local = times.tz_convert("Australia/Melbourne")
    np.testing.assert_allclose(_calendar.moments(local), [11 / 24, 10 / 24])


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (np.datetime64("2024-01-01T00", "h") + np.arange(100), ("hour", "weekday")),
        (np.datetime64("2024-01-01", "D") + np.arange(400), ("weekday", "year")),
        (np.datetime64("2024-01", "M") + np.arange(30), ("year",)),
        (np.datetime64("2024-01-01", "D") + 7 * np.arange(10), ()),
    ],
)
def test_the_features_that_a_series_can_have(times, expected):
    assert _calendar.chosen(True, times) == expected


def test_features_by_name():
    assert _calendar.chosen("hour", None) == ("hour",)
    assert _calendar.chosen(["weekday", "year"], None) == ("weekday", "year")
    assert _calendar.chosen(False, None) == ()
    with pytest.raises(ValueError, match="calendar: expected 'hour', 'weekday' or 'year'"):
        _calendar.chosen("moon", None)


@pytest.mark.parametrize("series", [iter([1.0]), {"a": [1.0]}, "text", {1.0}])
def test_containers_that_have_no_order(series):
    with pytest.raises(TypeError, match="series: expected an array or a table, got "):
        read_table("series", series)
