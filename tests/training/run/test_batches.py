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
