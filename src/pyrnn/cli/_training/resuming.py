"""Checkpoints of ``pyrnn train``: everything that ``--resume`` needs, the arguments included."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pyrnn._files import shown
from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._training import tokens
from pyrnn.cli._training.run import Training
from pyrnn.cli._training.texts import STANDARD_INPUT
from pyrnn.text.preparation import Source
from pyrnn.training.run import checkpoint

NOT_SAVED = ("command", "run", "resume", "force", "threads", "parser", "report")
"""Arguments that concern the start only, and not the training."""


def path_beside(model: Path) -> Path:
    """The checkpoint of a model file: ``m.checkpoint.safetensors`` for ``m.safetensors``."""
    stem = model.with_suffix("") if model.suffix == ".safetensors" else model
    return Path(f"{stem}.checkpoint.safetensors")


class Keeper:
    """Writes the checkpoints of a run.

    Parameters
    ----------
    training : Training
        What is saved.
    arguments : argparse.Namespace
        Those of the run.
    texts : sequence of Source
        Sizes and hashes, of the held-out text too.
    model : Path
        The output; the checkpoint lies beside it.
    """

    def __init__(
        self,
        training: Training,
        arguments: argparse.Namespace,
        texts: Sequence[Source],
        model: Path,
    ) -> None:
        self.path = path_beside(model)
        self._training = training
        options = {n: value for n, value in vars(arguments).items() if n not in NOT_SAVED}
        options["files"] = [
            file if file == STANDARD_INPUT else os.path.abspath(file) for file in arguments.files
        ]
        options["out"] = os.path.abspath(model)
        for name in ("val", "log"):
            if options[name] is not None:
                options[name] = os.path.abspath(options[name])
        if tokens.files(options["tokens"]):
            options["tokens"] = os.path.abspath(options["tokens"])
        found = [{"path": t.path, "size": t.size, "sha256": t.sha256} for t in texts]
        self._run = {"arguments": options, "texts": found}

    def save(self) -> None:
        """Write a checkpoint; a failure is one line, and the checkpoint before stays whole."""
        # A signal counts after the file is complete.
        tree = {**self._run, "training": self._training.state_dict()}
        if not self._training.is_first:
            return
        try:
            checkpoint.write(self.path, tree)
        except OSError as error:
            raise UsageError(
                f"--checkpoint-every: cannot write {str(self.path)!r} ({error.strerror or error})"
            ) from error


class Resumed:
    """A checkpoint that a run continues from.

    Attributes
    ----------
    arguments : argparse.Namespace
        Those of the run that saved it.
    """

    def __init__(self, path: str, given: argparse.Namespace, default: Callable[[str], Any]) -> None:
        changed = [
            name
            for name, value in vars(given).items()
            if name not in NOT_SAVED and value != default(name) and value != []
        ]
        if changed:
            names = ", ".join("FILE" if n == "files" else _option(n) for n in changed)
            raise UsageError(
                f"--resume: expected no other arguments, since they are in the checkpoint; got "
                f"{names}"
            )
        try:
            self._tree = checkpoint.read(path)
            own = self._tree["arguments"]
            unknown = [name for name in own if not hasattr(given, name)]
            if unknown or not isinstance(self._tree["training"], dict):
                raise ValueError(f"unknown arguments {unknown}")
            self._texts = list(self._tree["texts"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, checkpoint.CheckpointError):
                raise UsageError(f"--resume: {error}") from error
            raise UsageError(
                f"--resume: {shown(path)}: expected a checkpoint of pyrnn train ({error})"
            ) from error
        self.arguments = argparse.Namespace(**{**vars(given), **own})

    def check_sizes(self, files: Sequence[str | Path]) -> None:
        """Refuse texts other than those that the training began with, before they are read."""
        if len(files) != len(self._texts):
            raise UsageError(
                f"--resume: expected the {len(self._texts)} texts that the training began with, "
                f"got {len(files)}"
            )
        for before, file in zip(self._texts, files, strict=True):
            path = os.path.abspath(file)
            if os.path.isfile(path) and os.path.getsize(path) != before["size"]:
                self._refuse(before, path)

    def check_texts(self, read: Sequence[Source]) -> None:
        """Refuse texts whose contents have changed since the training began."""
        for before, now in zip(self._texts, read, strict=True):
            if (before["size"], before["sha256"]) != (now.size, now.sha256):
                self._refuse(before, now.path)

    def _refuse(self, before: dict[str, Any], path: str) -> NoReturn:
        raise UsageError(
            f"--resume: {shown(path)}: expected the text of {before['size']:,} bytes that the "
            "training began with, got another"
        )

    def restore(self, training: Training) -> None:
        """Restore the state of a training."""
        try:
            training.load_state_dict(self._tree["training"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = error.args[0] if error.args else type(error).__name__
            raise UsageError(
                f"--resume: expected a checkpoint of this training ({reason})"
            ) from error


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
