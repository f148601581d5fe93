"""The compiled core as built and set: threads, memory, instruction sets, versions."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._version import version
from pyrnn.backend import selection

MOST_THREADS = 1024
"""As in the core."""


def set_num_threads(n: int) -> None:
    """Let the compiled core use at most ``n`` threads. The reference computes as NumPy does.

    Parameters
    ----------
    n : int
        From 1 to 1024. Workers are started when a call first has a part for them.

    Raises
    ------
    TypeError, ValueError
        If ``n`` is not a whole number, or not from 1 to 1024.

    Examples
    --------
    >>> import pyrnn
    >>> before = pyrnn.get_num_threads()
    >>> pyrnn.set_num_threads(1)
    >>> pyrnn.get_num_threads()
    1
    >>> pyrnn.set_num_threads(before)
    """
    checked = _checks.size("n", n, most=MOST_THREADS)
    core = selection.native_module()
    if core is not None:
        core.set_num_threads(checked)


def get_num_threads() -> int:
    """How many threads the compiled core may use; 1 where it is missing.

    Examples
    --------
    >>> import pyrnn
    >>> pyrnn.get_num_threads() >= 1
    True
    """
    core = selection.native_module()
    return 1 if core is None else int(core.get_num_threads())


def release_memory() -> int:
    """Give memory that no call uses at present back to the system.

    Buffers of a call are kept for the next one: up to 17 MiB for good; beyond that, what has been
    idle for 3 seconds goes back by itself. This function gives all of it back at once, and, with
    glibc, the free pages of the C library's heap as well. The next call takes its memory anew.

    Returns
    -------
    int
        How many bytes were kept; 0 where the compiled core is missing.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> y, h = pyrnn.GRU(8, 64, seed=0)(np.zeros((500, 32, 8), dtype=np.float32))
    >>> del y, h
    >>> at_least_y = pyrnn.release_memory()
    >>> pyrnn.release_memory()
    0
    """
    core = selection.native_module()
    return 0 if core is None else int(core.release_memory())


def build_info() -> dict[str, Any]:
    """What is installed and how it computes here.

    Returns
    -------
    dict
        ``version`` of this package; ``isa``, the instruction set in use (None without the compiled
        core), and ``isas``, those built in; ``threads``; ``numpy``, its version; ``backend``, the
        active one.

    Examples
    --------
    >>> import pyrnn
    >>> sorted(pyrnn.build_info())
    ['backend', 'isa', 'isas', 'numpy', 'threads', 'version']
    """
    core = selection.native_module()
    return {
        "version": version(),
        "isa": None if core is None else core.isa(),
        "isas": [] if core is None else list(core.isas()),
        "threads": get_num_threads(),
        "numpy": np.__version__,
        "backend": selection.current().name,
    }
