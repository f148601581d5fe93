"""The loss and gradients of a step, and the mean loss of an evaluation, over all ranks' rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.distributed.batch import BatchExchange
from pyrnn.distributed.exchange import GradientSum
from pyrnn.distributed.ranks import on_all_ranks
from pyrnn.layers import _finished
from pyrnn.training.divergence import check_loss
from pyrnn.training.losses._reduction import weighings
from pyrnn.training.run import _model, _several
from pyrnn.training.run.batches import Batch, Data

Grads = Mapping[str, Array]


class Loss(NamedTuple):
    """The loss of a batch, the weight of its targets, and whether it is the mean over them."""

    value: float
    weight: float
    mean: bool

    @property
    def divisor(self) -> float:
        """What a mean was divided by: where nothing weighs, it is a sum."""
        return self.weight or 1.0

    @property
    def total(self) -> float:
        """The sum over the targets."""
        return self.value * self.divisor if self.mean else self.value

    def check_counts(self) -> None:
        """Refuse a mean over targets of which none counts."""
        if self.mean and self.weight == 0:
            raise NoTargetError("loss: expected a target that counts for the mean, got none")


def joined(parts: Iterable[Sequence[float]]) -> Loss:
    """The loss over several batches, or ranks, from (total, weight, whether it is a mean) of each.

    A part without targets need not be a mean.
    """
    total = weight = 0.0
    mean = False
    for own, targets, of_mean in parts:
        total, weight, mean = total + own, weight + targets, mean or bool(of_mean)
    loss = Loss(total, weight, mean)
    return loss._replace(value=total / loss.divisor) if mean else loss


class NoTargetError(ValueError):
    """No target of a step, or of an evaluation, counts; all ranks raise it."""


def of_step(trainer: Any, data: Data, group: Any) -> tuple[float, Grads]:
    """The mean loss of one batch or several, and its gradient, summed over ranks."""
    total: GradientSum | None = trainer._sum
    if len(group) == 1:
        take = None if total is None else total.take
        loss, grads = _of_batch(trainer, data, group[0], take)
    else:
        loss, grads = _accumulated(trainer, data, group)
    if total is not None:
        grads = total(grads)  # before all else, since exchanges may be under way
    with on_all_ranks:
        loss.check_counts()
    return loss.value, grads


def _accumulated(trainer: Any, data: Data, group: Any) -> tuple[Loss, Grads]:
    """The loss and gradient of several batches as of one, each with the weight of its targets."""
    losses: list[Loss] = []
    summed: Any = None
    backend = selection.current()
    for item in group:
        loss, grads = _of_batch(trainer, data, item)
        losses.append(loss)
        if loss.mean:
            backend.scale(list(grads.values()), loss.divisor)
        if summed is None:
            summed = grads
        else:
            for name, array in grads.items():
                summed[name] += array
    whole = joined((loss.total, loss.weight, loss.mean) for loss in losses)
    if whole.mean:
        backend.scale(list(summed.values()), 1 / whole.divisor)
    return whole, summed


def _of_batch(
    trainer: Any, data: Data, item: Any, take: _finished.Take | None = None
) -> tuple[Loss, Grads]:
    """Forward, loss and backward of a batch; its state is carried to the next one.

    The loss is that of all ranks. The gradients are this rank's share: all shares add up to the
    gradient of that loss. ``take`` is given them layer by layer, as they are finished.
    """
    progress, ranks = trainer.progress, trainer._ranks
    batch = data.load(item)
    others = None if ranks is None else BatchExchange(ranks)
    y = state = cache = dy = None
    loss = Loss(0.0, 0.0, False)
    with _several.sharing(others):
        if batch.rows:
            options = {} if batch.lengths is None else {"lengths": batch.lengths}
            y, state, cache = trainer.model.forward(batch.x, progress.state_for(batch), **options)
            loss, dy = loss_of(trainer, y, batch, data.batch_first)
        if others is not None:
            stop = trainer.stop_training
            told = others.end_forward(
                loss.total, loss.weight, loss.mean, stop, has_rows=batch.rows > 0
            )
            _several.share_buffers(trainer, told.rows)
            if any(numbers[3] for numbers in told.numbers):
                trainer.stop_training = trainer._agreed_stop = True
            own, loss = loss, joined(numbers[:3] for numbers in told.numbers)
            if own.mean and dy is not None:
                dy = _shared(dy, own.divisor / loss.divisor)
        with on_all_ranks:
            check_loss("lr", trainer.optimizer.lr, loss.value, progress.step + 1)
        grads: Grads
        if batch.rows:
            _, _, grads = _finished.backward(trainer.model, take, cache, dy)
        else:
            if others is not None:
                others.backward_without_rows()
            grads = {name: np.zeros_like(p) for name, p in trainer.model.parameters.items()}
    progress.carry(batch, state)
    progress.count(loss.total, loss.weight)
    return loss, grads


def _shared(dy: Any, share: float) -> Any:
    """The gradient of a rank's mean loss as its share of that of the mean over all ranks."""
    # A power of two, as for equal shares of 2, 4, 8 ranks, changes no bit of what follows.
    return dy if share == 1 else np.multiply(dy, share, dtype=dy.dtype)


def loss_of(trainer: Any, y: Array, batch: Batch, batch_first: bool) -> tuple[Loss, Array]:
    """The loss of the model's outputs; steps that are read only for their gradients have none."""
    scored, lengths = y, batch.lengths
    if batch.before:
        scored = y[:, batch.before :] if batch_first else y[batch.before :]
        lengths = None if lengths is None else lengths - batch.before
    options: dict[str, Any] = {}
    if lengths is not None and not _model.ends_time(trainer.model):
        options = {"lengths": lengths}
        if batch_first:
            options["batch_first"] = True
    with weighings() as notes:
        value, dy = trainer.loss(scored, batch.targets, **options)
    if np.ndim(value):
        raise ValueError(
            f"loss: expected one number for a batch, got shape {np.shape(value)}; "
            'reduction="none" is for losses of your own'
        )
    if batch.before:
        whole = np.zeros_like(y)
        if batch_first:
            whole[:, batch.before :] = dy
        else:
            whole[batch.before :] = dy
        dy = whole
    if len(set(notes)) == 1:
        return Loss(float(value), *notes[0]), dy
    return Loss(float(value), float(batch.size), mean=True), dy


def mean_loss(trainer: Any, data: Data) -> float:
    """The mean loss over all targets of all ranks, in eval mode."""
    model, ranks = trainer.model, trainer._ranks
    found, state = [], None
    was_training = getattr(model, "training", True)
    model.eval(**trainer._compute)
    try:
        for item in _several.same_items(ranks, "validation", data.items(None)):
            batch = data.load(item)
            others = None if ranks is None else BatchExchange(ranks)
            with _several.sharing(others):
                if batch.rows:
                    state = state if batch.back else None
                    y, state = _model.call(model, batch.x, state, batch.lengths)
                    found.append(loss_of(trainer, y, batch, data.batch_first)[0])
                if others is not None:
                    others.end_forward(has_rows=batch.rows > 0)
    finally:
        if was_training:
            model.train()
    own = joined((loss.total, loss.weight, loss.mean) for loss in found)
    if ranks is not None:
        own = joined(ranks.told(own.total, own.weight, own.mean).tolist())
    with on_all_ranks:
        own.check_counts()
    return own.total / own.divisor
