"""What all estimators are: of scikit-learn, and with pickles and copies that share nothing."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from pyrnn._pickling import pickled


class Estimator(BaseEstimator):  # type: ignore[misc]
    """Base class of the estimators. joblib may map a file's arrays: fitted ones are copied."""

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: _portable(value) for name, value in state.items()}

    def __copy__(self) -> Any:
        return copy.deepcopy(self)


def _portable(value: Any) -> Any:
    """What replaces an array in a pickle, also one in tuples."""
    if type(value) is np.ndarray:
        return pickled(value)
    if isinstance(value, tuple):
        parts = [_portable(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value
