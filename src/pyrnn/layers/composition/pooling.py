"""One output for a whole sequence: that of its last step, or the mean over its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks, _pieces
from pyrnn._pickling import public
from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.layers import _arguments, _cache
from pyrnn.layers._layer import Layer
from pyrnn.layers._options import Option

Lengths = npt.NDArray[np.intp]


class Counted(NamedTuple):
    """The time steps that count: the first and the last of each sequence, their number.

    ``mask`` (T, N) says which they are, where some between them do not.
    """

    first: Lengths
    last: Lengths
    number: Lengths
    mask: npt.NDArray[np.bool_] | None

    def at(self, step: int) -> npt.NDArray[np.bool_]:
        """Whether this step counts, for each sequence."""
        return step <= self.last if self.mask is None else self.mask[step]


Kept = tuple[Counted, bool, "np.dtype[Any]"]
"""The steps that count, whether sequences ran in reverse, the dtype of x."""


class Pooling(Layer):
    """Base class of layers that map (T, N, features) to (N, features), within the lengths."""

    batch_first: Option[bool] = Option(_checks.flag)

    def __init__(self, batch_first: bool = False) -> None:
        self._take(locals())
        super().__init__({})

    def __call__(
        self, x: Any, state: None = None, lengths: Any = None, *, mask: Any = None
    ) -> Array:
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
        mask : array of bool, optional
            (T, N), in the layout of ``x``: False where a time step does not count. At least one of
            each sequence has to.

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
        return self.forward(x, state, lengths, mask=mask)[0]

    def forward(
        self, x: Any, state: None = None, lengths: Any = None, *, mask: Any = None
    ) -> tuple[Array, None, _cache.Cache[Kept]]:
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
        mask : array of bool, optional
            (T, N), in the layout of ``x``: False where a time step does not count. At least one of
            each sequence has to.

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
        _arguments.not_taken(self, state=state)
        return self._forward(x, lengths, mask, reverse=False)

    def _forward(
        self, x: Any, lengths: Any, mask: Any, reverse: bool
    ) -> tuple[Array, None, _cache.Cache[Kept]]:
        """`forward` of sequences that ran in reverse, or did not."""
        array = _checks.any_float_array("x", x)
        if array.ndim not in (2, 3) or not array.size:
            axes = "(N, T" if self.batch_first else "(T, N"
            raise ValueError(
                f"x: expected shape {axes}, features) or (T, features), not empty, got "
                f"{array.shape}"
            )
        steps_first = self._steps_first(array)
        counted = self._check_steps(lengths, mask, steps_first.shape[:2], array.ndim == 3)
        y = self._pool(steps_first, counted, reverse)
        name = selection.current().name
        kept = (counted, reverse, array.dtype)
        cache = _cache.Cache(self, name, kept, array.shape, array.ndim == 3, counted.last + 1)
        return y if array.ndim == 3 else y[0], None, cache

    def _check_steps(
        self, lengths: Any, mask: Any, shape: tuple[int, ...], batched: bool
    ) -> Counted:
        steps, rows = shape
        ends = np.full(rows, steps, np.intp)
        if lengths is not None:
            ends = _arguments.lengths_array("lengths", lengths, steps, rows)
        if mask is None:
            return Counted(np.zeros(rows, np.intp), ends - 1, ends, None)
        batch_first = self.batch_first if batched else None
        flags = _arguments.steps_array("mask", mask, steps, rows, batch_first)
        flags &= np.arange(steps)[:, None] < ends
        count = flags.sum(axis=0)
        if not count.all():
            raise ValueError(
                "mask: expected at least one time step of each sequence that counts, got none of "
                f"sequence {int(np.argmin(count))}"
            )
        last = steps - 1 - np.argmax(flags[::-1], axis=0)
        return Counted(np.argmax(flags, axis=0), last, count, flags)

    def backward(
        self, cache: _cache.Cache[Kept], dy: Any, dstate: None = None
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
        _arguments.not_taken(self, dstate=dstate)
        shape = cache.output_shape
        rows = shape[0 if self.batch_first else 1]
        wanted = (rows, shape[-1]) if cache.batched else shape[-1:]
        array = _checks.any_float_array("dy", dy)
        array = _checks.float_array("dy", array, array.dtype, wanted)
        counted, reverse, dtype = cache.use()
        if array.dtype != dtype:
            array = array.astype(dtype)
        dx = np.zeros(shape, dtype)
        self._spread(array.reshape(-1, shape[-1]), counted, reverse, self._steps_first(dx))
        return dx, None, self._gradients({})

    def _steps_first(self, array: Array) -> Array:
        """Return a view (T, N, features)."""
        if array.ndim == 2:
            return array[:, None]
        return array.swapaxes(0, 1) if self.batch_first else array

    def _pool(self, x: Array, counted: Counted, reverse: bool) -> Array:
        """Map (T, N, features) to a new array (N, features)."""
        raise NotImplementedError

    def _spread(self, dy: Array, counted: Counted, reverse: bool, dx: Array) -> None:
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
    reverse : bool
        For the output of a layer with ``reverse``: it is taken from the first step, which such a
        layer computes last. In a `Sequential`, after such a layer, this is so in any case.

    Raises
    ------
    TypeError
        If an argument is no boolean.
    ValueError
        If ``bidirectional`` and ``reverse`` are both True.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> x = np.arange(6.0).reshape(3, 2, 1)
    >>> pyrnn.LastStep()(x, lengths=[3, 1]).tolist()
    [[4.0], [1.0]]
    """

    bidirectional: Option[bool] = Option(_checks.flag)
    reverse: Option[bool] = Option(_checks.flag)

    def __init__(
        self, batch_first: bool = False, bidirectional: bool = False, *, reverse: bool = False
    ) -> None:
        self._take(locals())
        super().__init__(batch_first)

    def _check_together(self, options: Mapping[str, Any]) -> None:
        if options.get("bidirectional") and options.get("reverse"):
            raise ValueError(
                "reverse: expected False for the output of a bidirectional layer, got True"
            )

    def _pool(self, x: Array, counted: Counted, reverse: bool) -> Array:
        rows = np.arange(x.shape[1])
        y = x[self._end(counted, reverse), rows]
        if self.bidirectional:
            half = self._half(x)
            y[:, half:] = x[counted.first, rows, half:]
        return y

    def _spread(self, dy: Array, counted: Counted, reverse: bool, dx: Array) -> None:
        end, half = self._end(counted, reverse), self._half(dx) if self.bidirectional else None
        # Few numbers are written, but their pages, of megabytes, may not be there before.
        for some in _pieces.pieces(dx.shape[1], len(dx) * dx.shape[2] // 256):
            rows = np.arange(some.start, some.stop)
            dx[end[some], rows, :half] = dy[some, :half]
            if half is not None:
                dx[counted.first[some], rows, half:] = dy[some, half:]

    def _end(self, counted: Counted, reverse: bool) -> Lengths:
        """The step of each sequence that was computed last."""
        return counted.first if reverse or self.reverse else counted.last

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

    def _pool(self, x: Array, counted: Counted, reverse: bool) -> Array:
        total = np.zeros(x.shape[1:])
        for step, values in enumerate(x):
            total += np.where(counted.at(step)[:, None], values, 0)
        mean: Array = (total / counted.number[:, None]).astype(x.dtype)
        return mean

    def _spread(self, dy: Array, counted: Counted, reverse: bool, dx: Array) -> None:
        shares = (dy / counted.number[:, None]).astype(dx.dtype)
        for step, values in enumerate(dx):
            values[...] = np.where(counted.at(step)[:, None], shares, 0)
