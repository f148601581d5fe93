"""Whether MPI started this process as one of several, and how many threads it may use then."""

from __future__ import annotations

import os
from typing import Any

from pyrnn._imports import extras
from pyrnn.backend import threads

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MV2_COMM_WORLD_SIZE")
"""Environment variables that mpiexec of MPICH, Intel MPI, Open MPI and MVAPICH, and srun, set."""


def world() -> Any:
    """The communicator of all processes that mpiexec started; None for a single process.

    Raises
    ------
    MissingExtraError
        If mpi4py or an MPI library is not installed, and there are several processes.
    """
    started = (os.environ.get(name, "") for name in SIZES)
    if not any(text.isdigit() and int(text) > 1 for text in started):
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
    return communicator if communicator.Get_size() > 1 else None


def threads_of_rank(communicator: Any) -> int:
    """The number of threads of this rank: its share of those of its machine.

    Where mpiexec gives each rank processors of its own, that is all of them.
    """
    from mpi4py import MPI

    node = communicator.Split_type(MPI.COMM_TYPE_SHARED)
    try:
        masks = node.allgather(_processors())
    finally:
        node.Free()
    return share(threads.get_num_threads(), masks)


def share(count: int, masks: list[frozenset[int]]) -> int:
    """The share of one process, given the processors that each process of the machine may use."""
    wanted = sum(len(mask) for mask in masks)
    if not wanted:  # an unknown system
        return max(1, count // len(masks))
    return max(1, count * len(frozenset().union(*masks)) // wanted)


def _processors() -> frozenset[int]:
    try:
        return frozenset(os.sched_getaffinity(0))
    except AttributeError:
        return frozenset()
