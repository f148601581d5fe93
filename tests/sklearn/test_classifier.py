"""`RNNClassifier`: both kinds of labels, weights, stopping, going on, repeating."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import pyrnn
from pyrnn.sklearn import RNNClassifier


def small(**options):
    return RNNClassifier(**{"hidden_size": 12, "random_state": 0, **options})


def test_a_label_for_each_sequence(ragged):
    X, y = ragged
    classifier = small().fit(X, y)
    assert classifier.classes_.tolist() == ["down", "up"]
    assert classifier.score(X, y) > 0.9
    probabilities = classifier.predict_proba(X)
    assert probabilities.shape == (60, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(np.log(probabilities), classifier.predict_log_proba(X))
    np.testing.assert_array_equal(
        classifier.classes_[probabilities.argmax(axis=1)], classifier.predict(X)
    )
    assert classifier.score(X, y) == np.mean(classifier.predict(X) == y)


def test_a_label_for_each_step(ragged):
    X, _ = ragged
    y = [np.where(part[:, 0].cumsum() > 0, "up", "down") for part in X]
    classifier = small(bidirectional=False).fit(X, y)
    predicted = classifier.predict(X)
    assert [len(part) for part in predicted] == [len(part) for part in X]
    right = np.concatenate(predicted) == np.concatenate(y)
    assert right.mean() == classifier.score(X, y) > 0.85
    assert classifier.predict_proba(X)[0].shape == (len(X[0]), 2)
    # Of one direction: what comes later changes nothing.
    np.testing.assert_array_equal(
        classifier.predict_proba([X[0][:2]])[0], classifier.predict_proba(X)[0][:2]
    )
    weights = np.arange(len(X), dtype=float)
    heavy = np.average(right, weights=np.repeat(weights, [len(part) for part in X]))
    assert classifier.score(X, y, weights) == pytest.approx(heavy)


def test_steps_of_an_array(even):
    X, _ = even
    y = (X[..., 0] > 0).astype(int)
    classifier = small().fit(X, y)
    assert classifier.predict(X).shape == y.shape
    assert classifier.predict_proba(X).shape == (*y.shape, 2)
    assert classifier.predict_log_proba(X).shape == (*y.shape, 2)
    as_list = small().fit(list(X), list(y))
    np.testing.assert_array_equal(np.stack(as_list.predict(list(X))), classifier.predict(X))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        (["a"] * 59, "y: expected a target for each of 60 sequences, got 59"),
        (np.linspace(0, 1, 60), "Unknown label type"),
        (np.zeros(60, "V8"), r"y: expected numbers or strings, got an array of \|V8"),
        ([np.zeros(9, int)] * 59, "y: expected targets for each of 60 sequences, got 59"),
        ([np.zeros(2, int)] * 60, r"y\[0\]: expected a target for each of the \d steps of X\[0\]"),
    ],
)
def test_labels_that_are_refused(ragged, y, message):
    with pytest.raises(ValueError, match=message):
        small().fit(ragged[0], y)


def test_score_wants_labels_as_the_training_had(even):
    X, y = even
    with pytest.raises(ValueError, match="y: expected a label for each sequence"):
        small(max_iter=1).fit(X, y).score(X, X[..., 0] > 0)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("cell", "transformer"), ("hidden_size", 0), ("num_layers", 1.5), ("bidirectional", 1),
        ("pooling", "max"), ("dropout", 1.5), ("solver", "lbfgs"), ("alpha", -1),
        ("batch_size", 0), ("learning_rate", "fast"), ("learning_rate_init", -1),
        ("max_iter", 0), ("shuffle", "no"), ("tol", "small"), ("early_stopping", 2),
        ("n_iter_no_change", 0), ("clip_grad_norm", -1), ("standardize", 0), ("dtype", "int8"),
    ],
)  # fmt: skip
def test_parameters_that_are_refused_are_named(even, option, value):
    with pytest.raises((ValueError, TypeError), match=f"^{option}: expected"):
        small(**{"max_iter": 1, option: value}).fit(*even)


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "lstm"}, {"cell": "rnn"}, {"cell": "min_gru"}, {"num_layers": 2, "dropout": 0.2},
        {"pooling": "mean"}, {"solver": "sgd", "learning_rate_init": 0.1}, {"alpha": 0.01},
        {"learning_rate": "constant"}, {"learning_rate": "adaptive"}, {"clip_grad_norm": None},
        {"dtype": "float64"}, {"shuffle": False},
    ],
    ids=str,
)  # fmt: skip
def test_options_learn(ragged, options):
    X, y = ragged
    assert small(**options).fit(X, y).score(X, y) > 0.85


def test_weights_move_the_answer(ragged):
    """Contradicting labels: the heavier ones win."""
    X, y = ragged
    other = np.where(y == "up", "down", "up")
    weights = np.repeat([3.0, 1.0], len(X))
    classifier = small().fit(X + X, [*y, *other], weights)
    assert classifier.score(X, y) > 0.85
    assert classifier.score(X + X, [*y, *other], weights) > 0.7


def test_sequences_without_weight_are_left_out(ragged):
    X, y = ragged
    weights = np.ones(60)
    weights[40:] = 0
    np.testing.assert_array_equal(
        small().fit(X, y, weights).predict_proba(X), small().fit(X[:40], y[:40]).predict_proba(X)
    )


@pytest.mark.parametrize("weights", [np.ones(59), -np.ones(60), np.zeros(60), [np.nan] * 60])
def test_weights_that_are_refused(ragged, weights):
    with pytest.raises(ValueError, match="sample_weight: expected"):
        small().fit(*ragged, weights)


def test_weights_of_sequences_whose_steps_have_labels(ragged):
    """In one batch of float64, a weight is the number of copies."""
    X, _ = ragged
    y = [(part[:, 0] > 0).astype(int) for part in X]
    weights = np.arange(60) % 3
    copies = [i for i, weight in enumerate(weights) for _ in range(weight)]
    options = {"batch_size": 1000, "dtype": "float64", "max_iter": 5}
    weighted = small(**options).fit(X, y, weights).predict_proba(X)
    repeated = small(**options).fit([X[i] for i in copies], [y[i] for i in copies])
    for got, expected in zip(weighted, repeated.predict_proba(X), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9)


# --- stopping, going on ---------------------------------------------------------------------


def test_early_stopping_keeps_the_best_weights(ragged):
    X, y = ragged
    classifier = small(
        early_stopping=True, max_iter=200, validation_fraction=0.3, n_iter_no_change=5
    ).fit(X, y)
    assert classifier.n_iter_ == len(classifier.validation_scores_) < 200
    assert classifier.best_validation_score_ == max(classifier.validation_scores_)
    assert classifier.score(X, y) > 0.8


def test_the_weights_that_were_best_are_kept(ragged, monkeypatch):
    """With scores that are given: the second epoch has the best."""
    X, y = ragged
    scores, weights = iter([0.5, 0.9, 0.7, 0.6, 0.8]), []

    def score(self, sequences, labels, weight):
        assert len(labels) == len(sequences.lengths) == 18
        weights.append({name: array.copy() for name, array in self.model_.parameters.items()})
        return next(scores)

    monkeypatch.setattr(RNNClassifier, "_accuracy", score)
    options = {"n_iter_no_change": 3, "validation_fraction": 0.3}
    classifier = small(early_stopping=True, **options).fit(X, y)
    assert classifier.validation_scores_ == [0.5, 0.9, 0.7, 0.6, 0.8]
    assert classifier.best_validation_score_ == 0.9
    for name, array in classifier.model_.parameters.items():
        np.testing.assert_array_equal(array, weights[1][name])


def test_training_stops_when_the_loss_does(even):
    X, y = even
    classifier = small(max_iter=100, tol=10.0, n_iter_no_change=3).fit(X, y)
    assert classifier.n_iter_ == 4  # the first is better than nothing
    assert classifier.validation_scores_ is None
    assert classifier.best_validation_score_ is None


def test_the_curve_of_the_loss(even):
    classifier = small(max_iter=8).fit(*even)
    assert len(classifier.loss_curve_) == classifier.n_iter_ == 8
    assert classifier.loss_ == classifier.loss_curve_[-1]
    assert classifier.best_loss_ == min(classifier.loss_curve_) < classifier.loss_curve_[0]


def test_partial_fit_goes_on(ragged):
    X, y = ragged
    classifier = small()
    with pytest.raises(ValueError, match="classes: expected all labels in the first call"):
        classifier.partial_fit(X, y)
    ups = np.flatnonzero(y == "up")  # a batch may lack a class
    classifier.partial_fit([X[i] for i in ups], y[ups], classes=["up", "down"])
    for _ in range(25):
        classifier.partial_fit(X[:40], y[:40])
        classifier.partial_fit(X[40:], y[40:])
    assert classifier.n_iter_ == 51
    assert classifier.score(X, y) > 0.85
    with pytest.raises(ValueError, match=r"y: expected those of the fit before, got \['left'\]"):
        classifier.partial_fit(X, ["left"] * 60)
    with pytest.raises(ValueError, match="classes: expected those of the first call"):
        classifier.partial_fit(X, y, classes=["up", "left"])


def test_partial_fit_after_a_fit_goes_on_learning(ragged):
    """Though the fit ended with a learning rate of almost 0."""
    X, y = ragged
    classifier = small(max_iter=3).fit(X, y)
    before = classifier.loss_
    for _ in range(5):
        classifier.partial_fit(X, y)
    assert classifier.n_iter_ == 8
    assert classifier.loss_ < 0.8 * before


def test_partial_fit_goes_on_from_a_pickle(ragged):
    X, y = ragged
    first = small(dropout=0.3).partial_fit(X, y, classes=["down", "up"])
    second = pickle.loads(pickle.dumps(first))
    for classifier in (first, second):
        classifier.partial_fit(X, y)
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))


def test_warm_start_goes_on(even):
    X, y = even
    classifier = small(warm_start=True, max_iter=4).fit(X, y)
    before = classifier.loss_
    classifier.fit(X, y)
    assert classifier.n_iter_ == 8
    assert classifier.loss_curve_[4] < before * 1.05
    cold = small(max_iter=4).fit(X, y)
    np.testing.assert_array_equal(
        cold.fit(X, y).loss_curve_, small(max_iter=4).fit(X, y).loss_curve_
    )
    with pytest.raises(ValueError, match="y: expected targets as in the fit before"):
        classifier.fit(X, np.where(X[..., 0] > 0, "up", "down"))


# --- repeating ------------------------------------------------------------------------------


def test_a_seed_repeats_the_bits(ragged):
    X, y = ragged
    options = {"dropout": 0.3, "early_stopping": True, "max_iter": 5}
    one, other = (small(**options).fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    third = small(**{**options, "random_state": 1}).fit(X, y).predict_proba(X)
    assert not np.array_equal(one, third)
    state = np.random.RandomState(0)
    first = small(**{**options, "random_state": state}).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(first, one)
    assert not np.array_equal(
        small(**{**options, "random_state": state}).fit(X, y).predict_proba(X), one
    )


def test_a_training_leaves_numpys_own_generator_alone(even):
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    small(max_iter=1).fit(*even)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize("carry", [lambda c: pickle.loads(pickle.dumps(c)), copy.deepcopy])
def test_copies_predict_the_same(ragged, carry):
    X, y = ragged
    classifier = small(max_iter=2).fit(X, y)
    np.testing.assert_array_equal(carry(classifier).predict_proba(X), classifier.predict_proba(X))


def test_a_clone_is_not_fitted(even):
    classifier = clone(small(max_iter=1, cell="lstm").fit(*even))
    assert classifier.get_params()["cell"] == "lstm"
    with pytest.raises(NotFittedError):
        classifier.predict(even[0])


def test_the_model_can_be_saved_alone(ragged, tmp_path):
    pytest.importorskip("safetensors")
    X, y = ragged
    classifier = small(max_iter=2).fit(X, y)
    pyrnn.save(classifier.model_, tmp_path / "model.safetensors")
    model = pyrnn.load(tmp_path / "model.safetensors").eval()
    scores, _ = model(classifier.scaler_.apply(X[:1], "float32")[0][:, None])
    assert classifier.classes_[scores.argmax()] == classifier.predict(X[:1])[0]


def test_pyrnn_alone_loads_no_estimator():
    code = (
        "import pyrnn, sys; pyrnn.GRU; assert not {'sklearn', 'pyrnn.sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_missing_package_is_named():
    code = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "sklearn" else find(name, *rest)
try:
    import pyrnn.sklearn
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "sklearn is not installed; pip install 'pyrnn[sklearn]' brings it"


def test_verbose_prints_a_line_for_each_epoch(even, capsys):
    small(max_iter=2, verbose=True).fit(*even)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(", loss = ")[0] for line in lines] == ["Iteration 1", "Iteration 2"]
