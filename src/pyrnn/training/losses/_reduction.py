"""What all losses share: which elements count, and how their losses become one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks, _pieces, _warnings
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

    A mask, what lengths say, and the result have the leading axes of the shape. None: all.
    """
    batch_first = _checks.flag("batch_first", batch_first)
    counted = None
    if mask is not None:
        array = _checks.as_array("mask", mask)
        if array.dtype != np.bool_:
            raise TypeError(f"mask: expected dtype bool, got {array.dtype}")
        if not array.ndim or array.shape != shape[: array.ndim]:
            raise ValueError(f"mask: expected shape {shape} or its first axes, got {array.shape}")
        counted = array
    if lengths is not None:
        if len(shape) < 2:
            raise ValueError(f"lengths: expected a batch of sequences, got a loss of shape {shape}")
        rows, steps = shape[:2] if batch_first else (shape[1], shape[0])
        ends = _arguments.lengths_array("lengths", lengths, steps, rows)
        within = np.arange(steps)[:, None] < ends
        within = within.T if batch_first else within
        if counted is None:
            return within
        axes = max(counted.ndim, 2)
        counted = _padded(counted, axes) & _padded(within, axes)
    return counted


def _padded(leading: Counted, axes: int) -> Counted:
    """With axes of one element behind its own, to be broadcast."""
    return leading.reshape(leading.shape + (1,) * (axes - leading.ndim))


def of_all(leading: Counted, shape: tuple[int, ...]) -> Counted:
    """What counts, for each element of this shape."""
    return np.broadcast_to(_padded(leading, len(shape)), shape)


class _Grid(NamedTuple):
    """A loss as rows and columns, the last axis; and how many of y's numbers belong to each."""

    rows: int
    columns: int
    parts: int = 1

    def flags(self, counted: Counted | None, shape: tuple[int, ...]) -> Counted | None:
        """What counts, as rows of one column or of all."""
        if counted is None:
            return None
        if counted.ndim == len(shape):
            return counted.reshape(self.rows, self.columns)
        return of_all(counted, shape[:-1]).reshape(self.rows, 1)


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

    ``shape`` is that of the losses; y may have several numbers for each, one behind the other in
    its last axis. Options that are arrays have one number for each element of the last axis.
    """
    _checks.choice("reduction", reduction, REDUCTIONS)
    counted = counted_elements(shape, mask, lengths, batch_first)
    size, columns = math.prod(shape), shape[-1] if shape else 1
    grid = _Grid(math.prod(shape[:-1]), columns, y.size // size if size else 1)
    loss = selection.current().elementwise_loss
    y, targets = _pieces.dense(y), _pieces.dense(targets)
    if counted is None and y.size <= _pieces.PIECE:
        with _warnings.unwarned():
            return _small(*loss(name, y, targets, **options), y.dtype, reduction)
    given = y.reshape(grid.rows, grid.parts, columns)
    wanted = targets.reshape(grid.rows, targets.size // max(1, grid.rows))

    def compute(rows: slice, some: slice) -> tuple[Array, Array]:
        own = {k: v[some] if np.ndim(v) else v for k, v in options.items()}
        own_targets = wanted[rows] if wanted.shape[1] != columns else wanted[rows, some]
        output = given[rows, :, some]
        losses, gradient = loss(name, output.reshape(len(output), -1), own_targets, **own)
        return losses, gradient.reshape(output.shape)

    total = divisor(reduction, shape, counted)
    gradient = np.empty((grid.rows, grid.parts, columns), y.dtype)
    blocks = _pieces.blocks(grid.rows, columns)
    value = _reduced(compute, blocks, gradient, grid.flags(counted, shape), reduction, total)
    return _shaped(value, shape), gradient.reshape(y.shape)


def _small(
    losses: Array, gradient: Array, dtype: np.dtype[Any], reduction: str
) -> tuple[Value, Array]:
    """The same for one piece, of which all counts: it is quicker for a small model's step."""
    if reduction == "none":
        return np.asarray(losses), np.asarray(gradient, dtype)
    value, total = float(losses.sum()), divisor(reduction, losses.shape)
    if total != 1:
        value /= total
        gradient = gradient / total
    return value, np.asarray(gradient, dtype)


def by_rows(
    compute: Callable[[slice], tuple[Array, Array]],
    logits: Array,
    counted: Counted | None,
    reduction: str,
    weights: Array,
) -> tuple[Value, Array]:
    """The same where each row of logits (..., V) has one loss, and its own weight in the mean.

    ``compute`` gives the losses of some rows, and the gradients with respect to the logits.
    """
    shape, classes = logits.shape[:-1], logits.shape[-1]
    rows = math.prod(shape)
    flags = None if counted is None else counted.reshape(rows, 1)

    def compute_one(some: slice, _: slice) -> tuple[Array, Array]:
        losses, gradient = compute(some)
        return losses[:, None], gradient[:, :, None]

    total = divisor(reduction, shape, counted, weights)
    gradient = np.empty((rows, classes, 1), logits.dtype)
    blocks = ((some, slice(0, 1)) for some in _pieces.pieces(rows, classes))
    value = _reduced(compute_one, blocks, gradient, flags, reduction, total)
    return _shaped(value, shape), gradient.reshape(logits.shape)


def _reduced(
    compute: Callable[[slice, slice], tuple[Array, Array]],
    blocks: Iterable[tuple[slice, slice]],
    gradient: Array,
    flags: Counted | None,
    reduction: str,
    total: float,
) -> Value:
    """Losses and gradients of all blocks, which are in float64, after the reduction.

    For the mean, ``total`` is the sum of the weights of what counts, which is the number of
    elements where no weights are given.
    """
    rows, _, columns = gradient.shape
    values = np.empty((rows, columns)) if reduction == "none" else None
    if reduction == "none":
        total = 1.0
    sums = _pieces.PairwiseSum(rows * columns)
    with _warnings.unwarned():
        for some, part in blocks:
            losses, slopes = compute(some, part)
            if flags is not None:
                # Chosen instead of multiplied with 0: what does not count may be NaN.
                kept = flags[some, part] if flags.shape[1] == columns else flags[some]
                losses = np.where(kept, losses, 0)
                slopes = np.where(kept[:, None], slopes, 0)
            if total != 1:
                slopes = slopes / total
            gradient[some, :, part] = slopes
            if values is not None:
                values[some, part] = losses
            else:
                sums.add(losses)
    if values is not None:
        return values
    return sums.value() / total if total != 1 else sums.value()


def _shaped(value: Value, shape: tuple[int, ...]) -> Value:
    return value.reshape(shape) if isinstance(value, np.ndarray) else value


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
    reduction: str,
    shape: tuple[int, ...],
    counted: Counted | None = None,
    weights: Array | None = None,
) -> float:
    """What the sum of losses of this shape is divided by, 1 for "sum".

    A ValueError if nothing counts for the mean.
    """
    notes = _notes.get()
    if reduction == "none" or (reduction == "sum" and notes is None):
        return 1.0
    if weights is not None:
        total = _sum_of(weights, counted)
    elif counted is None:
        total = float(math.prod(shape))
    else:
        total = float(np.count_nonzero(counted) * math.prod(shape[counted.ndim :]))
    if notes is not None:
        notes.append(Weighing(total, reduction == "mean"))
        return total or 1.0 if reduction == "mean" else 1.0
    if total == 0:
        raise ValueError("reduction: expected an element that counts for the mean, got none")
    return total


def _sum_of(weights: Array, counted: Counted | None) -> float:
    sums = _pieces.PairwiseSum(weights.size)
    for some in _pieces.pieces(weights.size):
        own = weights[some]
        sums.add(own if counted is None else np.where(counted.reshape(-1)[some], own, 0))
    return sums.value()


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
