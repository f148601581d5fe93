"""Streams through several layers: each step goes through all of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from pyrnn import _checks
from pyrnn._pickling import Portable, public
from pyrnn._types import Array
from pyrnn.layers import _arguments
from pyrnn.layers._layer import Layer
from pyrnn.layers._options import Closed, Part
from pyrnn.layers.composition.batch_norm import tracks
from pyrnn.layers.composition.pooling import LastStep, Pooling
from pyrnn.layers.convolution.over_time import OverTime


@public("pyrnn")
class SequentialStream(Closed, Portable):
    """Independent streams through layers one after the other; made by ``Sequential.stream()``.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> model = pyrnn.Sequential(pyrnn.GRU(3, 4, seed=0), pyrnn.Linear(4, 2, seed=1))
    >>> stream = model.stream()
    >>> stream.step(np.ones((1, 3), np.float32)).shape
    (1, 2)
    """

    batch_size: Part[int] = Part()

    def __init__(
        self, layers: Mapping[str, Layer], parts: Mapping[str, tuple[str, ...]], batch_size: int
    ) -> None:
        Part.keep(self, batch_size=_checks.size("batch_size", batch_size))
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
        # Of one output, from the first step that succeeded; layers that do not fit fail before it.
        self._output: tuple[tuple[int, ...], Any] | None = None
        self._torn = False

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
        RuntimeError
            If memory ran out, or Ctrl-C came, between two layers of an earlier step, and the state
            has not been set or reset since.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> stream = pyrnn.Sequential(pyrnn.GRU(3, 4, seed=0), pyrnn.LastStep()).stream()
        >>> stream.step(np.ones((1, 3), np.float32)).shape
        (1, 4)
        """
        array = _checks.as_array("x_t", x_t)
        chosen = None if rows is None else _arguments.different_streams(rows, self.batch_size)
        count = self.batch_size if chosen is None else len(chosen)
        if array.ndim == 0 or len(array) != count:
            raise ValueError(f"x_t: expected shape ({count}, ...), got {array.shape}")
        if self._torn:
            raise RuntimeError(
                "step: an earlier step ended between two layers; set the state, or reset all, first"
            )
        if self._output is not None and out is not None:
            shape, dtype = self._output
            _checks.output_array("out", out, dtype, (count, *shape))
        y = self._advance(array, chosen, out)
        if out is None:
            return y
        out[...] = y
        return out

    def _advance(self, x_t: Array, chosen: Any, out: Array | None) -> Array:
        """Advance all layers, or none where an argument is refused."""
        # Once a step has succeeded, only memory or Ctrl-C can end one between two layers.
        before = self.state if self._output is None else None
        y: Any = x_t
        moved = False
        try:
            for name, step in self._steps.items():
                y = step.step(y, rows=chosen) if hasattr(step, "step") else step(y)
                moved = moved or bool(self._parts.get(name))
            if self._output is None and out is not None:
                _checks.output_array("out", out, y.dtype, y.shape)
        except BaseException:
            if before is not None:
                self.state = before
            elif moved:
                self._torn = True
            raise
        if self._output is None:
            self._output = y.shape[1:], y.dtype
        result: Array = y
        return result

    @property
    def state(self) -> Any:
        """A copy of the state of all layers together. Assigning to it sets the state."""
        return self._joined([step.state for step in self._with_state()])

    @state.setter
    def state(self, value: Any) -> None:
        if self._check_taken(value):
            before = self.state
            try:
                self._set_each(value, lambda step, part: setattr(step, "state", part))
            except Exception:
                self.state = before
                raise
        self._torn = False

    def get(self, stream: int) -> Any:
        """Return the state of one of the streams.

        Parameters
        ----------
        stream : int
            Its index, in [0, batch_size).

        Returns
        -------
        array, tuple of arrays or None
            A copy of the state of all layers together without the axis of the streams, as `put`
            takes it. None if no layer has a state.

        Raises
        ------
        TypeError, ValueError
            If ``stream`` is no such index.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> model = pyrnn.Sequential(pyrnn.GRU(3, 4, seed=0), pyrnn.Linear(4, 2, seed=1))
        >>> crowded, alone = model.stream(8), model.stream()
        >>> y = crowded.step(np.ones((8, 3), np.float32))
        >>> alone.put(0, crowded.get(5))  # the client goes on by itself
        >>> np.array_equal(alone.state[:, 0], crowded.state[:, 5])
        True
        """
        index = _arguments.stream(stream, self.batch_size)
        return self._joined([step.get(index) for step in self._with_state()])

    def put(self, stream: int, state: Any) -> None:
        """Set the state of one of the streams; the others keep theirs.

        Parameters
        ----------
        stream : int
            Its index, in [0, batch_size).
        state : array, tuple of arrays or None
            The state of all layers together, as `get` returns it.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value. The states have not changed then.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> streams = pyrnn.Sequential(pyrnn.GRU(3, 4, seed=0)).stream(2)
        >>> streams.put(1, np.ones((1, 4), np.float32))
        >>> streams.state[0].sum(axis=1)
        array([0., 4.], dtype=float32)
        """
        index = _arguments.stream(stream, self.batch_size)
        if self._check_taken(state):
            before = self.get(index)
            try:
                self._set_each(state, lambda step, part: step.put(index, part))
            except Exception:
                self.put(index, before)
                raise

    def _with_state(self) -> list[Any]:
        return [self._steps[name] for name, own in self._parts.items() if own]

    @staticmethod
    def _joined(states: list[Any]) -> Any:
        """The parts of the states of all layers: a tuple, or the only one, or None."""
        parts: list[Array] = []
        for state in states:
            parts += state if isinstance(state, tuple) else (state,)
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else tuple(parts)

    def _check_taken(self, state: Any) -> bool:
        """Whether a layer has a state; if none has, there is nothing to give it."""
        if any(self._parts.values()):
            return True
        _arguments.not_taken(self, state=state)
        return False

    def _set_each(self, state: Any, assign: Callable[[Any, Any], None]) -> None:
        """Give each layer its own parts of a state."""
        names = tuple(f"{n}.{part}" for n, own in self._parts.items() for part in own)
        parts = list(_arguments.state_parts("state", state, names).values())
        for name, own in self._parts.items():
            if own:
                mine, parts = parts[: len(own)], parts[len(own) :]
                assign(self._steps[name], mine[0] if len(own) == 1 else tuple(mine))

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
        if streams is None:
            self._torn = False
