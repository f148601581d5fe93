"""Containers of other libraries that hold sequences, such as a Series of arrays, as lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np


def unpacked(name: str, value: Any) -> Any:
    """A list of the sequences that a Series, a DataFrame or an object array holds.

    Anything else is returned as it is: whoever calls checks it. Cells of one row of a DataFrame are
    features of one sequence.
    """
    check_not_masked(name, value)
    kinds = (str, bytes, Mapping, Set, Iterator)
    if isinstance(value, kinds) and not hasattr(value, "shape"):  # a sparse array is a mapping too
        raise TypeError(
            f"{name}: expected an array, a table, or a list of arrays, got {type(value).__name__}"
        )
    if isinstance(value, Sequence) and not isinstance(value, (range, memoryview)):
        parts = value if isinstance(value, (list, tuple)) else list(value)
        for number, part in enumerate(parts):
            check_not_masked(f"{name}[{number}]", part)
        return parts
    if hasattr(value, "to_numpy") and not isinstance(value, np.ndarray):
        cells = value.to_numpy()
    else:
        cells = value
    if not isinstance(cells, np.ndarray) or cells.dtype != object or not cells.size:
        return value
    if not any(map(_is_sequence, cells.flat)):
        return value
    if cells.ndim == 1 or cells.shape[1:] == (1,):
        return list(cells.ravel())
    return [_side_by_side(name, number, row) for number, row in enumerate(cells)]


def labels_of(value: Any) -> Any:
    """Labels that a pandas object holds in types of its own, as an array of the same kind.

    NumPy would make floats or objects of nullable integers and bools. Anything else is returned as
    it is.
    """
    if hasattr(value, "columns") and hasattr(value, "iloc"):  # a DataFrame
        columns = [value.iloc[:, number] for number in range(value.shape[1])]
        if not any(map(_has_own_type, columns)):
            return value
        return np.stack([np.asarray(labels_of(column)) for column in columns], axis=1)
    if not _has_own_type(value):
        return value
    if value.isna().any():
        raise ValueError("Input y contains NaN.")  # as scikit-learn says it
    categories = getattr(value.dtype, "categories", None)
    if categories is not None:
        codes = getattr(value, "array", value).codes
        return np.asarray(labels_of(categories))[codes]
    plain = getattr(value.dtype, "numpy_dtype", np.dtype(object))
    return value.to_numpy(dtype=plain if plain.kind in "biuf" else object)


def _has_own_type(value: Any) -> bool:
    """Whether it is a pandas object, none of whose types is NumPy's."""
    dtype = getattr(value, "dtype", None)
    of_numpy = dtype is None or isinstance(dtype, np.dtype)
    return not of_numpy and hasattr(value, "isna") and hasattr(value, "to_numpy")


def check_not_masked(name: str, value: Any) -> None:
    """Refuse a masked array, whose mask would be ignored."""
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError(
            f"{name}: expected an array without a mask, got a MaskedArray; fill or leave out what "
            "is masked"
        )


def _is_sequence(cell: Any) -> bool:
    if isinstance(cell, (list, tuple)):
        return True
    return hasattr(cell, "__array__") and hasattr(cell, "__len__")


def _side_by_side(name: str, number: int, row: Any) -> Any:
    """The columns of one sequence as one array (T, columns)."""
    columns = [np.asarray(cell) for cell in row]
    lengths = [len(column) if column.ndim == 1 else None for column in columns]
    if None in lengths or len(set(lengths)) > 1:
        shapes = ", ".join(str(column.shape) for column in columns)
        raise ValueError(
            f"{name}[{number}]: expected columns of one length, one number for each step, got "
            f"shapes {shapes}"
        )
    return np.stack(columns, axis=1)
