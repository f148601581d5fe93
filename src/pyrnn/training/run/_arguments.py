"""What a `Trainer` is called with, checked: the loss, the schedule, the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from pyrnn import _checks
from pyrnn._types import Array
from pyrnn.training import losses
from pyrnn.training._optimizer import Optimizer
from pyrnn.training.run import _archives, _model
from pyrnn.training.run.batches import Data, Sequences, TokenStreams, Window
from pyrnn.training.schedules._base import LRScheduler

Loss = Callable[..., tuple[Any, Array]]
Precision = Literal["float32", "bf16"]
Kind = TypeVar("Kind")
DEFAULT_K1 = 32
EVALUATED_TOKENS = 1 << 16
"""The number of steps of a text in one batch of an evaluation."""


def check_model(name: str, value: Any) -> Any:
    """A check for what can be trained."""
    for method in ("parameters", "forward", "backward", "train", "eval"):
        if not hasattr(value, method):
            raise TypeError(f"{name}: expected a layer or a model, got {_checks.shown(value)}")
    return value


def instance_of(kind: type[Kind]) -> Callable[[str, Any], Kind]:
    """A check for an object of a class."""

    def check(name: str, value: Any) -> Kind:
        if not isinstance(value, kind):
            raise TypeError(f"{name}: expected a {kind.__name__}, got {_checks.shown(value)}")
        return value

    return check


def find_loss(loss: Any) -> Loss:
    """A loss by its name, or as it is."""
    if isinstance(loss, str):
        names = {name.removesuffix("_loss"): name for name in losses.__all__}
        key = names.get(loss.removesuffix("_loss"))
        if key is None:
            raise ValueError(f"loss: expected one of {', '.join(names)}, got {_checks.shown(loss)}")
        function: Loss = getattr(losses, key)
        return function
    if not callable(loss):
        raise TypeError(f"loss: expected a name or a function, got {_checks.shown(loss)}")
    found: Loss = loss
    return found


def compute_of(precision: Any, model: Any) -> dict[str, str]:
    """What ``train`` and ``eval`` of a model are given for a precision."""
    if precision is None:
        return {}
    chosen = _checks.choice("precision", precision, get_args(Precision))
    if model.dtype != np.float32:
        raise ValueError(
            f"precision: expected None for a model of {model.dtype}, got {precision!r}"
        )
    return {"compute": "bfloat16" if chosen == "bf16" else "float32"}


def check_scheduler(scheduler: Any, optimizer: Optimizer) -> tuple[LRScheduler | None, bool]:
    """The scheduler, and whether each step counts for it."""
    if scheduler is None:
        return None, False
    found, every = scheduler if isinstance(scheduler, tuple) else (scheduler, None)
    if not isinstance(found, LRScheduler):
        got = _checks.shown(found)
        raise TypeError(f"scheduler: expected one of pyrnn.optim.lr_scheduler, got {got}")
    if found.optimizer is not optimizer:
        raise ValueError("scheduler: expected one of the same optimiser, got another's")
    if every is None:
        return found, found.each_batch
    return found, _checks.choice("scheduler", every, ("step", "epoch")) == "step"


def data_of(model: Any, name: str, given: Any, batch_size: int, window: Window | None) -> Data:
    """The source of batches: sequences with targets, or one text."""
    size = _checks.size("batch_size", batch_size)
    if _archives.is_archive(given):
        given = _archives.pair_of(name, given, each_step=not _model.ends_time(model))
    if isinstance(given, (tuple, list)) and len(given) == 2:
        if window is not None:
            _model.refuse_window(model)
        x, targets = given
        return sequences_of(model, name, x, targets, size, window)
    if isinstance(given, np.ndarray) and given.ndim == 1 and given.dtype.kind in "iu":
        _model.refuse_window(model)
        if name == "train":
            window = window or Window(DEFAULT_K1, DEFAULT_K1)
        else:
            # However short the text: with two tokens or more, there is one stream.
            size = max(1, min(size, (len(given) - 1) // DEFAULT_K1))
            steps = max(DEFAULT_K1, EVALUATED_TOKENS // size)
            window = Window(steps, steps)
        batch_first = _model.batch_first(model)
        return TokenStreams(given, size, window, batch_first=batch_first, name=name)
    if hasattr(given, "items") and hasattr(given, "load") and hasattr(given, "batch_first"):
        data: Data = given
        return data
    raise TypeError(
        f"{name}: expected a pair (x, targets), a .npz archive or an array of tokens (L,), got "
        f"{_checks.shown(given)}"
    )


def sequences_of(
    model: Any, name: str, x: Any, targets: Any, size: int, window: Window | None
) -> Sequences:
    """The source of batches of sequences with targets."""
    return Sequences(
        x,
        targets,
        size,
        each_step=not _model.ends_time(model),
        dtype=model.dtype,
        batch_first=_model.batch_first(model),
        window=window,
        name=name,
    )
