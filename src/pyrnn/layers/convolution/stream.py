"""Streams of convolutions: the last steps of x are kept, and each new one gives a step of y."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._pickling import Portable, public
from pyrnn._types import Array
from pyrnn.backend import selection

LEAST_ROOM = 32
"""Steps that are taken before the kept ones are moved to the front again."""


class StreamSizes(NamedTuple):
    """What a stream needs from its layer in addition to the weights."""

    dilation: int
    groups: int
    reach: int


@public("pyrnn")
class Conv1dStream(Portable):
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

    def __init__(
        self, weight: Array, bias: Array | None, sizes: StreamSizes, batch_size: int
    ) -> None:
        self.batch_size: int = batch_size
        self.out_channels: int = len(weight)
        self.in_channels: int = weight.shape[1] * sizes.groups
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

    def step(self, x_t: npt.ArrayLike, out: Array | None = None) -> Array:
        """Advance every stream by one time step.

        Parameters
        ----------
        x_t : array
            The input, (batch_size, in_channels).
        out : array, optional
            The array to write the output into; a new one by default.

        Returns
        -------
        array
            The output, (batch_size, out_channels).

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype or shape. The state has not changed then.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> stream = pyrnn.Conv1d(3, 2, 4, padding="causal", seed=0).stream(batch_size=5)
        >>> stream.step(np.ones((5, 3), np.float32)).shape
        (5, 2)
        """
        dtype = self._frames.dtype
        array = _checks.float_array("x_t", x_t, dtype, self._shape)
        if out is not None:
            _checks.output_array("out", out, dtype, (self.batch_size, self.out_channels))
        begin = self._end - self._kept
        if self._end == len(self._frames):
            self._frames[: self._kept] = self._frames[begin:]
            begin, self._end = 0, self._kept
        self._frames[self._end] = array
        backend = selection.current()
        convolve = self._packed.get(backend.name) or self._pack(backend)
        y: Array = convolve(self._frames[begin : self._end + 1], 0, 0)[0]
        self._end += 1
        if out is None:
            return y
        out[...] = y
        return out

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
        return self._frames[self._end - self._kept : self._end].copy()

    @state.setter
    def state(self, value: Any) -> None:
        shape = (self._kept, *self._shape)
        given = _checks.float_array("state", value, self._frames.dtype, shape)
        self._frames[self._end - self._kept : self._end] = given

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
        chosen = slice(None) if streams is None else _checks.streams(streams, self.batch_size)
        self._frames[self._end - self._kept : self._end, chosen] = 0
