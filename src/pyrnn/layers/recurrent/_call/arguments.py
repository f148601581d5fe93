"""What a recurrent layer is called with, checked; and its results in the layout of the call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn import _checks, _pieces
from pyrnn._types import Array, State
from pyrnn.layers import _arguments
from pyrnn.layers._cache import SequenceCache
from pyrnn.layers.recurrent._call.segments import Group, groups

_NUMBERS_OF_A_UNIT = 16
"""The largest number of cached values of a unit's time step, in both directions."""


Steps = tuple[Any, Any, Any]
"""What a call says of single time steps, as it came: mask, reset, zero_output_for_mask."""


@dataclass(slots=True)
class Arguments:
    """The sizes that the arguments of a stack of layers must have.

    ``state_sizes`` are the numbers of features of the parts of a state, by name; a part has
    ``stacked`` arrays in its first axis, one for each layer and direction.
    """

    input_size: int
    state_sizes: dict[str, int]
    stacked: int
    batch_first: bool
    dtype: np.dtype[Any]
    most_rows: int

    def check_input(self, x: Any, dropout: float = 0.0) -> tuple[Any, bool]:
        """``x`` as (T, N, I) or indices (T, N), and whether it came as a batch."""
        array = x if type(x) is np.ndarray else _checks.as_array("x", x)
        axes = "(N, T" if self.batch_first else "(T, N"
        if array.dtype is not self.dtype and array.dtype.kind in "iu":
            if dropout:
                raise TypeError("x: expected features because of input_dropout, got indices")
            if array.ndim not in (1, 2):
                raise TypeError(
                    f"x: an integer array holds one-hot indices and has shape {axes}) or (T,), "
                    f"got {array.shape}"
                )
            array = _checks.index_array("x", array, self.input_size)
            batched = array.ndim == 2
        else:
            if array is not x or array.dtype is not self.dtype or not array.flags.aligned:
                array = _checks.float_array("x", x, self.dtype)
            if array.ndim not in (2, 3) or array.shape[-1] != self.input_size:
                raise ValueError(
                    f"x: expected shape {axes}, {self.input_size}) or (T, {self.input_size}), "
                    f"got {array.shape}"
                )
            batched = array.ndim == 3
        if not batched:
            array = array[:, None]
        elif self.batch_first:
            array = array.swapaxes(0, 1)
        steps, rows = array.shape[:2]
        if not steps:
            raise ValueError(f"x: expected at least one step, got shape {np.shape(x)}")
        if steps * rows > self.most_rows:
            raise MemoryError(
                f"x: expected at most {self.most_rows} rows in all steps, since memory can hold no "
                f"more of this layer, got {steps} steps of {rows}"
            )
        return array, batched

    def check_state(self, name: str, state: Any, batch_size: int, batched: bool) -> State:
        """A state as (layers * directions, N, size) arrays."""
        checked = []
        parts = _arguments.state_parts(name, state, tuple(self.state_sizes))
        for (part_name, part), size in zip(parts.items(), self.state_sizes.values(), strict=True):
            shape = (self.stacked, batch_size, size)
            expected = shape if batched else (self.stacked, size)
            array = _arguments.state_array(part_name, part, self.dtype, expected)
            checked.append(_pieces.dense(array if batched else array.reshape(shape)))
        return tuple(checked)

    def check_lengths(self, lengths: Any, time_steps: int, batch_size: int) -> npt.NDArray[np.intp]:
        """One length in [0, T] for each row."""
        return _arguments.lengths_array("lengths", lengths, time_steps, batch_size, least=0)

    def check_steps(
        self, steps: Steps, lengths: Any, shape: tuple[int, int], batched: bool
    ) -> list[Group] | None:
        """The segments of the sequences that run; None where all do from end to end."""
        given_mask, given_reset, zero_output = steps
        zero_output = _checks.flag("zero_output_for_mask", zero_output)
        if given_mask is None and given_reset is None:
            return None
        batch_first = self.batch_first if batched else None
        mask, reset = (
            value if value is None else _arguments.steps_array(name, value, *shape, batch_first)
            for name, value in (("mask", given_mask), ("reset", given_reset))
        )
        return groups(shape, lengths, mask, reset, zero_output)

    def check_gradient(self, dy: Any, cache: SequenceCache) -> Array:
        """``dy`` as (T, N, features), of the shape that the cache's y had; None for zeros."""
        time_steps, batch_size, features = cache.output_shape
        if not cache.batched:
            shape: tuple[int, ...] = (time_steps, features)
        elif self.batch_first:
            shape = (batch_size, time_steps, features)
        else:
            shape = cache.output_shape
        if dy is None:
            dy = np.zeros(shape, self.dtype)
        array = _checks.float_array("dy", dy, self.dtype, shape)
        if not cache.batched:
            return array[:, None]
        return array.swapaxes(0, 1) if self.batch_first else array

    def user_layout(self, array: Array, batched: bool) -> Array:
        """(T, N, features) as the caller laid out x."""
        if not batched:
            return array[:, 0]
        return array.swapaxes(0, 1) if self.batch_first else array

    def user_state(self, states: list[State], batched: bool) -> Any:
        """The states of all layers and directions, (N, size) each, upon each other for the caller.

        Those of one are not copied.
        """
        if len(states) > 1:
            stacked = [np.stack(part) for part in zip(*states, strict=True)]
            parts = stacked if batched else [part[:, 0] for part in stacked]
        elif not batched:
            parts = list(states[0])
        elif len(states[0]) == 1:
            return states[0][0][None]
        else:
            parts = [part[None] for part in states[0]]
        return parts[0] if len(parts) == 1 else tuple(parts)


def most_rows(input_size: int, hidden_size: int) -> int:
    """How many rows, in all time steps, may be in memory with what is kept of each."""
    return _checks.MAX_NUMBERS // (input_size + hidden_size * _NUMBERS_OF_A_UNIT)


def part_of(states: State | None, index: int) -> State | None:
    """The state of one layer in one direction; None, for zeros, as it is."""
    return None if states is None else tuple([part[index] for part in states])


def joined(cell_grads: list[dict[str, Array]]) -> dict[str, Array]:
    """The gradients of all layers and directions, first to last."""
    gradients = cell_grads[0]
    for grads in cell_grads[1:]:
        gradients |= grads
    return gradients
