"""The numbers of each epoch in files: CSV, JSON lines, TensorBoard's events."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
from collections.abc import Mapping
from typing import Any

from pyrnn import _checks
from pyrnn._files import (
    AnyPath,
    open_regular,
    open_to_append,
    write_atomically,
)
from pyrnn._imports import extras
from pyrnn._pickling import public
from pyrnn.layers._options import Setting
from pyrnn.training.run.callbacks.base import Callback, path_of

_ANY_BYTES = "surrogateescape"
"""How bytes that are no text are kept as they are."""


class _FileLogger(Callback):
    """Base of what appends a line for each epoch."""

    filename: Setting[Any] = Setting(path_of)
    append: Setting[bool] = Setting(_checks.flag)

    def __init__(self, filename: AnyPath, append: bool) -> None:
        self.filename = filename
        self.append = append

    def on_train_begin(self) -> None:
        """Open the file; if the training continues, after the epochs that are done."""
        if self.trainer.rank:
            return
        goes_on = self.trainer.progress.step > 0
        if goes_on and os.path.exists(self.filename):
            with io.TextIOWrapper(
                open_regular(self.filename), "utf-8", _ANY_BYTES, newline=""
            ) as file:
                lines = file.readlines()
            done = [line for line in lines if self._is_done(line, self.trainer.progress.epoch)]
            if done != lines:
                write_atomically(self.filename, "".join(done).encode("utf-8", _ANY_BYTES))
            return
        with open_to_append(self.filename) as opened:
            if not self.append and os.path.isfile(self.filename):
                opened.truncate(0)

    def _append(self, text: str) -> None:
        if self.trainer.rank:  # the first of several ranks writes for all
            return
        with open_to_append(self.filename) as file:
            file.write(text)

    def _is_done(self, line: str, epoch: int) -> bool:
        """Whether a line belongs to an earlier epoch; an incomplete line does not."""
        raise NotImplementedError


def _one_character(name: str, value: Any) -> str:
    if len(_checks.string(name, value)) != 1:
        raise ValueError(f"{name}: expected one character, got {value!r}")
    return str(value)


@public("pyrnn.callbacks")
class CSVLogger(_FileLogger):
    """Write the numbers of each epoch into a CSV file, a line each.

    Parameters
    ----------
    filename : str, bytes or os.PathLike
        Where to.
    separator : str
        Between numbers, one character.
    append : bool
        Whether lines are added to a file that is there, or replace it. A training that continues
        from a checkpoint always appends.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.
    OSError
        From `fit`, if the file cannot be written.

    Examples
    --------
    >>> import pyrnn
    >>> log = pyrnn.callbacks.CSVLogger("training.csv")
    """

    separator: Setting[str] = Setting(_one_character)

    def __init__(self, filename: AnyPath, separator: str = ",", append: bool = False) -> None:
        super().__init__(filename, append)
        self.separator = separator

    def _is_done(self, line: str, epoch: int) -> bool:
        first = line.split(self.separator)[0]
        return line.endswith("\n") and (not first.isdigit() or int(first) < epoch)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Write a line; the first one of a file has the names."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=self.separator)
        if not os.path.exists(self.filename) or not os.path.getsize(self.filename):
            writer.writerow(["epoch", *logs])
        writer.writerow([epoch, *(repr(float(value)) for value in logs.values())])
        self._append(text.getvalue())


@public("pyrnn.callbacks")
class JSONLogger(_FileLogger):
    """Write the numbers of each epoch into a file, a JSON object on each line.

    Parameters
    ----------
    filename : str, bytes or os.PathLike
        Where to.
    append : bool
        Whether lines are added to a file that exists, instead of replacing it.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.
    OSError
        From `fit`, if the file cannot be written.

    Examples
    --------
    >>> import pyrnn
    >>> log = pyrnn.callbacks.JSONLogger("training.jsonl")
    """

    def __init__(self, filename: AnyPath, append: bool = False) -> None:
        super().__init__(filename, append)

    def _is_done(self, line: str, epoch: int) -> bool:
        try:
            return bool(json.loads(line)["epoch"] < epoch)
        except (ValueError, TypeError, KeyError):
            return False

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Write a line."""
        values = {name: float(value) for name, value in logs.items()}
        self._append(json.dumps({"epoch": epoch, **values}) + "\n")


@public("pyrnn.callbacks")
class TensorBoard(Callback):
    """Write the numbers of each epoch as events that TensorBoard shows.

    Parameters
    ----------
    log_dir : str, bytes or os.PathLike
        The folder of the events; each run has one of its own.

    Raises
    ------
    MissingExtraError
        If tensorboardX is not installed: ``pip install 'pyrnn[tensorboard]'``.
    OSError
        From `fit`, if the events cannot be written.

    Examples
    --------
    >>> import pyrnn
    >>> log = pyrnn.callbacks.TensorBoard("logs/first")  # doctest: +SKIP
    """

    log_dir: Setting[Any] = Setting(path_of)

    def __init__(self, log_dir: AnyPath = "logs") -> None:
        extras.require("tensorboard", "tensorboardX")
        self.log_dir = log_dir
        self._writer: Any = None

    def on_train_begin(self) -> None:
        """Open a file of events."""
        if self.trainer.rank:
            return
        writer = importlib.import_module("tensorboardX").SummaryWriter
        self._writer = writer(self.log_dir)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Write each number, as "epoch_loss" and so on, as Keras calls them."""
        if self._writer is None:
            return
        for name, value in logs.items():
            self._writer.add_scalar(f"epoch_{name}", float(value), epoch)
        self._writer.flush()

    def on_train_end(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
