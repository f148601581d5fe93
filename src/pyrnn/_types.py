"""The array types that annotations across the package share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeGuard

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
"""A float32 or float64 array."""

Indices = npt.NDArray[np.integer[Any]]
"""An integer array: one-hot positions, words, characters."""

State = tuple[Array, ...]
"""The state of a cell: ``(h,)``, or ``(h, c)`` for LSTM; each (N, H), a projected h (N, P)."""

Parameters = Mapping[str, Array]
"""Arrays by name, e.g. ``{"weight_ih": ..., "bias_ih": ...}``."""


DTypeName = Literal["float32", "float64"]

WeightFormat = Literal["float32", "float64", "bfloat16", "float16", "int8"]
"""What ``weights`` of ``eval`` may be: the dtype of the layer, or a narrow format of float32."""

ActivationFormat = Literal["int16", "int8"]
"""What ``activations`` of ``eval`` may be, beside int8 weights."""

Storage = Literal["full", "bfloat16", "float16", "int8", "int8_bytes"]
"""How a backend stores weights: in the dtype of the layer, or rounded to a narrow format.

int8 weights are multiplied with x and h of 16 bits, or of 8: "int8_bytes".
"""

StepForm = Literal["time_first", "batch_first", "cell"]
"""How the arrays of a single step lie: those of a layer, or of a cell, which have no time axis."""

OneStep = Callable[[Any, Any], Any]
"""Maps (x, state) of a single step to (y, state), or to the state of a cell, as a user has them.

It returns None of arguments that it does not take.
"""

ComputeFormat = Literal["float32", "float64", "bfloat16"]
"""What ``compute`` of `train` and `eval` may be: the dtype of the layer, or that of products."""

Compute = Literal["full", "bfloat16"]
"""What a backend rounds the operands of products to: nothing, or bfloat16."""

DTypeLike = DTypeName | np.dtype[np.floating[Any]] | type[np.float32] | type[np.float64]
"""What the argument ``dtype`` of a layer may be."""

# What one writes without brackets, as in `stream: pyrnn.Stream`, has states of any kind.
if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Given = TypeVar("Given", contravariant=True, default=Any)
    """A state as a layer takes it: an array or, for an LSTM, a pair."""

    Returned = TypeVar("Returned", covariant=True, default=Any)
    """A state as a layer gives it."""
else:
    from typing import TypeVar

    Given, Returned = TypeVar("Given", contravariant=True), TypeVar("Returned", covariant=True)

Pair = tuple[Array, Array]
"""The state of an LSTM as users have it: ``(h, c)``."""

PairLike = tuple[npt.ArrayLike | None, npt.ArrayLike | None] | list[npt.ArrayLike | None]
"""What an LSTM takes as a state; None is zeros."""


class Noise(NamedTuple):
    """The regularising noise of one layer in one direction, drawn before the forward pass.

    ``hidden_mask`` (N, size of h) multiplies h before every product with weight_hh, the same at all
    time steps (Gal and Ghahramani 2016). In a GRU, it does not affect the term z h, which uses h
    without a product.

    ``zoneout`` says for each state how much of its old value it keeps (Krueger et al. 2017). In
    training it is an array m (T, N, size), 1 where the old value stays and 0 where the new one is
    taken. It is in the order of x: ``m[t]`` belongs to the step that reads ``x[t]``, also when
    reversed; values past a length are not read. In eval mode it is one number p for all units:
    ``state' = p * old + (1 - p) * new``.
    """

    hidden_mask: Array | None = None
    zoneout: tuple[Array | float, ...] | None = None


class Magnitude(NamedTuple):
    """sqrt(a² + b²) of two stretches of so many channels, without the first ``skipped`` frames."""

    channels: int
    real: int
    """The first channel of a; and of b:"""
    imaginary: int
    skipped: int


class Link(NamedTuple):
    """One of several convolutions in a row, as ``pack_convolution`` returns them."""

    convolution: Callable[[Array, int, int], Array]
    before: int
    """How many frames of zeros stand before what it takes; and after:"""
    after: int
    magnitude: Magnitude | None
    """What is taken of its output."""


def is_indices(x: Array | Indices) -> TypeGuard[Indices]:
    """Return whether x holds the positions of the ones instead of one-hot rows."""
    return x.dtype.kind in "iu"
