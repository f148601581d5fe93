"""Weights of other precisions, as the values of a layer's parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._types import Array

_BFLOAT16 = "bfloat16"  # of the package ml_dtypes: NumPy knows it as bytes of no kind


def as_parameter(name: str, value: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Floats of any precision, or whole numbers, as ``dtype``, of exactly this shape.

    A tensor of PyTorch is taken as its values: one that requires a gradient, and one of bfloat16,
    which NumPy has not. What is finite must stay so.
    """
    array = _checks.as_array(name, _plain(value))
    if dtype.kind == "i":
        return _as_count(name, array, dtype, shape)
    if array.dtype.kind != "f" and array.dtype.name != _BFLOAT16:
        raise TypeError(f"{name}: expected floats, got dtype {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    with np.errstate(over="ignore"):
        cast: Array = array.astype(dtype)
    if cast.dtype != array.dtype:
        lost = ~np.isfinite(cast) & np.isfinite(array.astype(np.float64))
        if lost.any():
            worst = float(array[lost].astype(np.float64).flat[0])
            raise ValueError(f"{name}: expected numbers that {dtype} can hold, got {worst:g}")
    return cast


def _as_count(name: str, array: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Whole numbers of at least 0: what a buffer counts."""
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected whole numbers, got dtype {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    if array.size and not 0 <= int(array.min()) <= int(array.max()) <= np.iinfo(dtype).max:
        raise ValueError(f"{name}: expected a count of at least 0, got {array.min()}")
    counted: Array = array.astype(dtype)
    return counted


def _plain(value: Any) -> Any:
    """The tensor without its graph, in a precision that NumPy has."""
    if not (hasattr(value, "detach") and hasattr(value, "dtype")):
        return value
    tensor = value.detach()
    return tensor.float() if str(tensor.dtype).endswith(_BFLOAT16) else tensor
