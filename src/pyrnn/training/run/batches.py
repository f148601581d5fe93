"""Data in batches: sequences, and one long text in streams.

Data says which items an epoch has, in an order drawn from a generator, and loads one item at a
time. So an epoch can be continued: with the generator's state at its start, and the number of items
that are done.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn.distributed import shares
from pyrnn.layers.sequences import pad_sequence
from pyrnn.training.run._memory_maps import Columns, release

BUCKET = 50
"""How many batches are sorted by length together, after the sequences were shuffled."""


class Batch(NamedTuple):
    """One batch, or one stretch of time of it.

    ``size``: how many targets count. ``rows``: how many sequences there are; in a stretch of time,
    those that have not ended, which are the first ones. ``back``: the initial state is the final
    one of the batch this many batches earlier; 0 for a zero state. ``before``: how many steps at
    the start of x are read only for their gradients (k2 − k1); they have no targets. ``keep``: how
    many final states of batches are needed again.
    """

    x: Any
    targets: Any
    lengths: npt.NDArray[np.intp] | None
    size: int
    rows: int
    back: int = 0
    before: int = 0
    keep: int = 0


class Window(NamedTuple):
    """Steps of truncated back-propagation: k1 forward for each optimiser step, k2 back."""

    k1: int
    k2: int

    def begin(self, start: int) -> int:
        """The first step that the gradients of the steps from ``start`` on reach."""
        return max(0, start - (self.k2 - self.k1))

    def back(self, start: int) -> int:
        """How many stretches earlier the initial state was the final one; 0 for a zero state."""
        begin = self.begin(start)
        return (start - begin) // self.k1 + 1 if begin else 0


class Data(Protocol):
    """What a `Trainer` takes batches from."""

    batch_first: bool

    def items(self, generator: np.random.Generator | None) -> Sequence[Any]:
        """What an epoch consists of, shuffled by the generator; in order without one."""

    def load(self, item: Any) -> Batch:
        """The batch of an item."""

    def of_rank(self, rank: int, ranks: int) -> Data:
        """The same items, with only the rows of one of several processes, possibly none."""

    def place(self, count: int, rank: int, ranks: int) -> slice:
        """Which rows of an item, out of ``count``, belong to a rank."""


def no_rows(back: int, before: int, keep: int) -> Batch:
    """What a rank without rows loads, if an item has fewer rows than there are ranks."""
    return Batch(None, None, None, 0, 0, back, before, keep)


def check_window(k1: Any, k2: Any) -> Window | None:
    """Check k1 and k2 of truncated back-propagation; None without them."""
    if k1 is None and k2 is None:
        return None
    if k1 is None:
        raise ValueError("k1: expected a number of steps along with k2, got None")
    forward = _checks.size("k1", k1)
    back = forward if k2 is None else _checks.size("k2", k2)
    if back < forward or back % forward:
        raise ValueError(f"k2: expected a multiple of k1 = {forward}, got {_checks.shown(k2)}")
    return Window(forward, back)


class Sequences:
    """Sequences with a target for each, or for each of their steps.

    Parameters
    ----------
    x : indexable
        ``x[i]`` is the i-th sequence, (T_i, features), or (T_i,) of indices.
    targets : indexable
        ``targets[i]`` is what belongs to it; with ``each_step``, its first axis is time too.
    batch_size : int
        How many sequences are in a batch.
    each_step : bool
        Whether each step has a target.
    dtype : dtype
        The dtype of the model, to which numbers are converted.
    batch_first : bool
        Whether the model has the batch first.
    window : Window, optional
        Truncated back-propagation.
    name : str
        The name of the data in errors.
    """

    def __init__(
        self,
        x: Any,
        targets: Any,
        batch_size: int,
        *,
        each_step: bool,
        dtype: np.dtype[Any],
        batch_first: bool = False,
        window: Window | None = None,
        name: str = "train",
    ) -> None:
        x, targets = _by_place(x), _by_place(targets)
        self._x, self._targets = x, targets
        self._batch_size = batch_size
        self._each_step = each_step
        self._dtype = dtype
        self.batch_first = batch_first
        self._window = window
        self._rank, self._ranks = 0, 1
        self._name = name
        self._lengths = _lengths(name, x)
        if targets is not None:
            _check_targets(name, targets, len(self._lengths))

    def __len__(self) -> int:
        return len(self._lengths)

    def items(self, generator: np.random.Generator | None) -> list[Any]:
        """Rows of each batch and, with a window, where its stretch of time begins."""
        batches = self._batches(generator)
        if self._window is None:
            return [(rows, 0) for rows in batches]
        k1 = self._window.k1
        return [(rows, start) for rows in batches for start in range(0, self._lengths[rows[0]], k1)]

    def _batches(self, generator: np.random.Generator | None) -> list[npt.NDArray[np.intp]]:
        """Rows of similar length together, the longest first in each batch."""
        count, size = len(self._lengths), self._batch_size
        order = np.arange(count) if generator is None else generator.permutation(count)
        if self._window is not None or self._lengths.min() != self._lengths.max():
            bucket = count if generator is None else BUCKET * size
            order = np.concatenate(
                [
                    part[np.argsort(-self._lengths[part], kind="stable")]
                    for part in (order[s : s + bucket] for s in range(0, count, bucket))
                ]
            )
        batches = [order[start : start + size] for start in range(0, count, size)]
        if generator is not None:
            batches = [batches[number] for number in generator.permutation(len(batches))]
        return batches

    def of_rank(self, rank: int, ranks: int) -> Sequences:
        """The same batches, with only the rows of this process."""
        own = copy.copy(self)
        own._rank, own._ranks = rank, ranks
        return own

    def place(self, count: int, rank: int, ranks: int) -> slice:
        """Neighbours, if all are equally long; otherwise every n-th of the sorted rows."""
        if self._lengths.min() == self._lengths.max():
            return shares.neighbours(count, rank, ranks)
        return shares.every(rank, ranks)

    def load(self, item: Any) -> Batch:
        """The batch of an item."""
        rows, start = item
        if self._ranks > 1:
            rows = rows[self.place(len(rows), self._rank, self._ranks)]
        lengths = self._lengths[rows]
        begin, back, keep = 0, 0, 0
        if self._window is not None:
            alive = lengths > start
            rows, lengths = rows[alive], lengths[alive]
            begin, back = self._window.begin(start), self._window.back(start)
            keep = self._window.k2 // self._window.k1
        before = start - begin
        if not len(rows):
            return no_rows(back, before, keep)
        end = int(lengths.max())
        if self._window is not None:
            end = min(end, start + self._window.k1)
        ends = np.minimum(lengths, end) - begin
        x = self._padded(self._x, rows, begin, end)
        targets = self._of_targets(rows, start, end)
        size = int((ends - before).sum()) if self._each_step else len(rows)
        varied = None if (ends == end - begin).all() else ends
        return Batch(x, targets, varied, size, len(rows), back, before, keep)

    def _of_targets(self, rows: npt.NDArray[np.intp], start: int, end: int) -> Any:
        if self._targets is None:
            return None
        if self._each_step:
            return self._padded(self._targets, rows, start, end)
        if isinstance(self._targets, np.ndarray):
            chosen = self._targets[rows]
        else:
            kept = [_item(self._name, self._targets, row) for row in rows.tolist()]
            chosen = self._stacked([np.asarray(target) for target in kept], rows)
        return self._cast(chosen)

    def _stacked(self, targets: list[npt.NDArray[Any]], rows: npt.NDArray[np.intp]) -> Any:
        for row, target in zip(rows.tolist(), targets, strict=True):
            if target.shape != targets[0].shape:
                raise ValueError(
                    f"{self._name}: expected targets of one shape, or one for each step of each "
                    f"sequence, got {targets[0].shape} of sequence {rows[0]} and {target.shape} "
                    f"of {row}"
                )
        return np.stack(targets)

    def _padded(self, source: Any, rows: npt.NDArray[np.intp], begin: int, end: int) -> Any:
        """Steps [begin, end) of some sequences, side by side."""
        if isinstance(source, np.ndarray) and source.dtype != object:
            part = source[rows, begin:end]  # a copy
            release(source)
            return self._cast(part if self.batch_first else np.ascontiguousarray(_swapped(part)))
        parts = [self._cast(self._steps(source, row)[begin:end]) for row in rows.tolist()]
        return pad_sequence(parts, self.batch_first)[0]

    def _steps(self, source: Any, row: int) -> Any:
        """All steps of one sequence, or their targets."""
        array = _item(self._name, source, row)
        if type(array) is not np.ndarray:  # else its name, which takes a microsecond, is not wanted
            array = _checks.as_array(f"{self._name}, sequence {row}", array)
        length = int(self._lengths[row])
        if not array.ndim or len(array) != length:
            raise ValueError(
                f"{self._name}: expected as many steps, {length}, in sequence {row} and in its "
                f"targets, got shape {array.shape}"
            )
        return array

    def _cast(self, array: Any) -> Any:
        """Numbers in the model's dtype; indices as they are."""
        if array.dtype.kind == "f" and array.dtype != self._dtype:
            return array.astype(self._dtype)
        return array


def _by_place(data: Any) -> Any:
    """Data whose items are looked up by their place: those of pandas have labels of their own."""
    if hasattr(data, "iloc"):
        data = data.to_numpy()
    of_objects = isinstance(data, np.ndarray) and data.dtype == object and data.ndim
    return list(data) if of_objects else data


def _item(name: str, data: Any, row: int) -> Any:
    """One sequence or its target."""
    try:
        return data[row]
    except (LookupError, ValueError) as error:
        raise ValueError(
            f"{name}: expected an item at each place from 0 on, got {type(error).__name__} at {row}"
        ) from error


def _check_targets(name: str, targets: Any, count: int) -> None:
    """Refuse anything but one target for each sequence."""
    try:
        got: object = len(targets) if hasattr(targets, "__getitem__") else _checks.shown(targets)
    except TypeError:  # from an array without axes
        got = _checks.shown(targets)
    if got != count:
        raise ValueError(
            f"{name}: expected a target for each of {count} sequences, as targets[i], got {got}"
        )


def _swapped(array: Any) -> Any:
    return array.swapaxes(0, 1)


def _lengths(name: str, x: Any) -> npt.NDArray[np.intp]:
    """How long each sequence is."""
    try:
        count = len(x)
        if isinstance(x, np.ndarray) and x.dtype != object:
            if x.ndim < 2:
                raise TypeError
            lengths = np.full(count, x.shape[1], np.intp)
        else:
            lengths = np.array([len(_item(name, x, row)) for row in range(count)], np.intp)
    except TypeError as error:
        raise TypeError(
            f"{name}: expected sequences, as x[i] of shape (T, features) or (T,), got "
            f"{_checks.shown(x)}"
        ) from error
    if not count or not lengths.min():
        got = f"an empty one at {int(lengths.argmin())}" if count else "none"
        raise ValueError(f"{name}: expected one sequence or more, none empty, got {got}")
    return lengths


def rows_of(tokens: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """A text (L,) as so many rows, each with the first token of the next one at its end.

    A view in which rows overlap by one token: all columns but the last are inputs, all but the
    first are targets.
    """
    steps = (len(tokens) - 1) // count
    (stride,) = tokens.strides
    return np.lib.stride_tricks.as_strided(
        tokens, (count, steps + 1), (steps * stride, stride), subok=True, writeable=False
    )


class TokenStreams:
    """One long text as parallel streams, in which each step predicts the next token.

    Parameters
    ----------
    tokens : array of int
        (L,): it may be a memory map, since only what a batch needs is read.
    batch_size : int
        How many streams.
    window : Window
        Steps of a batch, and how far gradients go back.
    batch_first : bool
        Whether the model has the batch first.
    name : str
        The name of the data in errors.
    """

    def __init__(
        self,
        tokens: npt.NDArray[np.integer[Any]],
        batch_size: int,
        window: Window,
        *,
        batch_first: bool = False,
        name: str = "train",
    ) -> None:
        self.batch_first = batch_first
        self._window = window
        steps = (len(tokens) - 1) // batch_size
        if steps < 1:
            raise ValueError(
                f"{name}: expected at least {batch_size + 1} tokens for {batch_size} streams, got "
                f"{len(tokens)}"
            )
        self._rows, self._steps = batch_size, steps
        self._columns = Columns(rows_of(tokens, batch_size))

    @property
    def shape(self) -> tuple[int, int]:
        """Streams, and the steps of each."""
        return self._rows, self._steps

    def of_rank(self, rank: int, ranks: int) -> TokenStreams:
        """The same stretches of time for a rank's streams, which are one part of the text."""
        own = copy.copy(self)
        mine = self.place(self._rows, rank, ranks)
        own._rows, own._columns = mine.stop - mine.start, self._columns.of_rows(mine)
        return own

    def place(self, count: int, rank: int, ranks: int) -> slice:
        """Neighbours."""
        return shares.neighbours(count, rank, ranks)

    def items(self, generator: np.random.Generator | None) -> range:
        """The start of each stretch of time, always in the order of time."""
        return range(0, self._steps, self._window.k1)

    def load(self, item: int) -> Batch:
        """The batch of an item."""
        k1, k2 = self._window
        if k1 == k2:  # the usual case, with the least work
            begin, back, keep = item, int(item > 0), 1
        else:
            begin, back, keep = self._window.begin(item), self._window.back(item), k2 // k1
        if not self._rows:
            return no_rows(back, item - begin, keep)
        tokens = self._columns.read(begin, min(item + k1, self._steps) + 1)
        x, targets = tokens[:, :-1], tokens[:, item - begin + 1 :]
        if not self.batch_first:
            x, targets = x.T, targets.T
        return Batch(x, targets, None, targets.size, self._rows, back, item - begin, keep)
