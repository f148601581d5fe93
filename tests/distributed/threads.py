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
        self.posting = threading.Condition()
        self.posted = {}
        self.copies = {}

    def copy(self, number):
        """The world of the communicator's copy of this number: the same for all ranks."""
        with self.posting:
            if number not in self.copies:
                self.copies[number] = _World(self.count)
                self.copies[number].barrier = self.barrier
                self.copies[number].posting = self.posting
            return self.copies[number]

    def end(self):
        """Break off what all ranks wait for."""
        self.barrier.abort()
        with self.posting:
            self.posting.notify_all()


class _Request:
    """An exchange that has begun. It can end when all ranks have begun it."""

    def __init__(self, world, posted, finish, sent):
        self._world, self._posted, self._finish = world, posted, finish
        self._sent, self._before = sent, sent.copy()

    def _complete(self):
        np.testing.assert_array_equal(self._sent, self._before)  # until now it is MPI's
        self._finish(self._posted)
        self._finish = None
        return True

    def Test(self):  # noqa: N802
        with self._world.posting:
            there = len(self._posted) == self._world.count
        return self._finish is None or (there and self._complete())

    def Wait(self):  # noqa: N802
        world = self._world
        with world.posting:
            there = world.posting.wait_for(
                lambda: len(self._posted) == world.count or world.barrier.broken, timeout=60
            )
        if not there or len(self._posted) < world.count:
            raise AbortedError
        if self._finish is not None:
            self._complete()


class Communicator:
    """The view of one rank. ``calls`` lists the names of its collective calls."""

    def __init__(self, world, rank, calls=None):
        self._world, self._rank = world, rank
        self.calls = [] if calls is None else calls
        self.aborted = False
        self.freed = False
        self.copies = []
        self._begun = 0

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

    def Dup(self):  # noqa: N802
        self._exchange("Dup", None)
        world = self._world.copy(len(self.copies))
        self.copies.append(Communicator(world, self._rank, self.calls))
        return self.copies[-1]

    def Free(self):  # noqa: N802
        self._exchange("Free", None)
        self.freed = True

    def _begin(self, name, sent, finish):
        """Begin an exchange; which it is among those of this communicator counts."""
        self.calls.append(name)
        world, number = self._world, self._begun
        self._begun += 1
        with world.posting:
            posted = world.posted.setdefault(number, {})
            posted[self._rank] = (name, sent.copy())
            assert {other for other, _ in posted.values()} == {name}, posted
            world.posting.notify_all()
        return _Request(world, posted, finish, sent)

    def Ialltoall(self, sent, received):  # noqa: N802
        size = sent.size // self._world.count
        own = slice(self._rank * size, (self._rank + 1) * size)

        def finish(posted):
            for rank, part in enumerate(received.reshape(self._world.count, size)):
                part[...] = posted[rank][1][own]

        return self._begin("Ialltoall", sent, finish)

    def Iallgather(self, sent, received):  # noqa: N802
        def finish(posted):
            parts = received.reshape(self._world.count, sent.size)
            for rank, part in enumerate(parts):
                part[...] = posted[rank][1]

        return self._begin("Iallgather", sent, finish)

    def allgather(self, value):
        return [copy.deepcopy(each) for each in self._exchange("allgather", value)]

    def bcast(self, value, root):
        return copy.deepcopy(self._exchange("bcast", value)[root])

    def Abort(self, status):  # noqa: N802
        self.aborted = True
        self._world.end()


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
                world.end()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
        assert not thread.is_alive()
    for error in sorted(filter(None, errors), key=lambda error: isinstance(error, AbortedError)):
        raise error
    return results
