"""Checkpoints that are spoiled: each is refused in one line, or its training continues."""

from __future__ import annotations

import functools
import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import pyrnn
from pyrnn.optim import lr_scheduler
from pyrnn.parameters.dictionary import arrays_of
from pyrnn.training.run import checkpoint
from pyrnn.training.run.checkpoint import CheckpointError
from tests.fuzz.case import Case
from tests.fuzz.draw import Draw
from tests.fuzz.readers.common import Reader, each, in_one_line, made_apart, placed
from tests.fuzz.spoil.files import spoil, with_header
from tests.fuzz.spoil.trees import spoil_json

KEY = "pyrnn-checkpoint"
FORMS = 4


def _spoiled(draw: Draw) -> Case:
    """The checkpoint of a small training with a few mutations."""
    draw.mutations = 0  # the file has them
    form = draw.integer(0, FORMS - 1)
    data = sources()[form]
    if draw.chance(0.6):
        data = _spoiled_description(draw, data)
    if draw.chance(0.2) or data is sources()[form]:
        data = spoil(draw, data, [draw.choice(sources())])
    return Case(
        {"file": data, "form": form}, _loaded, names={"expected"}, errors=(CheckpointError,)
    )


def _spoiled_description(draw: Draw, data: bytes) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    description = json.loads(header["__metadata__"][KEY])
    part = description if draw.chance(0.1) else description["tree"]["trainer"]
    if draw.chance(0.8):
        key = draw.choice(sorted(part))
        part[key] = spoil_json(draw, part[key])
    else:
        spoil_json(draw, part)
    header["__metadata__"][KEY] = json.dumps(description)
    return with_header(header, data[8 + length :])


@functools.lru_cache(None)
def sources() -> list[bytes]:
    """A checkpoint of each form of training."""
    made: list[bytes] = made_apart(each, _source, FORMS)
    return made


def _source(form: int) -> bytes:
    trainer = _trainer(form)
    text = np.arange(40) % 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.safetensors"
        trainer.fit(text, text[:20], batch_size=2, k1=4, steps=3, callbacks=_callbacks(form))
        checkpoint.save(trainer, path, {"arguments": ["a"], "count": 2**60, "rate": float("inf")})
        return path.read_bytes()


def _callbacks(form: int) -> list[Any]:
    return [pyrnn.callbacks.EarlyStopping(restore_best_weights=True)] if form % 2 else []


def _trainer(form: int) -> Any:
    model = pyrnn.Sequential(
        rnn=pyrnn.LSTM(3, 2, dropout=0.0, seed=0), drop=pyrnn.Dropout(0.2, seed=1),
        out=pyrnn.Linear(2, 3, seed=0),
    )  # fmt: skip
    kinds = (pyrnn.Adam, pyrnn.AdamW, pyrnn.RMSprop, pyrnn.SGD)
    optimizer: Any = kinds[form](model.parameters, lr=0.01)
    schedules: tuple[Any, ...] = (
        None,
        lambda: lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=50),
        lambda: lr_scheduler.ReduceLROnPlateau(optimizer),
        lambda: lr_scheduler.StepLR(optimizer, 2),
    )
    schedule = schedules[form]
    return pyrnn.Trainer(
        model, "cross_entropy", optimizer, scheduler=schedule and schedule(), seed=3
    )


def _loaded(a: dict[str, Any]) -> Any:
    trainer = _trainer(a["form"])
    trainer.callbacks = [*_callbacks(a["form"])]
    for callback in trainer.callbacks:
        callback.trainer, callback.model = trainer, trainer.model
    before = _bits(trainer)
    with placed(a["file"], "run.safetensors") as path:
        tree = in_one_line(path, lambda: checkpoint.read(path), (CheckpointError,))
        try:
            in_one_line(path, lambda: checkpoint.load(trainer, path), (CheckpointError,))
        except CheckpointError:
            if _bits(trainer) != before:
                raise AssertionError("a refused checkpoint has changed the training") from None
            raise
    saved = tree["trainer"]
    for name, array in arrays_of(trainer.model).items():
        if array.tobytes() != saved["model"][name].tobytes():
            raise AssertionError(f"{name} has other bits")
    if trainer.progress.step != saved["progress"]["step"]:
        raise AssertionError("another number of steps")
    return [array.copy() for array in trainer.model.parameters.values()]


def _bits(trainer: Any) -> bytes:
    """What a training is, as far as a refusal could change it."""
    progress = trainer.progress
    return pickle.dumps(
        (
            list(arrays_of(trainer.model).values()),
            trainer.optimizer.state_dict(),
            trainer.scheduler and trainer.scheduler.state_dict(),
            [callback.state_dict() for callback in trainer.callbacks],
            [getattr(progress, name) for name in checkpoint.COUNTS],
            progress.generator.bit_generator.state,
        )
    )


READER = Reader("checkpoint", _spoiled, (), sources, ("safetensors",))
