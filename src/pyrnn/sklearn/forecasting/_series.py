"""Series and their covariates as callers give them: arrays, or pandas with its timestamps."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Set
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import assert_all_finite

from pyrnn import _checks, _warnings
from pyrnn.sklearn._containers import check_not_masked
from pyrnn.sklearn._errors import naming

_HOUR = np.timedelta64(1, "h")
_NONE = np.timedelta64(0, "ns")


class Table(NamedTuple):
    """Numbers over time, (T, columns); whether they came as (T,); their timestamps, if known."""

    values: npt.NDArray[np.float64]
    is_flat: bool
    times: Any

    def __len__(self) -> int:
        return len(self.values)


def read_table(name: str, given: Any, timestamps: Any = None) -> Table:
    """Check an array, a Series or a DataFrame of finite numbers over time."""
    check_not_masked(name, given)
    if isinstance(given, (str, bytes, Mapping, Set, Iterator)):
        raise TypeError(f"{name}: expected an array or a table, got {type(given).__name__}")
    index = getattr(given, "index", None)
    if callable(index):  # of a list
        index = None
    if isinstance(given, (list, tuple)) and len({np.shape(part) for part in given}) > 1:
        raise ValueError(f"{name}: expected several series as columns (T, series), got a list")
    with naming(name):
        array = np.asarray(given)
        if array.dtype.kind not in "iufbO":
            raise ValueError(f"{name}: expected numbers, got dtype {array.dtype}")
        values = array.astype(np.float64)
        if values.ndim not in (1, 2) or not values.size:
            raise ValueError(
                f"{name}: expected shape (T,) or (T, columns), not empty, got {array.shape}"
            )
        assert_all_finite(values, input_name=name)
    times = None
    if timestamps is not None:
        times = read_times(timestamps)
        if len(times) != len(values):
            raise ValueError(
                f"timestamps: expected one for each of {len(values)} steps, got {len(times)}"
            )
    elif index is not None and hasattr(index, "to_timestamp"):
        times = index.to_timestamp()
    elif index is not None and getattr(index.dtype, "kind", "") == "M":
        times = index
    if times is not None:
        check_times(name, times)
    flat = values.ndim == 1
    return Table(values[:, None] if flat else values, flat, times)


def check_times(name: str, times: Any) -> None:
    """Refuse timestamps out of order; warn of gaps, since steps are assumed to be evenly spaced."""
    moments = np.asarray(times, dtype="datetime64[ns]")
    if np.isnat(moments).any():
        raise ValueError(f"{name}: expected a timestamp for each step, got NaT")
    steps = np.diff(moments)
    # A clock that is put back an hour in autumn shows times that go back as far, once a year.
    back = np.flatnonzero(steps < _NONE)
    if len(back) > 1 + len(steps) // 300 or np.any(steps < -_HOUR):
        raise ValueError(
            f"{name}: expected timestamps in ascending order, got {times[back[0] + 1]} after "
            f"{times[back[0]]}; sort by time first"
        )
    if getattr(times, "freq", None) is not None or len(steps) < 20:
        return
    usual = np.sort(steps)[int(0.95 * len(steps))]
    gaps = np.flatnonzero(steps >= 2 * usual)
    if len(gaps) and usual > _NONE:
        more = f", and {len(gaps) - 1} more gaps" if len(gaps) > 1 else ""
        _warnings.warn_user(
            f"{name}: no value between {times[gaps[0]]} and {times[gaps[0] + 1]}{more}; steps are "
            "assumed to be evenly spaced, so fill gaps first (pandas: "
            "series.asfreq('h').interpolate())"
        )


def read_times(timestamps: Any) -> Any:
    """A pandas index as it is, anything else as an array of datetime64."""
    if hasattr(timestamps, "to_timestamp") and not hasattr(timestamps, "tz_convert"):
        timestamps = timestamps.to_timestamp()
    if hasattr(timestamps, "tz_convert") and hasattr(timestamps, "freq"):
        return timestamps
    with naming("timestamps"):
        array = np.asarray(timestamps)
        if array.dtype.kind != "M":
            array = array.astype("datetime64")
    if array.ndim != 1 or np.isnat(array).any():
        raise ValueError(f"timestamps: expected (T,) of datetime64, got {_checks.shown(array)}")
    return array


def future_times(times: Any, horizon: int) -> Any:
    """The timestamps of the next steps: in the frequency of pandas, or at the last interval."""
    if len(times) < 2:
        raise ValueError("timestamps: expected two or more, from which the next ones follow")
    if hasattr(times, "tz_convert"):
        import pandas

        frequency = times.freq
        if frequency is None and len(times) > 2:
            with warnings.catch_warnings():  # of a future type
                warnings.simplefilter("ignore")
                frequency = pandas.infer_freq(times[-50:])
        if frequency is None:
            frequency = times[-1] - times[-2]
        return pandas.date_range(times[-1], periods=horizon + 1, freq=frequency)[1:]
    return times[-1] + (times[-1] - times[-2]) * np.arange(1, horizon + 1)


def position(times: Any, start: Any, length: int) -> int:
    """The step that ``start`` names: its number, or the first at that time or later."""
    if isinstance(start, (int, np.integer)) and not isinstance(start, bool):
        return int(start) + length if start < 0 else int(start)
    if times is None:
        raise ValueError(f"start: expected the number of a step, got {_checks.shown(start)}")
    with naming("start"):
        if hasattr(times, "tz_convert"):
            import pandas

            moment = pandas.Timestamp(start)
            if times.tz is not None and moment.tz is None:
                moment = moment.tz_localize(times.tz)
            return int(times.searchsorted(moment))
        return int(np.searchsorted(times, np.datetime64(start)))
