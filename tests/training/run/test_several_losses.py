"""Losses whose targets weigh differently: on ranks, in batches, evaluated, as of one batch."""

import functools
import itertools

import numpy as np
import pytest

import pyrnn
from pyrnn import losses
from tests.distributed.threads import on_ranks

CLASSES = [
    {
        "weight": weight,
        "label_smoothing": smoothing,
        "ignore_index": ignored,
        "reduction": reduction,
    }
    for weight, smoothing, ignored, reduction in itertools.product(
        [None, [1.0, 0.25, 3.0], [2.0, 0.0, 1.0]], [0.0, 0.1, 1.0], [-100, 1], ["mean", "sum"]
    )
]
"""Of a rank, and of a batch, no target may count at all; class 1 is the most frequent."""

TARGETS = np.array([1, 1, 0, 2, 1, 1, 1, 2, 0, 1, 1, 1])
NUMBERS = np.random.default_rng(2).standard_normal((12, 3))
NUMBERS[4:6] = NUMBERS[0, 1] = NUMBERS[9] = np.nan


def named(name, **options):
    return functools.partial(getattr(losses, name), **options)


def without_missing(name, **options):
    """A loss of a user's own: targets that are NaN do not count."""

    def loss(y, targets):
        there = ~np.isnan(targets)
        value, dy = named(name, **options)(y, np.where(there, targets, 0), mask=there)
        return 2 * value, 2 * dy

    return loss


def run(comm, loss, targets, size, accumulate, dtype="float64"):
    """One rank's program: two epochs, the curve, the score, the parameters."""
    rnn, out = pyrnn.GRU(2, 4, dtype=dtype, seed=0), pyrnn.Linear(4, 3, dtype=dtype, seed=1)
    model = pyrnn.Sequential(rnn=rnn, last=pyrnn.LastStep(), out=out)
    optimizer = pyrnn.SGD(model.parameters, lr=0.1)
    trainer = pyrnn.Trainer(model, loss, optimizer, communicator=comm)
    x = np.random.default_rng(0).standard_normal((12, 5, 2)).astype(dtype)
    options = {"batch_size": size, "accumulate": accumulate, "shuffle": False}
    curve = trainer.fit((x, targets), epochs=2, **options).history["loss"]
    score = trainer.evaluate((x, targets), batch_size=size)
    return [*curve, score], np.concatenate([p.ravel() for p in model.parameters.values()])


def assert_as_one(loss, targets):
    """Batches of 4, on ranks, or in parts, are the batches of 4 of one process."""
    expected = run(None, loss, targets, 4, 1)
    assert np.isfinite(expected[1]).all()
    found = [run(None, loss, targets, 1, 4)]
    found += on_ranks(4, lambda comm: run(comm, loss, targets, 4, 1))
    found += on_ranks(2, lambda comm: run(comm, loss, targets, 2, 2))
    for got in found:
        for mine, theirs in zip(got, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", CLASSES, ids=str)
def test_classes(options):
    assert_as_one(named("cross_entropy", **options), TARGETS)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_numbers_of_which_some_are_missing(name, reduction):
    assert_as_one(without_missing(name, reduction=reduction), NUMBERS)


def test_two_losses_count_by_targets():
    def loss(y, targets):
        first, second = losses.cross_entropy(y, targets), losses.mse_loss(y, np.zeros_like(y))
        return first[0] + second[0], first[1] + second[1]

    assert_as_one(loss, TARGETS)


def test_an_array_is_no_loss_of_a_batch():
    with pytest.raises(ValueError, match=r"^loss: expected one number .* got shape \(4,\); reduct"):
        run(None, named("cross_entropy", reduction="none"), TARGETS, 4, 1)


def test_a_loss_called_alone_refuses_a_mean_over_nothing():
    y = np.zeros((2, 3))
    with pytest.raises(ValueError, match="reduction: expected an element that counts"):
        losses.cross_entropy(y, [1, 1], weight=[1.0, 0.0, 1.0], label_smoothing=0.1)
    with pytest.raises(ValueError, match="reduction: expected an element that counts"):
        losses.mse_loss(y, y, mask=np.zeros((2, 3), bool))
