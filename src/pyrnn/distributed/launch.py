"""Whether MPI started this process as one of several, and how many threads it may use then."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, NamedTuple

from pyrnn._imports import extras

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MV2_COMM_WORLD_SIZE")
"""Environment variables that mpiexec of MPICH, Intel MPI, Open MPI and MVAPICH, and srun, set."""


def world() -> Any:
    """The communicator of all processes that mpiexec started; None for a single process.

    Raises
    ------
    MissingExtraError
        If mpi4py or an MPI library is not installed, and there are several processes.
    """
    count = _count()
    if count == 1:
        return None
    extras.require("mpi", "mpi4py")
    # If a rank dies, MPICH then ends the others with one line, not with a stack trace.
    os.environ.setdefault("MPIR_CVAR_PRINT_ERROR_STACK", "0")
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise extras.MissingExtraError(
            "mpi4py finds no MPI library that it can load; pip install mpich brings one, or "
            "MPI4PY_LIBMPI names one"
        ) from error
    communicator = MPI.COMM_WORLD
    if communicator.Get_size() == 1:
        # Each process would train for itself, and write the same files.
        library = MPI.Get_library_version().split("\n")[0].strip("\0 ")
        raise extras.MissingExtraError(
            f"mpiexec has started {count} processes, of which mpi4py sees one; expected the MPI "
            f"library of that mpiexec, got {library} (MPI4PY_LIBMPI names another)"
        )
    return communicator


def _count() -> int:
    """The number of processes, as mpiexec says it in the environment."""
    said = (os.environ.get(name, "") for name in SIZES)
    return max((int(text) for text in said if text.isdigit()), default=1) or 1


def end_all(status: int) -> None:
    """End all processes of mpiexec if this one fails before it has called `world`.

    In `world` they would wait for it forever: mpiexec of MPICH and Intel MPI wait as well for a
    process that ends by itself.
    """
    if _count() == 1 or "mpi4py.MPI" in sys.modules:
        return
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError):
        # Without MPI, only a signal that ends this process tells mpiexec.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        MPI.COMM_WORLD.Abort(status)
        os._exit(status)  # Abort may return


class Machine(NamedTuple):
    """What a rank has of its machine: a number of threads, and whether it is the first there."""

    threads: int
    is_first: bool


def machine(communicator: Any, count: int, mask: frozenset[int]) -> Machine:
    """The rank's share of the threads of its machine.

    Where mpiexec gives each rank processors of its own, that is all of them. All ranks call it,
    each with the number of threads and the processors that it may use.
    """
    from mpi4py import MPI

    node = communicator.Split_type(MPI.COMM_TYPE_SHARED)
    try:
        return Machine(share(count, node.allgather(mask)), not node.Get_rank())
    finally:
        node.Free()


def share(count: int, masks: list[frozenset[int]]) -> int:
    """The share of one process, given the processors that each process of the machine may use."""
    wanted = sum(len(mask) for mask in masks)
    if not wanted:  # an unknown system
        return max(1, count // len(masks))
    return max(1, count * len(frozenset().union(*masks)) // wanted)


def processors() -> frozenset[int]:
    """The processors that this process may use; none on systems that do not tell."""
    try:
        return frozenset(os.sched_getaffinity(0))
    except AttributeError:
        return frozenset()
