"""The convolution along time: `Conv1d`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks, _pieces, _warnings
from pyrnn._pickling import public
from pyrnn._types import Array, DTypeLike
from pyrnn.backend import selection
from pyrnn.layers import _arguments, _cache, _options
from pyrnn.layers._layer import Layer
from pyrnn.layers._options import Option
from pyrnn.layers.convolution.stream import LEAST_ROOM, Conv1dStream, StreamSizes
from pyrnn.parameters import dictionary

Padding = Literal["valid", "same", "causal"]


def _padding(name: str, value: object) -> int | str:
    if isinstance(value, str):
        return _options.one_of(Padding)(name, value)  # type: ignore[no-any-return]
    return _checks.size(name, value, least=0, most=_checks.MOST_STEPS)


class Kept(NamedTuple):
    """What the backward pass needs: x with the time first, and the weights of the forward pass."""

    x: Array
    weight: Array


@public("pyrnn")
class Conv1d(Layer):
    """Convolution along time: each step of y is an affine map of a few steps of x.

    Parameters
    ----------
    in_channels, out_channels : int
        Sizes of the last axis of x and of y.
    kernel_size : int
        The number of steps of x that a step of y sees.
    stride : int, default 1
        The number of steps of x from one step of y to the next.
    padding : int or {"valid", "same", "causal"}, default 0
        The number of steps of zeros on each side of x. "valid": none; "same": as many as are needed
        for y to have as many steps as x, with a stride of 1; "causal": the same number, all before
        x, so that a step of y sees no later step of x, and a stream can compute it.
    dilation : int, default 1
        The number of steps of x from one step that is seen to the next.
    groups : int, default 1
        Into how many groups the channels are divided; each group of y sees only its group of x.
    bias : bool, default True
        Whether to add b.
    batch_first : bool, default False
        Whether x and y are (N, T, channels), as of recurrent layers.
    dtype : {"float32", "float64"}
        The dtype of the parameters, inputs and outputs.
    seed : int, optional
        Seed of the initial parameters. By default they differ from layer to layer.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value, or they do not fit each other.

    Notes
    -----
    **The channels come last**, as the features of all layers here: x is (T, N, in_channels), where
    `torch.nn.Conv1d` takes (N, in_channels, T). The parameters are torch's: "weight" (out_channels,
    in_channels / groups, kernel_size) and "bias" (out_channels,), drawn from U(-1/√k, 1/√k) with
    k = kernel_size · in_channels / groups. With p steps of zeros before x,

        y[t] = b + Σₖ W[:, :, k] x[t · stride + k · dilation − p].

    A step of y has the same bits in any batch, with any number of threads, and in a stream. Unlike
    recurrent layers it takes no ``lengths``: steps past a sequence's end affect its last ones,
    unless the padding is "causal".

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.Conv1d(3, 2, kernel_size=5, padding="same", seed=0)
    >>> y, _, cache = layer.forward(np.ones((7, 4, 3), dtype=np.float32))
    >>> dx, _, grads = layer.backward(cache, np.ones_like(y))
    >>> y.shape, dx.shape, grads["weight"].shape
    ((7, 4, 2), (7, 4, 3), (2, 3, 5))
    """

    in_channels: Option[int] = Option(_checks.size)
    out_channels: Option[int] = Option(_checks.size)
    kernel_size: Option[int] = Option(_checks.size)
    stride: Option[int] = Option(partial(_checks.size, most=_checks.MOST_STEPS))
    padding: Option[int | str] = Option(_padding)
    dilation: Option[int] = Option(partial(_checks.size, most=_checks.MOST_STEPS))
    groups: Option[int] = Option(_checks.size)
    bias: Option[bool] = Option(_checks.flag)
    batch_first: Option[bool] = Option(_checks.flag)
    seed: Option[int | None] = Option(_options.seed, shown=False)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | Padding = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        batch_first: bool = False,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
    ) -> None:
        self._take(locals())
        inputs = self.in_channels // self.groups
        shape = (self.out_channels, inputs, self.kernel_size)
        shapes: list[tuple[str, tuple[int, ...]]] = [
            ("weight", _checks.parameter_shape("weight", shape))
        ]
        if self.bias:
            shapes.append(("bias", (self.out_channels,)))
        bound = 1 / math.sqrt(inputs * self.kernel_size)
        self._hold(dictionary.uniform(shapes, bound, self.dtype, seed)[0])

    def _check_together(self, options: Mapping[str, Any]) -> None:
        groups = options["groups"]
        for name in ("in_channels", "out_channels"):
            if options[name] % groups:
                raise ValueError(
                    f"{name}: expected a multiple of groups={groups}, got {options[name]}"
                )
        if options["padding"] == "same" and options["stride"] != 1:
            raise ValueError(
                f"stride: expected 1 with padding='same', got {options['stride']}; "
                "give the number of steps as padding"
            )

    @property
    def reach(self) -> int:
        """How many steps of x, before the last one, a step of y sees.

        Examples
        --------
        >>> import pyrnn
        >>> pyrnn.Conv1d(3, 2, kernel_size=3, dilation=4).reach
        8
        """
        return (self.kernel_size - 1) * self.dilation

    def __call__(self, x: npt.ArrayLike) -> Array:
        """Map x to y, for inference only.

        Parameters
        ----------
        x : array
            The input, (T, N, in_channels), (N, T, in_channels) with ``batch_first``, or
            (T, in_channels) for one sequence.

        Returns
        -------
        array
            The output, (T', N, out_channels) and so on, with T' = ⌊(T + padding − reach − 1) /
            stride⌋ + 1, where ``padding`` counts the zeros of both sides.

        Raises
        ------
        TypeError, ValueError
            If ``x`` has a wrong dtype or shape, or too few steps for one of y.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.Conv1d(3, 2, kernel_size=4, stride=2, seed=0)
        >>> layer(np.ones((10, 5, 3), np.float32)).shape
        (4, 5, 2)
        """
        array, batched = self._check_input(x)
        return self._shaped(self._map(selection.current(), array), batched)

    def forward(
        self, x: npt.ArrayLike, state: None = None, *, lengths: None = None
    ) -> tuple[Array, None, _cache.Cache[Kept]]:
        """Map x to y, and return the cache that `backward` needs.

        Parameters
        ----------
        x : array
            The input, (T, N, in_channels), (N, T, in_channels) with ``batch_first``, or
            (T, in_channels) for one sequence.
        state, lengths : None
            Recurrent layers have them; a convolution takes none.

        Returns
        -------
        y : array
            The output, (T', N, out_channels) and so on, as of a call.
        state : None
            A convolution has no state.
        cache : Cache
            For one call of this layer's `backward`. It refers to ``x``, which must not change until
            then; the parameters may.

        Raises
        ------
        TypeError, ValueError
            If ``x`` has a wrong dtype or shape, or too few steps for one of y.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.Conv1d(3, 2, kernel_size=4, seed=0)
        >>> y, _, cache = layer.forward(np.ones((10, 5, 3), np.float32))
        >>> y.shape
        (7, 5, 2)
        """
        _arguments.not_taken(self, state=state, lengths=lengths)
        array, batched = self._check_input(x)
        backend = selection.current()
        kept = Kept(self._time_first(array), self._parameters["weight"].copy())
        y = self._shaped(self._map(backend, array), batched)
        return y, None, _cache.Cache(self, backend.name, kept, y.shape, batched)

    def backward(
        self, cache: _cache.Cache[Kept], dy: npt.ArrayLike, dstate: None = None
    ) -> tuple[Array, None, dict[str, Array]]:
        """Compute the gradients with respect to the input and the parameters.

        Parameters
        ----------
        cache : Cache
            From this layer's `forward`. It is used up.
        dy : array
            Gradient of the loss with respect to ``y``, of its shape and dtype.
        dstate : None
            Recurrent layers have it; this layer has no state.

        Returns
        -------
        dx : array
            Gradient with respect to ``x``, of its shape.
        dstate0 : None
            A convolution has no state.
        grads : dict
            Gradient of each parameter, by the names of `parameters`.

        Raises
        ------
        TypeError, ValueError
            If the cache is another layer's or used up, or ``dy`` has a wrong dtype or shape.

        Notes
        -----
        The windows of x are written out as rows, kernel_size times as many numbers as x has.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.Conv1d(3, 2, kernel_size=4, seed=0)
        >>> y, _, cache = layer.forward(np.ones((10, 5, 3), np.float32))
        >>> dx, _, grads = layer.backward(cache, np.ones_like(y))
        >>> dx.shape, grads["bias"]
        ((10, 5, 3), array([35., 35.], dtype=float32))
        """
        _cache.check(cache, self)
        _arguments.not_taken(self, dstate=dstate)
        array = _checks.float_array("dy", dy, self.dtype, cache.output_shape)
        x, weight = cache.use()
        dy_first = self._time_first(array if cache.batched else self._as_batch(array))
        with _warnings.unwarned():
            dx, dweight, dbias = selection.find(cache.backend).convolution_backward(
                x,
                weight,
                _pieces.dense(dy_first),
                before=self._pads()[0],
                after=self._pads()[1],
                stride=self.stride,
                dilation=self.dilation,
                groups=self.groups,
            )
        grads = {"weight": dweight, "bias": dbias} if self.bias else {"weight": dweight}
        dx = self._shaped(_pieces.dense(self._time_first(dx)), cache.batched)
        return dx, None, self._gradients(grads)

    def stream(self, batch_size: int = 1) -> Conv1dStream:
        """Open a stream that takes one step of x and gives one step of y per call.

        Parameters
        ----------
        batch_size : int, default 1
            The number of independent streams, advanced together.

        Returns
        -------
        Conv1dStream
            The stream, before which there were zeros. It keeps the present weights.

        Raises
        ------
        TypeError, ValueError
            If ``batch_size`` is no such number; or the layer's stride is not 1, or a step of y sees
            later steps of x: ``padding="causal"`` makes a layer that can be a stream.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.Conv1d(3, 2, kernel_size=4, padding="causal", seed=0).eval()
        >>> x = np.ones((10, 1, 3), np.float32)
        >>> stream = layer.stream()
        >>> np.array_equal(np.stack([stream.step(x_t) for x_t in x]), layer(x))
        True
        """
        batch_size = _checks.size("batch_size", batch_size)
        most = (self.reach + max(LEAST_ROOM, self.reach), batch_size, self.in_channels)
        _checks.parameter_shape("batch_size", most)
        if self.stride != 1 or self._pads() != (self.reach, 0):
            raise ValueError(
                f"stream: expected a layer with stride=1 and padding='causal', got {self!r}"
            )
        sizes = StreamSizes(self.dilation, self.groups, self.reach)
        parameters = self._parameters["weight"], self._parameters.get("bias")
        return Conv1dStream(*parameters, sizes, batch_size)

    # --- how it is computed -----------------------------------------------------------------

    def _pads(self) -> tuple[int, int]:
        """How many frames of zeros stand before and after x."""
        if isinstance(self.padding, int):
            return self.padding, self.padding
        if self.padding == "valid":
            return 0, 0
        before = self.reach if self.padding == "causal" else self.reach // 2
        return before, self.reach - before

    def _map(self, backend: selection.Backend, x: Array) -> Array:
        """Map three axes to three."""
        packed = self._weights(backend) or [self._packed_now(backend)]
        y: Array = packed[0](x, *self._pads())
        return y

    def _pack(self, backend: selection.Backend) -> list[Any]:
        """Return the packed weight in eval mode, nothing in train mode."""
        return [] if self.training else [self._packed_now(backend)]

    def _packed_now(self, backend: selection.Backend) -> Callable[[Array, int, int], Array]:
        return backend.pack_convolution(
            self._parameters["weight"],
            self._parameters.get("bias"),
            stride=self.stride,
            dilation=self.dilation,
            groups=self.groups,
            layout="batch_first" if self.batch_first else "time_first",
        )

    def _check_input(self, x: Any) -> tuple[Array, bool]:
        """Return ``x`` with three axes, and whether it had them."""
        array = _checks.float_array("x", x, self.dtype)
        if array.ndim not in (2, 3) or array.shape[-1] != self.in_channels:
            axes = "(N, T" if self.batch_first else "(T, N"
            size = self.in_channels
            raise ValueError(f"x: expected shape {axes}, {size}) or (T, {size}), got {array.shape}")
        batched = array.ndim == 3
        array = array if batched else self._as_batch(array)
        steps, least = array.shape[1 if self.batch_first else 0], self.reach + 1
        pads = sum(self._pads())
        if steps < 1 or steps + pads < least:
            raise ValueError(
                f"x: expected at least {max(1, least - pads)} steps for one of y, got {steps}"
            )
        return array, batched

    def _as_batch(self, array: Array) -> Array:
        return array[None] if self.batch_first else array[:, None]

    def _shaped(self, y: Array, batched: bool) -> Array:
        return y if batched else y.reshape(-1, y.shape[-1])

    def _time_first(self, array: Array) -> Array:
        """Swap the first axes of a layer with the batch first; its own inverse."""
        return np.swapaxes(array, 0, 1) if self.batch_first else array
