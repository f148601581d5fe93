"""A trainer on several ranks: how they start, and what a checkpoint stores for all of them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from pyrnn import _checks
from pyrnn.distributed.batch import BatchExchange
from pyrnn.distributed.exchange import GradientSum
from pyrnn.distributed.ranks import Ranks, join
from pyrnn.layers.composition._shared_batch import shared_batch
from pyrnn.parameters.dictionary import arrays_of, set_arrays
from pyrnn.training.run import _model, _tree
from pyrnn.training.run.batches import Data
from pyrnn.training.run.callbacks.base import CallbackList

Items = TypeVar("Items", bound=Sequence[Any])


def own(ranks: Ranks | None, data: Data, name: str) -> Data:
    """The rows of this rank."""
    if ranks is None:
        return data
    if not hasattr(data, "of_rank") or not hasattr(data, "place"):
        raise TypeError(
            f"{name}: expected with communicator= a pair (x, targets), an array of tokens, or "
            f"batches that have of_rank and place, got {_checks.shown(data)}"
        )
    return data.of_rank(ranks.rank, ranks.count)


def begin(trainer: Any) -> None:
    """Draw the same batches as rank 0, but other dropout masks than any other rank."""
    ranks: Ranks | None = trainer._ranks
    if ranks is None:
        return
    progress, generators = trainer.progress, _model.generators(trainer.model)
    drawn = {name: g.bit_generator.state for name, g in generators.items()}
    order, drawn = ranks.from_first((progress.generator.bit_generator.state, drawn))
    progress.generator.bit_generator.state = progress.before = order
    with ranks.agreed():
        if set(drawn) != set(generators):
            raise ValueError("model: expected the same layers on all ranks")
        set_generators(trainer, [drawn])


def check_equal(
    trainer: Any,
    data: Data,
    held_out: Data | None,
    batch_size: int,
    called: CallbackList,
    arguments: Mapping[str, Any],
) -> None:
    """Refuse ranks with different settings, then take the parameters of rank 0."""
    ranks: Ranks | None = trainer._ranks
    if ranks is None:
        return
    parameters = arrays_of(trainer.model)
    with ranks.agreed():
        if batch_size < ranks.count:
            raise ValueError(
                f"batch_size: expected at least 1 for each of {ranks.count} ranks, got {batch_size}"
            )
        given = {
            "model": [(name, a.shape, a.dtype.str) for name, a in parameters.items()],
            "loss": _name_of(trainer.loss),
            "optimizer": repr(trainer.optimizer),
            "optimizer.state_dict()": _hash_of(trainer.optimizer),
            "scheduler": [] if trainer.scheduler is None else _name_of(trainer.scheduler),
            "scheduler.state_dict()": _hash_of(trainer.scheduler),
            "clip_grad_norm": trainer.clip_grad_norm,
            "precision": trainer.precision,
            "train": len(data.items(None)),
            "validation": None if held_out is None else len(held_out.items(None)),
            "batch_size": batch_size,
            "callbacks": [type(c).__name__ for c in called.callbacks if c.restores],
            **arguments,
        }
    ranks.check_same(given)
    trainer._agrees_each_step = ranks.any(bool(called.batch_end))
    first = ranks.from_first(dict(parameters) if ranks.is_first else None)
    with ranks.agreed():
        if not ranks.is_first:
            set_arrays(trainer.model, first)


def _name_of(value: Any) -> Any:
    """What tells a function, or the class of an object, from another."""
    if isinstance(value, functools.partial):
        return [_name_of(value.func), repr(value.args), repr(value.keywords)]
    return getattr(value, "__qualname__", type(value).__qualname__)


def _hash_of(value: Any) -> str:
    """A hash of the state of an optimiser or a scheduler."""
    try:
        packed, tensors = _tree.pack(None if value is None else value.state_dict())
    except TypeError:  # of a class of the user's
        return ""
    found = hashlib.sha256(json.dumps(packed).encode())
    for array in tensors.values():
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def same_items(ranks: Ranks | None, name: str, items: Items) -> Items:
    """The items of a pass, of which all ranks must have as many: they exchange during each."""
    if ranks is not None:
        ranks.check_same({name: len(items)})
    return items


def agreed(ranks: Ranks | None) -> contextlib.AbstractContextManager[None]:
    """A context in which ranks work independently; an error of one is raised on all."""
    return _ALONE if ranks is None else ranks.agreed()


def together(ranks: Ranks | None) -> contextlib.AbstractContextManager[None]:
    """A context in which an error of one rank ends all."""
    return _ALONE if ranks is None else ranks.together()


def summing(trainer: Any) -> contextlib.AbstractContextManager[GradientSum | None]:
    """A context in which gradients are summed over ranks."""
    ranks: Ranks | None = trainer._ranks
    return _ALONE if ranks is None else ranks.summing(trainer.model.parameters)


def sharing(others: BatchExchange | None) -> contextlib.AbstractContextManager[None]:
    """A context in which layers know that other ranks have rows of the batch."""
    return _ALONE if others is None else shared_batch(others)


_ALONE = contextlib.nullcontext()


def share_buffers(trainer: Any, rows: Sequence[bool]) -> None:
    """Let all ranks have the running averages of the first one that had rows of a batch."""
    buffers = getattr(trainer.model, "buffers", {})
    if not buffers or True not in rows:
        return
    ranks: Ranks = trainer._ranks
    source = rows.index(True)
    first = ranks.from_rank(source, dict(buffers) if ranks.rank == source else None)
    if ranks.rank != source:
        buffers.update(first)


# --- checkpoints ----------------------------------------------------------------------------


def gathered_generators(trainer: Any) -> list[dict[str, Any]]:
    """The states of the layers' generators, of each rank."""
    generators = _model.generators(trainer.model)
    drawn = {name: g.bit_generator.state for name, g in generators.items()}
    return [drawn] if trainer._ranks is None else trainer._ranks.gathered(drawn)


def set_generators(trainer: Any, saved: Sequence[Mapping[str, Any]]) -> None:
    """Restore a rank's own generator; with another number of ranks, start independent ones."""
    ranks: Ranks | None = trainer._ranks
    rank, count = (0, 1) if ranks is None else (ranks.rank, ranks.count)
    same = len(saved) == count and count > 1
    for name, generator in _model.generators(trainer.model).items():
        generator.bit_generator.state = saved[rank if same else 0][name]
        if rank and not same:
            generator.bit_generator.state = generator.bit_generator.jumped(rank).state


def gathered_states(trainer: Any) -> list[Any]:
    """The states carried along, of all rows."""
    states = list(trainer.progress.states)
    ranks: Ranks | None = trainer._ranks
    if ranks is None:
        return states
    return [_joined(each, trainer._data) for each in zip(*ranks.gathered(states), strict=True)]


def own_states(trainer: Any, states: Sequence[Any]) -> list[Any]:
    """The rows of this rank in the states carried along."""
    if trainer._ranks is None or not states:
        return list(states)
    return [_part(state, trainer._data, trainer._ranks) for state in states]


def _joined(parts: Sequence[Any], data: Data) -> Any:
    """Join the states of all ranks; a rank without rows has None."""
    places = [
        data.place(sum(_rows(p) for p in parts), rank, len(parts))
        for rank, part in enumerate(parts)
        if part is not None
    ]
    there = [part for part in parts if part is not None]
    if not there:
        return None
    if isinstance(there[0], tuple):
        return tuple(join(each, places, 1) for each in zip(*there, strict=True))
    return join(there, places, 1)


def _part(state: Any, data: Data, ranks: Ranks) -> Any:
    if state is None:
        return None
    place = data.place(_rows(state), ranks.rank, ranks.count)
    arrays = state if isinstance(state, tuple) else (state,)
    own = tuple(np.ascontiguousarray(array[:, place]) for array in arrays)
    if not own[0].shape[1]:
        return None
    return own if isinstance(state, tuple) else own[0]


def _rows(state: Any) -> int:
    if state is None:
        return 0
    array = state[0] if isinstance(state, tuple) else state
    return int(array.shape[1])
