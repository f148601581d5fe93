"""Settings of the compiled core and facts about it: threads, memory, instruction sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._version import version
from pyrnn.backend import selection

MOST_THREADS = 1024
"""As in the core."""


@public("pyrnn")
def set_num_threads(n: int) -> None:
    """Set the largest number of threads that the compiled core may use.

    The reference backend is not affected: it uses the threads that NumPy uses.

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


@public("pyrnn")
def get_num_threads() -> int:
    """Return how many threads the compiled core may use.

    Returns
    -------
    int
        From 1 to 1024; 1 where the compiled core is missing.

    Notes
    -----
    If the environment variable PYRNN_NUM_THREADS is set, it is the default. Otherwise the default
    is the number of cores that the process may use (the hyper-threads of a core count once),
    limited by OMP_NUM_THREADS, with which joblib, Dask and Ray limit their workers.

    Examples
    --------
    >>> import pyrnn
    >>> pyrnn.get_num_threads() >= 1
    True
    """
    core = selection.native_module()
    return 1 if core is None else int(core.get_num_threads())


@public("pyrnn")
def release_memory() -> int:
    """Return all memory that no call is using to the system.

    The buffers of a call are kept for the next one: up to 17 MiB permanently, the rest until it has
    been idle for 3 seconds. This function returns all of it at once and, with glibc, the free pages
    of the C library's heap as well. The next call allocates new memory.

    Returns
    -------
    int
        The number of bytes that were kept; 0 where the compiled core is missing.

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


@public("pyrnn")
def build_info() -> dict[str, Any]:
    """Return what is installed and how it computes on this machine.

    Returns
    -------
    dict
        ``version`` of this package; ``isa``, the instruction set in use (None without the compiled
        core), and ``isas``, those built in; ``numerics``, the version of the core's arithmetic
        (None without the core): two machines with the same version compute the same bits, unless
        one of them uses the instruction set "baseline"; ``threads``, the number of threads;
        ``numpy``, the version of NumPy; ``backend``, the active backend; ``bfloat16``, what
        computes products of bfloat16, "amx" or "software" (None without the core).

    Examples
    --------
    >>> import pyrnn
    >>> sorted(pyrnn.build_info())
    ['backend', 'bfloat16', 'isa', 'isas', 'numerics', 'numpy', 'threads', 'version']
    """
    core = selection.native_module()
    return {
        "version": version(),
        "isa": None if core is None else core.isa(),
        "isas": [] if core is None else list(core.isas()),
        "numerics": None if core is None else core.numerics(),
        "threads": get_num_threads(),
        "numpy": np.__version__,
        "backend": selection.current().name,
        "bfloat16": None if core is None else core.bfloat16_unit(),
    }
