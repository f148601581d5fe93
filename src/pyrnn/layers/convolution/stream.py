"""Streams of convolutions: the last steps of x are kept, and each new one gives a step of y."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._pickling import Portable, public
from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.layers import _arguments
from pyrnn.layers._options import Closed, Part

LEAST_ROOM = 32
"""Steps that are taken before the kept ones are moved to the front again."""


class StreamSizes(NamedTuple):
    """What a stream needs from its layer in addition to the weights."""

    dilation: int
    groups: int
    reach: int


@public("pyrnn")
class Conv1dStream(Closed, Portable):
    """Independent streams through one convolution, advanced together; made by ``layer.stream()``.

    T calls of ``step`` give, bit for bit, what one call of the layer gives for the T steps. A
    stream keeps the weights that the layer had when the stream was opened.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> stream = pyrnn.Conv1d(3, 2, kernel_size=4, padding="causal", seed=0).stream()
    >>> stream.step(np.ones((1, 3), dtype=np.float32)).shape
    (1, 2)
    """

    _state_names = ("frames",)

    batch_size: Part[int] = Part()
    in_channels: Part[int] = Part()
    out_channels: Part[int] = Part()

    def __init__(
        self, weight: Array, bias: Array | None, sizes: StreamSizes, batch_size: int
    ) -> None:
        Part.keep(
            self,
            batch_size=batch_size,
            out_channels=len(weight),
            in_channels=weight.shape[1] * sizes.groups,
        )
        self._weight: Array = weight.copy()
        self._bias: Array | None = None if bias is None else bias.copy()
        self._dilation, self._groups = sizes.dilation, sizes.groups
        self._packed: dict[str, Any] = {}
        self._kept = sizes.reach
        # The last `_kept` steps lie before `_end`; the room behind it is for those to come.
        room = max(LEAST_ROOM, self._kept)
        shape = (self._kept + room, batch_size, self.in_channels)
        self._frames = np.zeros(shape, weight.dtype)
        self._end = self._kept
        self._shape = shape[1:]
        self._pack(selection.current())

    def _pack(self, backend: selection.Backend) -> Any:
        packed = backend.pack_convolution(
            self._weight,
            self._bias,
            stride=1,
            dilation=self._dilation,
            groups=self._groups,
        )
        self._packed[backend.name] = packed
        return packed

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_packed": {}}

    def step(
        self, x_t: npt.ArrayLike, out: Array | None = None, rows: npt.ArrayLike | None = None
    ) -> Array:
        """Advance every stream, or some of them, by one time step.

        Parameters
        ----------
        x_t : array
            The input, (batch_size, in_channels). With ``rows`` it has a row for each of these.
        out : array, optional
            The array to write the output into; a new one by default.
        rows : array of int or array of bool, optional
            The streams to advance, as in `Stream.step`. All by default.

        Returns
        -------
        array
            The output, (batch_size, out_channels); with ``rows`` it has a row for each of these.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value. The state has not changed then.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> stream = pyrnn.Conv1d(3, 2, 4, padding="causal", seed=0).stream(batch_size=5)
        >>> stream.step(np.ones((5, 3), np.float32)).shape
        (5, 2)
        """
        dtype = self._frames.dtype
        chosen = None if rows is None else _arguments.different_streams(rows, self.batch_size)
        count = self.batch_size if chosen is None else len(chosen)
        array = _checks.float_array("x_t", x_t, dtype, (count, self.in_channels))
        if out is not None:
            _checks.output_array("out", out, dtype, (count, self.out_channels))
        backend = selection.current()
        convolve = self._packed.get(backend.name) or self._pack(backend)
        if chosen is None:
            window = self._with_next(array)
        else:
            window = np.concatenate([self._kept_frames()[:, chosen], array[None]])
        y: Array = convolve(window, 0, 0)[0]
        # The state changes only now that nothing can fail any more.
        if chosen is None:
            self._end += 1
        else:
            self._kept_frames()[:, chosen] = window[1:]
        if out is None:
            return y
        out[...] = y
        return out

    def _with_next(self, x_t: Array) -> Array:
        """The kept steps and behind them the next one, in place: (reach + 1, N, in_channels)."""
        begin = self._end - self._kept
        if self._end == len(self._frames):
            self._frames[: self._kept] = self._frames[begin:]
            begin, self._end = 0, self._kept
        self._frames[self._end] = x_t
        return self._frames[begin : self._end + 1]

    def _kept_frames(self) -> Array:
        return self._frames[self._end - self._kept : self._end]

    @property
    def state(self) -> Array:
        """A copy of the last steps of x, (reach, batch_size, in_channels). Assigning sets them.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> stream = pyrnn.Conv1d(1, 2, kernel_size=3, padding="causal", seed=0).stream()
        >>> y = stream.step(np.ones((1, 1), np.float32))
        >>> stream.state.ravel()
        array([0., 1.], dtype=float32)
        """
        return self._kept_frames().copy()

    @state.setter
    def state(self, value: Any) -> None:
        shape = (self._kept, *self._shape)
        given = _checks.float_array("state", value, self._frames.dtype, shape)
        self._kept_frames()[...] = given

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
        >>> streams = pyrnn.Conv1d(1, 2, kernel_size=2, padding="causal", seed=0).stream(3)
        >>> y = streams.step(np.ones((3, 1), dtype=np.float32))
        >>> streams.reset([0, 2])
        >>> streams.state.ravel()
        array([0., 1., 0.], dtype=float32)
        """
        chosen = slice(None) if streams is None else _arguments.streams(streams, self.batch_size)
        self._kept_frames()[:, chosen] = 0

    def get(self, stream: int) -> Array:
        """Return the state of one of the streams.

        Parameters
        ----------
        stream : int
            Its index, in [0, batch_size).

        Returns
        -------
        array
            A copy of its last steps of x, (reach, in_channels), as `put` takes it.

        Raises
        ------
        TypeError, ValueError
            If ``stream`` is no such index.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> streams = pyrnn.Conv1d(1, 2, kernel_size=3, padding="causal", seed=0).stream(2)
        >>> y = streams.step(np.array([[1.0], [2.0]], dtype=np.float32))
        >>> streams.get(1).ravel()
        array([0., 2.], dtype=float32)
        """
        state: Array = self._kept_frames()[:, _arguments.stream(stream, self.batch_size)].copy()
        return state

    def put(self, stream: int, state: npt.ArrayLike) -> None:
        """Set the state of one of the streams; the others keep theirs.

        Parameters
        ----------
        stream : int
            Its index, in [0, batch_size).
        state : array
            The last steps of x, (reach, in_channels).

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value. The states have not changed then.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> streams = pyrnn.Conv1d(1, 2, kernel_size=3, padding="causal", seed=0).stream(2)
        >>> streams.put(1, np.ones((2, 1), dtype=np.float32))
        >>> streams.state.sum(axis=(0, 2))
        array([0., 2.], dtype=float32)
        """
        index = _arguments.stream(stream, self.batch_size)
        shape = (self._kept, self.in_channels)
        given = _checks.float_array("state", state, self._frames.dtype, shape)
        self._kept_frames()[:, index] = given
