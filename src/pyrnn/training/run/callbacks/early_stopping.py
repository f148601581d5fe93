"""Stop when a monitored number no longer improves; keep the best weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn.layers._options import Setting
from pyrnn.parameters.dictionary import arrays_of, set_arrays
from pyrnn.training.run.callbacks.base import (
    Callback,
    Monitor,
    count,
    number_or_none,
    verbosity,
)


@public("pyrnn.callbacks")
class EarlyStopping(Callback):
    """Stop a training when a number of the logs has not improved for a while.

    Parameters
    ----------
    monitor : str
        The number to watch: "val_loss", "loss".
    min_delta : float
        The least change that counts as an improvement.
    patience : int
        The number of epochs without an improvement that are tolerated.
    verbose : int
        1 prints a line when it stops.
    mode : {"auto", "min", "max"}
        Whether smaller or larger numbers are better. "auto" is "max" for names that end in "acc"
        or "accuracy", else "min".
    baseline : float, optional
        The value that the first epochs have to improve upon.
    restore_best_weights : bool
        Whether the model gets the weights of its best epoch when the training ends, however it
        ends. In Keras this happens only if it was stopped early.
    start_from_epoch : int
        Earlier epochs are ignored.

    Attributes
    ----------
    stopped_epoch : int
        The epoch after which it stopped; 0 if it did not.
    best : float
        The best number so far.
    best_epoch : int
        The epoch of the best number.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value; from `fit`, if there is no such number.

    Examples
    --------
    >>> import pyrnn
    >>> stop = pyrnn.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    """

    patience: Setting[int] = Setting(count)
    verbose: Setting[int] = Setting(verbosity)
    baseline: Setting[float | None] = Setting(number_or_none)
    restore_best_weights: Setting[bool] = Setting(_checks.flag)
    start_from_epoch: Setting[int] = Setting(count)
    wait: Setting[int] = Setting(count)
    best_epoch: Setting[int] = Setting(count)
    stopped_epoch: Setting[int] = Setting(count)

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        self._monitor = Monitor(monitor, mode, min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._begin()

    def _begin(self) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self._monitor.best = self._monitor.sign * np.inf
        self._weights: dict[str, Any] | None = None
        self._continues = False

    @property
    def best(self) -> float:
        """The best number so far."""
        return self._monitor.best

    def on_train_begin(self) -> None:
        """Forget an earlier training, unless this one continues it; end one that had ended.

        It may have been killed after its last epoch, before `on_train_end`.
        """
        epochs = self.trainer.progress.epoch
        if not self.trainer.progress.step:
            self._begin()
        elif self._continues and self.stopped_epoch and self.stopped_epoch + 1 == epochs:
            self.trainer.stop_training = True
        self._continues = False

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Check the monitored number."""
        if epoch < self.start_from_epoch:
            return
        value = self._monitor.value(logs)
        self.wait += 1
        better = self._monitor.is_better(value)
        if self.restore_best_weights and (better or self._weights is None):
            self._weights = {n: p.copy() for n, p in arrays_of(self.model).items()}
        if better:
            self._monitor.best, self.best_epoch = value, epoch
            if self.baseline is None or self._monitor.is_better(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.trainer.stop_training = True
            if self.verbose and not self.trainer.rank:
                print(f"Epoch {epoch + 1}: early stopping", flush=True)

    def on_train_end(self) -> None:
        """Restore the best weights."""
        if self._weights is not None:
            set_arrays(self.model, self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Return what a later run needs to continue counting."""
        own = {name: getattr(self, name) for name in ("wait", "stopped_epoch", "best_epoch")}
        return {**own, "best": self._monitor.best, "weights": self._weights}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        names = ("wait", "stopped_epoch", "best_epoch")
        counts = {name: _checks.size(name, state_dict[name], 0) for name in names}
        best, weights = float(state_dict["best"]), state_dict["weights"]
        if weights is not None and self.model is not None:
            _check_weights(weights, arrays_of(self.model))
        for name, value in counts.items():
            setattr(self, name, value)
        self._monitor.best, self._weights = best, weights
        self._continues = True


def _check_weights(weights: Any, arrays: Mapping[str, Any]) -> None:
    """Refuse the best weights of another model."""
    if not isinstance(weights, Mapping) or set(weights) != set(arrays):
        raise ValueError(f"weights: expected {', '.join(arrays)}, got {_checks.shown(weights)}")
    for name, array in arrays.items():
        if np.shape(weights[name]) != array.shape:
            raise ValueError(f"weights: {name}: expected shape {array.shape}")
