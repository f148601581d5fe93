"""Gradients that are finished while the backward pass of the layers below still runs.

Whoever calls `backward` of a model here is given each layer's gradients as soon as they are final.
Only layers whose `backward` is pyrnn's own give them early: another one may still change what a
layer within it has returned, so its gradients are given when it has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from pyrnn._types import Array

Take = Callable[[Mapping[str, Array]], None]
"""What is given gradients by their names; the same one may come again, with the layers around."""

_asked: ContextVar[tuple[Any, Take] | None] = ContextVar("pyrnn_finished", default=None)


def backward(layer: Any, take: Take | None, cache: Any, dy: Any, **options: Any) -> Any:
    """Call ``layer.backward``, with ``take`` given the gradients, by the names that it returns."""
    if take is None:
        return layer.backward(cache, dy, **options)
    own = getattr(layer.backward, "__module__", None) or ""
    token = _asked.set((layer, take) if own.startswith("pyrnn.") else None)
    try:
        result = layer.backward(cache, dy, **options)
    finally:
        _asked.reset(token)
    take(result[2])
    return result


def asked(layer: Any) -> Take | None:
    """What the gradients of parts of this layer are given to, while its `backward` runs."""
    found = _asked.get()
    return found[1] if found is not None and found[0] is layer else None


def within(take: Take | None, name: str) -> Take | None:
    """For a layer of this name in a composition that gives its gradients to ``take``."""
    return None if take is None else partial(_take_prefixed, take, name)


def _take_prefixed(take: Take, prefix: str, grads: Mapping[str, Array]) -> None:
    take({f"{prefix}.{name}": array for name, array in grads.items()})
