"""`RNNRegressor`: both kinds of targets, several of them, losses; what differs from classes."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.metrics import r2_score

from pyrnn.sklearn import RNNRegressor


def small(**options):
    return RNNRegressor(**{"hidden_size": 12, "random_state": 0, **options})


def test_a_target_for_each_sequence(ragged):
    X, _ = ragged
    y = np.array([100 + 5 * part[:, 0].mean() for part in X])
    regressor = small(max_iter=60).fit(X, y)
    predicted = regressor.predict(X)
    assert predicted.shape == (60,)
    assert regressor.score(X, y) == r2_score(y, predicted) > 0.9
    assert regressor.target_scaler_.mean == pytest.approx(y.mean())


def test_several_targets(even):
    X, _ = even
    y = np.stack([X[..., 0].mean(axis=1), 1000 * X[..., 1].mean(axis=1)], axis=1)
    regressor = small(max_iter=60).fit(X, y)
    assert regressor.predict(X).shape == (60, 2)
    assert regressor.score(X, y) == pytest.approx(r2_score(y, regressor.predict(X)))
    assert regressor.score(X, y) > 0.8
    assert regressor.n_outputs_ == 2
    # A list of lists of equal length is such a table, too.
    assert small(max_iter=1).fit(X, y.tolist()).predict(X).shape == (60, 2)


@pytest.mark.parametrize("columns", [False, True])
def test_targets_for_each_step(ragged, columns):
    X, _ = ragged
    y = [part[:, :1].cumsum(axis=0) if columns else part[:, 0].cumsum() for part in X]
    regressor = small(max_iter=60, bidirectional=False).fit(X, y)
    predicted = regressor.predict(X)
    assert [part.shape for part in predicted] == [part.shape for part in y]
    flat, true = np.concatenate(predicted), np.concatenate(y)
    assert regressor.score(X, y) == pytest.approx(r2_score(true, flat))
    assert regressor.score(X, y) > 0.8


def test_steps_of_an_array(even):
    X, _ = even
    regressor = small(max_iter=2).fit(X, X.cumsum(axis=1))
    assert regressor.predict(X).shape == X.shape
    with pytest.raises(ValueError, match="y: expected targets for each step"):
        regressor.score(X, X[:, 0, 0])


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_losses(ragged, loss):
    X, _ = ragged
    y = np.array([part[:, 0].mean() for part in X])
    assert small(loss=loss, max_iter=60).fit(X, y).score(X, y) > 0.8


def test_the_absolute_error_is_for_the_median():
    """Of targets that have nothing to do with X: the mean is pulled by a few, the median not."""
    X = np.zeros((90, 2, 1))
    y = np.where(np.arange(90) % 9 == 0, 90.0, 0.0)
    options = {"hidden_size": 2, "max_iter": 40, "learning_rate_init": 0.05, "batch_size": 90}
    assert small(**options).fit(X, y).predict(X[:1])[0] == pytest.approx(10, abs=2)
    assert small(loss="absolute_error", **options).fit(X, y).predict(X[:1])[0] < 4


def test_weights_of_several_targets(even):
    """In one batch of float64, a weight is the number of copies."""
    X, _ = even
    y, weights = X.mean(axis=1), np.arange(60) % 3
    copies = np.repeat(np.arange(60), weights)
    options = {"batch_size": 1000, "dtype": "float64", "max_iter": 5}
    weighted = small(**options).fit(X, y, weights).predict(X)
    repeated = small(**options).fit(X[copies], y[copies]).predict(X)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-9)


def test_early_stopping(ragged):
    X, _ = ragged
    y = np.array([part[:, 0].mean() for part in X])
    regressor = small(early_stopping=True, max_iter=300).fit(X, y)
    assert regressor.n_iter_ < 300
    assert regressor.best_validation_score_ == pytest.approx(
        max(regressor.validation_scores_), abs=2e-4
    )


def test_partial_fit_goes_on(ragged):
    X, _ = ragged
    y = np.array([part[:, 0].mean() for part in X])
    first = small().partial_fit(X, y)
    for _ in range(30):
        first.partial_fit(X, y)
    assert first.score(X, y) > 0.8
    with pytest.raises(ValueError, match="y: expected 1 targets as before, got 2"):
        first.partial_fit(X, np.stack([y, y], axis=1))
    second = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(first.predict(X), second.predict(X))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        (np.zeros(59), "y: expected a target for each of 60 sequences, got 59"),
        (np.full(60, np.nan), "Input y contains NaN"),
        ([np.zeros(2)] * 60, r"y\[0\]: expected a target for each of the \d steps of X\[0\]"),
    ],
)
def test_targets_that_are_refused(ragged, y, message):
    with pytest.raises(ValueError, match=message):
        small().fit(ragged[0], y)


def test_a_loss_that_there_is_not(ragged):
    with pytest.raises(ValueError, match="loss: expected 'squared_error', 'absolute_error' or"):
        small(loss="poisson").fit(ragged[0], np.zeros(60))
