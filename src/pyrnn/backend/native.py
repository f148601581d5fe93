"""The compiled core as a backend: names and dtypes translated, nothing computed here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pyrnn import _core, _warnings
from pyrnn._types import Array, Compute, Indices, Link, Parameters, StepForm, Storage
from pyrnn.reference import losses
from pyrnn.reference.activations import NAMES, parse_cell_name
from pyrnn.reference.layers import batch_norm, convolution, pointwise, windows

IN_SOFTWARE = (
    "products of bfloat16 are computed in software here, as the processor has no AMX: the bits are "
    "the same, the speed is less than that of float32"
)

# By the size of a number
_WEIGHTS = {4: _core.WeightsFloat32, 8: _core.WeightsFloat64}

_LINEARS = {4: _core.LinearFloat32, 8: _core.LinearFloat64}

_CONVOLUTIONS = {4: _core.ConvolutionFloat32, 8: _core.ConvolutionFloat64}

_CHAINS: dict[type, Any] = {
    _core.ConvolutionFloat32: _core.ChainFloat32,
    _core.ConvolutionFloat64: _core.ChainFloat64,
}

_STREAMS: dict[type, Any] = {
    _core.WeightsFloat32: _core.StreamFloat32,
    _core.WeightsFloat64: _core.StreamFloat64,
}

_ONE_STEPS: dict[type, Any] = {
    _core.WeightsFloat32: _core.OneStepFloat32,
    _core.WeightsFloat64: _core.OneStepFloat64,
}


_FUNCTIONS: dict[int, Any] = {4: _core.functions_float32, 8: _core.functions_float64}

# NumPy's depend on the processor.
_OF_LOSSES = losses.Functions(
    _core.functions_float64.exp,
    _core.functions_float64.log,
    _core.functions_float64.sigmoid,
    _core.functions_float64.softplus,
)


def _say_who_computes() -> None:
    """Warn once of products of bfloat16 that take longer than those of float32."""
    if _core.bfloat16_unit() == "software":
        _warnings.warn_once(IN_SOFTWARE)


class NativeBackend:
    """Computes in C++; see `pyrnn.backend.protocol.Backend` for what each function means."""

    name = "native"

    forward = staticmethod(_core.forward)
    forward_both = staticmethod(_core.forward_both)
    backward = staticmethod(_core.backward)
    backward_both = staticmethod(_core.backward_both)
    renew = staticmethod(_core.renew)
    backward_windows = staticmethod(_core.backward_windows)
    linear_backward = staticmethod(_core.linear_backward)
    convolution_backward = staticmethod(
        partial(convolution.convolution_backward, linear_backward=_core.linear_backward)
    )
    embedding = staticmethod(_core.embedding)
    embedding_backward = staticmethod(_core.embedding_backward)
    softmax_cross_entropy = staticmethod(_core.softmax_cross_entropy)
    weighted_cross_entropy = staticmethod(
        partial(losses.weighted_cross_entropy, functions=_OF_LOSSES)
    )
    elementwise_loss = staticmethod(partial(losses.elementwise, functions=_OF_LOSSES))
    layer_norm = staticmethod(pointwise.layer_norm)
    layer_norm_backward = staticmethod(pointwise.layer_norm_backward)
    max_pool = staticmethod(windows.max_pool)
    max_pool_backward = staticmethod(windows.max_pool_backward)
    instance_norm_backward = staticmethod(windows.instance_norm_backward)
    scale_channels = staticmethod(_core.scale_channels)
    scale_channels_backward = staticmethod(batch_norm.scale_channels_backward)
    channel_factors = staticmethod(batch_norm.channel_factors)
    batch_norm_of_part = staticmethod(batch_norm.batch_norm_of_part)
    batch_norm_of_part_backward = staticmethod(batch_norm.batch_norm_of_part_backward)
    exp = staticmethod(_core.functions_float64.exp)
    log = staticmethod(_core.functions_float64.log)
    sgd = staticmethod(_core.sgd)
    adagrad = staticmethod(_core.adagrad)
    rmsprop = staticmethod(_core.rmsprop)
    adam = staticmethod(_core.adam)
    norm = staticmethod(_core.norm)
    scale = staticmethod(_core.scale)
    clip = staticmethod(_core.clip)

    @staticmethod
    def linear(
        x: Array,
        weight: Array,
        bias: Array | None,
        out: Array | None = None,
        compute: Compute = "full",
    ) -> Array:
        """See `pyrnn.backend.protocol.Backend.linear`."""
        if compute == "bfloat16":
            _say_who_computes()
        y: Array = _core.linear(x, weight, bias, out, compute)
        return y

    def pack(
        self,
        cell: str,
        parameters: Parameters,
        suffix: str = "",
        follow: bool = False,
        storage: Storage = "full",
        compute: Compute = "full",
    ) -> Any:
        """See `pyrnn.backend.protocol.Backend.pack`."""
        if compute == "bfloat16":
            _say_who_computes()
        weights = _WEIGHTS[parameters["weight_ih"].itemsize]
        base, choice = parse_cell_name(cell)
        activations = [] if base == cell else choice.numbers()
        return weights(base, dict(parameters), suffix, follow, storage, activations, compute)

    def pack_linear(
        self,
        weight: Array,
        bias: Array | None,
        storage: Storage = "full",
        compute: Compute = "full",
    ) -> Any:
        """See `pyrnn.backend.protocol.Backend.pack_linear`."""
        if compute == "bfloat16":
            _say_who_computes()
        return _LINEARS[weight.itemsize](weight, bias, storage, compute)

    def pack_rounded_lstm(self, weight: Array, scale: Array) -> Any:
        """See `pyrnn.backend.protocol.Backend.pack_rounded_lstm`."""
        return _core.RoundedLstm(weight, scale)

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
    ) -> Any:
        """See `pyrnn.backend.protocol.Backend.pack_convolution`."""
        packed = _CONVOLUTIONS[weight.itemsize]
        return packed(weight, bias, stride, dilation, groups, layout, relu)

    def pack_chain(self, links: Sequence[Link]) -> Callable[[Array], Array]:
        """See `pyrnn.backend.protocol.Backend.pack_chain`."""
        chain: Callable[[Array], Array] = _CHAINS[type(links[0].convolution)](
            [(link.convolution, (link.before, link.after), link.magnitude) for link in links]
        )
        return chain

    def activation(self, name: str, alpha: float, beta: float, x: Array) -> Array:
        """See `pyrnn.backend.protocol.Backend.activation`."""
        y: Array = _FUNCTIONS[x.itemsize].activation(NAMES.index(name), alpha, beta, x.reshape(-1))
        return y.reshape(x.shape)

    def activation_backward(
        self, name: str, alpha: float, beta: float, x: Array, dy: Array
    ) -> Array:
        """See `pyrnn.backend.protocol.Backend.activation_backward`."""
        functions = _FUNCTIONS[x.itemsize]
        arrays = x.reshape(-1), dy.reshape(-1)
        dx: Array = functions.activation_backward(NAMES.index(name), alpha, beta, *arrays)
        return dx.reshape(x.shape)

    def instance_norm(
        self, x: Array, weight: Array | None, bias: Array | None, eps: float
    ) -> tuple[Array, windows.Moments]:
        """See `pyrnn.backend.protocol.Backend.instance_norm`."""
        y, mean, variance = _core.instance_norm(x, weight, bias, eps, "time_first")
        return y, windows.moments(mean, variance, eps)

    def open_stream(
        self,
        weights: Sequence[Any],
        batch_size: int,
        check: Callable[[Any, Any], tuple[Array | Indices, Array | None]],
        zoneout: tuple[float, ...] = (),
    ) -> Any:
        """See `pyrnn.backend.protocol.Backend.open_stream`."""
        return _STREAMS[type(weights[0])](weights, batch_size, check, zoneout)

    def one_step(
        self, weights: Sequence[Any], form: StepForm, zoneout: tuple[float, ...]
    ) -> Callable[[Any, Any], Any]:
        """See `pyrnn.backend.protocol.Backend.one_step`."""
        of_one: Callable[[Any, Any], Any] = _ONE_STEPS[type(weights[0])](
            weights, form, zoneout
        ).call
        return of_one
