"""The trainer: a few epochs of small data, whatever the shapes, in numbers that NumPy adds up."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import pyrnn
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw

Arguments = dict[str, Any]


def _model(plan: Arguments) -> Any:
    rnn = pyrnn.GRU(2, plan["hidden"], dtype="float64", seed=plan["seed"])
    layers: Arguments = {"rnn": rnn}
    if plan["last"]:
        layers["last"] = pyrnn.LastStep()
    out = pyrnn.Linear(plan["hidden"], 2, dtype="float64", seed=plan["seed"] + 1)
    return pyrnn.Sequential(**layers, out=out)


def _trained(plan: Arguments, threads: int, a: Arguments) -> Any:
    model = _model(plan)
    trainer = pyrnn.Trainer(
        model, "mse", pyrnn.SGD(model.parameters, lr=0.01), seed=plan["seed"], **a["trainer"]
    )
    before = pyrnn.get_num_threads()
    try:
        pyrnn.set_num_threads(threads or before)
        history = trainer.fit((a["x"], a["targets"]), **a["fit"])
        value = trainer.evaluate((a["x"], a["targets"]))
        predicted = trainer.predict(a["x"])
    finally:
        pyrnn.set_num_threads(before)
    parameters = {name: array.copy() for name, array in model.parameters.items()}
    numbers = {"loss": history["loss"], "value": value, "rank": trainer.rank}
    return {**numbers, "y": predicted, "parameters": parameters}


@entry(
    "Trainer",
    "Trainer",
    "Trainer.fit",
    "Trainer.evaluate",
    "Trainer.predict",
    "Trainer.rank",
    weight=0.5,
)
def trainer_case(draw: Draw) -> Case:
    """Sequences of any lengths, with a target for each, or for each step."""
    plan: Arguments = {"hidden": draw.integer(1, 5), "seed": draw.integer(0, 99)}
    plan["last"] = draw.choice((True, False))
    generator = np.random.default_rng(draw.integer(0, 2**30))
    lengths = [draw.integer(1, 6) for _ in range(draw.integer(1, 9))]
    x = [generator.standard_normal((length, 2)) for length in lengths]
    fit: Arguments = {"epochs": draw.integer(1, 2), "batch_size": draw.integer(1, 5)}
    if plan["last"]:
        targets: Any = generator.standard_normal((len(x), 2))
    else:
        targets = [generator.standard_normal((length, 2)) for length in lengths]
        if draw.chance(0.4):
            fit |= draw.choice(({"k1": 1}, {"k1": 2, "k2": 4}, {"k1": 3, "k2": 3}))
    if draw.chance(0.3):
        fit["accumulate"] = draw.integer(1, 3)
    if draw.chance(0.3):
        fit["shuffle"] = draw.choice((True, False))
    options = {"clip_grad_norm": 1.0} if draw.chance(0.4) else {}
    arguments = {"x": x, "targets": targets, "fit": fit, "trainer": options}
    run = partial(_trained, plan, 0)
    relations = [Relation("one thread", lambda a: (_trained(plan, 1, a), run(a)))]
    names = {"train", "y", "lr", "logits", "data", "sequences", "epochs"}
    return Case(arguments, run, relations, in_numpy=True, names=names)
