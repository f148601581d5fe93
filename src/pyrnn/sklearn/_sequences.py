"""The X of estimators: arrays and lists of sequences, checked, and standardised."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array
from sklearn.utils.validation import assert_all_finite, validate_data

from pyrnn.sklearn._containers import unpacked
from pyrnn.sklearn._errors import naming


class Sequences(NamedTuple):
    """Sequences that were checked.

    ``parts`` is one array (N, T, features) where X was an array, else a list of (T_i, features).
    """

    parts: Any
    lengths: npt.NDArray[np.intp]
    features: int

    @property
    def is_array(self) -> bool:
        """Whether all came as one array; predictions of each step are one then."""
        return isinstance(self.parts, np.ndarray)

    def take(self, rows: npt.NDArray[np.intp]) -> Sequences:
        """Some of the sequences."""
        if self.is_array:
            parts: Any = self.parts[rows]
        else:
            parts = [self.parts[row] for row in rows.tolist()]
        return Sequences(parts, self.lengths[rows], self.features)


def read_sequences(estimator: Any, X: Any, *, reset: bool) -> Sequences:
    """Check X; set ``n_features_in_`` with ``reset``, otherwise compare X with it."""
    with naming("X"):
        return _read(estimator, unpacked("X", X), reset)


def _read(estimator: Any, X: Any, reset: bool) -> Sequences:
    if _is_list_of_arrays(X):
        sequences = _from_list(X)
    elif getattr(X, "ndim", None) == 3:
        array = check_array(X, allow_nd=True, dtype="numeric", input_name="X", estimator=estimator)
        _not_empty(array.shape)
        sequences = Sequences(array, np.full(len(array), array.shape[1], np.intp), array.shape[2])
    else:
        return _from_table(estimator, X, reset=reset)
    if reset:
        estimator.n_features_in_ = estimator._features = sequences.features
        estimator._is_table = False
        if hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    elif sequences.features != estimator._features:
        name = type(estimator).__name__
        raise ValueError(
            f"X has {sequences.features} features, but {name} is expecting "
            f"{estimator._features} features as input"
        )
    return sequences


def _from_table(estimator: Any, X: Any, *, reset: bool) -> Sequences:
    """A table (N, T): each row is one sequence of one feature."""
    if reset or estimator._is_table:
        table = validate_data(estimator, X, dtype="numeric", reset=reset)
    else:  # fitted on sequences: if they have one feature, a table of any length will do
        table = check_array(X, dtype="numeric", input_name="X", estimator=estimator)
        if estimator._features != 1:
            raise ValueError(
                f"X: expected shape (N, T, {estimator._features}), or a list of arrays (T_i, "
                f"{estimator._features}), got {table.shape}"
            )
    if reset:
        estimator._features, estimator._is_table = 1, True
    lengths = np.full(len(table), table.shape[1], np.intp)
    return Sequences(table[:, :, None], lengths, 1)


def _not_empty(shape: tuple[int, ...]) -> None:
    if not shape[1] or not shape[2]:
        raise ValueError(f"X: expected shape (N, T, features), none 0, got {shape}")


def _is_list_of_arrays(X: Any) -> bool:
    """Whether X is a list or an object array of sequences, and not of the rows of a table."""
    if isinstance(X, np.ndarray):
        if X.dtype != object or X.ndim != 1 or not len(X):
            return False
    elif not isinstance(X, (list, tuple)) or not X:
        return False
    sized = [part for part in X if hasattr(part, "__len__") and not isinstance(part, (str, bytes))]
    if len(sized) < len(X):
        return bool(sized)  # no table either: the part that is no sequence is named
    first = sized[0]
    if hasattr(first, "ndim"):
        dimensions = first.ndim
    else:
        dimensions = 2 if len(first) and hasattr(first[0], "__len__") else 1
    if dimensions != 1:
        return bool(dimensions == 2)
    return len({len(part) for part in X}) > 1  # else the rows of a table


def _from_list(X: Any) -> Sequences:
    parts: list[npt.NDArray[Any]] = []
    for number, part in enumerate(X):
        array = np.asarray(part)
        if array.dtype == object:
            array = array.astype(np.float64)
        if array.dtype.kind not in "iufb":
            raise ValueError(f"X[{number}]: expected numbers, got dtype {array.dtype}")
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or not array.size:
            raise ValueError(
                f"X[{number}]: expected shape (T, features), not empty, got {array.shape}"
            )
        if parts and array.shape[1] != parts[0].shape[1]:
            raise ValueError(
                f"X[{number}]: expected {parts[0].shape[1]} features as in X[0], got "
                f"{array.shape[1]}"
            )
        assert_all_finite(array, input_name=f"X[{number}]")
        parts.append(array)
    lengths = np.array([len(part) for part in parts], np.intp)
    return Sequences(parts, lengths, parts[0].shape[1])


class Scaler(NamedTuple):
    """Brings each feature to mean 0 and standard deviation 1; a constant one to 0."""

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    def apply(self, parts: Any, dtype: Any) -> Any:
        """The array or each array of a list, standardised, in a dtype."""
        if isinstance(parts, np.ndarray):
            return ((parts - self.mean) / self.scale).astype(dtype)
        return [((part - self.mean) / self.scale).astype(dtype) for part in parts]

    def undo(self, array: Any) -> Any:
        """Convert standardised numbers back."""
        return array * self.scale + self.mean


def scaler_of(parts: Any, weights: npt.NDArray[np.float64] | None) -> Scaler:
    """The scaler of all steps of sequences, or of single rows, each as heavy as its weight."""
    if isinstance(parts, np.ndarray):
        counts = np.full(len(parts), 1 if parts.ndim == 2 else parts.shape[1])
        flat = parts.reshape(-1, parts.shape[-1])
    else:
        counts = np.array([len(part) for part in parts])
        flat = np.concatenate(parts)
    flat = flat.astype(np.float64, copy=False)
    heavy = None if weights is None else np.repeat(weights, counts)
    mean = np.average(flat, axis=0, weights=heavy)
    variance = np.average(np.square(flat - mean), axis=0, weights=heavy)
    scale = np.sqrt(variance)
    # Rounding leaves a constant feature with a tiny variance.
    constant = (flat.min(axis=0) == flat.max(axis=0)) | (scale == 0)
    return Scaler(np.where(constant, flat[0], mean), np.where(constant, 1.0, scale))


def no_scaler(features: int) -> Scaler:
    """A scaler that changes nothing."""
    return Scaler(np.zeros(features), np.ones(features))
