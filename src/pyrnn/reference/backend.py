"""The reference as a backend: the functions of this package behind the shared protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn._types import Array, Indices, Noise, Parameters, State
from pyrnn.reference import checkpoint as checkpoints
from pyrnn.reference import dense, losses, optim, sequence, stream, truncated


class Weights(NamedTuple):
    """A cell's name and a copy of its parameters."""

    cell: str
    parameters: Parameters


def _of_all(step: Callable[..., None]) -> Callable[..., None]:
    """The step of all parameters, from that of one."""

    def of_all(
        parameters: Sequence[Array], *others: Sequence[Array] | None, **options: object
    ) -> None:
        columns = [repeat(None) if other is None else other for other in others]
        for arrays in zip(parameters, *columns, strict=False):
            step(*arrays, **options)

    return of_all


class ReferenceBackend:
    """Computes with NumPy, by the equations."""

    name = "reference"

    linear = staticmethod(dense.linear)
    linear_backward = staticmethod(dense.linear_backward)
    embedding = staticmethod(dense.embedding)
    embedding_backward = staticmethod(dense.embedding_backward)
    softmax_cross_entropy = staticmethod(losses.softmax_cross_entropy)
    sgd = staticmethod(_of_all(optim.sgd))
    adagrad = staticmethod(_of_all(optim.adagrad))
    rmsprop = staticmethod(_of_all(optim.rmsprop))
    adam = staticmethod(_of_all(optim.adam))
    sum_of_squares = staticmethod(optim.sum_of_squares)
    scale = staticmethod(optim.scale)
    clip = staticmethod(optim.clip)

    def pack(self, cell: str, parameters: Parameters) -> Weights:
        """Copy the parameters, so that later changes do not reach a cache."""
        return Weights(cell, {name: array.copy() for name, array in parameters.items()})

    def forward(
        self,
        packed: Weights,
        x: Array | Indices,
        state: State | None,
        *,
        lengths: npt.NDArray[np.intp] | None = None,
        reverse: bool = False,
        keep: bool = False,
        checkpoint: int | None = None,
        noise: Noise | None = None,
    ) -> tuple[Array, State, Any]:
        """See `pyrnn._backend.Backend.forward`."""
        run = sequence.Run(packed.cell, packed.parameters, x, lengths, reverse, noise)
        if state is None:
            state = sequence.zero_state(run)
        if checkpoint is None:
            y, state, saved = sequence.forward(run, state)
        else:
            y, state, saved = checkpoints.forward(run, state, checkpoint)
        return y, state, saved if keep else None

    def backward(
        self, saved: sequence.Saved, dy: Array, dstate: State | None
    ) -> tuple[Array | None, State, dict[str, Array]]:
        """See `pyrnn._backend.Backend.backward`."""
        return sequence.backward(
            saved, dy, sequence.zero_state(saved.run) if dstate is None else dstate
        )

    def open_stream(
        self,
        cell: str,
        layers: Sequence[Parameters],
        batch_size: int,
        check: Callable[[Any, Any], tuple[Array | Indices, Array | None]],
        zoneout: tuple[float, ...] = (),
    ) -> stream.Stream:
        """See `pyrnn._backend.Backend.open_stream`."""
        return stream.Stream(cell, layers, batch_size, check, zoneout)

    def backward_windows(
        self,
        saved: Sequence[sequence.Saved],
        dy: Array,
        k1: int,
        k2: int,
        masks: Sequence[Array | None],
    ) -> tuple[Array | None, list[dict[str, Array]]]:
        """See `pyrnn._backend.Backend.backward_windows`."""
        return truncated.backward_windows(saved, dy, k1, k2, masks)
