"""Imports at first use that are safe while another thread forks.

Python does not free the lock of a module in a forked child: if a thread of the parent was importing
the module, the child would wait forever for that thread, which it does not have.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

# Its lock is held during a fork, which first waits until no other thread is within `importing`.
_imports = threading.Condition()
_importing: dict[int, int] = {}  # thread: how many of its imports are under way


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Import modules in a ``with`` block: a fork in another thread waits for its end."""
    thread = threading.get_ident()
    with _imports:
        _importing[thread] = _importing.get(thread, 0) + 1
    try:
        yield
    finally:
        with _imports:
            _importing[thread] -= 1
            if not _importing[thread]:
                del _importing[thread]
                _imports.notify_all()


def _before_fork() -> None:
    _imports.acquire()
    # A thread that forks within an import of its own owns that module's lock in the child, too.
    thread = threading.get_ident()
    _imports.wait_for(lambda: _importing.keys() <= {thread})


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_imports.release,
        after_in_child=_imports.release,
    )
