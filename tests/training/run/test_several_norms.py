"""Batch normalisation on several ranks: the statistics are those of all rows of a batch."""

import numpy as np
import pytest

import pyrnn
from tests.distributed.threads import on_ranks


def varied():
    generator = np.random.default_rng(0)
    x = [generator.standard_normal((length, 2)) + 3 for length in generator.integers(2, 9, 22)]
    return x, [(part.sum(axis=1) > 6).astype(int) for part in x]


def equal():
    x = np.random.default_rng(1).standard_normal((21, 6, 2)) - 1
    return x, (x.sum(axis=2) > -2).astype(int)


def text():
    return np.random.default_rng(0).integers(0, 2, 400)


RUNS = {
    "sequences": (varied, {"batch_size": 5}),
    "equal lengths": (equal, {"batch_size": 6}),
    "windows": (varied, {"batch_size": 5, "k1": 2, "k2": 4}),
    "text": (text, {"batch_size": 5, "k1": 8}),
    "accumulated": (varied, {"batch_size": 5, "accumulate": 2}),
}


def run(comm, data, options, tracked=True, dtype="float64"):
    """One rank's program: two epochs, with the score after each."""
    norms = {
        "of_input": pyrnn.BatchNorm1d(2, momentum=None, dtype=dtype),
        "nested": pyrnn.BatchNorm1d(4, track_running_stats=tracked, dtype=dtype),
    }
    layers = {
        "input": pyrnn.Embedding(2, 2, dtype=dtype, seed=2)
        if data is text
        else pyrnn.Linear(2, 2, dtype=dtype, seed=3),
        "of_input": norms["of_input"],
        "rnn": pyrnn.GRU(2, 4, dtype=dtype, seed=0),
        "nested": pyrnn.Sequential(norm=norms["nested"], relu=pyrnn.Activation("relu")),
        "out": pyrnn.Linear(4, 2, dtype=dtype, seed=1),
    }
    model = pyrnn.Sequential(**layers)
    optimizer = pyrnn.SGD(model.parameters, lr=0.2, momentum=0.9)
    trainer = pyrnn.Trainer(model, "cross_entropy", optimizer, seed=3, communicator=comm)
    given = data()
    held_out = given[:90] if data is text else (given[0][:7], given[1][:7])
    history = trainer.fit(given, held_out, epochs=2, **options)
    return model.state_dict(), history.history


@pytest.mark.parametrize(("ranks", "tracked"), [(2, True), (4, True), (3, False)])
@pytest.mark.parametrize(("data", "options"), RUNS.values(), ids=RUNS)
def test_curve_and_running_averages_are_those_of_one_process(data, options, ranks, tracked):
    """Where the last batch has fewer rows than there are ranks, too."""
    state, curve = run(None, data, options, tracked)
    results = on_ranks(ranks, lambda comm: run(comm, data, options, tracked))
    for name, values in curve.items():
        np.testing.assert_allclose(results[0][1][name], values, rtol=1e-9)
    for name, array in state.items():
        np.testing.assert_allclose(results[0][0][name], array, rtol=1e-9, atol=1e-12)
    for other in results[1:]:
        np.testing.assert_equal(other, results[0])


def test_the_same_bits_again():
    def work(comm):
        return run(comm, *RUNS["sequences"], dtype="float32")

    np.testing.assert_equal(on_ranks(3, work), on_ranks(3, work))


def test_a_batch_of_one_row_is_an_error_of_all():
    def work(comm):
        model = pyrnn.Sequential(pyrnn.LastStep(), pyrnn.BatchNorm1d(2, dtype="float64"))
        trainer = pyrnn.Trainer(model, "mse", pyrnn.SGD(model.parameters), communicator=comm)
        data = np.ones((1, 3, 2)), np.ones((1, 2))
        with pytest.raises(ValueError, match="x: expected more than one row"):
            trainer.fit(data, epochs=1, batch_size=4)
        assert comm.aborted

    with pytest.raises(Exception, match=r"^$|Broken|Aborted"):
        on_ranks(2, work)
