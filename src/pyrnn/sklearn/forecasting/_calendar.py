"""Features of the calendar: time of day, day of the week, time of year."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn.training.functions import cosines

NAMES = ("hour", "weekday", "year")
DAY = np.timedelta64(1, "D")


def local(times: Any) -> npt.NDArray[np.datetime64]:
    """Timestamps in local time, if pandas knows the time zone."""
    if getattr(times, "tz", None) is not None:
        times = times.tz_localize(None)
    array: npt.NDArray[np.datetime64] = np.asarray(times).astype("datetime64[s]")
    return array


def chosen(calendar: Any, times: Any) -> tuple[str, ...]:
    """The names of the features: the requested ones, or all that fit the series.

    A time of day needs steps shorter than a day, a day of the week steps of a day or less, a time
    of year a series of a year or more.
    """
    if isinstance(calendar, (bool, np.bool_)):
        if not calendar:
            return ()
        clock = local(times)
        step, span = np.median(np.diff(clock)), clock[-1] - clock[0]
        possible = (step < DAY, step <= DAY, span >= 365 * DAY)
        return tuple(name for name, can in zip(NAMES, possible, strict=True) if can)
    names = (calendar,) if isinstance(calendar, str) else tuple(calendar)
    for name in names:
        _checks.choice("calendar", name, NAMES)
    return names


def features(times: Any, names: tuple[str, ...]) -> npt.NDArray[np.float64]:
    """The features of some timestamps, (T, features), each in [-1, 1]."""
    clock = local(times)
    days = clock.astype("datetime64[D]")
    columns: list[npt.NDArray[Any]] = [np.zeros((len(clock), 0))]
    if "hour" in names:
        columns.append(_waves(moments(times), 2))
    if "weekday" in names:
        weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
        columns.append(np.eye(7)[weekday])
    if "year" in names:
        year = clock.astype("datetime64[Y]")
        following = year + np.timedelta64(1, "Y")
        length = following.astype("datetime64[D]") - year.astype("datetime64[D]")
        columns.append(_waves((clock - year.astype("datetime64[s]")) / length, 1))
    return np.concatenate(columns, axis=1)


def moments(times: Any) -> npt.NDArray[np.float64]:
    """The part of the day that has passed, from 0 to 1."""
    clock = local(times)
    share: npt.NDArray[np.float64] = (clock - clock.astype("datetime64[D]")) / DAY
    return share


def _waves(phase: npt.NDArray[Any], count: int) -> npt.NDArray[np.float64]:
    """Sines and cosines with 1 to ``count`` periods in a phase from 0 to 1."""
    turns = phase[:, None] * np.arange(1, count + 1)
    return np.concatenate([cosines(turns - 0.25), cosines(turns)], axis=1)
