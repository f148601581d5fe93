"""Streaming: a layer that advances one time step per call and remembers its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyrnn import _backend, _checks
from pyrnn._types import Array, Indices

if TYPE_CHECKING:
    from pyrnn._backend import Backend
    from pyrnn._recurrent import Recurrent


class Stream:
    """Independent streams through one layer, advanced together; made by ``layer.stream()``.

    ``step`` T times gives, bit for bit, what the layer in eval mode gives for the T steps at once.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> stream = pyrnn.GRU(3, 4, seed=0).stream()
    >>> stream.step(np.ones((1, 3), dtype=np.float32)).shape
    (1, 4)
    """

    def __init__(self, layer: Recurrent, batch_size: int) -> None:
        self.batch_size = batch_size
        self.input_size = layer.input_size
        self.hidden_size = layer.hidden_size
        self._cell = layer.cell
        self._state_sizes = layer._arguments.state_sizes
        self._zoneout = layer._zoneout_rates()
        self._arguments = _StepArguments(
            batch_size, layer.input_size, layer._output_size, layer.dtype
        )
        self._parameters = [
            {name: array.copy() for name, array in parameters.items()}
            for parameters in layer._cells.values()
        ]
        self._open(_backend.current())

    def _open(self, backend: Backend) -> None:
        self._backend = backend.name
        self._engine = backend.open_stream(
            self._cell, self._parameters, self.batch_size, self._arguments.check, self._zoneout
        )
        self._step = self._engine.step

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
            (batch_size, hidden_size), or (batch_size, proj_size) with a projection.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value; the state is as it was.
        """
        return self._step(x_t, out)

    @property
    def state(self) -> Any:
        """The state, shaped as the layer's: a copy; assign to it to set it."""
        states = self._engine.state()
        return states[0] if len(states) == 1 else states

    @state.setter
    def state(self, value: Any) -> None:
        parts = _checks.state_parts("state", value, tuple(self._state_sizes))
        self._engine.set_state(
            tuple(
                _checks.float_array(name, part, self._arguments.dtype, shape)
                for (name, part), shape in zip(parts.items(), self._state_shapes(), strict=True)
            )
        )

    def reset(self) -> None:
        """Set the state of every stream to zero."""
        dtype = self._arguments.dtype
        self._engine.set_state(tuple(np.zeros(shape, dtype) for shape in self._state_shapes()))

    def _state_shapes(self) -> list[tuple[int, int, int]]:
        sizes = self._state_sizes.values()
        return [(len(self._parameters), self.batch_size, size) for size in sizes]

    def __getstate__(self) -> dict[str, Any]:
        attributes = {
            name: value for name, value in self.__dict__.items() if name not in ("_engine", "_step")
        }
        return attributes | {"_state": self._engine.state()}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        state = attributes.pop("_state")
        self.__dict__.update(attributes)
        self._open(_backend.BACKENDS.get(self._backend, _backend.current()))
        self._engine.set_state(state)


class _StepArguments(NamedTuple):
    """What a step's arguments have to fit."""

    batch_size: int
    input_size: int
    output_size: int
    dtype: np.dtype[Any]

    def check(self, x_t: Any, out: Any) -> tuple[Array | Indices, Array | None]:
        """Return the arguments as arrays that fit, or say what does not."""
        x = self._check_input(x_t)
        if out is not None:
            self._check_out(out)
        return x, out

    def _check_input(self, x_t: Any) -> Array | Indices:
        array = _checks.as_array("x_t", x_t)
        if array.dtype.kind not in "iu":
            shape = (self.batch_size, self.input_size)
            checked = _checks.float_array("x_t", x_t, self.dtype, shape)
            return np.ascontiguousarray(checked)
        if array.shape != (self.batch_size,):
            raise ValueError(
                f"x_t: expected shape ({self.batch_size},) of indices, got {array.shape}"
            )
        return _checks.index_array("x_t", array, self.input_size)

    def _check_out(self, out: Any) -> None:
        if not isinstance(out, np.ndarray):
            raise TypeError(f"out: expected a NumPy array, got {type(out).__name__}")
        _checks.float_array("out", out, self.dtype, (self.batch_size, self.output_size))
        if not out.flags.writeable:
            raise ValueError("out: expected a writeable array, got a read-only one")
