"""Checks of what layers are called with: states, lengths, masks, indices of streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._types import Array, Indices


def streams(given: Any, batch_size: int, name: str = "streams") -> Indices:
    """Return the indices of the streams that indices or a mask select."""
    array = _checks.as_array(name, given)
    if array.dtype.kind == "b":
        if array.shape != (batch_size,):
            raise ValueError(f"{name}: expected a mask of shape ({batch_size},), got {array.shape}")
        return np.flatnonzero(array)
    if array.ndim > 1:
        raise ValueError(f"{name}: expected indices of shape (n,), got {array.shape}")
    if not array.size:  # an empty list has no dtype of its own
        return np.zeros(0, np.intp)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected indices or a mask, got dtype {array.dtype}")
    return _checks.index_array(name, array.reshape(-1), batch_size)


def stream(given: object, batch_size: int) -> int:
    """Return the index of one of the streams."""
    return _checks.size("stream", given, least=0, most=batch_size - 1)


def different_streams(given: Any, batch_size: int) -> Indices:
    """Return the indices of the streams that ``rows`` selects, each once."""
    indices = streams(given, batch_size, "rows")
    if len(np.unique(indices)) < len(indices):
        raise ValueError(f"rows: expected different indices, got {indices.tolist()}")
    return indices


def lengths_array(
    name: str, value: object, time_steps: int, batch_size: int, least: int = 1
) -> npt.NDArray[np.intp]:
    """Check the lengths of a batch's sequences, in [1, time_steps]; return an ``intp`` copy."""
    array = _checks.as_array(name, value).copy()
    if not array.size:  # an empty list has no dtype of its own
        array = np.zeros(array.shape, np.intp)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got dtype {array.dtype}")
    if array.shape != (batch_size,):
        raise ValueError(f"{name}: expected shape ({batch_size},), got {array.shape}")
    if array.size and (array.min() < least or array.max() > time_steps):
        expected = f"[{least}, {time_steps}]"
        raise ValueError(f"{name}: expected values in {expected}, got {array.tolist()}")
    return array.astype(np.intp, copy=False)


def steps_array(
    name: str, value: object, time_steps: int, batch_size: int, batch_first: bool | None
) -> npt.NDArray[np.bool_]:
    """Check a boolean for each time step; return (T, N), a copy. None: one sequence, (T,)."""
    array = _checks.as_array(name, value)
    if array.dtype.kind != "b":
        raise TypeError(f"{name}: expected dtype bool, got {array.dtype}")
    shape: tuple[int, ...] = (time_steps, batch_size)
    if batch_first is None:
        shape = (time_steps,)
    elif batch_first:
        shape = (batch_size, time_steps)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {_checks.shape_text(shape)}, got {array.shape}")
    if batch_first is None:
        return array[:, None].copy()
    return array.T.copy() if batch_first else array.copy()


def state_parts(name: str, state: object, state_names: tuple[str, ...]) -> dict[str, Any]:
    """Return the arrays of a state (one, or the pair h, c) by the names that errors use."""
    if len(state_names) == 1:
        return {name: state}
    if not isinstance(state, (tuple, list)) or len(state) != len(state_names):
        got = f"{len(state)} parts" if isinstance(state, (tuple, list)) else type(state).__name__
        raise TypeError(f"{name}: expected the pair ({', '.join(state_names)}), got {got}")
    return {f"{name}'s {part}": array for part, array in zip(state_names, state, strict=True)}


def none_given(state: object) -> bool:
    """Return whether a state, or each part of a pair, is None."""
    parts = state if isinstance(state, (tuple, list)) else (state,)
    return all(part is None for part in parts)


def not_taken(owner: object, **given: object) -> None:
    """Refuse arguments of the convention that this layer does not take."""
    for name, value in given.items():
        if value is not None:
            kind = type(owner).__name__
            raise TypeError(
                f"{name}: expected None, since {kind} takes none, got {type(value).__name__}"
            )


def state_array(name: str, value: object, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Check one part of a state with `_checks.float_array`; None becomes zeros."""
    return (
        np.zeros(shape, dtype) if value is None else _checks.float_array(name, value, dtype, shape)
    )
