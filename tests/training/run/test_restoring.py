"""A checkpoint that is refused leaves the training as it was, wherever in it the fault is."""

import json

import numpy as np
import pytest

import pyrnn
from pyrnn.optim import lr_scheduler
from pyrnn.training.run import checkpoint
from tests.fuzz.readers.checkpoints import KEY
from tests.fuzz.spoil.files import with_header


def trainer():
    model = pyrnn.Sequential(
        rnn=pyrnn.LSTM(3, 2, seed=0), drop=pyrnn.Dropout(0.2, seed=1), out=pyrnn.Linear(2, 3)
    )
    optimizer = pyrnn.Adam(model.parameters, lr=0.01)
    made = pyrnn.Trainer(
        model, "cross_entropy", optimizer, scheduler=lr_scheduler.StepLR(optimizer, 1), seed=3
    )
    stop = pyrnn.callbacks.EarlyStopping(restore_best_weights=True)
    stop.trainer, stop.model = made, model
    made.callbacks = [stop]
    return made


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "run.safetensors"
    made, text = trainer(), np.arange(40) % 3
    made.fit(text, text[:20], batch_size=2, k1=4, steps=12, callbacks=made.callbacks)
    checkpoint.save(made, path)
    return path.read_bytes()


def bits(made):
    progress = made.progress
    return (
        {n: a.tobytes() for n, a in made.model.state_dict().items()},
        repr(made.optimizer.state_dict()),
        repr(made.scheduler.state_dict()),
        repr(made.callbacks[0].state_dict()),
        progress.step,
        len(progress.states),
        repr(progress.generator.bit_generator.state),
        made.history,
    )


FAULTS = {
    "optimizer": lambda t: t["optimizer"].update(steps=-1),
    "scheduler": lambda t: t["scheduler"].update(last_epoch=-5),
    "generator of a layer": lambda t: t["generators"][0]["model.drop"]["state"].update(inc=-1),
    "large generator": lambda t: t["generators"][0]["model.drop"].update(uinteger=2**80),
    "order's generator": lambda t: t["progress"].update(
        before=t["generators"][0]["model.drop"] | {"has_uint32": 7}, generator={"state": {}}
    ),
    "callback": lambda t: t["callbacks"][0][1].update(wait="x"),
    "best weights": lambda t: t["callbacks"][0][1].update(weights={}),
    "step": lambda t: t["progress"].update(step="many"),
    "negative step": lambda t: t["progress"].update(step=-3),
    "weight": lambda t: t["progress"].update(weight=None),
    "huge weight": lambda t: t["progress"].update(weight=10**400),
    "states": lambda t: t["progress"].update(states=["x"]),
    "order": lambda t: t["progress"].update(before={}, generator={}),
    "history": lambda t: t["progress"].update(history={"loss": "x"}),
    "epochs": lambda t: t["progress"].update(epochs=None),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_nothing_changes(saved, fault, tmp_path):
    length = int.from_bytes(saved[:8], "little")
    header = json.loads(saved[8 : 8 + length])
    description = json.loads(header["__metadata__"][KEY])
    fault(description["tree"]["trainer"])
    header["__metadata__"][KEY] = json.dumps(description)
    path = tmp_path / "run.safetensors"
    path.write_bytes(with_header(header, saved[8 + length :]))
    made = trainer()
    before = bits(made)
    with pytest.raises(checkpoint.CheckpointError) as caught:
        checkpoint.load(made, path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert bits(made) == before
    path.write_bytes(saved)
    checkpoint.load(made, path)  # and it takes the right one still
    assert made.progress.step == 12


@pytest.mark.parametrize(
    "tree",
    [
        {"@tensor": "x", "shape": [10**30]},
        {"@float": 10**400},
        {"@int": "x" * 3000},
        {"@tensor": []},
    ],
)
def test_trees_that_are_none_are_one_line(tree, tmp_path):
    path = tmp_path / "run.safetensors"
    text = json.dumps({"version": 1, "tree": tree})
    path.write_bytes(with_header({"__metadata__": {KEY: text}}, b""))
    with pytest.raises(checkpoint.CheckpointError) as caught:
        checkpoint.read(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
