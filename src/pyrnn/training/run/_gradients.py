"""The loss and gradients of a step, and the mean loss of an evaluation, over all ranks' rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.distributed.ranks import Ranks
from pyrnn.training.divergence import check_loss
from pyrnn.training.losses._reduction import weights_of_targets
from pyrnn.training.run import _model, _several
from pyrnn.training.run.batches import Batch, Data

Grads = Mapping[str, Array]


class NoTargetError(ValueError):
    """No target of a step, or of an evaluation, counts; all ranks raise it."""


def of_step(trainer: Any, data: Data, group: Any) -> tuple[float, Grads]:
    """The mean loss of one batch or several, and its gradient, summed over ranks."""
    if len(group) == 1:
        value, size, grads = _of_batch(trainer, data, group[0])
        _check_counts(size)
    else:
        value, grads = _accumulated(trainer, data, group)
    ranks: Ranks | None = trainer._ranks
    return value, grads if ranks is None else ranks.sum_gradients(grads)


def _accumulated(trainer: Any, data: Data, group: Any) -> tuple[float, Grads]:
    """The mean loss and gradient of several batches, each with the weight of its targets."""
    total = weight = 0.0
    summed: Any = None
    backend = selection.current()
    for item in group:
        value, size, grads = _of_batch(trainer, data, item)
        total, weight = total + value * size, weight + size
        backend.scale(list(grads.values()), float(size))
        if summed is None:
            summed = grads
        else:
            for name, array in grads.items():
                summed[name] += array
    _check_counts(weight)
    backend.scale(list(summed.values()), 1 / weight)
    return total / weight, summed


def _check_counts(weight: float) -> None:
    """Refuse a mean over targets of which none counts."""
    if weight == 0:
        raise NoTargetError("loss: expected a target that counts for the mean, got none")


def _of_batch(trainer: Any, data: Data, item: Any) -> tuple[float, float, Grads]:
    """Forward, loss and backward of a batch; its state is carried to the next one.

    The loss and the weight of the targets are those of all ranks. The gradients are this rank's
    share: all shares add up to the gradient of that loss.
    """
    progress, ranks = trainer.progress, trainer._ranks
    batch = data.load(item)
    y = state = cache = dy = None
    value = own = 0.0
    if batch.rows:
        options = {} if batch.lengths is None else {"lengths": batch.lengths}
        y, state, cache = trainer.model.forward(batch.x, progress.state_for(batch), **options)
        value, dy, own = loss_of(trainer, y, batch, data.batch_first)
    size = own
    if ranks is not None:
        _several.share_buffers(trainer)
        value, size = ranks.mean(value, own)
        value = value if size else 0.0
        if dy is not None and own:
            dy = _shared(dy, own, size)
    check_loss("lr", trainer.optimizer.lr, value, progress.step + 1)
    grads: Grads
    if batch.rows:
        _, _, grads = trainer.model.backward(cache, dy)
    else:
        grads = {name: np.zeros_like(p) for name, p in trainer.model.parameters.items()}
    progress.carry(batch, state)
    progress.count(value, size)
    return value, size, grads


def _shared(dy: Any, own: float, all_targets: float) -> Any:
    """The gradient of a rank's mean loss as its share of that of the mean over all ranks."""
    share = own / all_targets
    # A power of two, as for equal shares of 2, 4, 8 ranks, changes no bit of what follows.
    return dy if share == 1 else np.multiply(dy, share, dtype=dy.dtype)


def loss_of(trainer: Any, y: Array, batch: Batch, batch_first: bool) -> tuple[float, Array, float]:
    """The loss of the model's outputs; steps that are read only for their gradients have none.

    Also returns the weight of its targets: their number, or what a loss over classes divides by.
    """
    scored, lengths = y, batch.lengths
    if batch.before:
        scored = y[:, batch.before :] if batch_first else y[batch.before :]
        lengths = None if lengths is None else lengths - batch.before
    options: dict[str, Any] = {}
    if lengths is not None and not _model.ends_time(trainer.model):
        options = {"lengths": lengths}
        if batch_first:
            options["batch_first"] = True
    with weights_of_targets() as weights:
        value, dy = trainer.loss(scored, batch.targets, **options)
    if batch.before:
        whole = np.zeros_like(y)
        if batch_first:
            whole[:, batch.before :] = dy
        else:
            whole[batch.before :] = dy
        dy = whole
    return value, dy, weights[0] if len(weights) == 1 else float(batch.size)


def mean_loss(trainer: Any, data: Data) -> float:
    """The mean loss over all targets of all ranks, in eval mode."""
    model, ranks = trainer.model, trainer._ranks
    total, weight, state = 0.0, 0.0, None
    was_training = getattr(model, "training", True)
    model.eval()
    try:
        for item in data.items(None):
            batch = data.load(item)
            if not batch.rows:
                continue
            state = state if batch.back else None
            y, state = _model.call(model, batch.x, state, batch.lengths)
            value, _, own = loss_of(trainer, y, batch, data.batch_first)
            total, weight = total + float(value) * own, weight + own
    finally:
        if was_training:
            model.train()
    mean = total / weight if weight else 0.0
    if ranks is not None:
        mean, weight = ranks.mean(mean, weight)
    _check_counts(weight)
    return mean
