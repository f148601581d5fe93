"""scikit-learn's estimators, where it is installed: a short fit of small sequences."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

import pyrnn
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw

Arguments = dict[str, Any]


def _fitted(make: Any, options: Arguments, threads: int, a: Arguments) -> Any:
    before = pyrnn.get_num_threads()
    try:
        pyrnn.set_num_threads(threads or before)
        estimator = make(**options).fit(a["X"], a["y"], a["sample_weight"])
        results = [estimator.predict(a["X"]), estimator.score(a["X"], a["y"])]
        if hasattr(estimator, "predict_proba"):
            results.append(estimator.predict_proba(a["X"]))
    finally:
        pyrnn.set_num_threads(before)
    return results


def _options(draw: Draw) -> Arguments:
    options: Arguments = {"hidden_size": draw.integer(1, 4), "random_state": draw.integer(0, 99)}
    options |= {"max_iter": draw.integer(1, 2), "dtype": "float64"}
    options["cell"] = draw.choice(("gru", "lstm", "rnn", "min_gru"))
    options["bidirectional"] = draw.choice((True, False))
    options["batch_size"] = draw.integer(1, 9)
    return options


def _case(draw: Draw, make: Any, of_classes: bool) -> Case:
    generator = np.random.default_rng(draw.integer(0, 2**30))
    lengths = [draw.integer(1, 6) for _ in range(draw.integer(2, 8))]
    X = [generator.standard_normal((length, 2)) for length in lengths]
    y = np.arange(len(X)) % 2 if of_classes else generator.standard_normal(len(X))
    weights = generator.uniform(0.5, 2, len(X)) if draw.chance(0.5) else None
    arguments = {"X": X, "y": y, "sample_weight": weights}
    options = _options(draw)
    run = partial(_fitted, make, options, 0)
    relations = [Relation("one thread", lambda a: (_fitted(make, options, 1, a), run(a)))]
    return Case(arguments, run, relations, in_numpy=True, names={"train", "lr", "Input"})


def _forecast(make: Any, options: Arguments, threads: int, a: Arguments) -> Any:
    before = pyrnn.get_num_threads()
    try:
        pyrnn.set_num_threads(threads or before)
        forecaster = make(**options).fit(a["series"], a["exog"])
        test = forecaster.backtest(a["series"], a["exog"], start=-options["horizon"])
        results = [test.predictions, test.lower, test.upper]
        if a["exog"] is None:
            results.append(forecaster.predict(a["series"]))
    finally:
        pyrnn.set_num_threads(before)
    return results


if find_spec("sklearn") is not None:
    from pyrnn.sklearn import RNNClassifier, RNNForecaster, RNNRegressor

    @entry("sklearn.RNNForecaster", "sklearn.RNNForecaster", "sklearn.Backtest", weight=0.3)
    def forecaster_case(draw: Draw) -> Case:
        """A series or two, with a covariate or without."""
        generator = np.random.default_rng(draw.integer(0, 2**30))
        window, horizon = draw.integer(1, 6), draw.integer(1, 4)
        length = window + 2 * horizon + draw.integer(1, 20)
        shape = (length,) if draw.chance(0.5) else (length, 2)
        exog = generator.standard_normal(length) if draw.chance(0.5) else None
        arguments = {"series": generator.standard_normal(shape), "exog": exog}
        options = _options(draw)
        del options["bidirectional"]
        options |= {"window": window, "horizon": horizon}
        options["known_ahead"] = draw.choice((True, False))
        options["quantiles"] = draw.choice((None, (0.1, 0.5, 0.9)))
        run = partial(_forecast, RNNForecaster, options, 0)
        relations = [
            Relation("one thread", lambda a: (_forecast(RNNForecaster, options, 1, a), run(a)))
        ]
        return Case(arguments, run, relations, in_numpy=True, names={"lr", "history", "start"})

    @entry("sklearn.RNNClassifier", "sklearn.RNNClassifier", weight=0.3)
    def classifier_case(draw: Draw) -> Case:
        """Two classes of sequences of any lengths."""
        return _case(draw, RNNClassifier, of_classes=True)

    @entry("sklearn.RNNRegressor", "sklearn.RNNRegressor", weight=0.3)
    def regressor_case(draw: Draw) -> Case:
        """A number for each sequence."""
        return _case(draw, RNNRegressor, of_classes=False)
