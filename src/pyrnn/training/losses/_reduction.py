"""What all losses share: which elements count, and how their losses become one number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks, _warnings
from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.layers import _arguments

REDUCTIONS = ("mean", "sum", "none")

Counted = npt.NDArray[np.bool_]
Value = Any
"""A float; with reduction="none" an array of float64."""


def counted_elements(
    shape: tuple[int, ...], mask: Any, lengths: Any, batch_first: bool
) -> Counted | None:
    """Which elements of a loss of this shape count: those of the mask, within the lengths.

    A mask, and what lengths say, have the leading axes of the shape. None: all.
    """
    batch_first = _checks.flag("batch_first", batch_first)
    counted = None
    if mask is not None:
        array = _checks.as_array("mask", mask)
        if array.dtype != np.bool_:
            raise TypeError(f"mask: expected dtype bool, got {array.dtype}")
        if not array.ndim or array.shape != shape[: array.ndim]:
            raise ValueError(f"mask: expected shape {shape} or its first axes, got {array.shape}")
        counted = _broadcast(array, shape)
    if lengths is not None:
        if len(shape) < 2:
            raise ValueError(f"lengths: expected a batch of sequences, got a loss of shape {shape}")
        rows, steps = shape[:2] if batch_first else (shape[1], shape[0])
        ends = _arguments.lengths_array("lengths", lengths, steps, rows)
        within = np.arange(steps)[:, None] < ends
        within = _broadcast(within.T if batch_first else within, shape)
        counted = within if counted is None else counted & within
    return counted


def _broadcast(leading: Counted, shape: tuple[int, ...]) -> Counted:
    padded = leading.reshape(leading.shape + (1,) * (len(shape) - leading.ndim))
    return np.broadcast_to(padded, shape)


def elementwise(
    name: str,
    y: Array,
    targets: Array,
    shape: tuple[int, ...],
    options: dict[str, Any],
    reduction: str,
    mask: Any,
    lengths: Any,
    batch_first: bool,
) -> tuple[Value, Array]:
    """The loss of that name of `pyrnn.reference.losses`, reduced.

    ``shape`` is that of the losses; y may have more axes behind them.
    """
    _checks.choice("reduction", reduction, REDUCTIONS)
    counted = counted_elements(shape, mask, lengths, batch_first)
    with _warnings.unwarned():
        losses, gradient = selection.current().elementwise_loss(name, y, targets, **options)
        return reduced(losses, gradient, y.dtype, counted, reduction)


def reduced(
    losses: Array,
    gradient: Array,
    dtype: np.dtype[Any],
    counted: Counted | None,
    reduction: str,
    weights: Array | None = None,
) -> tuple[Value, Array]:
    """Losses of all elements and the gradient of each, both in float64, after the reduction.

    For the mean the sum is divided by the weights' sum, which is the number of elements that count
    where no weights are given.
    """
    if counted is not None:
        # Chosen instead of multiplied with 0: what does not count may be NaN.
        losses = np.where(counted, losses, 0)
        gradient = np.where(_like(counted, gradient.shape), gradient, 0)
    if reduction == "none":
        return losses, gradient.astype(dtype)
    value = float(losses.sum())
    total = divisor(reduction, losses.size, counted, weights)
    if total != 1:
        value /= total
        gradient = gradient / total
    return value, gradient.astype(dtype)


def _like(counted: Counted, shape: tuple[int, ...]) -> Counted:
    """The same for a gradient: it has axes more, or several elements for a loss in the last."""
    if len(shape) == counted.ndim and shape != counted.shape:
        return np.concatenate([counted] * (shape[-1] // counted.shape[-1]), axis=-1)
    return counted.reshape(counted.shape + (1,) * (len(shape) - counted.ndim))


class Weighing(NamedTuple):
    """The weight of what counted in a loss, and whether the loss was divided by it (the mean).

    A mean over nothing is divided by 1 instead: it may hold a part that depends on no weight.
    """

    weight: float
    mean: bool


_notes: ContextVar[list[Weighing] | None] = ContextVar("pyrnn_weighings", default=None)


@contextmanager
def weighings() -> Iterator[list[Weighing]]:
    """Inside a ``with`` block losses list what they divide by.

    It may be 0 there: of several batches, or ranks, one may have no target that counts.
    """
    notes: list[Weighing] = []
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)


def divisor(
    reduction: str, size: int, counted: Counted | None = None, weights: Array | None = None
) -> float:
    """What the sum is divided by, 1 for "sum"; a ValueError if nothing counts for the mean."""
    notes = _notes.get()
    if reduction == "sum" and notes is None:
        return 1.0
    if weights is not None:
        total = float((weights if counted is None else np.where(counted, weights, 0)).sum())
    else:
        total = float(size if counted is None else np.count_nonzero(counted))
    if notes is not None:
        notes.append(Weighing(total, reduction == "mean"))
        return total or 1.0 if reduction == "mean" else 1.0
    if total == 0:
        raise ValueError("reduction: expected an element that counts for the mean, got none")
    return total


def broadcast_option(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An option that is a number, or an array of one for each of the last axis' elements."""
    array = _checks.as_array(name, value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected numbers, got dtype {array.dtype}")
    array = array.astype(dtype)
    if array.shape not in ((), shape[-1:]):
        raise ValueError(f"{name}: expected a number or shape {shape[-1:]}, got {array.shape}")
    if not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(
            f"{name}: expected finite numbers of at least 0, got {_checks.shown(value)}"
        )
    return array


Loss = Callable[..., tuple[Value, Array]]
"""``loss(y, targets)``, with ``mask=`` and ``lengths=`` where they are needed."""
