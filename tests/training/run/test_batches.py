"""Batches of sequences: what is said of data that do not fit together."""

import numpy as np
import pytest

import pyrnn

X = [np.ones((3, 2)), np.ones((2, 2))]


@pytest.mark.parametrize(
    ("target", "shape"),
    [(np.array(1.0), r"\(\)"), (np.ones((1, 2)), r"\(1, 2\)"), (np.ones((4, 2)), r"\(4, 2\)")],
)
def test_a_target_for_each_step_of_each_sequence(target, shape):
    model = pyrnn.Sequential(
        rnn=pyrnn.GRU(2, 3, dtype="float64", seed=0),
        out=pyrnn.Linear(3, 2, dtype="float64", seed=1),
    )
    trainer = pyrnn.Trainer(model, "mse", pyrnn.SGD(model.parameters), seed=0)
    message = f"train: expected as many steps, 3, in sequence 0 .*, got shape {shape}"
    with pytest.raises(ValueError, match=message):
        trainer.fit((X, [target, np.ones((2, 2))]), epochs=1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X, np.array(1.0)), r"train: .* each of 2 sequences, as targets\[i\], got array\(1"),
        ((X, {1.0, 2.0}), r"train: .* each of 2 sequences, as targets\[i\], got \{1.0, 2.0\}"),
        ((X, X[:1]), r"train: .* each of 2 sequences, as targets\[i\], got 1"),
        ((X, [[[1.0, 2.0], [1.0], []], X[1]]), "train, sequence 0: expected"),
    ],
)
def test_what_is_no_array_of_targets(data, message):
    model = pyrnn.Linear(2, 2, dtype="float64", seed=1)
    trainer = pyrnn.Trainer(model, "mse", pyrnn.SGD(model.parameters), seed=0)
    with pytest.raises((TypeError, ValueError), match=message):
        trainer.fit(data, epochs=1)


def trainer():
    model = pyrnn.Sequential(pyrnn.GRU(2, 3, seed=0), pyrnn.LastStep(), pyrnn.Linear(3, 2, seed=1))
    return pyrnn.Trainer(model, "cross_entropy", pyrnn.SGD(model.parameters), seed=0)


def as_objects(items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


def test_items_are_taken_by_their_place():
    """Those of pandas have labels, which a selection or a shuffle leaves in any order."""
    pandas = pytest.importorskip("pandas")
    generator = np.random.default_rng(0)
    x = [generator.standard_normal((2 + n % 3, 2)).astype("f") for n in range(8)]
    y = np.arange(8) % 2
    expected = trainer().fit((x, y), epochs=2)["loss"]
    shuffled, others = generator.permutation(8), np.arange(100, 108)
    for given in (
        (pandas.Series(x, index=shuffled), y),
        (x, pandas.Series(y, index=shuffled)),
        (pandas.Series(x, index=others), pandas.Series(y, index=shuffled)),
        (as_objects(x), as_objects(list(y))),
        (dict(enumerate(x)), tuple(y)),
    ):
        taught = trainer()
        assert taught.fit(given, given, epochs=2)["loss"] == expected
        assert taught.evaluate(given) == taught.evaluate((x, y))
        assert np.array_equal(taught.predict(given[0]), taught.predict(x))


def test_items_that_are_not_there():
    x = dict(enumerate(X, start=1))
    message = r"expected an item at each place from 0 on, got KeyError at 0"
    with pytest.raises(ValueError, match=f"train: {message}"):
        trainer().fit((x, [0, 1]), epochs=1)
    with pytest.raises(ValueError, match=f"train: {message}"):
        trainer().fit((X, dict(enumerate([0, 1], start=1))), epochs=1)
    with pytest.raises(ValueError, match=f"x: {message}"):
        trainer().predict(x)


@pytest.mark.parametrize("others", [(2,), (3, 1), ()])
def test_targets_of_sequences_have_one_shape(others):
    model = pyrnn.Sequential(
        rnn=pyrnn.GRU(2, 3, seed=0), last=pyrnn.LastStep(), out=pyrnn.Linear(3, 3, seed=1)
    )
    trainer = pyrnn.Trainer(model, "mse", pyrnn.SGD(model.parameters), seed=0)
    message = r"train: expected targets of one shape, .* got \(.*\) of sequence . and \(.*\) of ."
    with pytest.raises(ValueError, match=message):
        trainer.fit((X, [np.ones(3), np.ones(others)]), epochs=1)
