"""Callbacks: when they are called, stopping early, files of numbers and models."""

import csv
import json

import numpy as np
import pytest

import pyrnn
from pyrnn import callbacks


def model_of(seed=0):
    return pyrnn.Sequential(
        pyrnn.GRU(2, 3, seed=seed), pyrnn.LastStep(), pyrnn.Linear(3, 2, seed=seed + 1)
    )


X = np.random.default_rng(0).standard_normal((12, 5, 2))
Y = (X.sum(axis=(1, 2)) > 0).astype(int)


def trainer_of(model=None, lr=0.01):
    model = model or model_of()
    return pyrnn.Trainer(model, "cross_entropy", pyrnn.Adam(model.parameters, lr=lr), seed=0)


class Scripted(callbacks.Callback):
    """Makes a validation's loss what a test wants, before the others look at it."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, epoch, logs):
        logs["val_loss"] = self.values[epoch]
        for array in self.model.parameters.values():
            array[...] = epoch


def fit(values, *others, epochs=None):
    trainer = trainer_of()
    history = trainer.fit(
        (X, Y), epochs=epochs or len(values), callbacks=[Scripted(values), *others]
    )
    return trainer, history


def test_all_are_called_in_order():
    calls = []

    class Noted(callbacks.Callback):
        def on_train_begin(self):
            calls.append("begin")

        def on_train_end(self):
            calls.append("end")

        def on_epoch_begin(self, epoch):
            calls.append(f"epoch {epoch}")

        def on_epoch_end(self, epoch, logs):
            calls.append(f"end of {epoch}: {', '.join(logs)}")

        def on_train_batch_begin(self, batch):
            calls.append(f"batch {batch}")

        def on_train_batch_end(self, batch, logs):
            calls.append(f"end of batch {batch}: {', '.join(logs)}")

    noted = Noted()
    trainer = trainer_of()
    trainer.fit((X, Y), (X, Y), epochs=2, batch_size=8, callbacks=[noted])
    epoch = ["batch 0", "end of batch 0: loss", "batch 1", "end of batch 1: loss"]
    expected = ["begin"]
    for number in range(2):
        expected += [f"epoch {number}", *epoch, f"end of {number}: loss, val_loss, lr"]
    assert calls == [*expected, "end"]
    assert noted.trainer is trainer
    assert noted.model is trainer.model


def test_one_can_stop_amid_an_epoch():
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs):
            self.trainer.stop_training = self.trainer.progress.step == 5

    trainer = trainer_of()
    history = trainer.fit((X, Y), epochs=9, batch_size=4, callbacks=[Stop()])
    assert trainer.progress.step == 5
    assert len(history["loss"]) == 2


# --- EarlyStopping --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "options", "stopped"),
    [
        ([3, 2, 1, 1, 1, 1], {"patience": 2}, 4),
        ([3, 2, 1, 1, 1, 1], {"patience": 0}, 3),
        ([3, 2, 1, 0.95, 0.9, 0], {"patience": 1, "min_delta": 0.2}, 3),
        ([1, 2, 3, 4], {"mode": "max", "patience": 1}, 0),
        ([1, 2, 2, 2], {"mode": "max", "patience": 1}, 2),
        ([5, 4, 3, 2, 1], {"baseline": 0.5, "patience": 3}, 0),
        ([5, 6, 6, 6], {"start_from_epoch": 2, "patience": 1}, 3),
        ([np.nan, np.nan, np.nan], {"patience": 2}, 1),
    ],
)
def test_when_it_stops(values, options, stopped):
    """The rules are Keras'."""
    stop = callbacks.EarlyStopping(**options)
    _, history = fit(values, stop)
    assert stop.stopped_epoch == stopped
    assert len(history.epoch) == (stopped + 1 if stopped else len(values))


@pytest.mark.parametrize("values", [[3, 1, 2, 2], [3, 1, 2]])
def test_the_best_weights_come_back_however_it_ends(values):
    stop = callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    trainer, _ = fit(values, stop)
    assert (stop.best, stop.best_epoch) == (1, 1)
    assert all((array == 1).all() for array in trainer.model.parameters.values())


def test_it_says_that_it_stops(capsys):
    fit([1, 2, 3], callbacks.EarlyStopping(verbose=1))
    assert capsys.readouterr().out == "Epoch 2: early stopping\n"


def test_it_can_be_used_again():
    stop = callbacks.EarlyStopping(patience=1)
    for _ in range(2):
        fit([3, 2, 2, 2], stop)
        assert (stop.stopped_epoch, stop.best) == (2, 2)


def test_a_number_that_is_not_there():
    stop = callbacks.EarlyStopping()
    with pytest.raises(ValueError, match=r"monitor: expected one of loss, lr, got 'val_loss'; fit"):
        trainer_of().fit((X, Y), epochs=1, callbacks=[stop])


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: callbacks.EarlyStopping(patience=-1), ValueError, "patience: expected a whole"),
        (lambda: callbacks.EarlyStopping(mode="best"), ValueError, "mode: expected 'auto', 'min'"),
        (lambda: callbacks.EarlyStopping(3), TypeError, "monitor: expected a string, got 3"),
        (lambda: callbacks.ModelCheckpoint("a", save_freq="step"), ValueError, "save_freq: expect"),
        (lambda: callbacks.ModelCheckpoint(3), TypeError, "path: expected a file name"),
        (lambda: callbacks.BackupAndRestore("a", 0), ValueError, "save_freq: expected a whole num"),
        (lambda: callbacks.CSVLogger("a", "::"), ValueError, "separator: expected one character"),
        (lambda: callbacks.JSONLogger("a", 1), TypeError, "append: expected True or False, got 1"),
    ],
)
def test_wrong_arguments(make, error, words):
    with pytest.raises(error, match=words):
        make()


# --- files ----------------------------------------------------------------------------------


def test_models_are_saved_after_epochs(tmp_path, capsys):
    path = tmp_path / "model-{epoch:02d}-{val_loss:.1f}.safetensors"
    fit([3.0, 1.0], callbacks.ModelCheckpoint(path, verbose=1))
    names = [f"model-{name}.safetensors" for name in ("01-3.0", "02-1.0")]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    assert "Epoch 2: saved" in capsys.readouterr().out
    loaded = pyrnn.serialization.load(tmp_path / names[1])
    assert all((array == 1).all() for array in loaded.parameters.values())


def test_the_best_model_alone_is_saved(tmp_path):
    path = tmp_path / "best.safetensors"
    fit([3, 1, 2], callbacks.ModelCheckpoint(path, save_best_only=True))
    parameters = pyrnn.serialization.load(path).parameters
    assert all((array == 1).all() for array in parameters.values())


@pytest.mark.parametrize(("threshold", "saved"), [(0.5, None), (1.5, 1.0), (None, 3.0)])
def test_the_first_model_has_to_be_better_than_a_threshold(threshold, saved, tmp_path):
    path = tmp_path / "{val_loss}.safetensors"
    keep = callbacks.ModelCheckpoint(
        path, "val_loss", 0, True, True, "min", "epoch", initial_value_threshold=threshold
    )
    fit([3.0, 1.0, 2.0], keep)
    names = {p.name for p in tmp_path.iterdir()}
    assert (f"{saved}.safetensors" in names) == (saved is not None)
    assert len(names) == {None: 0, 1.0: 1, 3.0: 2}[saved]


def test_models_are_saved_every_so_many_steps(tmp_path):
    saved = callbacks.ModelCheckpoint(tmp_path / "{epoch}-{loss:.6f}.safetensors", save_freq=2)
    trainer_of().fit((X, Y), epochs=2, batch_size=4, callbacks=[saved])
    assert len(list(tmp_path.iterdir())) == 3  # of six steps


def test_csv(tmp_path):
    path = tmp_path / "log.csv"
    history = trainer_of().fit(
        (X, Y), (X, Y), epochs=3, callbacks=[callbacks.CSVLogger(path, separator=";")]
    )
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file, delimiter=";")
    assert header == ["epoch", "loss", "val_loss", "lr"]
    assert [int(row[0]) for row in rows] == [0, 1, 2]
    assert [float(row[1]) for row in rows] == history["loss"]
    assert [float(row[2]) for row in rows] == history["val_loss"]
    trainer_of().fit((X, Y), (X, Y), epochs=1, callbacks=[callbacks.CSVLogger(path, ";", True)])
    assert len(path.read_text().splitlines()) == 5
    trainer_of().fit((X, Y), epochs=1, callbacks=[callbacks.CSVLogger(path)])
    assert len(path.read_text().splitlines()) == 2


def test_json_lines(tmp_path):
    path = tmp_path / "log.jsonl"
    history = trainer_of().fit((X, Y), epochs=3, callbacks=[callbacks.JSONLogger(path)])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert [line["loss"] for line in lines] == history["loss"]


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    log = callbacks.TensorBoard(tmp_path / "logs")
    trainer_of().fit((X, Y), (X, Y), epochs=2, callbacks=[log])
    (events,) = (tmp_path / "logs").iterdir()
    written = events.read_bytes()
    for name in (b"epoch_loss", b"epoch_val_loss", b"epoch_lr"):
        assert written.count(name) == 2


def test_tensorboard_that_is_not_installed(monkeypatch):
    from pyrnn._imports import extras

    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"tensorboardX is not installed; pip install 'pyrnn\[te"):
        callbacks.TensorBoard()
