"""The formats in which weights may be stored for inference: which a layer takes, what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast, get_args

import numpy as np

from pyrnn import _checks, _warnings
from pyrnn._narrow import is_narrow, rounded
from pyrnn._types import Array, Storage, WeightFormat


class FormatDifference(NamedTuple):
    """How far the outputs of a narrow format are from those of float32."""

    largest: float
    mean: float
    mean_output: float


def difference(narrow: Array, full: Array) -> FormatDifference:
    """Return the magnitudes of differences, and of outputs; NaN of no numbers."""
    if not full.size:
        return FormatDifference(np.nan, np.nan, np.nan)
    with _warnings.unwarned():
        off = np.abs(narrow.astype(np.float64) - full)
        mean_output = np.abs(full, dtype=np.float64).mean()
    return FormatDifference(float(off.max()), float(off.mean()), float(mean_output))


def storage_of(weights: object, dtype: np.dtype[Any], name: str = "weights") -> Storage:
    """Return the storage that an argument of ``eval`` asks of a layer of a dtype, or raise."""
    chosen = _checks.choice(name, weights, get_args(WeightFormat))
    if chosen == dtype.name:
        return "full"
    narrow = get_args(Storage)[1:] if dtype == np.float32 else ()
    if chosen not in narrow:
        expected = " or ".join(map(repr, (dtype.name, *narrow)))
        raise ValueError(f"{name}: expected {expected} for a layer of {dtype}, got {chosen!r}")
    return cast(Storage, chosen)


def check_range(storage: Storage, parameters: Mapping[str, Array], name: str = "weights") -> None:
    """Raise where a finite weight becomes infinite in a format, or another spoils its row."""
    if storage == "full":
        return
    for parameter, array in parameters.items():
        if not is_narrow(parameter, array):
            continue
        finite = np.isfinite(array)
        lost = finite & ~np.isfinite(rounded(storage, array))
        if storage == "int8" and not finite.all():
            lost = ~finite
        if lost.any():
            raise ValueError(
                f"{name}: expected a format that can hold the weights, got {storage!r} and "
                f"{array[lost][0]} in {parameter}"
            )
