"""Checkpoints of ``pyrnn train``: everything that ``--resume`` needs, the arguments included."""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pyrnn.cli._errors import UsageError
from pyrnn.cli._training.run import Training
from pyrnn.training.run import checkpoint

NOT_SAVED = ("command", "run", "resume", "force", "threads", "parser")
"""Arguments that belong to a start, and not to the training."""
BLOCK = 1 << 20


def path_beside(model: Path) -> Path:
    """The checkpoint of a model file: ``m.checkpoint.safetensors`` for ``m.safetensors``."""
    stem = model.with_suffix("") if model.suffix == ".safetensors" else model
    return Path(f"{stem}.checkpoint.safetensors")


def fingerprint(file: str | Path) -> dict[str, Any]:
    """The absolute path, the size and the hash of a text."""
    digest = hashlib.sha256()
    try:
        with open(file, "rb") as opened:
            while block := opened.read(BLOCK):
                digest.update(block)
            size = opened.tell()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror or error})") from error
    return {"path": os.path.abspath(file), "size": size, "sha256": digest.hexdigest()}


class Keeper:
    """Writes the checkpoints of a run.

    Parameters
    ----------
    training : Training
        What is saved.
    arguments : argparse.Namespace
        Those of the run.
    files : sequence of paths
        The texts, the held-out one included.
    model : Path
        The output; the checkpoint lies beside it.
    """

    def __init__(
        self,
        training: Training,
        arguments: argparse.Namespace,
        files: Sequence[str | Path],
        model: Path,
    ) -> None:
        self.path = path_beside(model)
        self._training = training
        options = {n: value for n, value in vars(arguments).items() if n not in NOT_SAVED}
        options["files"] = [os.path.abspath(file) for file in arguments.files]
        options["out"] = os.path.abspath(model)
        for name in ("val", "log"):
            if options[name] is not None:
                options[name] = os.path.abspath(options[name])
        self._run = {"arguments": options, "texts": [fingerprint(file) for file in files]}

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
                f"--resume: {path}: expected a checkpoint of pyrnn train ({error})"
            ) from error
        self.arguments = argparse.Namespace(**{**vars(given), **own})

    def check_texts(self, files: Sequence[str | Path]) -> None:
        """Refuse texts that are not those that the training began with."""
        found = [fingerprint(file) for file in files]
        for before, now in zip(self._texts, found, strict=False):
            if (before["size"], before["sha256"]) != (now["size"], now["sha256"]):
                raise UsageError(
                    f"--resume: {now['path']}: expected the text of {before['size']:,} bytes that "
                    "the training began with, got another"
                )
        if len(found) != len(self._texts):
            raise UsageError(
                f"--resume: expected the {len(self._texts)} texts that the training began with, "
                f"got {len(found)}"
            )

    def restore(self, training: Training) -> None:
        """Bring a training to where it was."""
        try:
            training.load_state_dict(self._tree["training"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = error.args[0] if error.args else type(error).__name__
            raise UsageError(
                f"--resume: expected a checkpoint of this training ({reason})"
            ) from error


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
