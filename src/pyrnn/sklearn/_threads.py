"""The threads of a worker of joblib: one, or what joblib allows; the workers share the cores."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import joblib

from pyrnn._locks import fork_safe_lock
from pyrnn.backend.threads import get_num_threads, set_num_threads

_LOCK = fork_safe_lock()
_INSIDE: list[int] = []  # the thread of each task within
_BEFORE = 1


def in_worker() -> bool:
    """Whether this runs in a task of joblib, on any backend: processes, threads, dask or ray."""
    backend, _ = joblib.parallel.get_active_backend()
    return bool(getattr(backend, "nesting_level", 0)) or _in_dask_worker()


def _in_dask_worker() -> bool:
    """Whether a worker of dask runs this; joblib's backend for dask counts no levels."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return False
    try:
        distributed.get_worker()
    except ValueError:  # "No worker found"
        return False
    return True


def _is_limited() -> bool:
    """Whether the environment says how many threads this worker may use.

    joblib's loky names its limit (``inner_max_num_threads``; by default the cores divided by the
    workers) in the environment of its processes, whose main thread runs the tasks. The core takes
    that number by itself.
    """
    if os.environ.get("PYRNN_NUM_THREADS"):
        return True
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and bool(os.environ.get("OMP_NUM_THREADS"))


@contextmanager
def threads_of_worker() -> Iterator[None]:
    """Use one thread within a task of joblib, or as many as the environment allows a worker.

    Results do not depend on it: they have the same bits for any number of threads. The tasks of
    joblib's threading backend share one setting, so the last one to end restores it.
    """
    global _BEFORE
    if not in_worker() or _is_limited():
        yield
        return
    thread = threading.get_ident()
    with _LOCK:
        if not _INSIDE:
            _BEFORE = get_num_threads()
            set_num_threads(1)
        _INSIDE.append(thread)
    try:
        yield
    finally:
        with _LOCK:
            _INSIDE.remove(thread)
            if not _INSIDE:
                set_num_threads(_BEFORE)


def _forget_threads_of_parent() -> None:
    """In a forked child, which has only the thread that forked."""
    if not _INSIDE:
        return
    _INSIDE[:] = [thread for thread in _INSIDE if thread == threading.get_ident()]
    if not _INSIDE:
        set_num_threads(_BEFORE)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads_of_parent)
