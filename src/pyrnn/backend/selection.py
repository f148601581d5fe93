"""Which backend computes: the compiled core (``native``) or the NumPy reference (``reference``).

Everything above asks `current()` for a `Backend` and calls the functions listed in that protocol
(`protocol.py`); the two backends are interchangeable.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Literal, get_args

from pyrnn._imports.lazy import importing
from pyrnn._pickling import public
from pyrnn.backend.protocol import Backend as Backend
from pyrnn.backend.protocol import Backward as Backward
from pyrnn.backend.protocol import Forward as Forward
from pyrnn.backend.protocol import StepCheck as StepCheck
from pyrnn.backend.protocol import StreamEngine as StreamEngine

BackendName = Literal["native", "reference"]
NAMES: tuple[str, ...] = get_args(BackendName)

_chosen: ContextVar[Backend | None] = ContextVar("pyrnn_backend", default=None)
_loaded: dict[str, Backend] = {}


@functools.cache
def native_module() -> Any | None:
    """The compiled core, or None where it is missing (one that cannot be loaded is an error)."""
    try:
        with importing():
            return importlib.import_module("pyrnn._core")
    except ModuleNotFoundError as error:
        if error.name != "pyrnn._core":
            raise
        return None


def available() -> tuple[str, ...]:
    """Return the names of the backends that are installed."""
    return NAMES if native_module() is not None else ("reference",)


def find(name: str, argument: str = "name") -> Backend:
    """Return the backend of that name, loaded at its first use. Errors call it ``argument``."""
    if not isinstance(name, str) or name not in NAMES:
        raise ValueError(f"{argument}: expected 'native' or 'reference', got {name!r}")
    return _loaded.get(name) or _load(name, argument)


def _load(name: str, argument: str) -> Backend:
    if name not in available():
        raise RuntimeError(f"{argument}: 'native' was asked for, but the compiled core is missing")
    backend: Backend
    if name == "reference":
        with importing():
            from pyrnn.reference.backend import ReferenceBackend

        backend = ReferenceBackend()
    else:
        with importing():
            from pyrnn.backend.native import NativeBackend

        backend = NativeBackend()
    _loaded[name] = backend
    return backend


def current() -> Backend:
    """Return the active backend: that of `use_backend`, else of ``PYRNN_BACKEND``, else native."""
    return _chosen.get() or _loaded.get(_default()) or find(_default(), "PYRNN_BACKEND")


@functools.cache
def _default() -> str:
    wanted = os.environ.get("PYRNN_BACKEND")
    if wanted:
        return wanted
    if "native" not in available():
        warnings.warn(
            "pyrnn: the compiled core is missing; the slow NumPy reference is used "
            "(pip install pyrnn builds the core)",
            RuntimeWarning,
            stacklevel=3,
        )
    return available()[0]


@public("pyrnn")
@contextlib.contextmanager
def use_backend(name: BackendName) -> Iterator[None]:
    """Select the backend that computes inside a ``with`` block.

    The choice applies only to the current thread, or asyncio task.

    Parameters
    ----------
    name : {"native", "reference"}
        The compiled core, or the NumPy reference.

    Yields
    ------
    None
        The block runs with that backend; afterwards the previous one is active again.

    Raises
    ------
    ValueError
        If ``name`` is neither.
    RuntimeError
        If ``name`` is "native" and the compiled core is missing.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.LSTM(3, 4, seed=0)
    >>> x = np.ones((5, 2, 3), dtype=np.float32)
    >>> fast, _ = layer(x)
    >>> with pyrnn.use_backend("reference"):
    ...     plain, _ = layer(x)
    >>> bool(np.allclose(fast, plain, atol=1e-6))
    True
    """
    token = _chosen.set(find(name))
    try:
        yield
    finally:
        _chosen.reset(token)
