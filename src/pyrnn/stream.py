"""Streaming: a layer that advances one time step per call and remembers its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyrnn import _backend, _checks
from pyrnn._types import Array, Indices, State

if TYPE_CHECKING:
    from pyrnn._recurrent import Recurrent


class Stream:
    """Independent streams through one layer, advanced together; made by ``layer.stream()``.

    ``step`` T times gives, bit for bit, what the layer gives for the T steps at once.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> stream = pyrnn.GRU(3, 4, seed=0).stream()
    >>> stream.step(np.ones((1, 3), dtype=np.float32)).shape
    (1, 4)
    """

    _state: State

    def __init__(self, layer: Recurrent, batch_size: int) -> None:
        self.batch_size = batch_size
        self.input_size = layer.input_size
        self.hidden_size = layer.hidden_size
        self._dtype = layer.dtype
        self._cell = layer.cell
        self._state_names = layer._state_names
        self._parameters = [
            {name: array.copy() for name, array in layer._cell_parameters(suffix).items()}
            for suffix in layer._suffixes()
        ]
        self._open()
        self.reset()

    def _open(self) -> None:
        backend = _backend.current()
        self._backend = backend.name
        self._weights = [backend.pack(self._cell, p) for p in self._parameters]

    def step(self, x_t: Any, out: Array | None = None) -> Array:
        """Advance every stream by one time step.

        Parameters
        ----------
        x_t : array
            (batch_size, input_size), or (batch_size,) of one-hot indices.
        out : array, optional
            Where to write the output instead of into a new array.

        Returns
        -------
        array
            (batch_size, hidden_size).
        """
        row = self._check_input(x_t)
        if out is not None:
            self._check_out(out)
        backend = _backend.BACKENDS[self._backend]
        for layer, weights in enumerate(self._weights):
            state = tuple(s[layer] for s in self._state)
            y, last, _ = backend.forward(weights, row[None], state)
            row = y[0]
            for whole, part in zip(self._state, last, strict=True):
                whole[layer] = part
        last_row: Array = y[0]
        if out is None:
            return last_row
        out[...] = last_row
        return out

    def _check_input(self, x_t: Any) -> Array | Indices:
        array = _checks.as_array("x_t", x_t)
        if array.dtype.kind not in "iu":
            shape = (self.batch_size, self.input_size)
            return _checks.float_array("x_t", x_t, self._dtype, shape)
        if array.shape != (self.batch_size,):
            raise ValueError(
                f"x_t: expected shape ({self.batch_size},) of indices, got {array.shape}"
            )
        return _checks.index_array("x_t", array, self.input_size)

    def _check_out(self, out: Any) -> None:
        if not isinstance(out, np.ndarray):
            raise TypeError(f"out: expected a NumPy array, got {type(out).__name__}")
        _checks.float_array("out", out, self._dtype, (self.batch_size, self.hidden_size))
        if not out.flags.writeable:
            raise ValueError("out: expected a writeable array, got a read-only one")

    @property
    def state(self) -> Any:
        """The state, shaped as the layer's: a copy; assign to it to set it."""
        copies = tuple(s.copy() for s in self._state)
        return copies[0] if len(copies) == 1 else copies

    @state.setter
    def state(self, value: Any) -> None:
        parts = _checks.state_parts("state", value, self._state_names)
        shape = self._state[0].shape
        self._state = tuple(
            _checks.float_array(name, part, self._dtype, shape).copy()
            for name, part in parts.items()
        )

    def reset(self) -> None:
        """Set the state of every stream to zero."""
        shape = (len(self._parameters), self.batch_size, self.hidden_size)
        self._state = tuple(np.zeros(shape, self._dtype) for _ in self._state_names)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_weights"}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)
        self._open()
