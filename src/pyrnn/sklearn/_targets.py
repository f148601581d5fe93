"""The y of estimators: one target for each sequence, or one for each time step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite

from pyrnn.sklearn._containers import labels_of, unpacked
from pyrnn.sklearn._errors import naming
from pyrnn.sklearn._sequences import Sequences

MISSING = "requires y to be passed, but the target y is None"


def read_labels(estimator: Any, y: Any, sequences: Sequences) -> tuple[Any, bool]:
    """Labels (N,), or a list of N arrays (T_i,); and whether it is the latter."""
    with naming("y"):
        given = labels_of(_unpacked(estimator, y))
        if isinstance(given, (list, tuple)):
            given = [labels_of(part) for part in given]
        return _labels(estimator, given, sequences)


def _labels(estimator: Any, y: Any, sequences: Sequences) -> tuple[Any, bool]:
    parts = _parts_of(y)
    if parts is None:
        array = np.asarray(y)
        if array.ndim != 2 or array.shape[1] == 1:
            labels = column_or_1d(y, warn=True)
            _check_labels(labels)
            check_classification_targets(labels)
            _same_number(labels, sequences)
            return labels, False
        parts = list(array)
    parts = [np.asarray(part) for part in parts]
    _one_for_each_step(parts, sequences, dimensions=(1,))
    labels = np.concatenate(parts)
    _check_labels(labels)
    check_classification_targets(labels)
    return parts, True


def read_numbers(estimator: Any, y: Any, sequences: Sequences) -> tuple[Any, bool]:
    """Numbers (N,) or (N, K), or a list of arrays (T_i,) or (T_i, K); and which of them."""
    with naming("y"):
        return _numbers(estimator, _unpacked(estimator, y), sequences)


def _numbers(estimator: Any, y: Any, sequences: Sequences) -> tuple[Any, bool]:
    parts = _parts_of(y, lists=False)
    if parts is None:
        options = {"ensure_2d": False, "allow_nd": True, "input_name": "y"}
        array = check_array(y, dtype="numeric", estimator=estimator, **options)
        if array.ndim < 3:
            _same_number(array, sequences)
            numbers = array.astype(np.float64)
            assert_all_finite(numbers, input_name="y")  # a None among objects becomes NaN
            return numbers, False
        parts = list(array)
    parts = [np.asarray(part, np.float64) for part in parts]
    _one_for_each_step(parts, sequences, dimensions=(1, 2))
    if len({part.shape[1:] for part in parts}) > 1:
        raise ValueError("y: expected as many targets for each step of all sequences")
    assert_all_finite(np.concatenate(parts), input_name="y")
    return parts, True


def _unpacked(estimator: Any, y: Any) -> Any:
    if y is None:
        raise ValueError(f"This {type(estimator).__name__} estimator {MISSING}")
    return unpacked("y", y)


def _parts_of(y: Any, lists: bool = True) -> list[Any] | None:
    """Arrays of single sequences, if that is what y is; None for an array of all."""
    if isinstance(y, np.ndarray):
        is_list = y.dtype == object and y.ndim == 1
    else:
        is_list = isinstance(y, (list, tuple))
    if not is_list or not len(y):
        return None
    first = y[0]
    if isinstance(first, (str, bytes)) or not hasattr(first, "__len__"):
        return None
    if not lists and not hasattr(first, "ndim"):  # a table of numbers, unless it is ragged
        return list(y) if len({len(part) for part in y}) > 1 else None
    return list(y) if getattr(first, "ndim", 1) else None


def _check_labels(labels: npt.NDArray[Any]) -> None:
    if labels.dtype.kind == "V":
        raise ValueError(f"y: expected numbers or strings, got an array of {labels.dtype}")
    if labels.dtype.kind in "fO":
        assert_all_finite(labels, input_name="y")


def _same_number(y: npt.NDArray[Any], sequences: Sequences) -> None:
    if len(y) != len(sequences.lengths):
        raise ValueError(
            f"y: expected a target for each of {len(sequences.lengths)} sequences, got {len(y)}"
        )


def _one_for_each_step(
    parts: list[npt.NDArray[Any]], sequences: Sequences, dimensions: tuple[int, ...]
) -> None:
    if len(parts) != len(sequences.lengths):
        raise ValueError(
            f"y: expected targets for each of {len(sequences.lengths)} sequences, got {len(parts)}"
        )
    for number, (part, length) in enumerate(zip(parts, sequences.lengths, strict=True)):
        if part.ndim not in dimensions or len(part) != length:
            raise ValueError(
                f"y[{number}]: expected a target for each of the {length} steps of X[{number}], "
                f"got shape {part.shape}"
            )


def joined(parts: Any) -> npt.NDArray[Any]:
    """Targets or predictions of all steps in one row, for scores."""
    if isinstance(parts, np.ndarray) and parts.dtype != object:
        return parts.reshape(-1, *parts.shape[2:])
    return np.concatenate([np.asarray(part) for part in parts])


def stacked(parts: list[Any], sequences: Sequences) -> Any:
    """One array of each step's predictions where X was one array; else the list."""
    return np.stack(parts) if sequences.is_array else parts
