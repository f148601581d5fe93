"""Recurrent cells: one time step, forward and backward, with torch's names."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._types import Array, State
from pyrnn.backend import selection
from pyrnn.layers import _cache
from pyrnn.layers._layer import Layer
from pyrnn.layers.initializers import first_values
from pyrnn.parameters import shapes


class Cell(Layer):
    """Base of `RNNCell`, `LSTMCell` and `GRUCell`; a subclass names its cell."""

    _state_names: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        bias: bool,
        dtype: npt.DTypeLike,
        seed: object,
        initialization: str,
        forget_bias: float | None = None,
    ) -> None:
        self.cell = cell
        self.input_size = _checks.size("input_size", input_size)
        self.hidden_size = _checks.size("hidden_size", hidden_size)
        self.bias = _checks.flag("bias", bias)
        checked = _checks.float_dtype(dtype)
        named = shapes.of_cell(cell, self.input_size, self.hidden_size, self.bias).items()
        parameters, _ = first_values(self, named, initialization, checked, seed, forget_bias)
        super().__init__(parameters, checked)

    def _pack(self, backend: selection.Backend) -> list[Any]:
        return [backend.pack(self.cell, self._parameters, follow=self.training)]

    def __call__(self, x: Any, state: Any = None) -> Any:
        """Advance by one step, for inference only.

        Parameters
        ----------
        x : array
            (N, input_size), or (input_size,) for one row, or (N,) of one-hot indices.
        state : array or pair of arrays, optional
            (N, hidden_size), zero if not given; the pair (h, c) for LSTM, in which None is zero as
            well. Without the axis N for one row.

        Returns
        -------
        array or pair of arrays
            The next state, shaped as the argument.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value.
        """
        return self._forward(x, state, keep=False)[1]

    def forward(self, x: Any, state: Any = None) -> tuple[Array, Any, _cache.Cache[Any]]:
        """Advance by one step as `__call__` does, and keep what `backward` needs.

        Returns
        -------
        h : array
            The output, (N, hidden_size). It is read-only, because the cache looks into it.
        state : array or pair of arrays
            The next state, as `__call__` returns it: h again, or the pair (h, c) for LSTM.
        cache : Cache
            Serves one call of this cell's `backward`. It holds on to ``x``, which must not
            change until then; the parameters may.
        """
        y, following, cache = self._forward(x, state, keep=True)
        assert cache is not None
        y.setflags(write=False)
        return y[0] if cache.batched else y[0, 0], following, cache

    def _forward(
        self, x: Any, state: Any, keep: bool
    ) -> tuple[Array, Any, _cache.Cache[Any] | None]:
        """The output (1, N, H), the state as the user has it, and the cache if it is to be kept."""
        rows, batched = self._check_input(x)
        states = None
        if state is not None:
            states = self._check_state("state", state, len(rows), batched)
        backend = selection.current()
        (weights,) = self._weights(backend)
        y, following, saved = backend.forward(weights, rows[None], states, keep=keep)
        cache = _cache.Cache(self, backend.name, saved, y.shape[1:], batched) if keep else None
        return y, self._user_state(following, batched), cache

    def backward(
        self, cache: _cache.Cache[Any], dy: Any, dstate: Any = None
    ) -> tuple[Array | None, Any, dict[str, Array]]:
        """Back-propagate through the step.

        Parameters
        ----------
        cache : Cache
            From this cell's `forward`; it is used up.
        dy : array or None
            Gradient of the loss with respect to the output h, of its shape; None for zeros.
        dstate : array or pair of arrays, optional
            Gradient with respect to the next state; zero if not given, as is None in a pair. What
            it has for h and ``dy`` add up.

        Returns
        -------
        dx : array or None
            Gradient with respect to ``x``; None if ``x`` held indices.
        dstate0 : array or pair of arrays
            Gradient with respect to the state before.
        grads : dict
            Gradient of each parameter, by the names of `parameters`.

        Raises
        ------
        TypeError, ValueError
            If the cache is another cell's or used up, or an argument has a wrong dtype or shape,
            or dy and dstate are both None. The cache can still be used then, unless it was used up.
        """
        _cache.check(cache, self)
        if dy is None and _checks.none_given(dstate):
            raise TypeError("dy: expected a gradient, of h or of the next state, got None for both")
        shape = cache.output_shape
        expected = shape if cache.batched else shape[1:]
        doutput = _checks.state_array("dy", dy, self.dtype, expected).reshape(1, *shape)
        dstates = None
        if dstate is not None:
            dstates = self._check_state("dstate", dstate, shape[0], cache.batched)
        backend = selection.find(cache.backend)
        dx, dbefore, grads = backend.backward(cache.use(), doutput, dstates)
        if dx is not None:
            dx = dx[0] if cache.batched else dx[0, 0]
        return dx, self._user_state(dbefore, cache.batched), self._gradients(grads)

    def _check_input(self, x: Any) -> tuple[Any, bool]:
        """``x`` as (N, I) or indices (N,), and whether it came as a batch."""
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
        """A state as a tuple of (N, H) arrays."""
        shape = (batch_size, self.hidden_size)
        parts = _checks.state_parts(name, state, self._state_names)
        expected = shape if batched else shape[1:]
        return tuple(
            _checks.state_array(part_name, part, self.dtype, expected).reshape(shape)
            for part_name, part in parts.items()
        )

    def _user_state(self, states: State, batched: bool) -> Any:
        if not batched:
            states = tuple(s[0] for s in states)
        return states[0] if len(states) == 1 else tuple(states)

    def _repr_sizes(self) -> list[str]:
        return [str(self.input_size), str(self.hidden_size)]

    def _repr_options(self) -> list[tuple[str, object]]:
        return [("bias", True)]


class RNNCell(Cell):
    """One step of the vanilla recurrent network: ``h' = f(W_ih x + b_ih + W_hh h + b_hh)``.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of x, and of h.
    bias : bool
        Whether there are b_ih and b_hh.
    nonlinearity : {"tanh", "relu"}
        f.
    dtype : {"float32", "float64"}
        Of everything.
    seed : int, optional
        Makes the first parameters repeatable.
    initialization : {"torch", "glorot", "orthogonal", "identity"}
        How the first parameters are drawn; `pyrnn.initialize` says what each means.

    Notes
    -----
    Parameters are drawn from U(-1/√H, 1/√H), as in `torch.nn.RNNCell`; source as for `RNN`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> cell = pyrnn.RNNCell(3, 4, seed=0)
    >>> h, state, cache = cell.forward(np.ones((2, 3), dtype=np.float32))
    >>> dx, dh, grads = cell.backward(cache, np.ones_like(h))
    >>> h.shape, dx.shape, dh.shape, grads["weight_hh"].shape
    ((2, 4), (2, 3), (2, 4), (4, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        dtype: npt.DTypeLike = "float32",
        seed: int | None = None,
        initialization: str = "torch",
    ) -> None:
        self.nonlinearity = _checks.choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        cell = f"rnn_{nonlinearity}"
        super().__init__(cell, input_size, hidden_size, bias, dtype, seed, initialization)

    def _repr_options(self) -> list[tuple[str, object]]:
        return [*super()._repr_options(), ("nonlinearity", "tanh")]


class LSTMCell(Cell):
    """One step of long short-term memory, gates i f g o; the state is the pair (h, c).

    Parameters
    ----------
    input_size, hidden_size, bias, dtype, seed, initialization
        As for `RNNCell`, without "identity".
    forget_bias : float, optional
        As for `LSTM`.

    Notes
    -----
    Equations and source as for `LSTM`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> cell = pyrnn.LSTMCell(3, 4, seed=0)
    >>> h, c = cell(np.ones((2, 3), dtype=np.float32))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    _state_names = ("h", "c")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: npt.DTypeLike = "float32",
        seed: int | None = None,
        initialization: str = "torch",
        forget_bias: float | None = None,
    ) -> None:
        super().__init__(
            "lstm", input_size, hidden_size, bias, dtype, seed, initialization, forget_bias
        )


class GRUCell(Cell):
    """One step of the gated recurrent unit, gates r z n.

    Parameters
    ----------
    input_size, hidden_size, bias, dtype, seed, initialization
        As for `RNNCell`, without "identity".

    Notes
    -----
    Equations and source as for `GRU`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> cell = pyrnn.GRUCell(3, 4, seed=0)
    >>> cell(np.array([0, 2])).shape
    (2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: npt.DTypeLike = "float32",
        seed: int | None = None,
        initialization: str = "torch",
    ) -> None:
        super().__init__("gru", input_size, hidden_size, bias, dtype, seed, initialization)
