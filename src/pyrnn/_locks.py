"""Locks of Python code that are safe over forks and in signal handlers."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager


def fork_safe_lock() -> AbstractContextManager[bool]:
    """Make a lock that a forked child finds free: a fork waits until no other thread holds it.

    The thread that holds it may take it again, as a signal handler does that interrupts the work
    under it. So what it guards must be consistent between any two statements. Each is kept for
    good: they are made at the top of modules.
    """
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )
    return lock
