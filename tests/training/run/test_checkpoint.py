"""Checkpoints: an interrupted training that goes on ends with the bits of one never stopped."""

import numpy as np
import pytest

import pyrnn
from pyrnn import callbacks
from pyrnn.optim import lr_scheduler
from pyrnn.training.run import checkpoint


class StoppedError(Exception):
    """What a test ends a training with."""


class Interrupt(callbacks.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, batch, logs):
        if self.trainer.progress.step == self.step:
            raise StoppedError


def sequences():
    generator = np.random.default_rng(0)
    x = [generator.standard_normal((length, 2)) for length in generator.integers(2, 9, 20)]
    return x, [(part.sum(axis=1) > 0).astype(int) for part in x]


def text():
    return np.random.default_rng(0).integers(0, 4, 150)


def model_of(inputs):
    return pyrnn.Sequential(
        rnn=pyrnn.LSTM(inputs, 4, 2, dropout=0.3, seed=0),
        drop=pyrnn.Dropout(0.2, seed=1),
        norm=pyrnn.BatchNorm1d(4),
        out=pyrnn.Linear(4, 4, seed=2),
    )


SCHEDULES = {
    "none": lambda optimizer: None,
    "cycle": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=200),
    "plateau": lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, patience=0),
}
RUNS = {
    "sequences": (sequences, {"batch_size": 4, "epochs": 4}, "none"),
    "windows": (sequences, {"batch_size": 8, "epochs": 3, "k1": 2, "k2": 4}, "cycle"),
    "text": (text, {"batch_size": 3, "epochs": 3, "k1": 7}, "plateau"),
    "text, far back": (text, {"batch_size": 3, "steps": 25, "k1": 4, "k2": 12}, "cycle"),
    "accumulated": (sequences, {"batch_size": 3, "epochs": 4, "accumulate": 2}, "plateau"),
    "short epochs": (text, {"batch_size": 2, "epochs": 4, "steps_per_epoch": 5}, "none"),
}
EACH = pytest.mark.parametrize(("data", "options", "schedule"), RUNS.values(), ids=RUNS)


def run(path, data, options, schedule, stop_at=None, every=1):
    """One start of a program; the result is that of a training that came to its end."""
    given = data()
    model = model_of(2 if data is sequences else 4)
    optimizer = pyrnn.AdamW(model.parameters, lr=0.02)
    trainer = pyrnn.Trainer(
        model, "cross_entropy", optimizer,
        scheduler=SCHEDULES[schedule](optimizer), clip_grad_norm=0.5, seed=3,
    )  # fmt: skip
    stop = callbacks.EarlyStopping(patience=50, restore_best_weights=True)
    calls = [stop, Interrupt(stop_at)]
    if path is not None:
        calls.insert(0, callbacks.BackupAndRestore(path, every))
    held_out = given if data is sequences else given[:40]
    history = trainer.fit(given, held_out, callbacks=calls, **options)
    return model.state_dict(), history, optimizer.state_dict(), trainer.progress.step


@EACH
def test_the_bits_are_those_of_a_training_never_stopped(data, options, schedule, tmp_path, backend):
    if backend == "reference" and "k2" in options:
        pytest.skip("it goes through the same Python")
    expected = run(None, data, options, schedule)
    steps = expected[3]
    path = tmp_path / "run.checkpoint.safetensors"
    for stop in sorted({1, steps // 3, steps // 2, steps - 1}):
        with pytest.raises(StoppedError):
            run(path, data, options, schedule, stop_at=stop)
    got = run(path, data, options, schedule)
    np.testing.assert_equal(got[0], expected[0])
    assert got[1].history == expected[1].history
    assert got[1].epoch == expected[1].epoch
    np.testing.assert_equal(got[2], expected[2])
    assert got[3] == steps
    assert not path.exists()  # it has come to its end


def test_a_checkpoint_after_each_epoch(tmp_path):
    data, options, schedule = RUNS["sequences"]
    expected = run(None, data, options, schedule)
    path = tmp_path / "run.safetensors"
    with pytest.raises(StoppedError):
        run(path, data, options, schedule, stop_at=13, every="epoch")
    got = run(path, data, options, schedule, every="epoch")
    np.testing.assert_equal(got[0], expected[0])
    assert got[1].history == expected[1].history


def test_logs_go_on_without_a_line_twice(tmp_path):
    """Epochs that are done again replace their lines."""
    x, y = sequences()

    def start(stop_at):
        model = model_of(2)
        trainer = pyrnn.Trainer(model, "cross_entropy", pyrnn.Adam(model.parameters), seed=0)
        return trainer.fit(
            (x, y), epochs=4, batch_size=4,
            callbacks=[
                callbacks.CSVLogger(tmp_path / "log.csv"),
                callbacks.JSONLogger(tmp_path / "log.jsonl"),
                callbacks.BackupAndRestore(tmp_path / "run.safetensors", 7),
                Interrupt(stop_at),
            ],
        )  # fmt: skip

    with pytest.raises(StoppedError):
        start(13)  # in the third epoch; the checkpoint is in the second
    history = start(None)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "0", "1", "2", "3"]
    assert [float(line.split(",")[1]) for line in lines[1:]] == history["loss"]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 4


def made(tmp_path):
    path = tmp_path / "run.safetensors"
    data, options, schedule = RUNS["sequences"]
    with pytest.raises(StoppedError):
        run(path, data, options, schedule, stop_at=3)
    return path


def trainer_like(path, model=None, **options):
    model = model or model_of(2)
    optimizer = pyrnn.AdamW(model.parameters, lr=0.02)
    trainer = pyrnn.Trainer(model, "cross_entropy", optimizer, **options)
    trainer.callbacks = [
        callbacks.BackupAndRestore(path), callbacks.EarlyStopping(), Interrupt(None)
    ]  # fmt: skip
    return trainer


def test_another_trainings_checkpoint_is_refused_and_changes_nothing(tmp_path):
    path = made(tmp_path)
    checkpoint.load(trainer_like(path), path)  # the right one
    smaller = pyrnn.Sequential(
        rnn=pyrnn.LSTM(2, 3, 2, seed=0), norm=pyrnn.BatchNorm1d(3), out=pyrnn.Linear(3, 4, seed=2)
    )
    other = trainer_like(path)
    other.optimizer = pyrnn.SGD(other.model.parameters)
    fewer = trainer_like(path)
    fewer.callbacks = fewer.callbacks[:1]
    scheduled = trainer_like(path)
    scheduled.scheduler = lr_scheduler.StepLR(scheduled.optimizer, 1)
    for trainer, words in (
        (trainer_like(path, smaller), "layers with the same dropout"),
        (trainer_like(path, pyrnn.GRU(2, 3)), "model: expected the parameters"),
        (other, "expected one of SGD, got 'AdamW'"),
        (fewer, "callbacks: expected"),
        (scheduled, "scheduler: expected one where there was one"),
    ):
        before = trainer.model.parameters
        kept = {name: array.copy() for name, array in before.items()}
        with pytest.raises(checkpoint.CheckpointError, match=f"expected a checkpoint.*{words}"):
            checkpoint.load(trainer, path)
        assert all(np.array_equal(before[name], array) for name, array in kept.items())
        assert trainer.progress.step == 0


def refusal(trainer, path):
    """What is said of a file, if it is refused; no other error comes."""
    try:
        checkpoint.load(trainer, path)
    except checkpoint.CheckpointError as error:
        return str(error)
    return ""


def test_damaged_files_are_refused(tmp_path):
    path = made(tmp_path)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    trainer = trainer_like(path)
    before = trainer.model.state_dict()
    for number in range(60):
        spoiled = bytearray(whole)
        if number % 3 == 0:
            del spoiled[generator.integers(len(whole)) :]
        else:
            for _ in range(8):
                spoiled[generator.integers(min(len(whole), 4000))] = generator.integers(256)
        path.write_bytes(bytes(spoiled))
        message = refusal(trainer, path)
        assert "\n" not in message
        if not message:  # a byte of a number
            trainer = trainer_like(path)
    path.write_bytes(b"")
    with pytest.raises(checkpoint.CheckpointError, match="expected a whole checkpoint"):
        checkpoint.load(trainer_like(path), path)
    with pytest.raises(checkpoint.CheckpointError, match=r"cannot be read \(No such file"):
        checkpoint.load(trainer_like(path), tmp_path / "missing")
    pyrnn.serialization.save(pyrnn.GRU(2, 3), path)
    with pytest.raises(checkpoint.CheckpointError, match="expected a checkpoint of a training"):
        checkpoint.load(trainer_like(path), path)
    assert before


def test_what_else_belongs_to_a_run(tmp_path):
    """Numbers of all kinds come back exactly."""
    trainer = trainer_like(tmp_path / "a")
    extra = {
        "settings": {"lr": 0.1, "none": None, "flag": True, "name": "ß\n"},
        "large": 2**100 + 1,
        "odd": [float("inf"), float("-inf"), 5e-324, 0.1 + 0.2],
        "array": np.arange(6.0).reshape(2, 3),
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(2.5),
    }
    checkpoint.save(trainer, tmp_path / "a", extra)
    got = checkpoint.load(trainer, tmp_path / "a")
    np.testing.assert_equal(got, extra)
    assert got["empty"].dtype == np.float32
    checkpoint.save(trainer, tmp_path / "a", {"nan": float("nan")})
    assert np.isnan(checkpoint.load(trainer, tmp_path / "a")["nan"])
    with pytest.raises(TypeError, match="checkpoint: expected numbers, strings and arrays, got se"):
        checkpoint.save(trainer, tmp_path / "a", {"set": {1}})


class Counting(callbacks.Callback):
    """Keeps how many epochs it has seen."""

    def __init__(self):
        self.seen = 0

    def on_epoch_end(self, epoch, logs):
        self.seen += 1

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state_dict):
        self.seen = state_dict["seen"]


@pytest.mark.parametrize("first", [True, False])
def test_a_checkpoint_has_what_the_others_keep_after_its_epoch(first, tmp_path):
    """In whatever order they are given: patience, for instance, is counted once for each epoch."""
    x, targets = sequences()

    def fit(*others):
        model = pyrnn.Sequential(pyrnn.GRU(2, 3, seed=0), pyrnn.Linear(3, 2, seed=1))
        trainer = pyrnn.Trainer(model, "cross_entropy", pyrnn.Adam(model.parameters), seed=0)
        counting, backup = Counting(), callbacks.BackupAndRestore(tmp_path / "c.safetensors")
        calls = [backup, counting] if first else [counting, backup]
        trainer.fit((x, targets), epochs=3, batch_size=10, callbacks=[*calls, *others])
        return counting.seen

    with pytest.raises(StoppedError):
        fit(Interrupt(5))  # within the third epoch
    assert fit(Interrupt(None)) == 3


class Killed(callbacks.Callback):
    """Ends the program after an epoch whose checkpoint has been written."""

    restores = True  # called after those that save

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs):
        if epoch == self.epoch:
            raise StoppedError


def test_killed_after_the_epoch_that_ended_it(tmp_path):
    """What EarlyStopping has ended does not go on for one more epoch."""

    def trained(killed_at=None):
        model = model_of(2)
        stop = callbacks.EarlyStopping(monitor="loss", min_delta=10.0, patience=2)
        calls = [stop, callbacks.BackupAndRestore(tmp_path / "run.safetensors"), Killed(killed_at)]
        optimizer = pyrnn.SGD(model.parameters, lr=0.1)
        trainer = pyrnn.Trainer(model, "cross_entropy", optimizer, seed=3)
        trainer.fit(RUNS["sequences"][0](), epochs=9, callbacks=calls)
        return trainer

    expected = trained()
    epochs = len(expected.history.epoch)
    assert 1 < epochs < 9
    for epoch in (epochs - 2, epochs - 1):
        with pytest.raises(StoppedError):
            trained(epoch)
        got = trained()
        assert got.history.history == expected.history.history
        np.testing.assert_equal(got.model.state_dict(), expected.model.state_dict())
        got.fit(RUNS["sequences"][0](), epochs=epochs + 2, callbacks=[])
        assert len(got.history.epoch) == epochs + 2
