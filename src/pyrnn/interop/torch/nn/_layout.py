"""How a call's tensors are laid out, and how the core has them: (T, N, features), padded.

Except for packed sequences, layouts differ only in their axes, so the same code works for arrays
and tensors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

Numbers = npt.NDArray[Any]


class Layout:
    """Time first, as it is."""

    lengths: npt.NDArray[np.intp] | None = None
    batch_sizes: Tensor | None = None

    def to_core(self, array: Any, /) -> Any:
        """An input, or the gradient of an output."""
        return array

    def from_core(self, array: Any, /) -> Any:
        """An output, or the gradient of an input."""
        return array

    def to_torch(self, x: Tensor, /) -> Tensor:
        """An input as torch's own functions take it: (T, N, features), or packed."""
        return self.to_core(x)  # type: ignore[no-any-return]

    def from_torch(self, y: Tensor, /) -> Tensor:
        """An output of torch's own functions."""
        return self.from_core(y)  # type: ignore[no-any-return]

    def state_in(self, state: Any, /) -> Any:
        """A state as (layers * directions, N, size), or the gradient of one."""
        return state

    def state_out(self, state: Any, /) -> Any:
        """The inverse of `state_in`."""
        return state

    def mask(self, mask: Numbers, /) -> Numbers:
        """A dropout mask, which torch draws as its own functions need it."""
        return mask


class BatchFirst(Layout):
    """(N, T, features)."""

    def to_core(self, array: Any, /) -> Any:
        """Swap the first two axes."""
        return array.swapaxes(0, 1)

    from_core = to_core


class Unbatched(Layout):
    """(T, features); states without N."""

    def to_core(self, array: Any, /) -> Any:
        """Add the axis N."""
        return array[:, None]

    def from_core(self, array: Any, /) -> Any:
        """Take it away."""
        return array[:, 0]

    state_in = to_core
    state_out = from_core


class Packed(Layout):
    """The rows of a `PackedSequence`, whose sequences are sorted, longest first."""

    def __init__(self, batch_sizes: Tensor) -> None:
        self.batch_sizes = batch_sizes
        sizes = batch_sizes.numpy().astype(np.intp)
        self.steps, self.rows = len(sizes), int(sizes[0])
        first = sizes.cumsum() - sizes
        self.time = np.repeat(np.arange(self.steps), sizes)
        self.row = np.arange(len(self.time)) - first[self.time]
        self.lengths = np.bincount(self.row).astype(np.intp)

    def to_core(self, array: Numbers, /) -> Numbers:
        """Pad with zeros."""
        padded = np.zeros((self.steps, self.rows, *array.shape[1:]), array.dtype)
        padded[self.time, self.row] = array
        return padded

    def from_core(self, array: Numbers, /) -> Numbers:
        """Leave out what lies past each sequence's end."""
        rows: Numbers = array[self.time, self.row]
        return rows

    mask = to_core

    def to_torch(self, x: Tensor, /) -> Tensor:
        """It is packed."""
        return x

    from_torch = to_torch


class Step(Layout):
    """One step, of a cell: x and states are (N, features)."""

    def to_core(self, array: Any, /) -> Any:
        """Add the axis T, or for a state that of layers."""
        return array[None]

    def from_core(self, array: Any, /) -> Any:
        """Take it away."""
        return array[0]

    state_in = to_core
    state_out = from_core
