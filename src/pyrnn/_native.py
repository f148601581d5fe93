"""The compiled core as a backend: names and dtypes translated, nothing computed here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn import _core
from pyrnn._types import Array, Indices, Noise, Parameters, State

# By the size of a number
_WEIGHTS = {4: _core.WeightsFloat32, 8: _core.WeightsFloat64}

_STREAMS = {4: _core.StreamFloat32, 8: _core.StreamFloat64}


class NativeBackend:
    """Computes in C++; see `pyrnn._backend.Backend` for what each function means."""

    name = "native"

    linear = staticmethod(_core.linear)
    linear_backward = staticmethod(_core.linear_backward)
    embedding = staticmethod(_core.embedding)
    embedding_backward = staticmethod(_core.embedding_backward)
    softmax_cross_entropy = staticmethod(_core.softmax_cross_entropy)
    sgd = staticmethod(_core.sgd)
    adagrad = staticmethod(_core.adagrad)
    rmsprop = staticmethod(_core.rmsprop)
    adam = staticmethod(_core.adam)
    sum_of_squares = staticmethod(_core.sum_of_squares)
    scale = staticmethod(_core.scale)
    clip = staticmethod(_core.clip)

    def pack(self, cell: str, parameters: Parameters) -> Any:
        """See `pyrnn._backend.Backend.pack`."""
        return _WEIGHTS[parameters["weight_ih"].itemsize](cell, dict(parameters))

    def forward(
        self,
        packed: Any,
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
        result: tuple[Array, State, Any] = packed.forward(
            x, state, lengths, reverse, keep, checkpoint or 0, noise
        )
        return result

    def backward(
        self, saved: Any, dy: Array, dstate: State | None
    ) -> tuple[Array | None, State, dict[str, Array]]:
        """See `pyrnn._backend.Backend.backward`."""
        result: tuple[Array | None, State, dict[str, Array]] = saved.backward(dy, dstate)
        return result

    def open_stream(
        self,
        cell: str,
        layers: Sequence[Parameters],
        batch_size: int,
        check: Callable[[Any, Any], tuple[Array | Indices, Array | None]],
        zoneout: tuple[float, ...] = (),
    ) -> Any:
        """See `pyrnn._backend.Backend.open_stream`."""
        weights = [self.pack(cell, parameters) for parameters in layers]
        stream = _STREAMS[layers[0]["weight_ih"].itemsize]
        return stream(weights, batch_size, check, zoneout)

    def backward_windows(
        self,
        saved: Sequence[Any],
        dy: Array,
        k1: int,
        k2: int,
        masks: Sequence[Array | None],
    ) -> tuple[Array | None, list[dict[str, Array]]]:
        """See `pyrnn._backend.Backend.backward_windows`."""
        return _core.backward_windows(saved, dy, k1, k2, masks)
