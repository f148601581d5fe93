"""A training's state from the tree of a checkpoint: all of it, or nothing if something is wrong."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn.parameters.dictionary import arrays_of, set_arrays
from pyrnn.training.run import _model, _several
from pyrnn.training.run.history import History

COUNTS = (
    "step",
    "epoch",
    "item",
    "step_of_epoch",
    "batches_of_epoch",
    "total",
    "weight",
)
_SUMS = ("total", "weight")
"""Of these counts, those that are no whole numbers."""

DAMAGED = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    ArithmeticError,
    RecursionError,
)
"""What a tree with something else in a place of it may raise."""


def restore(trainer: Any, state: Mapping[str, Any]) -> None:
    """Restore everything, after checking that the checkpoint belongs to this training.

    If something cannot be restored, everything is as it was before.
    """
    drawn = _check(trainer, state)
    before = _Kept(trainer)
    try:
        trainer.optimizer.load_state_dict(state["optimizer"])
        if trainer.scheduler is not None:
            trainer.scheduler.load_state_dict(state["scheduler"])
        set_arrays(trainer.model, state["model"])
        _several.set_generators(trainer, drawn)
        for callback, (_, own) in zip(trainer.callbacks, state["callbacks"], strict=True):
            callback.load_state_dict(own)
        _restore_progress(trainer, state["progress"])
    except BaseException:
        before.put_back(trainer)
        raise


def _check(trainer: Any, state: Mapping[str, Any]) -> list[Any]:
    """Refuse the checkpoint of another training; the generators of its layers."""
    arrays = arrays_of(trainer.model)
    if set(state["model"]) != set(arrays):
        raise ValueError(f"model: expected the parameters {', '.join(arrays)}")
    drawn = state["generators"]
    drawn = [drawn] if isinstance(drawn, Mapping) else drawn  # written before there were ranks
    if set(drawn[0]) != set(_model.generators(trainer.model)):
        raise ValueError("model: expected layers with the same dropout")
    if (state["scheduler"] is None) != (trainer.scheduler is None):
        raise ValueError("scheduler: expected one where there was one")
    saved = state.get("precision")  # not there in older ones
    if (saved == "bf16") != (trainer.precision == "bf16"):
        raise ValueError(f"precision: expected {saved!r}, got {trainer.precision!r}")
    callbacks = [type(callback).__name__ for callback in trainer.callbacks]
    if [name for name, _ in state["callbacks"]] != callbacks:
        got = ", ".join(callbacks)
        raise ValueError(f"callbacks: expected {[n for n, _ in state['callbacks']]}, got {got}")
    for name, array in arrays.items():
        if state["model"][name].shape != array.shape or state["model"][name].dtype != array.dtype:
            raise ValueError(f"{name}: expected shape {array.shape} and dtype {array.dtype}")
    return [{name: _generator(one) for name, one in rank.items()} for rank in drawn]


def _generator(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state of a generator of random numbers; NumPy 1 takes any integers for it."""
    for name in ("state", "inc"):
        _checks.size(name, state["state"][name], 0, 2**128 - 1)
    _checks.size("has_uint32", state["has_uint32"], 0, 1)
    _checks.size("uinteger", state["uinteger"], 0, 2**32 - 1)
    return state


def _restore_progress(trainer: Any, saved: Mapping[str, Any]) -> None:
    progress = trainer.progress
    counts = {name: _count(name, saved[name]) for name in COUNTS}
    states = [_state(state) for state in saved["states"]]
    progress.begin()
    for name, value in counts.items():
        setattr(progress, name, value)
    in_pass = progress.item > 0
    # The order of this pass is drawn again, from the generator's state before it.
    order = _generator(saved["before"] if in_pass else saved["generator"])
    progress.generator.bit_generator.state = order
    progress.states = deque(_several.own_states(trainer, states))
    progress.history = trainer.history = _history(saved["epochs"], saved["history"])


def _count(name: str, value: Any) -> int | float:
    if name not in _SUMS:
        return _checks.size(name, value, 0, _checks.MAX_STEPS)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: expected a number, got {_checks.shown(value)}")
    return float(value)


def _state(state: Any) -> Any:
    """The state of a layer: arrays in tuples, or None."""
    if isinstance(state, list):
        return tuple([_state(part) for part in state])
    if state is not None and not isinstance(state, np.ndarray):
        raise TypeError(f"states: expected arrays, got {_checks.shown(state)}")
    return state


def _history(epochs: Any, columns: Any) -> History:
    history = History()
    history.epoch.extend(_checks.size("epochs", epoch, 0, _checks.MAX_STEPS) for epoch in epochs)
    for name, column in columns.items():
        if not isinstance(column, list) or not all(type(n) in (int, float) for n in column):
            raise TypeError(f"history: expected lists of numbers, got {_checks.shown(column)}")
        history.history[name] = list(column)
    return history


class _Kept:
    """What a training was, to put back."""

    def __init__(self, trainer: Any) -> None:
        scheduler, progress = trainer.scheduler, trainer.progress
        self._arrays = {name: array.copy() for name, array in arrays_of(trainer.model).items()}
        self._optimizer = copy.deepcopy(trainer.optimizer.state_dict())
        self._scheduler = None if scheduler is None else copy.deepcopy(scheduler.state_dict())
        self._drawn = {
            name: copy.deepcopy(generator.bit_generator.state)
            for name, generator in _model.generators(trainer.model).items()
        }
        self._callbacks = [copy.deepcopy(callback.state_dict()) for callback in trainer.callbacks]
        self._progress = dict(vars(progress))
        self._order = copy.deepcopy(progress.generator.bit_generator.state)
        self._history = trainer.history

    def put_back(self, trainer: Any) -> None:
        if trainer.scheduler is not None:  # sets rates, which are the optimiser's as well
            trainer.scheduler.load_state_dict(self._scheduler)
        trainer.optimizer.load_state_dict(self._optimizer)
        set_arrays(trainer.model, self._arrays)
        for name, generator in _model.generators(trainer.model).items():
            generator.bit_generator.state = self._drawn[name]
        for callback, own in zip(trainer.callbacks, self._callbacks, strict=True):
            callback.load_state_dict(own)
        vars(trainer.progress).update(self._progress)
        trainer.progress.generator.bit_generator.state = self._order
        trainer.history = self._history
