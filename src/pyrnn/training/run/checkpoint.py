"""Checkpoints: all that a training needs to continue with the same bits, in one file.

A ``.safetensors`` file with the parameters, the optimiser's moments, the carried state and the best
weights; and, as JSON in its metadata, counts, options, the schedule, the random generators as they
were, the history and what callbacks keep. It is written beside its place and then renamed, so that
the newest complete checkpoint survives any failure.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._files import AnyPath, checked_path, open_regular, shown, write_atomically
from pyrnn._imports import extras
from pyrnn._types import Array
from pyrnn.distributed.ranks import on_all_ranks
from pyrnn.interop import _safetensors
from pyrnn.interop._made import one_line
from pyrnn.parameters.dictionary import arrays_of
from pyrnn.training.run import _several, _tree
from pyrnn.training.run._restoring import COUNTS, DAMAGED, restore

VERSION = 1
_KEY = "pyrnn-checkpoint"
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("float32"), "F64": np.dtype("float64")}
_DTYPES["I64"] = np.dtype("int64")  # of a buffer that counts


class CheckpointError(ValueError):
    """The file is not a checkpoint, or belongs to another training; the message is one line."""


def save(trainer: Any, path: AnyPath, extra: Mapping[str, Any] | None = None) -> None:
    """Save the state of a trainer, between two steps.

    Parameters
    ----------
    trainer : Trainer
        Its model, optimiser, schedule, progress and callbacks.
    path : str, bytes or os.PathLike
        Where to.
    extra : dict, optional
        Anything else that belongs to the run, of JSON's values and arrays.

    Raises
    ------
    OSError
        If the file cannot be written; one that was there stays whole.
    MissingExtraError
        If safetensors is not installed.
    """
    state = _state(trainer)  # all ranks take part
    if trainer.rank == 0:
        write(path, {"trainer": state, "extra": extra})


def load(trainer: Any, path: AnyPath) -> Any:
    """Let a trainer's next `fit` continue from a checkpoint; return its ``extra``.

    Parameters
    ----------
    trainer : Trainer
        Made with the same arguments as the one that saved it.
    path : str, bytes or os.PathLike
        The file.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is no checkpoint, or another training's. Nothing has changed
        then.
    """
    tree = _read_once(trainer, path)
    with _several.agreed(trainer._ranks):
        try:
            extra = tree["extra"]
            restore(trainer, tree["trainer"])
        except DAMAGED as error:
            raise CheckpointError(
                f"{shown(path)}: expected a checkpoint of this training, got another's "
                f"({one_line(error)})"
            ) from error
    return extra


def is_there(trainer: Any, path: AnyPath) -> bool:
    """Whether rank 0 has this file."""
    there = os.path.exists(path)
    return there if trainer._ranks is None else bool(trainer._ranks.from_first(there))


def _read_once(trainer: Any, path: AnyPath) -> Any:
    """The tree of a checkpoint, read by rank 0; all ranks raise its error."""
    if trainer._ranks is None:
        return read(path)
    tree, error = None, None
    if trainer.rank == 0:
        try:
            tree = read(path)
        except CheckpointError as raised:
            error = raised
    tree, error = trainer._ranks.from_first((tree, error))
    if error is not None:
        with on_all_ranks:
            raise error
    return tree


def write(path: AnyPath, tree: Any) -> None:
    """Write a tree of numbers, strings and arrays as a checkpoint."""
    extras.require("safetensors", "safetensors")
    from safetensors.numpy import save as to_bytes

    packed, tensors = _tree.pack(tree)
    metadata = {_KEY: json.dumps({"version": VERSION, "tree": packed})}
    flat = {name: array.reshape(-1) for name, array in tensors.items()}
    write_atomically(path, to_bytes(flat, metadata))


def read(path: AnyPath) -> Any:
    """The tree of a checkpoint; `CheckpointError` if it is none."""
    name = checked_path(path)
    try:
        with open_regular(name) as file:
            size = os.fstat(file.fileno()).st_size
            contents = _safetensors.read_contents(file, size)
            if _KEY not in contents.metadata:
                raise CheckpointError(f"{shown(path)}: expected a checkpoint of a training")
            tensors: dict[str, Array] = {}
            for key, tensor in contents.tensors.items():
                array: Array = np.empty(tensor.shape, _DTYPES[tensor.dtype])
                if array.size:
                    _safetensors.read_into(array, file, contents.start + tensor.begin)
                tensors[key] = array
        document = json.loads(contents.metadata[_KEY])
        if document["version"] != VERSION:
            raise CheckpointError(
                f"{shown(path)}: expected version {VERSION} of checkpoints, got "
                f"{_checks.shown(document['version'])}"
            )
        return _tree.unpack(document["tree"], tensors)
    except CheckpointError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"{shown(path)}: cannot be read ({reason})") from error
    except DAMAGED as error:
        raise CheckpointError(
            f"{shown(path)}: expected a whole checkpoint, got a damaged one ({one_line(error)})"
        ) from error


# --- a trainer's state ----------------------------------------------------------------------


def _state(trainer: Any) -> dict[str, Any]:
    progress = trainer.progress
    return {
        "model": arrays_of(trainer.model),
        "optimizer": trainer.optimizer.state_dict(),
        "scheduler": None if trainer.scheduler is None else trainer.scheduler.state_dict(),
        "precision": trainer.precision,
        "generators": _several.gathered_generators(trainer),
        "progress": {
            **{name: getattr(progress, name) for name in COUNTS},
            "before": progress.before,
            "generator": progress.generator.bit_generator.state,
            "states": _several.gathered_states(trainer),
            "epochs": progress.history.epoch,
            "history": progress.history.history,
        },
        "callbacks": [[type(c).__name__, c.state_dict()] for c in trainer.callbacks],
    }
