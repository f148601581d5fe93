"""A batch whose rows several processes compute: how a layer gets numbers of all its rows.

Layers know nothing of processes. Whoever shares a batch gives a function for the time of a forward
pass; a layer that needs a sum over the whole batch calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pyrnn._types import Array

Exchange = Callable[[Array], Array]
"""From a vector (n,) of this process' rows to those of all processes, (P, n), in a fixed order.

A process without rows has zeros. The layers of all processes call it in the same order, in the
forward and in the backward pass as often.
"""

_exchange: ContextVar[Exchange | None] = ContextVar("pyrnn_shared_batch", default=None)


def exchange() -> Exchange | None:
    """The function of the present batch; None if all its rows are here."""
    return _exchange.get()


@contextmanager
def shared_batch(function: Exchange) -> Iterator[None]:
    """Inside a ``with`` block batches have other rows elsewhere."""
    token = _exchange.set(function)
    try:
        yield
    finally:
        _exchange.reset(token)
