"""Layers that see several steps of each channel: maxima of windows, normalisation over time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn import _checks, _pieces, _warnings
from pyrnn._pickling import public
from pyrnn._types import Array, DTypeLike
from pyrnn.backend import selection
from pyrnn.layers import _arguments, _cache
from pyrnn.layers._layer import Layer
from pyrnn.layers._options import Option
from pyrnn.parameters.dictionary import ParameterDict


class OverTime(Layer):
    """Base class of layers that map each channel of each sequence for itself, over its steps."""

    batch_first: Option[bool] = Option(_checks.flag)

    def __call__(self, x: npt.ArrayLike) -> Array:
        """Map x to y, for inference only.

        Parameters
        ----------
        x : array
            The input, (T, N, channels), (N, T, channels) with ``batch_first``, or (T, channels) for
            one sequence.

        Returns
        -------
        array
            The output, with as many axes.

        Raises
        ------
        TypeError, ValueError
            If ``x`` has a wrong dtype or shape, or too few steps.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> pyrnn.MaxPool1d(2)(np.array([[1.0], [3.0], [2.0], [0.0]])).ravel()
        array([3., 2.])
        """
        array, batched = self._check_input(x)
        return self._shaped(self._map(selection.current(), array)[0], batched)

    def forward(
        self, x: npt.ArrayLike, state: None = None, *, lengths: None = None
    ) -> tuple[Array, None, _cache.Cache[Any]]:
        """Map x to y, and return the cache that `backward` needs.

        Parameters
        ----------
        x : array
            The input, (T, N, channels), (N, T, channels) with ``batch_first``, or (T, channels) for
            one sequence.
        state, lengths : None
            Recurrent layers have them; this layer takes none.

        Returns
        -------
        y : array
            The output, with as many axes.
        state : None
            This layer has no state.
        cache : Cache
            For one call of this layer's `backward`. It refers to ``x``, which must not change until
            then.

        Raises
        ------
        TypeError, ValueError
            If ``x`` has a wrong dtype or shape, or too few steps.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> y, _, cache = pyrnn.MaxPool1d(2).forward(np.array([[1.0], [3.0]]))
        >>> y
        array([[3.]])
        """
        _arguments.not_taken(self, state=state, lengths=lengths)
        array, batched = self._check_input(x)
        backend = selection.current()
        y, kept = self._map(backend, array)
        y = self._shaped(y, batched)
        return y, None, _cache.Cache(self, backend.name, (array, kept), y.shape, batched)

    def backward(
        self, cache: _cache.Cache[Any], dy: npt.ArrayLike, dstate: None = None
    ) -> tuple[Array, None, dict[str, Array]]:
        """Compute the gradients with respect to the input and the parameters.

        Parameters
        ----------
        cache : Cache
            From this layer's `forward`. It is used up.
        dy : array
            Gradient of the loss with respect to ``y``, of its shape.
        dstate : None
            Recurrent layers have it; this layer has no state.

        Returns
        -------
        dx : array
            Gradient with respect to ``x``, of its shape.
        dstate0 : None
            This layer has no state.
        grads : dict
            Gradient of each parameter, by the names of `parameters`.

        Raises
        ------
        TypeError, ValueError
            If the cache is another layer's or used up, or ``dy`` has a wrong dtype or shape.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.MaxPool1d(2)
        >>> y, _, cache = layer.forward(np.array([[1.0], [3.0]]))
        >>> layer.backward(cache, np.ones((1, 1)))[0].ravel()
        array([0., 1.])
        """
        _cache.check(cache, self)
        _arguments.not_taken(self, dstate=dstate)
        array = _checks.any_float_array("dy", dy)
        array = _checks.float_array("dy", array, array.dtype, cache.output_shape)
        x, kept = cache.use()
        dy_first = self._time_first(array if cache.batched else self._as_batch(array))
        if dy_first.dtype != x.dtype:
            dy_first = self._time_first(_pieces.copied(self._time_first(dy_first), x.dtype))
        with _warnings.unwarned():
            dx, grads = self._map_back(
                selection.find(cache.backend), self._dense(x), kept, self._dense(dy_first)
            )
        dx = self._shaped(_pieces.dense(self._time_first(dx)), cache.batched)
        return dx, None, self._gradients(grads)

    def _check_dtype(self, x: Any) -> Array:
        """Return ``x`` as an array of a dtype that the layer takes."""
        return _checks.any_float_array("x", x)

    def _check_input(self, x: Any) -> tuple[Array, bool]:
        """Return ``x`` with three axes, the time first, and whether it had them."""
        array, size = self._check_dtype(x), self._channels()
        if array.ndim not in (2, 3) or size not in (None, array.shape[-1]):
            axes, last = "(N, T" if self.batch_first else "(T, N", size or "channels"
            raise ValueError(f"x: expected shape {axes}, {last}) or (T, {last}), got {array.shape}")
        batched = array.ndim == 3
        array = self._time_first(array if batched else self._as_batch(array))
        if len(array) < self._least():
            raise ValueError(f"x: expected at least {self._least()} steps, got {len(array)}")
        return array, batched

    def _as_batch(self, array: Array) -> Array:
        return array[None] if self.batch_first else array[:, None]

    def _shaped(self, y: Array, batched: bool) -> Array:
        return y if batched else y.reshape(y.shape[0] * y.shape[1], y.shape[-1])

    def _time_first(self, array: Array) -> Array:
        """Swap the first axes of a layer with the batch first; its own inverse."""
        return np.swapaxes(array, 0, 1) if self.batch_first else array

    def _dense(self, array: Array) -> Array:
        """Return what has the time first, contiguous in the layer's own order of axes."""
        return self._time_first(_pieces.dense(self._time_first(array)))

    def _channels(self) -> int | None:
        """Return how many channels x must have; None for any number."""
        return None

    def _least(self) -> int:
        """Return how many steps x must have."""
        return 1

    def _map(self, backend: selection.Backend, x: Array) -> tuple[Array, Any]:
        """Return y in the layer's order of axes, contiguous, and what `_map_back` needs."""
        raise NotImplementedError

    def _map_back(
        self, backend: selection.Backend, x: Array, kept: Any, dy: Array
    ) -> tuple[Array, dict[str, Array]]:
        """Return the gradient of x, the time first, and those of the parameters."""
        raise NotImplementedError


_steps = partial(_checks.size, most=_checks.MOST_STEPS)


@public("pyrnn")
class MaxPool1d(OverTime):
    """The largest of the steps of each window, channel by channel.

    Parameters
    ----------
    kernel_size : int
        The number of steps of a window.
    stride : int, optional
        The number of steps from one window to the next: ``kernel_size`` by default.
    padding : int, default 0
        How many steps that do not count stand on each side of x; at most half of a window.
    dilation : int, default 1
        The number of steps from one step of a window to the next.
    batch_first : bool, default False
        Whether x and y are (N, T, channels), as of recurrent layers.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value, or the padding is too large for the window.

    Notes
    -----
    As `torch.nn.MaxPool1d`, but with the channels last. Where several steps of a window have the
    maximum, the gradient goes to the first. float32 and float64 are taken.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> pyrnn.MaxPool1d(3, stride=1)(np.array([[1.0], [3.0], [2.0], [0.0]])).ravel()
    array([3., 3.])
    """

    kernel_size: Option[int] = Option(_steps)
    stride: Option[int | None] = Option(
        lambda name, value: None if value is None else _steps(name, value)
    )
    padding: Option[int] = Option(partial(_steps, least=0))
    dilation: Option[int] = Option(_steps)

    def __init__(
        self,
        kernel_size: int,
        stride: int | None = None,
        padding: int = 0,
        dilation: int = 1,
        *,
        batch_first: bool = False,
    ) -> None:
        self._take(locals())
        super().__init__({})

    def _check_together(self, options: Mapping[str, Any]) -> None:
        if "kernel_size" in options:
            half = ((options["kernel_size"] - 1) * options["dilation"] + 1) // 2
            if options["padding"] > half:
                raise ValueError(
                    f"padding: expected at most half of a window, {half}, got {options['padding']}"
                )

    def _least(self) -> int:
        return max(1, (self.kernel_size - 1) * self.dilation + 1 - 2 * self.padding)

    def _map(self, backend: selection.Backend, x: Array) -> tuple[Array, Any]:
        y = backend.max_pool(x, *self._sizes())
        return _pieces.dense(self._time_first(y)), None

    def _map_back(
        self, backend: selection.Backend, x: Array, kept: Any, dy: Array
    ) -> tuple[Array, dict[str, Array]]:
        return backend.max_pool_backward(x, dy, *self._sizes()), {}

    def _sizes(self) -> tuple[int, int, int, int]:
        return self.kernel_size, self.stride or self.kernel_size, self.padding, self.dilation


@public("pyrnn")
class InstanceNorm1d(OverTime):
    """Bring each channel of each sequence to mean 0 and variance 1 over its steps.

    Parameters
    ----------
    num_features : int
        The number of channels: the size of the last axis of x.
    eps : float, default 1e-5
        The ε in (x − mean) / √(var + ε).
    affine : bool, default False
        Whether to scale and shift with parameters.
    batch_first : bool, default False
        Whether x and y are (N, T, channels), as of recurrent layers.
    dtype : {"float32", "float64"}
        The dtype of the parameters and of x.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    As `torch.nn.InstanceNorm1d` without running statistics, but with the channels last. Parameters
    are "weight" (channels,), ones, and "bias" (channels,), zeros. Computed in float64, step after
    step, so that a sequence has the same bits in any batch. All steps count: it takes no
    ``lengths`` and is no stream. Source: D. Ulyanov, A. Vedaldi,
    V. Lempitsky, "Instance normalization", arXiv:1607.08022.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.InstanceNorm1d(1, dtype="float64")
    >>> layer(np.array([[1.0], [3.0]])).round(4).ravel()
    array([-1.,  1.])
    """

    num_features: Option[int] = Option(_checks.size)
    eps: Option[float] = Option(_checks.epsilon)
    affine: Option[bool] = Option(_checks.flag)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        *,
        affine: bool = False,
        batch_first: bool = False,
        dtype: DTypeLike = "float32",
    ) -> None:
        self._take(locals())
        shape = _checks.parameter_shape("num_features", (self.num_features,))
        parameters = {}
        if self.affine:
            ones, zeros = np.ones(shape, self.dtype), np.zeros(shape, self.dtype)
            parameters = {"weight": ones, "bias": zeros}
        self._hold(ParameterDict(parameters))

    def _check_dtype(self, x: Any) -> Array:
        return _checks.float_array("x", x, self.dtype)

    def _channels(self) -> int | None:
        return self.num_features

    def _map(self, backend: selection.Backend, x: Array) -> tuple[Array, Any]:
        weight, bias = (self._parameters.get(name) for name in ("weight", "bias"))
        with _warnings.unwarned():
            y, kept = backend.instance_norm(x, weight, bias, self.eps)
        kept = kept, None if weight is None else weight.copy()
        return _pieces.dense(self._time_first(y)), kept

    def _map_back(
        self, backend: selection.Backend, x: Array, kept: Any, dy: Array
    ) -> tuple[Array, dict[str, Array]]:
        moments, weight = kept
        dx, dweight, dbias = backend.instance_norm_backward(x, moments, weight, dy)
        return dx, {} if weight is None else {"weight": dweight, "bias": dbias}
