"""Single cells: one time step, forward and backward, with torch's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._types import Array, Given, OneStep, Returned, State
from pyrnn.backend import selection
from pyrnn.layers import _arguments, _cache
from pyrnn.layers.recurrent._kind import Kind


class Cell(Kind, Generic[Given, Returned]):
    """Base class of `RNNCell`, `LSTMCell` and `GRUCell`. A subclass names its cell."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._take(arguments)
        self._draw(self._cell_shapes(self.input_size).items())

    def _pack(self, backend: selection.Backend) -> list[Any]:
        weights = backend.pack(
            self.cell,
            self._parameters,
            follow=self.training,
            storage=self._storage,
            compute=self._compute,
        )
        return [weights]

    def _make_ready(self, chosen: selection.Backend | None) -> OneStep:
        of_mode = self._packed
        backend = selection.current()
        step = backend.one_step(self._weights(backend), "cell", ())
        self._ready = chosen, step
        if self._packed is not of_mode or self.training:
            self._not_ready()
        return step

    @selection.shortcut
    def __call__(self, x: npt.ArrayLike, state: Given | None = None) -> Returned:
        """Advance by one step, for inference only.

        Parameters
        ----------
        x : array
            The input, (N, input_size), or (input_size,) for one row, or (N,) of one-hot indices.
        state : array or pair of arrays, optional
            The state before the step, (N, hidden_size); the pair (h, c) for LSTM. Without the axis
            N for one row. Zeros by default; so is None in a pair.

        Returns
        -------
        array or pair of arrays
            The state after the step, shaped as the one before.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> cell = pyrnn.LSTMCell(3, 4, seed=0)
        >>> h, c = cell(np.ones((2, 3), np.float32))
        >>> h, c = cell(np.ones((2, 3), np.float32), (h, c))
        >>> h.shape
        (2, 4)
        """
        if not self.training and (found := self._one_step()(x, state)) is not None:
            return found  # type: ignore[no-any-return]
        following: Returned = self._forward(x, state, keep=False)[1]
        return following

    def forward(
        self, x: npt.ArrayLike, state: Given | None = None
    ) -> tuple[Array, Returned, _cache.Cache[Any]]:
        """Advance by one step, and return the cache that `backward` needs.

        Parameters
        ----------
        x : array
            The input, (N, input_size), or (input_size,) for one row, or (N,) of one-hot indices.
        state : array or pair of arrays, optional
            The state before the step, (N, hidden_size); the pair (h, c) for LSTM. Without the axis
            N for one row. Zeros by default; so is None in a pair.

        Returns
        -------
        h : array
            The output, (N, hidden_size). It is read-only, because the cache refers to it.
        state : array or pair of arrays
            The state after the step: h again, or the pair (h, c) for LSTM.
        cache : Cache
            For one call of this cell's `backward`. It refers to ``x``, which must not change until
            then; the parameters may.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> cell = pyrnn.GRUCell(3, 4, seed=0)
        >>> h, state, cache = cell.forward(np.ones((2, 3), np.float32))
        >>> h.shape, np.array_equal(h, state)
        ((2, 4), True)
        """
        y, following, cache = self._forward(x, state, keep=True)
        assert cache is not None
        y.setflags(write=False)
        return y[0] if cache.batched else y[0, 0], following, cache

    def _forward(
        self, x: Any, state: Any, keep: bool
    ) -> tuple[Array, Any, _cache.Cache[Any] | None]:
        """Return the output (1, N, H), the user's form of the state, and the cache if ``keep``."""
        rows, batched = self._check_input(x)
        states = None
        if state is not None:
            states = self._check_state("state", state, len(rows), batched)
        backend = selection.current()
        weights = self._weights(backend)
        y, following, saved = backend.forward(weights[0], rows[None], states, keep=keep)
        cache = _cache.Cache(self, backend.name, saved, y.shape[1:], batched) if keep else None
        return y, self._user_state(following, batched), cache

    def backward(
        self, cache: _cache.Cache[Any], dy: npt.ArrayLike | None, dstate: Given | None = None
    ) -> tuple[Array | None, Returned, dict[str, Array]]:
        """Back-propagate through the step.

        Parameters
        ----------
        cache : Cache
            From this cell's `forward`. It is used up.
        dy : array or None
            Gradient of the loss with respect to the output h, of its shape. None for zeros.
        dstate : array or pair of arrays, optional
            Gradient of the loss with respect to the state after the step. Zeros by default; so is
            None in a pair. Its h part and ``dy`` are added.

        Returns
        -------
        dx : array or None
            Gradient with respect to ``x``; None if ``x`` holds indices.
        dstate0 : array or pair of arrays
            Gradient with respect to the state before the step.
        grads : dict
            Gradient of each parameter, by the names of `parameters`.

        Raises
        ------
        TypeError, ValueError
            If the cache is another cell's or used up, an argument has a wrong dtype or shape, or dy
            and dstate are both None. The cache can still be used then, unless it was used up.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> cell = pyrnn.GRUCell(3, 4, seed=0)
        >>> h, state, cache = cell.forward(np.ones((2, 3), np.float32))
        >>> dx, dstate0, grads = cell.backward(cache, np.ones_like(h))
        >>> dx.shape, dstate0.shape, grads["weight_ih"].shape
        ((2, 3), (2, 4), (12, 3))
        """
        _cache.check(cache, self)
        if dy is None and _arguments.none_given(dstate):
            raise TypeError("dy: expected a gradient, of h or of the next state, got None for both")
        shape = cache.output_shape
        expected = shape if cache.batched else shape[1:]
        doutput = _arguments.state_array("dy", dy, self.dtype, expected).reshape(1, *shape)
        dstates = None
        if dstate is not None:
            dstates = self._check_state("dstate", dstate, shape[0], cache.batched)
        backend = selection.find(cache.backend)
        dx, dbefore, grads = backend.backward(cache.use(), doutput, dstates)
        if dx is not None:
            dx = dx[0] if cache.batched else dx[0, 0]
        return dx, self._user_state(dbefore, cache.batched), self._gradients(grads)

    def _check_input(self, x: Any) -> tuple[Any, bool]:
        """Return ``x`` as (N, I) or indices (N,), and whether it is a batch."""
        array = _checks.as_array("x", x)
        if array.dtype.kind in "iu":
            if array.ndim != 1:
                raise TypeError(
                    "x: an integer array holds one-hot indices and has shape (N,), "
                    f"got {array.shape}"
                )
            array, batched = _checks.index_array("x", array, self.input_size), True
        else:
            array, batched = self._check_rows(_checks.float_array("x", x, self.dtype))
        if not len(array):
            raise ValueError(f"x: expected at least one row, got shape {array.shape}")
        return array, batched

    def _check_rows(self, array: Array) -> tuple[Array, bool]:
        if array.ndim not in (1, 2) or array.shape[-1] != self.input_size:
            raise ValueError(
                f"x: expected shape (N, {self.input_size}) or ({self.input_size},), "
                f"got {array.shape}"
            )
        return np.atleast_2d(array), array.ndim == 2

    def _check_state(self, name: str, state: Any, batch_size: int, batched: bool) -> State:
        """Return a state as a tuple of (N, H) arrays; a projected h is (N, P)."""
        parts = _arguments.state_parts(name, state, self._state_names)
        checked = []
        for (part_name, part), size in zip(
            parts.items(), self._state_sizes().values(), strict=True
        ):
            shape = (batch_size, size)
            expected = shape if batched else shape[1:]
            array = _arguments.state_array(part_name, part, self.dtype, expected)
            checked.append(array.reshape(shape))
        return tuple(checked)

    def _user_state(self, states: State, batched: bool) -> Any:
        if not batched:
            states = tuple(s[0] for s in states)
        return states[0] if len(states) == 1 else tuple(states)
