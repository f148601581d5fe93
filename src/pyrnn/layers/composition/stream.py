"""Streams through several layers: each step goes through all of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import Portable, public
from pyrnn._types import Array, Indices
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.batch_norm import tracks
from pyrnn.layers.composition.pooling import LastStep, Pooling
from pyrnn.layers.convolution.over_time import OverTime
from pyrnn.layers.recurrent.stream import Stream, check_rows


@public("pyrnn")
class SequentialStream(Portable):
    """Independent streams through layers one after the other; made by ``Sequential.stream()``.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> model = pyrnn.Sequential(pyrnn.GRU(3, 4, seed=0), pyrnn.Linear(4, 2, seed=1))
    >>> stream = model.stream()
    >>> stream.step(np.ones((1, 3), np.float32)).shape
    (1, 2)
    """

    def __init__(
        self, layers: Mapping[str, Layer], parts: Mapping[str, tuple[str, ...]], batch_size: int
    ) -> None:
        self.batch_size: int = _checks.size("batch_size", batch_size)
        self._steps: dict[str, Any] = {}
        for name, layer in layers.items():
            if hasattr(layer, "stream"):
                self._steps[name] = layer.stream(self.batch_size)
            elif isinstance(layer, LastStep) and not layer.bidirectional:
                continue
            elif isinstance(layer, (Pooling, OverTime)) or not tracks(layer):
                raise ValueError(
                    f"stream: expected layers that run forward in time, got {name}, {layer!r}, "
                    "which needs the end of the sequence first"
                )
            else:
                # A copy, with the weights as they are now.
                self._steps[name] = copy.deepcopy(layer).eval()
        # A convolution has a state where it is a stream, of the steps that it has seen.
        own = {name: getattr(step, "_state_names", ()) for name, step in self._steps.items()}
        self._parts = {name: part or own.get(name, ()) for name, part in parts.items()}

    def step(self, x_t: Any, out: Array | None = None, rows: Any = None) -> Array:
        """Advance every stream, or some of them, by one time step.

        Parameters
        ----------
        x_t : array
            The input, (batch_size, features), or (batch_size,) of indices. With ``rows`` it has a
            row for each of these.
        out : array, optional
            The array to write the output into; a new one by default.
        rows : array of int or array of bool, optional
            The streams to advance, as in `Stream.step`. All by default.

        Returns
        -------
        array
            The output of the last layer, (batch_size, features); with ``rows`` it has a row for
            each of these.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value. The state has not changed then.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> stream = pyrnn.Sequential(pyrnn.GRU(3, 4, seed=0), pyrnn.LastStep()).stream()
        >>> stream.step(np.ones((1, 3), np.float32)).shape
        (1, 4)
        """
        array = _checks.as_array("x_t", x_t)
        chosen = None if rows is None else check_rows(rows, self.batch_size)
        count = self.batch_size if chosen is None else len(chosen)
        if array.ndim == 0 or len(array) != count:
            raise ValueError(f"x_t: expected shape ({count}, ...), got {array.shape}")
        y: Any = array
        for step in self._steps.values():
            if not hasattr(step, "step"):
                y = step(y)
            elif chosen is None:
                y = step.step(y)
            else:
                y = _step_some(step, y, chosen)
        if out is None:
            result: Array = y
            return result
        _checks.live_float_array("out", out)
        _checks.float_array("out", out, y.dtype, y.shape)
        out[...] = y
        return out

    @property
    def state(self) -> Any:
        """A copy of the state of all layers together. Assigning to it sets the state."""
        parts: list[Array] = []
        for name, own in self._parts.items():
            if own:
                state = self._steps[name].state
                parts += state if isinstance(state, tuple) else (state,)
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else tuple(parts)

    @state.setter
    def state(self, value: Any) -> None:
        names = tuple(f"{n}.{part}" for n, own in self._parts.items() for part in own)
        if not names:
            _checks.not_taken(self, state=value)
            return
        before = self.state
        given = list(_checks.state_parts("state", value, names).values())
        try:
            self._set(given)
        except Exception:
            self._set(list(before) if isinstance(before, tuple) else [before])
            raise

    def _set(self, parts: list[Any]) -> None:
        for name, own in self._parts.items():
            if own:
                mine, parts = parts[: len(own)], parts[len(own) :]
                self._steps[name].state = mine[0] if len(own) == 1 else tuple(mine)

    def reset(self, streams: Any = None) -> None:
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
        >>> stream = pyrnn.Sequential(pyrnn.GRU(3, 4, seed=0)).stream(2)
        >>> y = stream.step(np.ones((2, 3), np.float32))
        >>> stream.reset([0])
        >>> stream.state[0].any(axis=1)
        array([False,  True])
        """
        for step in self._steps.values():
            if hasattr(step, "reset"):
                step.reset(streams)


def _step_some(stream: Any, x_t: Array, rows: Indices) -> Array:
    """Advance some of the streams; a convolution's state, (reach, N, channels), is put back."""
    if isinstance(stream, (Stream, SequentialStream)):
        return stream.step(x_t, rows=rows)
    before = stream.state
    whole = np.zeros((stream.batch_size, *x_t.shape[1:]), x_t.dtype)
    whole[rows] = x_t
    y: Array = stream.step(whole)[rows]
    after = stream.state
    others = np.setdiff1d(np.arange(stream.batch_size), rows)
    after[:, others] = before[:, others]
    stream.state = after
    return y
