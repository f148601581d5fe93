"""Streams: a layer that advances one time step per call and keeps its state."""

from __future__ import annotations

import copy
from typing import Any, Generic, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._pickling import Portable, public
from pyrnn._types import Array, Given, Indices, Returned
from pyrnn.backend import selection
from pyrnn.backend.selection import Backend
from pyrnn.layers import _arguments
from pyrnn.layers._options import Closed, Part
from pyrnn.layers.recurrent._weights.fixed import FixedWeights

_ENGINES = 8
"""The largest number of engines that a stream keeps to advance some of its rows."""


class StreamSizes(NamedTuple):
    """What a stream needs from its layer in addition to the weights."""

    num_layers: int
    input_size: int
    hidden_size: int
    output_size: int
    state_sizes: dict[str, int]
    zoneout: tuple[float, ...]
    dtype: np.dtype[Any]


@public("pyrnn")
class Stream(Closed, Portable, Generic[Given, Returned]):
    """Independent streams through one layer, advanced together; opened by ``layer.stream()``.

    T calls of ``step`` give, bit for bit, what the layer in eval mode gives for the T steps at
    once. A stream keeps the weights that the layer had when the stream was opened.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> stream = pyrnn.GRU(3, 4, seed=0).stream()
    >>> stream.step(np.ones((1, 3), dtype=np.float32)).shape
    (1, 4)
    """

    batch_size: Part[int] = Part()
    input_size: Part[int] = Part()
    hidden_size: Part[int] = Part()

    def __init__(self, weights: FixedWeights, sizes: StreamSizes, batch_size: int) -> None:
        Part.keep(
            self,
            batch_size=batch_size,
            input_size=sizes.input_size,
            hidden_size=sizes.hidden_size,
        )
        self._sizes = sizes
        self._weights = weights
        self._open(selection.current())

    def _engine_for(self, backend: Backend, batch_size: int) -> selection.StreamEngine:
        sizes = self._sizes
        arguments = _StepArguments(batch_size, sizes.input_size, sizes.output_size, sizes.dtype)
        return backend.open_stream(
            self._weights.packed(backend), batch_size, arguments.check, sizes.zoneout
        )

    def _open(self, backend: Backend) -> None:
        self._backend = backend.name
        self._engine = self._engine_for(backend, self.batch_size)
        self._step = self._engine.step
        self._for_some: dict[int, Any] = {}

    def step(
        self, x_t: npt.ArrayLike, out: Array | None = None, rows: npt.ArrayLike | None = None
    ) -> Array:
        """Advance every stream, or some of them, by one time step.

        Parameters
        ----------
        x_t : array
            The input, (batch_size, input_size), or (batch_size,) of one-hot indices; for a single
            stream also (input_size,). With ``rows`` it has a row for each of these.
        out : array, optional
            The array to write the output into; a new one by default.
        rows : array of int or array of bool, optional
            The streams to advance: different indices in [0, batch_size), in the order of the rows
            of ``x_t``, or a mask (batch_size,). The others stay as they are. All by default.

        Returns
        -------
        array
            The output, (batch_size, hidden_size), or (batch_size, proj_size) with a projection;
            with ``rows`` it has a row for each of these.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value. The state has not changed then.

        Notes
        -----
        Some of the streams give the bits that they give among all. Beyond the step of those rows,
        their state is copied twice; no other thread may advance the same streams meanwhile.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> stream = pyrnn.GRU(3, 4, seed=0).stream(batch_size=2)
        >>> y_t = np.empty((2, 4), np.float32)
        >>> for x_t in np.ones((5, 2, 3), np.float32):
        ...     _ = stream.step(x_t, out=y_t)  # allocates nothing
        >>> np.array_equal(y_t, stream.state[0])
        True
        """
        if rows is None:
            return self._step(x_t, out)
        return self._step_some(x_t, out, _arguments.different_streams(rows, self.batch_size))

    def _step_some(self, x_t: Any, out: Any, rows: Indices) -> Array:
        """Advance different streams, in an engine of as many."""
        count = len(rows)
        sizes = self._sizes
        if not count:
            arguments = _StepArguments(0, sizes.input_size, sizes.output_size, sizes.dtype)
            _, out = arguments.check(x_t, out)
            return np.zeros((0, sizes.output_size), sizes.dtype) if out is None else out
        engine = self._for_some.get(count)
        if engine is None:
            engine = self._engine_for(selection.find(self._backend), count)
            if len(self._for_some) >= _ENGINES:
                self._for_some.clear()
            self._for_some[count] = engine
        engine.set_state(self._engine.state(rows))
        y: Array = engine.step(x_t, out)
        self._engine.set_state(engine.state(), rows)
        return y

    @property
    def state(self) -> Returned:
        """A copy of the state, shaped like the layer's. Assigning to it sets the state.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> stream = pyrnn.LSTM(3, 4, seed=0).stream()
        >>> y = stream.step(np.ones((1, 3), np.float32))
        >>> h, c = stream.state
        >>> h.shape, c.shape
        ((1, 1, 4), (1, 1, 4))
        >>> stream.state = np.zeros_like(h), c
        """
        states: Any = self._engine.state()
        whole: Returned = states[0] if len(states) == 1 else states
        return whole

    @state.setter
    def state(self, value: Given) -> None:
        parts = _arguments.state_parts("state", value, tuple(self._sizes.state_sizes))
        self._engine.set_state(
            tuple(
                _checks.float_array(name, part, self._sizes.dtype, shape)
                for (name, part), shape in zip(parts.items(), self._state_shapes(), strict=True)
            )
        )

    def reset(self, streams: npt.ArrayLike | None = None) -> None:
        """Set the state of all streams, or of some, to zero.

        Parameters
        ----------
        streams : int, array of int or array of bool, optional
            The streams: indices in [0, batch_size), or a mask (batch_size,). All by default.

        Raises
        ------
        TypeError, ValueError
            If ``streams`` is neither. The state has not changed then.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> streams = pyrnn.GRU(3, 4, seed=0).stream(3)
        >>> y = streams.step(np.ones((3, 3), dtype=np.float32))
        >>> streams.reset([0, 2])
        >>> streams.state[0].any(axis=1)
        array([False,  True, False])
        """
        chosen = None if streams is None else _arguments.streams(streams, self.batch_size)
        state = self._engine.state(chosen)
        for part in state:
            part[...] = 0
        self._engine.set_state(state, chosen)

    def get(self, stream: int) -> Returned:
        """Return the state of one of the streams.

        Parameters
        ----------
        stream : int
            Its index, in [0, batch_size).

        Returns
        -------
        array or pair of arrays
            A copy, (num_layers, hidden_size), as `put` takes it.

        Raises
        ------
        TypeError, ValueError
            If ``stream`` is no such index.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.GRU(3, 4, seed=0)
        >>> crowded, alone = layer.stream(8), layer.stream()
        >>> y = crowded.step(np.ones((8, 3), np.float32))
        >>> alone.put(0, crowded.get(5))  # the client goes on by itself
        >>> np.array_equal(alone.state[:, 0], crowded.state[:, 5])
        True
        """
        index = _arguments.stream(stream, self.batch_size)
        states: Any = tuple(part[:, 0] for part in self._engine.state(np.array([index])))
        one: Returned = states[0] if len(states) == 1 else states
        return one

    def put(self, stream: int, state: Given) -> None:
        """Set the state of one of the streams; the others keep theirs.

        Parameters
        ----------
        stream : int
            Its index, in [0, batch_size).
        state : array or pair of arrays
            (num_layers, hidden_size); h has proj_size features with a projection.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value. The states have not changed then.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> streams = pyrnn.GRU(3, 4, seed=0).stream(2)
        >>> streams.put(1, np.ones((1, 4), np.float32))
        >>> streams.state[0].sum(axis=1)
        array([0., 4.], dtype=float32)
        """
        index = _arguments.stream(stream, self.batch_size)
        parts = _arguments.state_parts("state", state, tuple(self._sizes.state_sizes))
        shapes = [(layers, size) for layers, _, size in self._state_shapes()]
        given = [
            _checks.float_array(name, part, self._sizes.dtype, shape)[:, None]
            for (name, part), shape in zip(parts.items(), shapes, strict=True)
        ]
        self._engine.set_state(tuple(given), np.array([index]))

    def _state_shapes(self) -> list[tuple[int, int, int]]:
        sizes = self._sizes.state_sizes.values()
        return [(self._sizes.num_layers, self.batch_size, size) for size in sizes]

    def __getstate__(self) -> dict[str, Any]:
        attributes = super().__getstate__() | {"_state": self._engine.state()}
        attributes["_sizes"] = self._sizes._asdict()  # a pickle names no internal class
        del attributes["_engine"], attributes["_step"], attributes["_for_some"]
        return attributes

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        state, sizes = attributes.pop("_state"), StreamSizes(**attributes.pop("_sizes"))
        self.__dict__.update(attributes, _sizes=sizes)
        known = self._backend in selection.available()
        self._open(selection.find(self._backend) if known else selection.current())
        self._engine.set_state(state)

    def __deepcopy__(self, memo: dict[int, Any]) -> Stream[Given, Returned]:
        """Copy everything but the weights, which never change."""
        attributes = self.__getstate__()
        weights = attributes.pop("_weights")
        stream = type(self).__new__(type(self))
        stream.__setstate__(copy.deepcopy(attributes, memo) | {"_weights": weights})
        return stream


class _StepArguments(NamedTuple):
    """The sizes and dtype that the arguments of a step must have."""

    batch_size: int
    input_size: int
    output_size: int
    dtype: np.dtype[Any]

    def check(self, x_t: Any, out: Any) -> tuple[Array | Indices, Array | None]:
        """Return the arguments as arrays that fit, or raise."""
        x = self._check_input(x_t)
        if out is not None:
            self._check_out(out)
        return x, out

    def _check_input(self, x_t: Any) -> Array | Indices:
        array = _checks.as_array("x_t", x_t)
        if array.dtype.kind not in "iu":
            if self.batch_size == 1 and array.ndim == 1:
                x_t = array[None]  # without the axis of a single stream
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
