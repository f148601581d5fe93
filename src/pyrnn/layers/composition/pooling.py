"""One output for a whole sequence: that of its last step, or the mean over its steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._options import Option
from pyrnn._pickling import public
from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.layers import _cache
from pyrnn.layers._layer import Layer

Lengths = npt.NDArray[np.intp]


class Pooling(Layer):
    """Base class of layers that map (T, N, features) to (N, features), within the lengths."""

    batch_first: Option[bool] = Option(_checks.flag)

    def __init__(self, batch_first: bool = False) -> None:
        self._take(locals())
        super().__init__({})

    def __call__(self, x: Any, state: None = None, lengths: Any = None) -> Array:
        """Map a batch of sequences to an output for each, for inference only.

        Parameters
        ----------
        x : array
            The sequences, (T, N, features), (N, T, features) with ``batch_first``, or
            (T, features) for one; float32 or float64.
        state : None
            Recurrent layers have it; this layer takes none.
        lengths : array of int, optional
            The length of each sequence, in [1, T]. Time steps past it do not count.

        Returns
        -------
        array
            The outputs, (N, features), or (features,) for one sequence.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> pyrnn.LastStep()(np.arange(6.0).reshape(3, 2, 1)).tolist()
        [[4.0], [5.0]]
        """
        return self.forward(x, state, lengths)[0]

    def forward(
        self, x: Any, state: None = None, lengths: Any = None
    ) -> tuple[Array, None, _cache.Cache[tuple[Lengths, np.dtype[Any]]]]:
        """Map a batch of sequences to an output for each, and return the cache for `backward`.

        Parameters
        ----------
        x : array
            The sequences, (T, N, features), (N, T, features) with ``batch_first``, or
            (T, features) for one; float32 or float64.
        state : None
            Recurrent layers have it; this layer takes none.
        lengths : array of int, optional
            The length of each sequence, in [1, T]. Time steps past it do not count.

        Returns
        -------
        y : array
            The outputs, (N, features), or (features,) for one sequence.
        state : None
            This layer has no state.
        cache : Cache
            For one call of this layer's `backward`.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.MeanOverTime()
        >>> y, _, cache = layer.forward(np.arange(6.0).reshape(3, 2, 1), lengths=[3, 1])
        >>> y.tolist()
        [[2.0], [1.0]]
        """
        _checks.not_taken(self, state=state)
        array = _checks.any_float_array("x", x)
        if array.ndim not in (2, 3) or not array.size:
            axes = "(N, T" if self.batch_first else "(T, N"
            raise ValueError(
                f"x: expected shape {axes}, features) or (T, features), not empty, got "
                f"{array.shape}"
            )
        steps_first = self._steps_first(array)
        steps, rows = steps_first.shape[:2]
        ends = np.full(rows, steps, np.intp)
        if lengths is not None:
            ends = _checks.lengths_array("lengths", lengths, steps, rows)
        y = self._pool(steps_first, ends)
        name = selection.current().name
        kept = (ends, array.dtype)
        cache = _cache.Cache(self, name, kept, array.shape, array.ndim == 3, ends)
        return y if array.ndim == 3 else y[0], None, cache

    def backward(
        self, cache: _cache.Cache[tuple[Lengths, np.dtype[Any]]], dy: Any, dstate: None = None
    ) -> tuple[Array, None, dict[str, Array]]:
        """Compute the gradient with respect to the input.

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
            Gradient with respect to ``x``, of its shape; 0 in time steps that do not count.
        dstate0 : None
            This layer has no state.
        grads : dict
            Empty: there are no parameters.

        Raises
        ------
        TypeError, ValueError
            If the cache is another layer's or used up, or dy has a wrong dtype or shape.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.MeanOverTime()
        >>> y, _, cache = layer.forward(np.ones((4, 1, 1)))
        >>> layer.backward(cache, np.ones((1, 1)))[0].ravel()
        array([0.25, 0.25, 0.25, 0.25])
        """
        _cache.check(cache, self)
        _checks.not_taken(self, dstate=dstate)
        shape = cache.output_shape
        rows = shape[0 if self.batch_first else 1]
        wanted = (rows, shape[-1]) if cache.batched else shape[-1:]
        array = _checks.any_float_array("dy", dy)
        array = _checks.float_array("dy", array, array.dtype, wanted)
        ends, dtype = cache.use()
        if array.dtype != dtype:
            array = array.astype(dtype)
        dx = np.zeros(shape, dtype)
        self._spread(array.reshape(-1, shape[-1]), ends, self._steps_first(dx))
        return dx, None, self._gradients({})

    def _steps_first(self, array: Array) -> Array:
        """Return a view (T, N, features)."""
        if array.ndim == 2:
            return array[:, None]
        return array.swapaxes(0, 1) if self.batch_first else array

    def _pool(self, x: Array, ends: Lengths) -> Array:
        """Map (T, N, features) to a new array (N, features)."""
        raise NotImplementedError

    def _spread(self, dy: Array, ends: Lengths, dx: Array) -> None:
        """Add the gradient (N, features) to dx, (T, N, features) of zeros, in place."""
        raise NotImplementedError


@public("pyrnn")
class LastStep(Pooling):
    """The output of each sequence's last step.

    Parameters
    ----------
    batch_first : bool
        Whether x is (N, T, features), as of recurrent layers.
    bidirectional : bool
        For the output of a bidirectional layer, whose second half runs from the end to the
        beginning: that half is taken from the first step, where it has seen the whole sequence.

    Raises
    ------
    TypeError
        If an argument is no boolean.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> x = np.arange(6.0).reshape(3, 2, 1)
    >>> pyrnn.LastStep()(x, lengths=[3, 1]).tolist()
    [[4.0], [1.0]]
    """

    bidirectional: Option[bool] = Option(_checks.flag)

    def __init__(self, batch_first: bool = False, bidirectional: bool = False) -> None:
        self._take(locals())
        super().__init__(batch_first)

    def _pool(self, x: Array, ends: Lengths) -> Array:
        y = x[ends - 1, np.arange(len(ends))]
        if self.bidirectional:
            half = self._half(x)
            y[:, half:] = x[0, :, half:]
        return y

    def _spread(self, dy: Array, ends: Lengths, dx: Array) -> None:
        rows = np.arange(len(ends))
        if self.bidirectional:
            half = self._half(dx)
            dx[ends - 1, rows, :half] = dy[:, :half]
            dx[0, :, half:] = dy[:, half:]
        else:
            dx[ends - 1, rows] = dy

    @staticmethod
    def _half(x: Array) -> int:
        if x.shape[-1] % 2:
            raise ValueError(
                f"x: expected an even number of features, of two directions, got {x.shape[-1]}"
            )
        return int(x.shape[-1] // 2)


@public("pyrnn")
class MeanOverTime(Pooling):
    """The mean of each sequence's outputs, over its steps.

    Parameters
    ----------
    batch_first : bool
        Whether x is (N, T, features), as of recurrent layers.

    Raises
    ------
    TypeError
        If an argument is no boolean.

    Notes
    -----
    Steps are added in their order, in float64, so that a sequence's mean does not depend on the
    batch it is in.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> x = np.arange(6.0).reshape(3, 2, 1)
    >>> pyrnn.MeanOverTime()(x, lengths=[3, 1]).tolist()
    [[2.0], [1.0]]
    """

    def _pool(self, x: Array, ends: Lengths) -> Array:
        total = np.zeros(x.shape[1:])
        for step, values in enumerate(x):
            total += np.where((step < ends)[:, None], values, 0)
        mean: Array = (total / ends[:, None]).astype(x.dtype)
        return mean

    def _spread(self, dy: Array, ends: Lengths, dx: Array) -> None:
        shares = (dy / ends[:, None]).astype(dx.dtype)
        for step, values in enumerate(dx):
            values[...] = np.where((step < ends)[:, None], shares, 0)
