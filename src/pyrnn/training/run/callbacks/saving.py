"""Models saved during training, and checkpoints to continue an interrupted training from."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from pyrnn import _checks
from pyrnn._files import AnyPath, shown
from pyrnn._pickling import public
from pyrnn.interop import serialization
from pyrnn.layers._options import Setting
from pyrnn.training.run import checkpoint
from pyrnn.training.run.callbacks.base import Callback, Monitor, path_of, verbosity


def check_freq(name: str, value: Any) -> str | int:
    """A check for epochs, or a number of steps."""
    if value == "epoch" and isinstance(value, str):
        return "epoch"
    if isinstance(value, str):
        raise ValueError(f"{name}: expected 'epoch' or a number of steps, got {value!r}")
    return _checks.size(name, value)


@public("pyrnn.callbacks")
class ModelCheckpoint(Callback):
    """Save the model after epochs or steps, or when it is better than before.

    Parameters
    ----------
    filepath : str, bytes or os.PathLike
        Where to; ``{epoch}`` and the names of numbers are filled in:
        ``"model-{epoch:02d}-{val_loss:.3f}.safetensors"``. Epochs count from 1 there.
    monitor : str
        Which number is looked at, with ``save_best_only``.
    verbose : int
        1 prints a line for each file.
    save_best_only : bool
        Whether only a model that is better than all before is saved.
    save_weights_only : bool
        Accepted as in Keras. A file has the weights and the options of the layers, and nothing of
        the optimiser, either way; `BackupAndRestore` keeps the whole training.
    mode : {"auto", "min", "max"}
        Whether smaller or larger numbers are better. "auto" is "max" for names that end in "acc"
        or "accuracy", else "min".
    save_freq : "epoch" or int
        After each epoch, or after so many steps.
    initial_value_threshold : float, optional
        With ``save_best_only``: the first model has to be better than this.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value; from `fit`, if there is no such number.
    OSError
        From `fit`, if a file cannot be written; one that was there stays whole.

    Examples
    --------
    >>> import pyrnn
    >>> keep = pyrnn.callbacks.ModelCheckpoint("best.safetensors", save_best_only=True)
    """

    filepath: Setting[Any] = Setting(path_of)
    verbose: Setting[int] = Setting(verbosity)
    save_best_only: Setting[bool] = Setting(_checks.flag)
    save_weights_only: Setting[bool] = Setting(_checks.flag)
    save_freq: Setting[str | int] = Setting(check_freq)

    def __init__(
        self,
        filepath: AnyPath,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        self.filepath = filepath
        self._monitor = Monitor(monitor, mode)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        if initial_value_threshold is not None:
            name = "initial_value_threshold"
            self._monitor.best = _checks.finite_number(name, initial_value_threshold, -math.inf)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Save, if it is due."""
        if self.save_freq == "epoch":
            self._save(epoch, logs)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
        """Save, if it is due."""
        if self.save_freq != "epoch" and self.trainer.progress.step % int(self.save_freq) == 0:
            self._save(self.trainer.progress.epoch, logs)

    def _save(self, epoch: int, logs: Mapping[str, float]) -> None:
        if self.save_best_only:
            value = self._monitor.value(logs)
            if not self._monitor.is_better(value):
                return
            self._monitor.best = value
        if self.trainer.rank:
            return
        path = self.filepath.format(epoch=epoch + 1, **logs)
        serialization.save(self.model, path)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved {shown(path)}", flush=True)

    def state_dict(self) -> dict[str, Any]:
        """The best number so far."""
        return {"best": self._monitor.best}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self._monitor.best = float(state_dict["best"])


@public("pyrnn.callbacks")
class BackupAndRestore(Callback):
    """Continue an interrupted training when the same program is run again.

    Parameters
    ----------
    filepath : str, bytes or os.PathLike
        The checkpoint; Keras has a folder here. If it exists, `fit` continues from it.
    save_freq : "epoch" or int
        After each epoch, or after so many steps.
    delete_checkpoint : bool
        Whether the checkpoint is removed when the training is complete.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value; from `fit`, if the checkpoint is that of another
        training.
    OSError
        From `fit`, if a checkpoint cannot be written; the one before stays whole.

    Notes
    -----
    A training that was killed and continued ends with the same bits as one that never stopped. Its
    model, data and arguments have to be the same. Of several ranks, the first writes and reads the
    checkpoint. Another number of ranks can continue from it as well, with the same loss to
    rounding.

    Examples
    --------
    >>> import pyrnn
    >>> backup = pyrnn.callbacks.BackupAndRestore("run.checkpoint.safetensors", save_freq=1000)
    """

    filepath: Setting[Any] = Setting(path_of)
    save_freq: Setting[str | int] = Setting(check_freq)
    delete_checkpoint: Setting[bool] = Setting(_checks.flag)

    def __init__(
        self,
        filepath: AnyPath,
        save_freq: str | int = "epoch",
        delete_checkpoint: bool = True,
    ) -> None:
        self.filepath = filepath
        self.save_freq = save_freq
        self.delete_checkpoint = delete_checkpoint

    restores = True

    def on_train_begin(self) -> None:
        """Continue from the checkpoint, if there is one."""
        if checkpoint.is_there(self.trainer, self.filepath):
            checkpoint.load(self.trainer, self.filepath)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Save, if it is due."""
        if self.save_freq == "epoch":
            checkpoint.save(self.trainer, self.filepath)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
        """Save, if it is due."""
        if self.save_freq != "epoch" and self.trainer.progress.step % int(self.save_freq) == 0:
            checkpoint.save(self.trainer, self.filepath)

    def on_train_end(self) -> None:
        """Remove the checkpoint."""
        if self.delete_checkpoint and not self.trainer.rank and os.path.exists(self.filepath):
            os.unlink(self.filepath)
