"""The processes of a training run: what they exchange, and how all end if one fails."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._types import Array
from pyrnn.distributed.exchange import GradientSum

STATUS = 1
"""The exit status of all processes when one has failed."""
LAST_WORDS = 0.5
"""Seconds for the launcher to pass on what a rank has said: MPI does not promise it after that."""

_NEEDED = (
    "Get_rank", "Get_size", "Allgather", "Ialltoall", "Iallgather", "allgather", "bcast",
    "Dup", "Abort",
)  # fmt: skip


def ranks_of(communicator: Any) -> Ranks | None:
    """The ranks of a communicator; None if this process is alone."""
    if communicator is None:
        return None
    if not all(callable(getattr(communicator, name, None)) for name in _NEEDED):
        raise TypeError(
            "communicator: expected one of mpi4py, such as MPI.COMM_WORLD, got "
            f"{_checks.shown(communicator)}"
        )
    return Ranks(communicator) if communicator.Get_size() > 1 else None


class Ranks:
    """All ranks of a communicator, seen from one of them. All ranks must call each method.

    Attributes
    ----------
    communicator : mpi4py.MPI.Comm
        The communicator of the ranks.
    rank, count : int
        The number of this rank, and the number of ranks.
    """

    def __init__(self, communicator: Any) -> None:
        self.communicator = communicator
        self.rank: int = communicator.Get_rank()
        self.count: int = communicator.Get_size()

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, the only one that writes and prints."""
        return self.rank == 0

    def told(self, *numbers: float) -> npt.NDArray[np.float64]:
        """One row of numbers from each rank, in the order of the ranks."""
        own = np.array(numbers, np.float64)
        rows: npt.NDArray[np.float64] = np.empty((self.count, own.size))
        self.communicator.Allgather(own, rows)
        return rows

    def any(self, flag: bool) -> bool:
        """Whether a condition holds on any rank."""
        return bool(self.told(float(flag)).any())

    def gathered(self, value: Any) -> list[Any]:
        """The object of each rank, in their order."""
        objects: list[Any] = self.communicator.allgather(value)
        return objects

    def from_first(self, value: Any) -> Any:
        """The object of rank 0."""
        return self.from_rank(0, value)

    def from_rank(self, rank: int, value: Any) -> Any:
        """The object of one rank."""
        return self.communicator.bcast(value, rank)

    def check_same(self, what: Mapping[str, Any]) -> None:
        """Raise a ValueError on all ranks if a value differs on one of them."""
        all_given = self.gathered(dict(what))
        for name in what:
            values = [given.get(name) for given in all_given]
            for rank, value in enumerate(values):
                if value != values[0]:
                    first, other = _checks.shown(values[0]), _checks.shown(value)
                    with on_all_ranks:
                        raise ValueError(
                            f"{name}: expected the same on all ranks, got {first} on rank 0 and "
                            f"{other} on rank {rank}"
                        )

    def check_errors(self, error: Exception | None) -> None:
        """Raise the first rank's error, if any has one, on all: there as `OtherRankError`."""
        errors = self.gathered(None if error is None else in_one_line(error))
        for rank, text in enumerate(errors):
            if text is not None:
                with on_all_ranks:
                    if error is not None:
                        raise error
                    raise OtherRankError(f"rank {rank}: {text}")

    @contextlib.contextmanager
    def agreed(self) -> Iterator[None]:
        """Inside a ``with`` block ranks work independently; an error of one is raised on all.

        There is no exchange in it, since a rank in which an error occurs would not take part.
        """
        failed: Exception | None = None
        with self.together():
            try:
                yield
            except Exception as error:
                failed = error
            self.check_errors(failed)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Inside a ``with`` block an error of one rank ends all ranks, with one line about it.

        Otherwise the other ranks would wait for it forever. Errors from within `on_all_ranks` are
        not caught.
        """
        try:
            yield
        except BaseException as error:
            if not is_on_all_ranks(error):
                self.abort(error)
            raise

    @contextlib.contextmanager
    def summing(self, parameters: Mapping[str, Array]) -> Iterator[GradientSum]:
        """Inside a ``with`` block there is a sum of gradients, which all ranks give back after it.

        Not after errors that only some ranks raise, which would wait for the others.
        """
        total = GradientSum(self.communicator, parameters)
        try:
            yield total
        except BaseException as error:
            if is_on_all_ranks(error):
                total.free()
            raise
        total.free()

    def abort(self, error: BaseException) -> None:
        """End all processes."""
        reason = in_one_line(error)
        if type(error).__module__.startswith("mpi4py"):
            reason = f"an exchange with another rank, which may have died ({error})"
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stdout.flush()
        with contextlib.suppress(OSError, ValueError, AttributeError):
            # Not sys.stderr, which is silenced on all ranks but 0 in the command line.
            print(
                f"pyrnn: rank {self.rank} of {self.count} failed, so all ranks end: {reason}",
                file=sys.__stderr__,
                flush=True,
            )
        try:
            time.sleep(LAST_WORDS)
        finally:  # also where a signal ends the sleep: the others would wait for ever
            self.communicator.Abort(STATUS)
        if type(self.communicator).__module__.startswith("mpi4py"):
            os._exit(STATUS)  # MPICH's may return, before the launcher ends this process


class OtherRankError(RuntimeError):
    """Another rank has an error and reports it."""


class _OnAllRanks:
    """Marks the errors that leave its ``with`` block: all ranks raise them.

    What they follow from is the same on all ranks. The type of an error does not tell: a callback,
    a signal or a full disk of one rank can raise any.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if error is not None:
            error.__dict__[_MARK] = True


_MARK = "_pyrnn_on_all_ranks"
on_all_ranks = _OnAllRanks()


def is_on_all_ranks(error: BaseException) -> bool:
    """Whether all ranks raise this error."""
    return _MARK in error.__dict__


def in_one_line(error: BaseException) -> str:
    """An error in one line; the type of one that is not pyrnn's own says what its text means."""
    kind = type(error)
    text = str(error) if kind.__module__.split(".")[0] == "pyrnn" else f"{kind.__name__}: {error}"
    return " ".join(text.removesuffix(": ").split()) or kind.__name__


def join(parts: Sequence[Array], places: Sequence[slice], axis: int) -> Array:
    """One array from parts: the rows of each at its place of an axis."""
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    whole = np.empty(shape, parts[0].dtype)
    moved = np.moveaxis(whole, axis, 0)
    for part, place in zip(parts, places, strict=True):
        moved[place] = np.moveaxis(part, axis, 0)
    return whole


def weighted(rows: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The weighted mean of rows (value, weight), added in order, and the sum of the weights."""
    total, weight = 0.0, 0.0
    for value, own in rows[:, :2].tolist():
        if own:
            total, weight = total + value * own, weight + own
    return total / weight if weight else float("nan"), weight
