"""Which backend computes: the compiled core (``native``) or the NumPy reference (``reference``).

Everything above asks `current()` for a `Backend` and calls the functions listed in that protocol
(`protocol.py`); the two backends are interchangeable.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, TypeVar, cast, get_args

from pyrnn._imports.lazy import importing
from pyrnn._pickling import public
from pyrnn.backend.protocol import Backend as Backend
from pyrnn.backend.protocol import Backward as Backward
from pyrnn.backend.protocol import Forward as Forward
from pyrnn.backend.protocol import StepCheck as StepCheck
from pyrnn.backend.protocol import StreamEngine as StreamEngine

BackendName = Literal["native", "reference"]
NAMES: tuple[str, ...] = get_args(BackendName)
Function = TypeVar("Function", bound=Callable[..., Any])

_chosen: ContextVar[Backend | None] = ContextVar("pyrnn_backend", default=None)
# In ContextVars too, so that threads and tasks can share one object of `use_backend`.
_latest: ContextVar[tuple[use_backend, Backend | None] | None]
_latest = ContextVar("pyrnn_latest", default=None)
"""The latest choice that is a statement as yet, and what was chosen before it."""
_before: ContextVar[tuple[Backend | None, ...]] = ContextVar("pyrnn_before", default=())
"""What was chosen before each ``with`` block that is open."""

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


def chosen() -> Backend | None:
    """What `use_backend` has chosen here, or None for the default."""
    return _chosen.get()


def shortcut(method: Function) -> Function:
    """Let a method's usual calls be one call of the core, which never enters the method.

    The object has a pair ``_ready``: what `chosen` returned, and a function of the core. While that
    backend is chosen, this function is called with the method's one or two arguments (the second
    may be named ``state``), and the method only if it returns None. So both must mean the same.
    """
    core = native_module()
    if core is None:
        return method
    first = core.Shortcut(method, "_ready", _chosen)
    return cast(Function, functools.update_wrapper(first, method))


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
class use_backend:  # noqa: N801 (it is called as a function is)
    """Select the backend that computes: from now on, in a ``with`` block, or in a function.

    As a statement it holds until the next choice, or the end of a ``with`` block around it. Each
    thread and asyncio task has its own choice; a new thread starts with the default.

    Parameters
    ----------
    name : {"native", "reference"}
        The compiled core, or the NumPy reference.

    Raises
    ------
    ValueError
        If ``name`` is neither.
    RuntimeError
        If ``name`` is "native" and the compiled core is missing.
    TypeError
        If it decorates a generator, whose caller would compute with that backend too.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.LSTM(3, 4, seed=0)
    >>> x = np.ones((5, 2, 3), dtype=np.float32)
    >>> fast, _ = layer(x)
    >>> with pyrnn.use_backend("reference"):  # afterwards the previous one is active again
    ...     plain, _ = layer(x)
    >>> bool(np.allclose(fast, plain, atol=1e-6))
    True
    >>> @pyrnn.use_backend("reference")
    ... def equations():
    ...     return layer(x)[0]
    >>> np.array_equal(equations(), plain)
    True
    >>> _ = pyrnn.use_backend("reference")  # in all that follows
    >>> np.array_equal(layer(x)[0], plain)
    True
    >>> _ = pyrnn.use_backend("native")
    """

    def __init__(self, name: BackendName) -> None:
        self._backend = find(name)
        self._name = name
        _latest.set((self, _chosen.get()))
        _chosen.set(self._backend)

    def _take_back(self) -> Backend | None:
        """What was chosen before this, if it is the latest choice; else what is chosen now."""
        latest = _latest.get()
        if latest is None or latest[0] is not self:
            return _chosen.get()
        _latest.set(None)
        return latest[1]

    def __enter__(self) -> None:
        _before.set((*_before.get(), self._take_back()))
        _chosen.set(self._backend)

    def __exit__(self, *raised: object) -> None:
        *others, last = _before.get()
        _before.set(tuple(others))
        _chosen.set(last)
        _latest.set(None)

    def __call__(self, function: Function) -> Function:
        """Decorate a function, which then computes with that backend, and nothing else does.

        Parameters
        ----------
        function : callable
            A function or coroutine function.

        Returns
        -------
        callable
            The same function, in a ``with`` block.

        Raises
        ------
        TypeError
            If it is a generator.

        Examples
        --------
        >>> import pyrnn
        >>> info = pyrnn.use_backend("reference")(pyrnn.build_info)
        >>> info()["backend"], pyrnn.build_info()["backend"]
        ('reference', 'native')
        """
        _chosen.set(self._take_back())
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                "use_backend: expected a function, got a generator; write "
                f"`with pyrnn.use_backend({self._name!r}):` in it"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def later(*args: Any, **kwargs: Any) -> Any:
                with use_backend(self._name):
                    return await function(*args, **kwargs)

            return cast(Function, later)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with use_backend(self._name):
                return function(*args, **kwargs)

        return cast(Function, call)

    def __repr__(self) -> str:
        return f"use_backend({self._name!r})"
