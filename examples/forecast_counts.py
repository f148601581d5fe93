"""Forecast hourly counts of visitors, with weekends and holidays, which are generated here."""

import sys

import numpy as np

from pyrnn.sklearn import RNNForecaster


def visitors(days, seed=0):
    """Hours, counts and holidays: two peaks on working days, one on others, a slow swell."""
    generator = np.random.default_rng(seed)
    times = np.datetime64("2023-01-02T00") + np.arange(24 * days)
    hour, day = np.arange(24 * days) % 24, np.arange(24 * days) // 24
    holiday = (generator.random(days) < 0.04)[day]
    free = (day % 7 >= 5) | holiday
    work = np.exp(-((hour - 8) ** 2) / 4) + np.exp(-((hour - 17) ** 2) / 6)
    leisure = 0.8 * np.exp(-((hour - 14) ** 2) / 18)
    swell = np.exp(np.cumsum(generator.normal(0, 0.03, days)) * 0.5)[day]
    return times, generator.poisson(200 * swell * (0.02 + np.where(free, leisure, work))), holiday


def main(days=250, picture=None, **options):
    """Train on four fifths, and forecast each of the other days at midnight."""
    times, counts, holiday = visitors(days)
    start = 24 * (days * 4 // 5)
    options = {"quantiles": (0.05, 0.5, 0.95), "hidden_size": 32, "random_state": 0, **options}
    forecaster = RNNForecaster(window=168, horizon=24, calendar=("hour", "weekday"), **options)
    forecaster.fit(counts[:start], holiday[:start], timestamps=times[:start])
    test = forecaster.backtest(counts, holiday, timestamps=times, start=start, coverage=0.9)
    if picture:
        draw(test, picture)
    week_before = np.abs(test.actual - counts[test.origins[:, None] + np.arange(24) - 168]).mean()
    return test, week_before


def draw(test, path, days=slice(0, 14)):
    """Two weeks: the actual counts, the forecasts and their intervals."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    time = np.arange(test.actual[days].size) / 24
    lower, upper = test.lower[days].ravel(), test.upper[days].ravel()
    axes.fill_between(time, lower, upper, alpha=0.25, label="90 % interval")
    axes.plot(time, test.predictions[days].ravel(), label="forecast at midnight")
    axes.plot(time, test.actual[days].ravel(), "k.", ms=3, label="visitors")
    axes.set(xlabel="day", ylabel="visitors an hour")
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    test, week_before = main(picture=sys.argv[1] if sys.argv[1:] else None)
    print(f"mean absolute error {test.mae:.1f}, the week before: {week_before:.1f}")
    print(f"intervals hold {test.coverage:.1%}")
