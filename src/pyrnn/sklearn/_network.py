"""The model of an estimator: recurrent layers, the last step or each, a linear layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn.layers.composition.pointwise import Dropout
from pyrnn.layers.composition.pooling import LastStep, MeanOverTime
from pyrnn.layers.composition.sequential import Sequential
from pyrnn.layers.dense import Linear
from pyrnn.layers.recurrent.gru import GRU
from pyrnn.layers.recurrent.lstm import LSTM
from pyrnn.layers.recurrent.min_gru import MinGRU
from pyrnn.layers.recurrent.rnn import RNN
from pyrnn.training._optimizer import Optimizer
from pyrnn.training.optimizers import SGD, Adam, AdamW
from pyrnn.training.run.batches import Sequences as Batches

CELLS = {"gru": GRU, "lstm": LSTM, "rnn": RNN, "min_gru": MinGRU}
PREDICTED_AT_ONCE = 256
"""Sequences in a batch of a prediction, whose bits do not depend on it."""


def build(
    estimator: Any, features: int, outputs: int, each_step: bool, seeds: np.random.Generator
) -> Sequential:
    """The model for an estimator's parameters, with weights drawn from ``seeds``."""
    cell = _checks.choice("cell", estimator.cell, CELLS)
    hidden = _checks.size("hidden_size", estimator.hidden_size)
    layers = _checks.size("num_layers", estimator.num_layers)
    both = _checks.flag("bidirectional", estimator.bidirectional)
    dropout = _checks.finite_number("dropout", estimator.dropout, 0.0, 1.0)
    pooling = _checks.choice("pooling", estimator.pooling, ("last", "mean"))
    dtype: Any = _checks.float_dtype(estimator.dtype).name

    def seed() -> int:
        return int(seeds.integers(2**31))

    between = {"dropout": dropout} if layers > 1 else {}
    named: dict[str, Any] = {
        "rnn": CELLS[cell](
            features,
            hidden,
            num_layers=layers,
            bidirectional=both,
            dtype=dtype,
            seed=seed(),
            **between,
        )
    }
    if not each_step:
        named["pool"] = LastStep(bidirectional=both) if pooling == "last" else MeanOverTime()
    if dropout:
        named["drop"] = Dropout(dropout, seed=seed())
    named["out"] = Linear(hidden * (2 if both else 1), outputs, dtype=dtype, seed=seed())
    return Sequential(**named)


def rate_of(estimator: Any) -> float:
    """The learning rate to begin with."""
    return _checks.finite_number("learning_rate_init", estimator.learning_rate_init, 0.0)


def optimizer_of(estimator: Any, model: Sequential) -> Optimizer:
    """The optimiser for an estimator's parameters."""
    solver = _checks.choice("solver", estimator.solver, ("adam", "sgd"))
    rate = rate_of(estimator)
    alpha = _checks.finite_number("alpha", estimator.alpha, 0.0)
    if solver == "sgd":
        return SGD(model.parameters, lr=rate, momentum=0.9, weight_decay=alpha)
    if alpha:
        return AdamW(model.parameters, lr=rate, weight_decay=alpha)
    return Adam(model.parameters, lr=rate)


def outputs_of(model: Any, parts: Any, each_step: bool) -> Any:
    """What a model in eval mode gives: (N, outputs), or a list of (T_i, outputs)."""
    batches = Batches(
        parts, None, PREDICTED_AT_ONCE, each_step=each_step, dtype=model.dtype, name="X"
    )
    results: list[Any] = [None] * len(batches)
    for rows, start in batches.items(None):
        batch = batches.load((rows, start))
        y, _ = model(batch.x, lengths=batch.lengths)
        for number, row in enumerate(rows.tolist()):
            if each_step:
                end = len(y) if batch.lengths is None else batch.lengths[number]
                results[row] = y[:end, number]
            else:
                results[row] = y[number]
    return results if each_step else np.stack(results)
