"""The reference as a backend: the functions of this package under the shared protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn._number_formats.narrow import is_int8, is_narrow, rounded
from pyrnn._types import Array, Compute, Indices, Link, Noise, Parameters, State, StepForm, Storage
from pyrnn.reference import losses, optim
from pyrnn.reference.bfloat16 import Bfloat16Matrix
from pyrnn.reference.int8 import Int8BytesMatrix, Int8Matrix
from pyrnn.reference.layers import batch_norm, convolution, dense, pointwise, windows
from pyrnn.reference.recurrence import checkpoint as checkpoints
from pyrnn.reference.recurrence import sequence, stream, truncated


class Weights(NamedTuple):
    """A cell's name and its parameters: a copy, unless ``follow``."""

    cell: str
    parameters: Parameters
    suffix: str
    follow: bool


def _copied(parameters: Parameters) -> Parameters:
    return {name: array.copy() for name, array in parameters.items()}


def _stored(storage: Storage, compute: Compute, weight: Array) -> Array:
    """A matrix of weights as products take it."""
    stored = rounded(storage, weight)
    if compute == "bfloat16":
        return stored.view(Bfloat16Matrix)
    if not is_int8(storage):
        return stored
    return stored.view(Int8Matrix if storage == "int8" else Int8BytesMatrix)


def _stored_all(storage: Storage, compute: Compute, parameters: Parameters) -> Parameters:
    return {
        name: _stored(storage, compute, array) if is_narrow(name, array) else array
        for name, array in parameters.items()
    }


def _named(grads: dict[str, Array], saved: sequence.Saved) -> dict[str, Array]:
    return {f"{name}{saved.run.suffix}": grad for name, grad in grads.items()}


def _of_all(step: Callable[..., None]) -> Callable[..., None]:
    """Make the step of all parameters from that of one."""

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

    embedding = staticmethod(dense.embedding)
    embedding_backward = staticmethod(dense.embedding_backward)
    softmax_cross_entropy = staticmethod(losses.softmax_cross_entropy)
    weighted_cross_entropy = staticmethod(losses.weighted_cross_entropy)
    elementwise_loss = staticmethod(losses.elementwise)
    activation = staticmethod(pointwise.activation)
    activation_backward = staticmethod(pointwise.activation_backward)
    layer_norm = staticmethod(pointwise.layer_norm)
    layer_norm_backward = staticmethod(pointwise.layer_norm_backward)
    max_pool = staticmethod(windows.max_pool)
    max_pool_backward = staticmethod(windows.max_pool_backward)
    instance_norm = staticmethod(windows.instance_norm)
    instance_norm_backward = staticmethod(windows.instance_norm_backward)
    scale_channels = staticmethod(batch_norm.scale_channels)
    scale_channels_backward = staticmethod(batch_norm.scale_channels_backward)
    channel_factors = staticmethod(batch_norm.channel_factors)
    batch_norm_of_part = staticmethod(batch_norm.batch_norm_of_part)
    batch_norm_of_part_backward = staticmethod(batch_norm.batch_norm_of_part_backward)
    sgd = staticmethod(_of_all(optim.sgd))
    adagrad = staticmethod(_of_all(optim.adagrad))
    rmsprop = staticmethod(_of_all(optim.rmsprop))
    adam = staticmethod(_of_all(optim.adam))
    norm = staticmethod(optim.norm)
    scale = staticmethod(optim.scale)
    clip = staticmethod(optim.clip)

    def exp(self, x: Array) -> Array:
        """See `pyrnn.backend.selection.Backend.exp`."""
        powers: Array = np.exp(x)
        return powers

    def log(self, x: Array) -> Array:
        """See `pyrnn.backend.selection.Backend.log`."""
        logarithms: Array = np.log(x)
        return logarithms

    def pack(
        self,
        cell: str,
        parameters: Parameters,
        suffix: str = "",
        follow: bool = False,
        storage: Storage = "full",
        compute: Compute = "full",
    ) -> Weights:
        """See `pyrnn.backend.selection.Backend.pack`."""
        parameters = _stored_all(storage, compute, parameters)
        return Weights(cell, parameters if follow else _copied(parameters), suffix, follow)

    def linear(
        self,
        x: Array,
        weight: Array,
        bias: Array | None,
        out: Array | None = None,
        compute: Compute = "full",
    ) -> Array:
        """See `pyrnn.backend.selection.Backend.linear`."""
        return dense.linear(x, _stored("full", compute, weight), bias, out)

    def linear_backward(
        self, x: Array, weight: Array, dy: Array, compute: Compute = "full"
    ) -> tuple[Array, Array, Array]:
        """See `pyrnn.backend.selection.Backend.linear_backward`."""
        return dense.linear_backward(x, _stored("full", compute, weight), dy)

    def pack_linear(
        self,
        weight: Array,
        bias: Array | None,
        storage: Storage = "full",
        compute: Compute = "full",
    ) -> Callable[..., Array]:
        """See `pyrnn.backend.selection.Backend.pack_linear`."""
        kept = _stored(storage, compute, weight).copy(), None if bias is None else bias.copy()
        return lambda x, out=None: dense.linear(x, *kept, out)

    def pack_convolution(
        self,
        weight: Array,
        bias: Array | None,
        *,
        stride: int,
        dilation: int,
        groups: int,
        layout: str = "time_first",
        relu: bool = False,
    ) -> Callable[[Array, int, int], Array]:
        """See `pyrnn.backend.selection.Backend.pack_convolution`."""
        function = partial(
            convolution.convolution,
            weight=weight.copy(),
            bias=None if bias is None else bias.copy(),
            stride=stride,
            dilation=dilation,
            groups=groups,
        )
        axes = {"time_first": (0, 1, 2), "batch_first": (1, 0, 2), "channels_first": (2, 0, 1)}
        to = axes[layout]
        back = np.argsort(to)

        def convolve(x: Array, before: int, after: int) -> Array:
            y = np.ascontiguousarray(function(x.transpose(to), before, after).transpose(back))
            return np.maximum(y, 0) if relu else y

        return convolve

    def pack_rounded_lstm(self, weight: Array, scale: Array) -> None:
        """See `pyrnn.backend.protocol.Backend.pack_rounded_lstm`: NumPy's loop is the caller's."""

    def pack_chain(self, links: Sequence[Link]) -> Callable[[Array], Array]:
        """See `pyrnn.backend.selection.Backend.pack_chain`."""
        return partial(convolution.chain, links=tuple(links))

    convolution_backward = staticmethod(
        partial(convolution.convolution_backward, linear_backward=dense.linear_backward)
    )

    def forward(
        self,
        weights: Weights,
        x: Array | Indices,
        state: State | None,
        lengths: npt.NDArray[np.intp] | None = None,
        reverse: bool = False,
        keep: bool = False,
        checkpoint: int = 0,
        noise: Noise | None = None,
    ) -> tuple[Array, State, Any]:
        """See `pyrnn.backend.selection.Backend.forward`."""
        # Later changes must not reach the cache.
        parameters = _copied(weights.parameters) if weights.follow else weights.parameters
        run = sequence.Run(weights.cell, parameters, x, lengths, reverse, noise, weights.suffix)
        if state is None:
            state = sequence.zero_state(run)
        if checkpoint:
            y, state, saved = checkpoints.forward(run, state, checkpoint)
        else:
            y, state, saved = sequence.forward(run, state)
        return y, state, saved if keep else None

    def forward_both(
        self,
        weights: Sequence[Weights],
        x: Array | Indices,
        states: Sequence[State | None],
        lengths: npt.NDArray[np.intp] | None,
        keep: bool,
        checkpoint: int,
        noise: Sequence[Noise | None],
    ) -> list[tuple[Array, State, Any]]:
        """See `pyrnn.backend.selection.Backend.forward_both`."""
        directions = zip(weights, states, (False, True), noise, strict=True)
        return [
            self.forward(of_one, x, state, lengths, reverse, keep, checkpoint, factors)
            for of_one, state, reverse, factors in directions
        ]

    def backward(
        self, saved: sequence.Saved, dy: Array, dstate: State | None, with_dx: bool = True
    ) -> tuple[Array | None, State, dict[str, Array]]:
        """See `pyrnn.backend.selection.Backend.backward`."""
        if dstate is None:
            dstate = sequence.zero_state(saved.run)
        dx, dstate, grads = sequence.backward(saved, dy, dstate)
        return dx if with_dx else None, dstate, _named(grads, saved)

    def backward_both(
        self,
        saved: Sequence[sequence.Saved],
        dy: Sequence[Array],
        dstates: Sequence[State | None],
        with_dx: bool = True,
    ) -> list[tuple[Array | None, State, dict[str, Array]]]:
        """See `pyrnn.backend.selection.Backend.backward_both`."""
        directions = zip(saved, dy, dstates, strict=True)
        return [self.backward(*direction, with_dx) for direction in directions]

    def renew(self, saved: sequence.Saved) -> None:
        """See `pyrnn.backend.selection.Backend.renew`: nothing of it is used up."""

    def open_stream(
        self,
        weights: Sequence[Weights],
        batch_size: int,
        check: Callable[[Any, Any], tuple[Array | Indices, Array | None]],
        zoneout: tuple[float, ...] = (),
    ) -> stream.Stream:
        """See `pyrnn.backend.selection.Backend.open_stream`."""
        layers = [of_one.parameters for of_one in weights]
        return stream.Stream(weights[0].cell, layers, batch_size, check, zoneout)

    def one_step(
        self, weights: Sequence[Weights], form: StepForm, zoneout: tuple[float, ...]
    ) -> Callable[[Any, Any], Any]:
        """See `pyrnn.backend.selection.Backend.one_step`: all take the usual way here."""
        return lambda x, state: None

    def backward_windows(
        self,
        saved: Sequence[sequence.Saved],
        dy: Array,
        k1: int,
        k2: int,
        masks: Sequence[Array | None],
    ) -> tuple[Array | None, list[dict[str, Array]]]:
        """See `pyrnn.backend.selection.Backend.backward_windows`."""
        dx, grads = truncated.backward_windows(saved, dy, k1, k2, masks)
        return dx, [_named(of_one, one) for of_one, one in zip(grads, saved, strict=True)]
