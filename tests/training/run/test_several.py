"""A trainer on several ranks: the curve of one process, the same bits again, checkpoints."""

import functools

import numpy as np
import pytest

import pyrnn
from pyrnn import callbacks, losses
from pyrnn.optim import lr_scheduler
from tests.distributed.threads import AbortedError, on_ranks


def varied():
    generator = np.random.default_rng(0)
    x = [generator.standard_normal((length, 2)) for length in generator.integers(2, 9, 22)]
    return x, [(part.sum(axis=1) > 0).astype(int) for part in x]


def equal():
    x = np.random.default_rng(1).standard_normal((21, 6, 2))
    return x, (x.sum(axis=2) > 0).astype(int)


def text():
    return np.random.default_rng(0).integers(0, 4, 400)


RUNS = {
    "sequences": (varied, {"batch_size": 5, "epochs": 3}),
    "equal lengths": (equal, {"batch_size": 6, "epochs": 3}),
    "windows": (varied, {"batch_size": 6, "epochs": 3, "k1": 2, "k2": 4}),
    "text": (text, {"batch_size": 7, "epochs": 2, "k1": 8}),
    "text, far back": (text, {"batch_size": 5, "steps": 17, "k1": 4, "k2": 12}),
    "accumulated": (varied, {"batch_size": 4, "epochs": 3, "accumulate": 2}),
}
EACH = pytest.mark.parametrize(("data", "options"), RUNS.values(), ids=RUNS)


def run(comm, data, options, calls=list, dropout=0.0, seed=0, dtype="float64"):
    """One rank's start of a program."""
    given = data()
    inputs = 4 if data is text else 2
    model = pyrnn.Sequential(
        rnn=pyrnn.LSTM(inputs, 4, 2, dropout=dropout, dtype=dtype, seed=seed),
        drop=pyrnn.Dropout(dropout, seed=seed + 1),
        out=pyrnn.Linear(4, 4, dtype=dtype, seed=seed + 2),
    )
    optimizer = pyrnn.AdamW(model.parameters, lr=0.02)
    trainer = pyrnn.Trainer(
        model, "cross_entropy", optimizer, communicator=comm, clip_grad_norm=0.1, seed=3,
        scheduler=lr_scheduler.ReduceLROnPlateau(optimizer, patience=0),
    )  # fmt: skip
    stop = callbacks.EarlyStopping(patience=50, restore_best_weights=True)
    held_out = given[:90] if data is text else (given[0][:7], given[1][:7])
    history = trainer.fit(given, held_out, callbacks=[stop, *calls()], **options)
    return {n: p.copy() for n, p in model.parameters.items()}, history.history


def assert_equal(got, expected):
    np.testing.assert_equal(got, expected)


@EACH
@pytest.mark.parametrize("ranks", [2, 4])
def test_the_curve_is_that_of_one_process(data, options, ranks):
    expected = run(None, data, options)
    for parameters, history in on_ranks(ranks, lambda comm: run(comm, data, options)):
        for name, values in expected[1].items():
            np.testing.assert_allclose(history[name], values, rtol=1e-9)
        for name, array in expected[0].items():
            np.testing.assert_allclose(parameters[name], array, rtol=1e-7, atol=1e-9)


@EACH
def test_the_same_bits_on_all_ranks_and_again(data, options):
    work = functools.partial(run, data=data, options=options, dropout=0.3, dtype="float32")
    first, second = on_ranks(3, work), on_ranks(3, work)
    assert_equal(first, second)
    for other in first[1:]:
        assert_equal(other, first[0])


@pytest.mark.parametrize("cell", [pyrnn.LSTM, pyrnn.GRU, pyrnn.RNN])
def test_the_bits_of_one_process_where_ranks_are_bands(cell):
    """8 long sequences of few units are two bands in the core, and each of 4 is one."""
    x = np.random.default_rng(0).standard_normal((16, 400, 3)).astype("f")
    targets = np.random.default_rng(1).standard_normal((16, 8)).astype("f")

    def train(comm):
        model = pyrnn.Sequential(rnn=cell(3, 8, seed=0), last=pyrnn.LastStep())
        optimizer = pyrnn.Adam(model.parameters, lr=0.01)
        trainer = pyrnn.Trainer(model, losses.mse_loss, optimizer, seed=0, communicator=comm)
        trainer.fit((x, targets), epochs=3, batch_size=8)
        return {n: p.copy() for n, p in model.parameters.items()}

    expected = train(None)
    for got in on_ranks(2, train):
        assert_equal(got, expected)


def test_ranks_begin_with_the_parameters_of_the_first():
    data, options = RUNS["text"]
    work = functools.partial(run, data=data, options=options)
    expected = on_ranks(2, work)
    assert_equal(on_ranks(2, lambda comm: work(comm, seed=comm.Get_rank())), expected)


class StoppedError(Exception):
    """What a test ends a training with."""


class Break(callbacks.Callback):
    """Ends a training on all ranks."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, batch, logs):
        if self.trainer.progress.step == self.step:
            raise StoppedError


@EACH
@pytest.mark.parametrize(("before", "after"), [(2, 2), (3, 3), (2, 4), (1, 3), (2, 1)])
def test_a_training_goes_on(data, options, before, after, tmp_path, capfd):
    """With as many ranks, to the bits of one never stopped; else, without dropout, its curve."""
    same = before == after
    path = tmp_path / "run.checkpoint.safetensors"
    dropout = 0.3 if same else 0.0

    def start(ranks, step=None, keep=True):
        def calls():
            kept = [callbacks.BackupAndRestore(path, 1)] if keep else []
            return [*kept, Break(step)]

        work = functools.partial(run, data=data, options=options, calls=calls, dropout=dropout)
        return on_ranks(ranks, work) if ranks > 1 else [work(None)]

    expected = start(after, keep=False)[0]
    for step in (2, 5):
        with pytest.raises((StoppedError, AbortedError)):
            start(before, step)
    got = start(after)[0]
    if same:
        assert_equal(got, expected)
    for name, values in expected[1].items():
        np.testing.assert_allclose(got[1][name], values, rtol=1e-9)
    assert not path.exists()
    assert "so all ranks end: StoppedError" in capfd.readouterr().err or before == 1


def test_the_first_rank_alone_writes(tmp_path, capsys):
    def train(comm):
        folder = tmp_path / str(comm.Get_rank())
        folder.mkdir()

        def calls():
            return [
                callbacks.ModelCheckpoint(folder / "m.safetensors", verbose=1, monitor="loss"),
                callbacks.CSVLogger(folder / "log.csv"),
                callbacks.JSONLogger(folder / "log.jsonl"),
                callbacks.BackupAndRestore(folder / "c.safetensors", delete_checkpoint=False),
            ]

        data, options = RUNS["equal lengths"]
        run(comm, data, options, calls)

    on_ranks(2, train)
    names = ["c.safetensors", "log.csv", "log.jsonl", "m.safetensors"]
    assert sorted(path.name for path in (tmp_path / "0").iterdir()) == names
    assert not list((tmp_path / "1").iterdir())
    assert capsys.readouterr().out.count("saved") == 3


class StopOne(callbacks.Callback):
    """Wants the end on the last rank only."""

    def on_epoch_end(self, epoch, logs):
        if self.trainer.rank == 1:
            self.trainer.stop_training = True


class StopOneStep(callbacks.Callback):
    def on_train_batch_end(self, batch, logs):
        if self.trainer.rank == 1 and self.trainer.progress.step == 2:
            self.trainer.stop_training = True


@pytest.mark.parametrize("stop", [StopOne, StopOneStep])
def test_what_stops_one_rank_stops_all(stop):
    data, options = RUNS["equal lengths"]
    got = on_ranks(2, lambda comm: run(comm, data, options, lambda: [stop()]))
    assert len(got[0][1]["loss"]) == 1
    assert_equal(got[1], got[0])


def test_a_loss_that_is_not_finite_on_one_rank_is_an_error_of_all():
    def train(comm):
        x, y = equal()
        if comm.Get_rank() == 1:
            x[:] = np.inf
        model = pyrnn.Sequential(pyrnn.GRU(2, 3, seed=0), pyrnn.Linear(3, 2, seed=0))
        trainer = pyrnn.Trainer(
            model, "cross_entropy", pyrnn.SGD(model.parameters, lr=1.0), seed=0, communicator=comm
        )
        with pytest.raises(ValueError, match="the loss became nan at step 1"):
            trainer.fit((x, y), epochs=1, batch_size=4)
        return comm.aborted

    assert on_ranks(2, train) == [False, False]


@pytest.mark.parametrize("ranks", [1, 2])
def test_no_target_counts(ranks):
    def train(comm):
        model = pyrnn.Sequential(rnn=pyrnn.GRU(2, 4, seed=0), last=pyrnn.LastStep())
        optimizer = pyrnn.Adam(model.parameters)
        trainer = pyrnn.Trainer(model, "cross_entropy", optimizer, communicator=comm)
        data = np.zeros((4, 3, 2), np.float32), np.full(4, -100)
        for call in (lambda: trainer.fit(data, epochs=1), lambda: trainer.evaluate(data)):
            with pytest.raises(ValueError, match="loss: expected a target that counts"):
                call()

    on_ranks(ranks, train) if ranks > 1 else train(None)


def test_evaluate_is_of_all_rows():
    for data in (varied, text):

        def score(comm, data=data):
            model = pyrnn.Sequential(
                pyrnn.GRU(4 if data is text else 2, 3, dtype="float64", seed=0),
                pyrnn.Linear(3, 4, dtype="float64", seed=0),
            )
            trainer = pyrnn.Trainer(
                model, "cross_entropy", pyrnn.SGD(model.parameters), communicator=comm
            )
            return trainer.evaluate(data(), batch_size=5)

        expected = score(None)
        for got in on_ranks(6, score):
            assert got == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda rank: {"batch_size": 1}, "batch_size: expected at least 1 for each of 2 ranks"),
        (lambda rank: {"epochs": 1 + rank}, "epochs: expected the same on all ranks, got 1 on"),
        (lambda rank: {"batch_size": 4 + rank}, "train: expected the same on all ranks, got 6 on"),
    ],
)
def test_arguments_that_do_not_go_with_ranks(options, message):
    def train(comm):
        with pytest.raises(ValueError, match=f"^{message}"):
            run(comm, equal, {"epochs": 1, **options(comm.Get_rank())})

    on_ranks(2, train)


def test_batches_of_ones_own_say_whose_rows_are_whose():
    class Own:
        batch_first = False

        def items(self, generator):
            return [0]

        def load(self, item):
            raise AssertionError

    model = pyrnn.Sequential(pyrnn.GRU(2, 3), pyrnn.LastStep())

    def train(comm):
        trainer = pyrnn.Trainer(model, "mse", pyrnn.SGD(model.parameters), communicator=comm)
        with pytest.raises(TypeError, match=r"^train: .*of_rank and place"):
            trainer.fit(Own(), epochs=1)

    on_ranks(2, train)
