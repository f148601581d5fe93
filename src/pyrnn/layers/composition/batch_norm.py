"""Batch normalisation: statistics of the batch in train mode, running averages in eval mode."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks, _pieces, _warnings
from pyrnn._pickling import public
from pyrnn._types import Array, DTypeLike
from pyrnn.backend import selection
from pyrnn.layers import _arguments, _cache
from pyrnn.layers._layer import Layer
from pyrnn.layers._options import Option
from pyrnn.layers.composition._shared_batch import Exchange, exchange
from pyrnn.layers.composition.pointwise import Pointwise
from pyrnn.parameters.dictionary import ParameterDict


class _OfBatch(NamedTuple):
    """What backward needs where the statistics are those of the rows."""

    rows: Array
    moments: Any
    weight: Array | None


class _OfPart(NamedTuple):
    """The same where other processes have rows of the batch, too: and how many all have."""

    rows: Array
    moments: Any
    rows_of_all: int
    weight: Array | None
    exchange: Exchange


class _Masked(NamedTuple):
    """What backward needs where some rows do not count: those that do, and what they need."""

    counted: npt.NDArray[np.intp]
    kept: Any


class _Fixed(NamedTuple):
    """What backward needs where they are running averages."""

    rows: Array
    mean: Array
    variance: Array
    factor: Array


@public("pyrnn")
class BatchNorm1d(Pointwise):
    """Bring each channel of a batch to mean 0 and variance 1, then scale and shift it.

    Parameters
    ----------
    num_features : int
        The number of channels: the size of the last axis of x.
    eps : float, default 1e-5
        The ε in (x − mean) / √(var + ε).
    momentum : float or None, default 0.1
        The share of the new statistics in the running averages; None for the mean over all batches
        so far.
    affine : bool, default True
        Whether to scale and shift with parameters.
    track_running_stats : bool, default True
        Whether there are running averages. Without them eval mode computes as train mode does.
    dtype : {"float32", "float64"}
        The dtype of the parameters and of x.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    As `torch.nn.BatchNorm1d`, but with the channels last: x is (T, N, channels), (N, T, channels),
    (N, channels) or (T, channels). The parameters are "weight" (channels,), ones, and "bias"
    (channels,), zeros; the `buffers` "running_mean", zeros, "running_var", ones, of unbiased
    variances, and "num_batches_tracked", a count.

    In train mode the statistics are those of all rows of x, computed in float64, and every call
    updates the running averages. With a ``mask``, rows that it leaves out do not count, and their
    output is 0; in a `Sequential` that is called with ``lengths`` or ``mask``, so are the time
    steps past the end of a sequence. In eval mode it computes
    (x − running_mean) · factor + bias in x's dtype, each row for itself, so that a row has the same
    bits in any batch, and a stream those of the whole sequence. Source: S. Ioffe, C. Szegedy,
    "Batch normalization", arXiv:1502.03167.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.BatchNorm1d(1, dtype="float64")
    >>> layer(np.array([[1.0], [3.0]])).round(4).ravel()
    array([-1.,  1.])
    >>> layer.buffers["running_mean"], layer.buffers["running_var"].round(4)
    (array([0.2]), array([1.1]))
    >>> layer.eval()(np.array([[0.2]])).ravel()
    array([0.])
    """

    num_features: Option[int] = Option(_checks.size)
    eps: Option[float] = Option(_checks.epsilon)
    momentum: Option[float | None] = Option(
        lambda name, value: None if value is None else _checks.finite_number(name, value, 0.0, 1.0)
    )
    affine: Option[bool] = Option(_checks.flag)
    track_running_stats: Option[bool] = Option(_checks.flag)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: DTypeLike = "float32",
    ) -> None:
        self._take(locals())
        shape = _checks.parameter_shape("num_features", (self.num_features,))
        parameters, buffers = {}, {}
        if self.affine:
            ones, zeros = np.ones(shape, self.dtype), np.zeros(shape, self.dtype)
            parameters = {"weight": ones, "bias": zeros}
        if self.track_running_stats:
            buffers = {
                "running_mean": np.zeros(shape, self.dtype),
                "running_var": np.ones(shape, self.dtype),
                "num_batches_tracked": np.zeros((), np.int64),
            }
        self._hold(ParameterDict(parameters), buffers)

    def __call__(self, x: Any, *, mask: Any = None) -> Array:
        """Map x to y, for inference only.

        Parameters
        ----------
        x : array
            The input, (..., num_features).
        mask : array of bool, optional
            Which rows of x count, (...). All by default.

        Returns
        -------
        array
            The output, of the shape and dtype of ``x``, 0 in rows that do not count.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype or shape, or there is a single row to take statistics
            of.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.BatchNorm1d(1, dtype="float64")
        >>> layer(np.array([[1.0], [3.0], [9.0]]), mask=[True, True, False]).round(4).ravel()
        array([-1.,  1.,  0.])
        """
        return self._map_counted(self._check_input(x), mask)[0]

    def forward(
        self, x: Any, state: None = None, *, lengths: None = None, mask: Any = None
    ) -> tuple[Array, None, _cache.Cache[Any]]:
        """Map x to y, and return the cache that `backward` needs.

        Parameters
        ----------
        x : array
            The input, (..., num_features).
        state, lengths : None
            Recurrent layers have them; this layer takes none.
        mask : array of bool, optional
            Which rows of x count, (...). All by default.

        Returns
        -------
        y : array
            The output, of the shape and dtype of ``x``, 0 in rows that do not count.
        state : None
            This layer has no state.
        cache : Cache
            For one call of this layer's `backward`.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype or shape, or there is a single row to take statistics
            of.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.BatchNorm1d(1, dtype="float64")
        >>> y, _, cache = layer.forward(np.array([[1.0], [3.0]]))
        >>> y.round(4).ravel()
        array([-1.,  1.])
        """
        _arguments.not_taken(self, state=state, lengths=lengths)
        array = self._check_input(x)
        y, kept = self._map_counted(array, mask)
        backend = selection.current().name
        return y, None, _cache.Cache(self, backend, (kept, array.dtype), array.shape, True)

    def _check_input(self, x: Any) -> Array:
        array = _checks.float_array("x", x, self.dtype)
        if array.ndim < 2 or array.shape[-1] != self.num_features:
            raise ValueError(f"x: expected shape (..., {self.num_features}), got {array.shape}")
        return array

    def _of_batch(self) -> bool:
        """Whether statistics are those of the batch, not the running averages."""
        return self.training or not self.track_running_stats

    def _map_counted(self, x: Array, mask: Any) -> tuple[Array, Any]:
        """Map the rows that count; the others become 0."""
        if mask is None:
            return self._map(x)
        flags = _checks.as_array("mask", mask)
        if flags.dtype != np.bool_:
            raise TypeError(f"mask: expected dtype bool, got {flags.dtype}")
        if flags.shape != x.shape[:-1]:
            raise ValueError(f"mask: expected shape {x.shape[:-1]}, got {flags.shape}")
        counted = np.flatnonzero(flags)
        rows = _checks.rows(x)
        y = _pieces.zeros(rows)
        own, kept = self._map(_pieces.taken(rows, counted))
        _pieces.move(own, (), y, (counted,))
        return y.reshape(x.shape), _Masked(counted, kept)

    def _map(self, x: Array) -> tuple[Array, Any]:
        rows, backend = _checks.rows(x), selection.current()
        others = exchange() if self._of_batch() else None
        if others is not None:
            return self._map_part(x, rows, others)
        if not rows.size:
            return _pieces.copied(x), None
        if not self._of_batch():
            mean, variance, factor, shift = self._weights(backend)
            with _warnings.unwarned():
                y = backend.scale_channels(rows, mean, factor, shift)
            return y.reshape(x.shape), _Fixed(_own(rows, x), mean, variance, factor)
        if len(rows) == 1:
            raise ValueError(
                f"x: expected more than one row to take statistics of, got {x.shape}; "
                "eval() uses the running averages"
            )
        weight, bias = (self._parameters.get(name) for name in ("weight", "bias"))
        with _warnings.unwarned():
            y, moments = backend.instance_norm(rows[:, None], weight, bias, self.eps)
            self._update(moments.mean[0], moments.variance[0], len(rows))
        kept = _OfBatch(_own(rows, x), moments, None if weight is None else weight.copy())
        return y.reshape(x.shape), kept

    def _map_part(self, x: Array, rows: Array, others: Exchange) -> tuple[Array, _OfPart]:
        """Map rows of a batch of which other processes have some."""
        weight, bias = (self._parameters.get(name) for name in ("weight", "bias"))
        with _warnings.unwarned():
            y, moments, count = selection.current().batch_norm_of_part(
                rows, weight, bias, self.eps, others
            )
            self._update(moments.mean, moments.variance, count)
        weight = None if weight is None else weight.copy()
        return y.reshape(x.shape), _OfPart(_own(rows, x), moments, count, weight, others)

    def _update(self, mean: Array, variance: Array, count: int) -> None:
        """In train mode, let the running averages move towards a batch's."""
        if not self.training or not self.track_running_stats:
            return
        variance = variance * (count / (count - 1))
        buffers = self._buffers
        buffers["num_batches_tracked"] += 1
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / int(buffers["num_batches_tracked"])
        for name, new in (("running_mean", mean), ("running_var", variance)):
            old = buffers[name].astype(np.float64)
            buffers[name] = ((1 - momentum) * old + momentum * new).astype(self.dtype)

    def _pack(self, backend: selection.Backend) -> list[Any]:
        """The running mean and variance, the factor and the shift of each channel."""
        if not self.track_running_stats:
            return []
        weight, bias = (self._parameters.get(name) for name in ("weight", "bias"))
        mean, variance = (self._buffers[n].copy() for n in ("running_mean", "running_var"))
        with _warnings.unwarned():
            factor, shift = backend.channel_factors(variance, weight, bias, self.eps)
        return [mean, variance, factor, shift]

    def _map_back(self, kept: Any, dy: Array) -> tuple[Array, dict[str, Array]]:
        if isinstance(kept, _Masked):
            rows = _checks.rows(dy)
            dx = _pieces.zeros(rows)
            own, grads = self._map_back(kept.kept, _pieces.taken(rows, kept.counted))
            _pieces.move(own, (), dx, (kept.counted,))
            return dx.reshape(dy.shape), grads
        if kept is None:
            return _pieces.copied(dy), {n: np.zeros_like(p) for n, p in self._parameters.items()}
        gradient, backend = _checks.rows(dy), selection.current()
        if isinstance(kept, _Fixed):
            dx, dweight, dbias = backend.scale_channels_backward(*kept, gradient, self.eps)
        elif isinstance(kept, _OfPart):
            dx, dweight, dbias = backend.batch_norm_of_part_backward(
                kept.rows, kept.moments, kept.rows_of_all, kept.weight, gradient, kept.exchange
            )
        else:
            dx, dweight, dbias = backend.instance_norm_backward(
                kept.rows[:, None], kept.moments, kept.weight, gradient[:, None]
            )
        grads = {"weight": dweight, "bias": dbias} if self.affine else {}
        return dx.reshape(dy.shape), grads


def _own(rows: Array, x: Array) -> Array:
    """Rows that do not change with x."""
    return _pieces.copied(rows) if _checks.shares(rows, (x,)) else rows


def tracks(layer: Layer) -> bool:
    """Whether a layer gives a single step what it gives that step in a sequence."""
    return not isinstance(layer, BatchNorm1d) or layer.track_running_stats
