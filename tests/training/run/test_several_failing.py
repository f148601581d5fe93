"""A trainer on several ranks when something is wrong, or ends, on one of them only."""

import functools

import numpy as np
import pytest

import pyrnn
from pyrnn import callbacks, losses
from pyrnn.distributed.ranks import OtherRankError
from pyrnn.optim import lr_scheduler
from pyrnn.training.divergence import DivergenceError
from pyrnn.training.run.batches import Batch
from pyrnn.training.run.checkpoint import CheckpointError
from tests.distributed.threads import AbortedError, on_ranks

DATA = np.random.default_rng(1).standard_normal((12, 6, 2)), np.arange(72).reshape(12, 6) % 3


def made(comm, loss="cross_entropy", dropout=0.0, **options):
    """A trainer; its optimiser and model are its attributes."""
    model = pyrnn.Sequential(rnn=pyrnn.GRU(2, 3, seed=0), out=pyrnn.Linear(3, 3, seed=1))
    if dropout:
        model = pyrnn.Sequential(model, pyrnn.Dropout(dropout, seed=2))
    optimizer = pyrnn.Adam(model.parameters, lr=0.02)
    return pyrnn.Trainer(model, loss, optimizer, seed=0, communicator=comm, **options)


def refused_by_all(work, *messages):
    """Each of two ranks raises an error that starts with its message, and none ends the job."""

    def run(comm):
        with pytest.raises((ValueError, TypeError, OtherRankError)) as caught:
            work(comm)
        assert not comm.aborted
        return str(caught.value)

    for got, message in zip(on_ranks(2, run), messages, strict=True):
        assert got.startswith(message)


def test_an_argument_that_one_rank_refuses_is_an_error_of_all():
    refused = "clip_grad_norm: expected"
    refused_by_all(
        lambda comm: made(comm, clip_grad_norm=-1.0 if comm.Get_rank() else None),
        f"rank 1: ValueError: {refused}",
        refused,
    )
    refused_by_all(
        lambda comm: made(comm).fit(DATA if comm.Get_rank() else "nowhere.npz", epochs=1),
        "train: ",
        "rank 0: ",
    )
    refused_by_all(
        lambda comm: made(comm).evaluate(7 if comm.Get_rank() else DATA), "rank 1: ", "data: "
    )
    message = "model: expected the same layers on all ranks"
    refused_by_all(
        lambda comm: made(comm, dropout=0.5 * comm.Get_rank()),
        f"rank 1: ValueError: {message}",
        message,
    )


def fit(comm, given=DATA, validation=None, calls=(), batch_size=4, **options):
    made(comm, **options).fit(
        given, validation, epochs=2, batch_size=batch_size, callbacks=list(calls)
    )


def scheduled(comm):
    trainer = made(comm)
    gamma = 0.5 + 0.1 * comm.Get_rank()
    scheduler = lr_scheduler.StepLR(trainer.optimizer, 1, gamma)
    pyrnn.Trainer(
        trainer.model, "mse", trainer.optimizer, communicator=comm, scheduler=scheduler
    ).fit(DATA, epochs=1)


def moved(comm):
    """The optimiser of one rank has made a step before."""
    trainer = made(comm)
    if comm.Get_rank():
        trainer.optimizer.step({n: np.ones_like(p) for n, p in trainer.model.parameters.items()})
    trainer.fit(DATA, epochs=1)


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("validation", lambda comm: fit(comm, validation=DATA if comm.Get_rank() else None)),
        ("loss", lambda comm: fit(comm, loss=("cross_entropy", "mse")[comm.Get_rank()])),
        (
            "loss",
            lambda comm: fit(
                comm,
                loss=functools.partial(losses.cross_entropy, label_smoothing=0.1 * comm.Get_rank()),
            ),
        ),
        ("scheduler.state_dict()", scheduled),
        ("optimizer.state_dict()", moved),
        (
            "callbacks",
            lambda comm: fit(
                comm, calls=[callbacks.BackupAndRestore("c")] if comm.Get_rank() else []
            ),
        ),
    ],
)
def test_differences_are_refused_by_all(name, work):
    message = f"{name}: expected the same on all ranks, got "
    refused_by_all(work, message, message)


class Uneven:
    """A user's batches: from the second pass on, one rank has more of them."""

    batch_first = False

    def __init__(self, batches):
        self.batches = batches
        self.passes = 0

    def items(self, generator):
        if generator is not None:
            self.passes += 1
        return list(range(self.batches if self.passes > 1 else 2))

    def load(self, item):
        x, targets = DATA[0][:2].swapaxes(0, 1).astype("f"), DATA[1][:2].T
        return Batch(x, targets, None, targets.size, 2)

    def of_rank(self, rank, ranks):
        return Uneven(2 + rank)

    def place(self, count, rank, ranks):
        return slice(2 * rank, 2 * rank + 2)


def test_another_number_of_batches_is_refused_by_all():
    message = "train: expected the same on all ranks, got 2 on rank 0 and 3 on rank 1"
    refused_by_all(lambda comm: fit(comm, Uneven(2)), message, message)


class Raise(callbacks.Callback):
    def __init__(self, error):
        self.error = error

    def on_epoch_end(self, epoch, logs):
        if self.trainer.rank == 1:
            raise self.error


@pytest.mark.parametrize(
    "error", [DivergenceError("lr", 1.0, "x"), CheckpointError("x"), KeyboardInterrupt()]
)
def test_an_error_of_a_callback_ends_all(error, capfd):
    """Of whatever type: all ranks raise some errors of these types, but not this one."""
    with pytest.raises((type(error), AbortedError)):
        on_ranks(2, lambda comm: fit(comm, calls=[Raise(error)]))
    lines = [line for line in capfd.readouterr().err.splitlines() if "rank 1 of 2" in line]
    assert len(lines) == 1


class OnlyOne(callbacks.Callback):
    """Cannot be restored on one rank."""

    def load_state_dict(self, state_dict):
        if self.trainer.rank == 1:
            raise ValueError("no")


def test_a_checkpoint_that_one_rank_cannot_restore(tmp_path):
    path = tmp_path / "c.safetensors"

    def calls():
        return [callbacks.BackupAndRestore(path, delete_checkpoint=False), OnlyOne()]

    on_ranks(2, lambda comm: fit(comm, calls=calls()))
    assert path.exists()
    message = f"{path}: expected a checkpoint of this training, got another's "
    refused_by_all(lambda comm: fit(comm, calls=calls()), f"rank 1: {message}", message)


class Stop(callbacks.Callback):
    """Wants the end on one rank only."""

    def stop(self, *arguments):
        self.trainer.stop_training |= self.trainer.rank == 1


class AtBegin(Stop):
    on_train_begin = Stop.stop


class AtEpoch(Stop):
    on_epoch_begin = Stop.stop


class AtBatch(Stop):
    on_train_batch_begin = Stop.stop


class AfterBatch(Stop):
    on_train_batch_end = Stop.stop


class Nothing(callbacks.Callback):
    """In the place of another on the other ranks."""


@pytest.mark.parametrize(
    ("kind", "steps"), [(AtBegin, 0), (AtEpoch, 0), (AtBatch, 1), (AfterBatch, 1)]
)
@pytest.mark.parametrize("everywhere", [True, False])
def test_what_stops_one_rank_stops_all_wherever_it_does(kind, steps, everywhere):
    def work(comm):
        trainer = made(comm)
        call = kind() if everywhere or comm.Get_rank() == 1 else Nothing()
        trainer.fit(DATA, epochs=3, batch_size=4, callbacks=[call])
        return trainer.progress.step

    assert on_ranks(2, work) == [steps, steps]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_flag_that_is_set_from_outside_stops_all(accumulate):
    """By a handler of signals, for instance: at any time, and of one rank only."""

    def work(comm):
        def loss(y, targets):
            trainer.stop_training |= comm.Get_rank() == 1
            return losses.cross_entropy(y, targets)

        trainer = made(comm, loss=loss)
        trainer.fit(DATA, epochs=3, batch_size=4, accumulate=accumulate)
        return trainer.progress.step

    assert on_ranks(2, work) == [1, 1]
