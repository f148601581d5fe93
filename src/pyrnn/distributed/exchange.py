"""The sum of all ranks' gradients, in the order of the ranks.

All gradients are in one flat buffer, which is summed bucket by bucket. A rank receives one slice of
a bucket from every rank, adds these slices in the order of the ranks, and sends the sum to all. So

- each element is added by one rank, in an order that depends only on the number of ranks. The order
  of `MPI_SUM` depends on the library, the size of a message, the number of processes on a node,
  versions and settings;
- all ranks have the same bits, and stay equal without ever sending parameters;
- a rank sends and receives 2 (P - 1) / P times the buffer, as in a ring, which is the minimum.

How a bucket is cut decides which rank adds an element, but not the order of the sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn import _warnings
from pyrnn._types import Array
from pyrnn.parameters.owners import Gradients

BUCKET_BYTES = 1 << 20
"""Bytes of a bucket: small enough that its sum stays in a cache; docs/distributed.md."""


class GradientSum:
    """Sums gradients over ranks; it keeps its buffers from step to step.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm
        The communicator of the ranks.
    """

    def __init__(self, communicator: Any) -> None:
        self._communicator = communicator
        self._ranks: int = communicator.Get_size()
        self._buffers: dict[tuple[Any, ...], _Buffer] = {}

    def __call__(self, grads: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the sums, by the same names, in memory that the next call overwrites."""
        # Sorted by name, since a rank without rows may have its zeros in another order.
        summed: dict[str, Array] = {}
        for dtype in sorted({array.dtype.str for array in grads.values()}):
            own = {n: grads[n] for n in sorted(grads) if grads[n].dtype.str == dtype}
            key = (dtype, *((name, array.shape) for name, array in own.items()))
            if key not in self._buffers:
                self._buffers = {k: b for k, b in self._buffers.items() if k[0] != dtype}
                self._buffers[key] = _Buffer(own, self._ranks)
            summed.update(self._buffers[key].summed(own, self._communicator))
        ordered = {name: summed[name] for name in grads}
        if isinstance(grads, Gradients):
            return Gradients(ordered, grads.families)
        return ordered


class _Buffer:
    """The flat buffer of some gradients of one dtype, and views of it with their shapes."""

    def __init__(self, grads: Mapping[str, Array], ranks: int) -> None:
        dtype = next(iter(grads.values())).dtype
        numbers = sum(array.size for array in grads.values())
        # A bucket has the same number of elements for each rank.
        self._flat: Array = np.zeros(-(-numbers // ranks) * ranks, dtype)
        self._bucket = max(1, BUCKET_BYTES // dtype.itemsize // ranks) * ranks
        self._received: Array = np.empty((ranks, self._bucket // ranks), dtype)
        self._own: Array = np.empty(self._bucket // ranks, dtype)
        self._views: dict[str, Array] = {}
        begin = 0
        for name, array in grads.items():
            self._views[name] = self._flat[begin : begin + array.size].reshape(array.shape)
            begin += array.size

    def summed(self, grads: Mapping[str, Array], communicator: Any) -> Mapping[str, Array]:
        for name, view in self._views.items():
            view[...] = grads[name]
        for begin in range(0, self._flat.size, self._bucket):
            self._sum(self._flat[begin : begin + self._bucket], communicator)
        return self._views

    def _sum(self, bucket: Array, communicator: Any) -> None:
        ranks = len(self._received)
        size = bucket.size // ranks
        received = self._received.reshape(-1)[: bucket.size]
        own = self._own[:size]
        communicator.Alltoall(bucket, received)
        slices = received.reshape(ranks, size)
        own[...] = slices[0]
        with _warnings.unwarned():  # infinities and NaN are checked elsewhere
            for part in slices[1:]:
                own += part
        communicator.Allgather(own, bucket)
