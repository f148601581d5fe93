"""The sum of all ranks' gradients, in the order of the ranks, begun during the backward pass.

All gradients are in one flat buffer, the last layer's first, which is cut into buckets. A bucket's
exchange begins as soon as its gradients are finished, while the layers below still compute theirs.
A rank receives one slice of a bucket from every rank, adds these slices in the order of the ranks,
and sends the sum to all. So

- each element is added by one rank, in an order that depends only on the number of ranks. The order
  of `MPI_SUM` depends on the library, the size of a message, the number of processes on a node,
  versions and settings;
- all ranks have the same bits, and stay equal without ever sending parameters;
- a rank sends and receives 2 (P - 1) / P times the buffer, as in a ring, which is the minimum.

How a bucket is cut decides which rank adds an element, but not the order of the sum; nor does it
matter when a bucket's exchange begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pyrnn import _checks, _warnings
from pyrnn._types import Array
from pyrnn.parameters.owners import Gradients

BUCKET_BYTES = 1 << 20
"""Bytes of a bucket: small enough that its sum stays in a cache; docs/distributed.md."""

LOOKS = 32
"""How often to look after the exchanges under way, each time that a layer has finished.

Most libraries move messages only within their calls, and a part in each; docs/tuning/ranks.md.
"""


class GradientSum:
    """Sums gradients over ranks; it keeps its buffers from step to step.

    MPI wants calls in the same order on all ranks of a communicator. When messages arrive differs
    from rank to rank, so the slices and the sums have a communicator each. On both, bucket follows
    bucket.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm
        The communicator of the ranks; all of them must make the sum, and call it and `free`.
    parameters : dict
        The parameters whose gradients are summed, on all ranks in the same order.
    """

    def __init__(self, communicator: Any, parameters: Mapping[str, Array]) -> None:
        self._slices, self._sums = communicator.Dup(), communicator.Dup()
        self._views: dict[str, Array] = {}
        self._buckets: list[_Bucket] = []
        # The order in which the backward pass finishes them.
        last_first = dict(reversed(list(parameters.items())))
        for dtype in sorted({array.dtype.str for array in last_first.values()}):
            own = {name: p for name, p in last_first.items() if p.dtype.str == dtype}
            self._lay_out(own, communicator.Get_size())
        self._names = list(self._views)
        self._begin()

    def _lay_out(self, parameters: Mapping[str, Array], ranks: int) -> None:
        """Views of a flat buffer for parameters of one dtype, and its buckets."""
        dtype = next(iter(parameters.values())).dtype
        numbers = sum(array.size for array in parameters.values())
        # A bucket has the same number of elements for each rank.
        flat: Array = np.zeros(-(-numbers // ranks) * ranks, dtype)
        size = max(1, BUCKET_BYTES // dtype.itemsize // ranks) * ranks
        begin, filled = 0, []
        for name, array in parameters.items():
            self._views[name] = flat[begin : begin + array.size].reshape(array.shape)
            begin += array.size
            filled.append(begin)
        before = len(self._views) - len(filled)
        for start in range(0, flat.size, size):
            bucket = flat[start : start + size]
            end = min(start + size, numbers)
            needed = before + 1 + int(np.searchsorted(filled, end))
            self._buckets.append(_Bucket(bucket, ranks, needed))

    def _begin(self) -> None:
        """Of a step: nothing is finished, started, added or complete."""
        self._finished: set[str] = set()
        self._leading = self._started = self._added = self._complete = 0

    @property
    def take(self) -> Callable[[Mapping[str, Array]], None] | None:
        """What takes gradients that are finished before the backward pass ends.

        None if all are in one bucket, whose exchange cannot begin before all are finished.
        """
        return self._take if len(self._buckets) > 1 else None

    def _take(self, grads: Mapping[str, Array]) -> None:
        """Copy gradients that will not change any more, and begin the exchanges that can begin."""
        self._copy(grads)
        for _ in range(LOOKS):
            self._advance(wait=False)
            if self._complete == self._started:
                break

    def _copy(self, grads: Mapping[str, Array]) -> None:
        for name, array in grads.items():
            if name not in self._finished:
                view = self._views.get(name)
                if view is None or view.shape != array.shape or view.dtype != array.dtype:
                    raise ValueError(
                        f"grads[{name!r}]: expected the gradient of a parameter, of its shape and "
                        f"dtype, got {_checks.shown(array)}"
                    )
                view[...] = array
                self._finished.add(name)

    def __call__(self, grads: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the sums, by the same names, in memory that the next step overwrites."""
        self._copy(grads)
        for name in self._names:
            if name not in self._finished:
                self._views[name][...] = 0  # it may be frozen
        self._finished.update(self._names)
        self._advance(wait=True)
        self._begin()
        summed = {name: self._views[name] for name in grads}
        if isinstance(grads, Gradients):
            return Gradients(summed, grads.families)
        return summed

    def free(self) -> None:
        """Give the communicators back, of which a library has a few thousand."""
        self._slices.Free()
        self._sums.Free()

    def _advance(self, *, wait: bool) -> None:
        """Begin the exchanges that can begin, and do what those under way need."""
        names = self._names
        while self._leading < len(names) and names[self._leading] in self._finished:
            self._leading += 1
        buckets = self._buckets
        while self._started < len(buckets) and buckets[self._started].needed <= self._leading:
            buckets[self._started].start(self._slices)
            self._started += 1
        while self._added < self._started and buckets[self._added].arrived(wait):
            buckets[self._added].add(self._sums)
            self._added += 1
        while self._complete < self._added and buckets[self._complete].arrived(wait):
            self._complete += 1


class _Bucket:
    """A piece of the flat buffer, and its exchange. It needs the first ``needed`` gradients."""

    def __init__(self, flat: Array, ranks: int, needed: int) -> None:
        self.needed = needed
        self._flat = flat
        self._received: Array = np.empty((ranks, flat.size // ranks), flat.dtype)
        self._own: Array = np.empty(flat.size // ranks, flat.dtype)
        self._request: Any = None

    def start(self, communicator: Any) -> None:
        self._request = communicator.Ialltoall(self._flat, self._received)

    def arrived(self, wait: bool) -> bool:
        """Whether the latest exchange is complete."""
        if wait:
            self._request.Wait()
            return True
        return bool(self._request.Test())

    def add(self, communicator: Any) -> None:
        """Add what has arrived, and begin to send the sum to all."""
        self._own[...] = self._received[0]
        with _warnings.unwarned():  # infinities and NaN are checked elsewhere
            for part in self._received[1:]:
                self._own += part
        self._request = communicator.Iallgather(self._own, self._flat)
