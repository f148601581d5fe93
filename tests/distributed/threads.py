"""Ranks as threads of one process: a communicator with the calls of mpi4py that pyrnn needs."""

import copy
import threading

import numpy as np


class AbortedError(Exception):
    """What a call ends with on all ranks, when one has called Abort."""


class _World:
    def __init__(self, count):
        self.count = count
        self.barrier = threading.Barrier(count, timeout=60)
        self.slots = [None] * count


class Communicator:
    """The view of one rank. ``calls`` lists the names of its collective calls."""

    def __init__(self, world, rank):
        self._world, self._rank = world, rank
        self.calls = []
        self.aborted = False

    def Get_rank(self):  # noqa: N802
        return self._rank

    def Get_size(self):  # noqa: N802
        return self._world.count

    def _exchange(self, name, value):
        self.calls.append(name)
        world = self._world
        try:
            world.barrier.wait()
            world.slots[self._rank] = (name, value)
            world.barrier.wait()
            given = list(world.slots)
            world.barrier.wait()
        except threading.BrokenBarrierError as error:
            raise AbortedError from error
        assert {other for other, _ in given} == {name}, given  # MPI would hang, or worse
        return [value for _, value in given]

    def Allgather(self, sent, received):  # noqa: N802
        parts = self._exchange("Allgather", np.array(sent))
        received.reshape(-1)[...] = np.concatenate([part.reshape(-1) for part in parts])

    def Alltoall(self, sent, received):  # noqa: N802
        parts = self._exchange("Alltoall", np.array(sent))
        size = received.size // self._world.count
        own = slice(self._rank * size, (self._rank + 1) * size)
        received[...] = np.concatenate([part[own] for part in parts])

    def allgather(self, value):
        return [copy.deepcopy(each) for each in self._exchange("allgather", value)]

    def bcast(self, value, root):
        return copy.deepcopy(self._exchange("bcast", value)[root])

    def Abort(self, status):  # noqa: N802
        self.aborted = True
        self._world.barrier.abort()


def on_ranks(count, work):
    """What ``work(communicator)`` gives on each of several ranks; the first rank's error is raised.

    An error that all ranks raise is that of rank 0; one that broke off the others comes before
    theirs.
    """
    world = _World(count)
    results, errors = [None] * count, [None] * count

    def run(rank):
        try:
            results[rank] = work(Communicator(world, rank))
        except BaseException as error:
            errors[rank] = error
            if not isinstance(error, (ValueError, TypeError)):
                world.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
        assert not thread.is_alive()
    for error in sorted(filter(None, errors), key=lambda error: isinstance(error, AbortedError)):
        raise error
    return results
