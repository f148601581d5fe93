"""`Callback`, and the list of them that a trainer calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._files import checked_path
from pyrnn._pickling import public
from pyrnn.layers._options import Closed

Logs = Mapping[str, float]

count = partial(_checks.size, least=0)
"""A check for a number that may be 0."""


def number_or_none(name: str, value: Any) -> float | None:
    """A check for a number, or None for none."""
    return None if value is None else _checks.finite_number(name, value, -np.inf)


def verbosity(name: str, value: Any) -> int:
    """A check for a number that may also be a bool, as in Keras."""
    return _checks.size(name, int(value) if isinstance(value, (bool, np.bool_)) else value, 0)


def path_of(name: str, value: Any) -> str:
    """A check for the name of a file or folder."""
    return checked_path(value, name)


def all_callbacks(name: str, value: Any) -> list[Callback]:
    """A check for a list of callbacks."""
    if isinstance(value, Callback) or not np.iterable(value):
        raise TypeError(f"{name}: expected a list of them, got {_checks.shown(value)}")
    callbacks = list(value)
    for callback in callbacks:
        if not isinstance(callback, Callback):
            got = _checks.shown(callback)
            raise TypeError(f"{name}: expected those of pyrnn.callbacks, got {got}")
    return callbacks


@public("pyrnn.callbacks")
class Callback(Closed):
    """Base class of callbacks of a `Trainer`; a subclass defines the methods that it needs.

    With several ranks, each rank calls its own callbacks. One that writes or prints should do so
    only where ``trainer.rank`` is 0; ``trainer.stop_training`` on any rank stops all.

    Attributes
    ----------
    trainer : Trainer
        The trainer that calls; ``trainer.stop_training = True`` ends the training.
    model : Layer
        Its model.

    Examples
    --------
    >>> import pyrnn
    >>> class Shown(pyrnn.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(epoch, round(logs["loss"], 3))
    """

    trainer: Any = None
    model: Any = None
    restores = False
    """Whether it saves and restores the state of all others.

    Its `on_train_begin` is called before theirs, and what is called after a step or an epoch is
    called after theirs.
    """

    def on_train_begin(self) -> None:
        """Before the first epoch of a `fit`."""

    def on_train_end(self) -> None:
        """After the last epoch, unless an error was raised."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """After an epoch; ``logs`` has its "loss", "val_loss" and "lr"."""

    def on_train_batch_begin(self, batch: int) -> None:
        """Before a step, counted from 0 in each epoch."""

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """After a step; ``logs`` has its "loss" and, if gradients are clipped, "grad_norm"."""

    def state_dict(self) -> dict[str, Any]:
        """What the callback needs to continue, for checkpoints: JSON values and arrays."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned."""


class CallbackList:
    """The callbacks of a `fit`; only those with batch methods are called for batches."""

    def __init__(self, callbacks: Iterable[Callback], trainer: Any) -> None:
        self.callbacks: list[Callback] = all_callbacks("callbacks", callbacks)
        for callback in self.callbacks:
            callback.trainer, callback.model = trainer, trainer.model
        trainer.callbacks = self.callbacks
        self.batch_begin: list[Callback] = self._defining("on_train_batch_begin")
        self.batch_end: list[Callback] = _restoring_last(self._defining("on_train_batch_end"))

    def _defining(self, method: str) -> list[Callback]:
        usual = getattr(Callback, method)
        return [c for c in self.callbacks if getattr(type(c), method) is not usual]

    def on_train_begin(self) -> None:
        """Call all, first those that restore."""
        for callback in sorted(self.callbacks, key=lambda callback: not callback.restores):
            callback.on_train_begin()

    def on_train_end(self) -> None:
        """Call all."""
        for callback in self.callbacks:
            callback.on_train_end()

    def on_epoch_begin(self, epoch: int) -> None:
        """Call all."""
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Call all; those that restore come last, since they save what the others keep."""
        for callback in _restoring_last(self.callbacks):
            callback.on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch: int) -> None:
        """Call those that define it."""
        for callback in self.batch_begin:
            callback.on_train_batch_begin(batch)

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Call those that define it."""
        for callback in self.batch_end:
            callback.on_train_batch_end(batch, logs)


def _restoring_last(callbacks: list[Callback]) -> list[Callback]:
    return sorted(callbacks, key=lambda callback: callback.restores)


class Monitor:
    """Watches one number of the logs, as callbacks of Keras do."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        self.name: str = _checks.string("monitor", monitor)
        mode = _checks.choice("mode", mode, ("auto", "min", "max"))
        if mode == "auto":
            mode = "max" if monitor.endswith(("acc", "accuracy")) else "min"
        self.sign: float = 1.0 if mode == "min" else -1.0
        self.min_delta: float = _checks.finite_number("min_delta", min_delta, 0.0)
        self.best: float = self.sign * np.inf

    def value(self, logs: Logs) -> float:
        """The value for an epoch; a ValueError if the logs do not have it."""
        if self.name not in logs:
            raise ValueError(
                f"monitor: expected one of {', '.join(logs)}, got {self.name!r}"
                + ("; fit has validation=" if self.name.startswith("val_") else "")
            )
        return float(logs[self.name])

    def is_better(self, value: float, than: float | None = None) -> bool:
        """Whether a value improves on the best one, or on another."""
        other = self.best if than is None else than
        return self.sign * value < self.sign * other - self.min_delta
