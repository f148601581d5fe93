"""Sequences of different lengths: as a list, padded with their lengths, or packed as in torch.

Layers take the padded form. The names are those of `torch.nn.utils.rnn`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks, _pieces
from pyrnn._pickling import public
from pyrnn._types import Array, Indices
from pyrnn.layers import _arguments

Values = Array | Indices
Lengths = npt.NDArray[np.int64]


@public("pyrnn")
class PackedSequence(NamedTuple):
    """Sequences without padding: all first time steps, then all second ones, and so on.

    Within each time step, the longest sequence comes first. The fields are those of torch's class:
    ``torch.nn.utils.rnn.PackedSequence(*map(torch.from_numpy, packed))`` converts to it.

    Parameters
    ----------
    data : array
        The values, (sum of lengths, features), or with more axes of features; or
        (sum of lengths,) of integers.
    batch_sizes : array of int64
        The number of sequences that have each time step, (longest length,).
    sorted_indices : array of int64
        The indices of the sequences, longest first, (N,).
    unsorted_indices : array of int64
        The position of each sequence among the sorted ones, (N,).

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> packed = pyrnn.pack_sequence([np.array([1, 2]), np.array([3, 4, 5])])
    >>> packed.data.tolist(), packed.batch_sizes.tolist(), packed.sorted_indices.tolist()
    ([3, 1, 4, 2, 5], [2, 2, 1], [1, 0])
    """

    data: Values
    batch_sizes: Lengths
    sorted_indices: Lengths
    unsorted_indices: Lengths


@public("pyrnn")
def pad_sequence(sequences: Sequence[Any], batch_first: bool = False) -> tuple[Values, Lengths]:
    """Pad a list of sequences with zeros to a batch, and return their lengths as well.

    Parameters
    ----------
    sequences : list of arrays
        The sequences, (T_i, features) each, all float32 or all float64, or with more axes of
        features; or (T_i,) of one integer dtype.
    batch_first : bool, default False
        Whether the result is (N, T, ...) instead of (T, N, ...).

    Returns
    -------
    x : array
        The batch, (T, N, features), or with as many axes as the sequences have, or (T, N) of
        integers; T is the longest length.
    lengths : array of int64
        The lengths, (N,). Torch's function of this name returns x alone.

    Raises
    ------
    TypeError
        If a sequence is not an array of such a dtype, or the dtypes differ.
    ValueError
        If there is no sequence, one is empty, or their shapes do not match.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.GRU(3, 4, seed=0)
    >>> x, lengths = pyrnn.pad_sequence([np.ones((5, 3), "f"), np.ones((2, 3), "f")])
    >>> y, h = layer(x, lengths=lengths)
    >>> [part.shape for part in pyrnn.unpad_sequence(y, lengths)]
    [(5, 4), (2, 4)]
    """
    batch_first = _checks.flag("batch_first", batch_first)
    arrays = _check_sequences(sequences)
    lengths = np.array([len(array) for array in arrays], np.int64)
    x = _zeros(lengths.max(), len(arrays), arrays[0], batch_first)
    by_row = x if batch_first else x.swapaxes(0, 1)
    for row, array in zip(by_row, arrays, strict=True):
        _pieces.put(row[: len(array)], array)
    return x, lengths


@public("pyrnn")
def unpad_sequence(x: Any, lengths: Any, batch_first: bool = False) -> list[Values]:
    """Cut a padded batch into the list of its sequences.

    Parameters
    ----------
    x : array
        The batch, (T, N, features), or with more axes of features, or (T, N) of integers;
        (N, T, ...) with ``batch_first``.
    lengths : array of int
        The length of each sequence, (N,), in [1, T].
    batch_first : bool, default False
        Whether ``x`` is (N, T, ...).

    Returns
    -------
    list of arrays
        Copies of the sequences, (T_i, features) or (T_i,) each.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong dtype, shape or value.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> pyrnn.unpad_sequence(np.array([[1, 4], [2, 0], [3, 0]]), [3, 1])
    [array([1, 2, 3]), array([4])]
    """
    by_time, counts = _check_padded(x, lengths, batch_first)
    return [_pieces.copied(by_time[:count, row]) for row, count in enumerate(counts)]


@public("pyrnn")
def pack_padded_sequence(
    x: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = False
) -> PackedSequence:
    """Pack a padded batch: leave out the values past the end of each sequence.

    Parameters
    ----------
    x : array
        The batch, (T, N, features), or with more axes of features, or (T, N) of integers;
        (N, T, ...) with ``batch_first``.
    lengths : array of int
        The length of each sequence, (N,), in [1, T].
    batch_first : bool, default False
        Whether ``x`` is (N, T, ...).
    enforce_sorted : bool, default False
        Whether to refuse sequences that are not sorted by length, longest first. Unlike torch's,
        this function sorts by default, and always returns both arrays of indices.

    Returns
    -------
    PackedSequence
        The packed sequences. Those of equal length keep their order.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong dtype, shape or value.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> pyrnn.pack_padded_sequence(np.array([[4, 1], [0, 2], [0, 3]]), [1, 3]).data
    array([1, 4, 2, 3])
    """
    enforce_sorted = _checks.flag("enforce_sorted", enforce_sorted)
    by_time, counts = _check_padded(x, lengths, batch_first)
    if enforce_sorted and (np.diff(counts) > 0).any():
        raise ValueError(
            "lengths: expected the longest first because of enforce_sorted=True, "
            f"got {counts.tolist()}"
        )
    order = np.argsort(-counts, kind="stable")
    ended = np.bincount(counts)[:-1].cumsum()  # by the beginning of each step
    batch_sizes = len(counts) - ended
    time, rank = _positions(batch_sizes)
    row = order[rank]
    data = np.empty((len(time), *by_time.shape[2:]), by_time.dtype)
    for some in _pieces.pieces(*_sizes(data)):
        data[some] = by_time[time[some], row[some]]
    return PackedSequence(data, batch_sizes, order, np.argsort(order))


@public("pyrnn")
def pad_packed_sequence(
    packed: Any,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Values, Lengths]:
    """Convert packed sequences to a padded batch.

    Parameters
    ----------
    packed : PackedSequence
        The packed sequences; also an object of torch's class of that name, on the CPU. Its indices
        may be None.
    batch_first : bool, default False
        Whether the result is (N, T, ...) instead of (T, N, ...).
    padding_value : float, default 0.0
        What stands past each sequence's end; a whole number where the sequences are integers.
    total_length : int, optional
        T, at least the longest length, which it is by default.

    Returns
    -------
    x : array
        The batch, (T, N, features), or (T, N) of integers.
    lengths : array of int64
        The length of each sequence, (N,).

    Raises
    ------
    TypeError
        If ``packed`` is not such an object, or an argument or a field has a wrong type or dtype.
    ValueError
        If the fields do not fit together, the dtype cannot hold ``padding_value``, or
        ``total_length`` is below the longest length.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> packed = pyrnn.pack_sequence([np.array([1]), np.array([2, 3])])
    >>> x, lengths = pyrnn.pad_packed_sequence(packed)
    >>> x.tolist(), lengths.tolist()
    ([[1, 2], [0, 3]], [1, 2])
    """
    batch_first = _checks.flag("batch_first", batch_first)
    data, batch_sizes, order = _check_packed(packed)
    time, rank = _positions(batch_sizes)
    steps = len(batch_sizes)
    if total_length is not None:
        steps = _checks.size("total_length", total_length, least=steps, most=_checks.MAX_COUNT)
    x = _zeros(steps, len(order), data, batch_first)
    padding, row = _check_padding(padding_value, data.dtype), order[rank]
    for box in _pieces.boxes(x.shape):
        x[box] = padding
    by_time = x.swapaxes(0, 1) if batch_first else x
    for some in _pieces.pieces(*_sizes(data)):
        by_time[time[some], row[some]] = data[some]
    lengths = np.empty(len(order), np.int64)
    lengths[order] = np.bincount(rank)
    return x, lengths


@public("pyrnn")
def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = False) -> PackedSequence:
    """Pack a list of sequences.

    Parameters
    ----------
    sequences : list of arrays
        The sequences, (T_i, features) each, all float32 or all float64, or with more axes of
        features; or (T_i,) of one integer dtype.
    enforce_sorted : bool, default False
        Whether to refuse sequences that are not sorted by length, longest first.

    Returns
    -------
    PackedSequence
        The packed sequences. Those of equal length keep their order.

    Raises
    ------
    TypeError, ValueError
        If a sequence has a wrong dtype or shape, or one is empty; or, with ``enforce_sorted``, if
        they are not sorted.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> pyrnn.pack_sequence([np.array([1, 2]), np.array([3])]).batch_sizes
    array([2, 1])
    """
    x, lengths = pad_sequence(sequences)
    return pack_padded_sequence(x, lengths, enforce_sorted=enforce_sorted)


# --- positions ------------------------------------------------------------------------------


def _positions(batch_sizes: Lengths) -> tuple[Lengths, Lengths]:
    """Return, for each packed row, its time step and its sequence's rank by length."""
    time = np.repeat(np.arange(len(batch_sizes)), batch_sizes)
    first = batch_sizes.cumsum() - batch_sizes
    return time, np.arange(len(time)) - first[time]


def _sizes(data: Values) -> tuple[int, int]:
    """How many rows there are, and the numbers of one."""
    return len(data), math.prod(data.shape[1:])


def _zeros(time_steps: int, batch_size: int, like: Values, batch_first: bool) -> Values:
    lead = (batch_size, time_steps) if batch_first else (time_steps, batch_size)
    return np.zeros((*lead, *like.shape[1:]), like.dtype)


# --- arguments ------------------------------------------------------------------------------


def _check_sequences(sequences: Any) -> list[Values]:
    """Check a list of at least one array, all of one dtype and with the same features."""
    if not isinstance(sequences, (list, tuple)):
        kind = type(sequences).__name__
        raise TypeError(f"sequences: expected a list of arrays, got {kind}")
    if not sequences:
        raise ValueError("sequences: expected at least one array, got an empty list")
    arrays = [_check_values(f"sequences[{n}]", s, ("T",)) for n, s in enumerate(sequences)]
    first = arrays[0]
    for number, array in enumerate(arrays):
        name = f"sequences[{number}]"
        if array.dtype != first.dtype:
            raise TypeError(f"{name}: expected dtype {first.dtype} as the first, got {array.dtype}")
        if array.shape[1:] != first.shape[1:]:
            shape = _checks.shape_text(("T", *first.shape[1:]))
            raise ValueError(f"{name}: expected shape {shape} as the first, got {array.shape}")
        if not len(array):
            raise ValueError(f"{name}: expected at least one step, got shape {array.shape}")
    return arrays


def _check_padded(x: Any, lengths: Any, batch_first: bool) -> tuple[Values, Lengths]:
    """Return ``x`` with time first, and the lengths."""
    batch_first = _checks.flag("batch_first", batch_first)
    array = _check_values("x", x, ("N", "T") if batch_first else ("T", "N"))
    if batch_first:
        array = array.swapaxes(0, 1)
    if not array.shape[0] or not array.shape[1]:
        raise ValueError(f"x: expected at least one step and one row, got shape {np.shape(x)}")
    counts = _arguments.lengths_array("lengths", lengths, *array.shape[:2])
    return array, counts.astype(np.int64, copy=False)


def _check_values(name: str, value: Any, lead: tuple[str, ...]) -> Values:
    """Check floats with the axes ``lead`` and one or more of features, or integers without any."""
    array = _checks.as_array(name, value)
    if array.dtype.kind in "iu":
        expected: tuple[str, ...] = lead
        if not array.dtype.isnative:
            array = _pieces.copied(array, array.dtype.newbyteorder("="))
    else:
        expected = (*lead, "features")
        array = _checks.any_float_array(name, value)
    if array.ndim < len(expected) or (array.ndim > len(expected) and expected == lead):
        kind = "integers" if expected == lead else "floats"
        raise ValueError(
            f"{name}: expected {kind} of shape {_checks.shape_text(expected)}, got {array.shape}"
        )
    return array


def _check_packed(packed: Any) -> tuple[Values, Lengths, Lengths]:
    """Return the data, the batch sizes and the order of the sequences, which fit together."""
    fields = []
    for name in PackedSequence._fields:
        if not hasattr(packed, name):
            kind = type(packed).__name__
            raise TypeError(f"packed: expected a PackedSequence, got {kind} without {name!r}")
        fields.append(getattr(packed, name))
    data = _check_values("packed.data", fields[0], ("sum of lengths",))
    batch_sizes = _check_batch_sizes(fields[1], len(data))
    count = int(batch_sizes[0])
    order = _check_permutation("packed.sorted_indices", fields[2], count)
    inverse = _check_permutation("packed.unsorted_indices", fields[3], count)
    if order is None:
        order = np.arange(count) if inverse is None else np.argsort(inverse)
    elif inverse is not None and not np.array_equal(inverse, np.argsort(order)):
        raise ValueError(
            "packed.unsorted_indices: expected the inverse of sorted_indices, "
            f"{order.tolist()}, got {inverse.tolist()}"
        )
    return data, batch_sizes, order


def _check_batch_sizes(value: Any, total: int) -> Lengths:
    name = "packed.batch_sizes"
    batch_sizes = _check_integers(name, value)
    if batch_sizes.ndim != 1 or not batch_sizes.size:
        raise ValueError(f"{name}: expected shape (T,), T at least 1, got {batch_sizes.shape}")
    if batch_sizes[-1] < 1 or (np.diff(batch_sizes) > 0).any():
        raise ValueError(
            f"{name}: expected positive numbers that never increase, got {batch_sizes.tolist()}"
        )
    # The first two keep the sum from overflowing.
    if max(len(batch_sizes), batch_sizes[0]) > total or batch_sizes.sum() != total:
        raise ValueError(
            f"{name}: expected a sum of {total}, as packed.data has {total} rows, "
            f"got {batch_sizes.tolist()}"
        )
    return batch_sizes


def _check_padding(value: Any, dtype: np.dtype[Any]) -> Any:
    """A number that an array of this dtype can hold."""
    if dtype.kind == "f":
        return _checks.finite_number("padding_value", value, -float(np.finfo(dtype).max))
    limits = np.iinfo(dtype)
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    return _checks.size("padding_value", number, limits.min, limits.max)


def _check_permutation(name: str, value: Any, count: int) -> Lengths | None:
    if value is None:
        return None
    indices = _check_integers(name, value)
    if indices.shape != (count,) or not np.array_equal(np.sort(indices), np.arange(count)):
        raise ValueError(
            f"{name}: expected each of 0 to {count - 1} once, as the batch has {count} rows, "
            f"got {indices.tolist()}"
        )
    return indices


def _check_integers(name: str, value: Any) -> Lengths:
    array = _checks.as_array(name, value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got dtype {array.dtype}")
    return array.astype(np.int64)
