"""The formats of stored weights and of products: which a layer takes, what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast, get_args

import numpy as np

from pyrnn import _checks, _warnings
from pyrnn._number_formats.narrow import is_int8, is_narrow, rounded
from pyrnn._types import ActivationFormat, Array, Compute, ComputeFormat, Storage, WeightFormat

FULL: Any = object()
"""The ``compute`` with which the products of layers of any dtype round nothing."""


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


NARROW: tuple[WeightFormat, ...] = ("bfloat16", "float16", "int8")


def storage_of(weights: object, dtype: np.dtype[Any], activations: object = None) -> Storage:
    """Return the storage that arguments of ``eval`` ask of a layer of a dtype, or raise."""
    chosen = _checks.choice("weights", weights, get_args(WeightFormat))
    if activations is not None:
        _checks.choice("activations", activations, get_args(ActivationFormat))
    narrow = NARROW if dtype == np.float32 else ()
    if chosen != dtype.name and chosen not in narrow:
        expected = " or ".join(map(repr, (dtype.name, *narrow)))
        raise ValueError(f"weights: expected {expected} for a layer of {dtype}, got {chosen!r}")
    if activations is not None and chosen != "int8":
        raise ValueError(
            f"activations: expected weights of 'int8' with {activations!r}, got {chosen!r}"
        )
    if chosen == dtype.name:
        return "full"
    return "int8_bytes" if activations == "int8" else cast(Storage, chosen)


def storage_in_file(
    weights: object, dtype: np.dtype[Any], activations: object, noted: ActivationFormat
) -> Storage:
    """Return the storage in which a file has a model, whose own file said ``noted``, if any."""
    if weights is None and activations is None:
        return "full"
    if activations is None and weights == "int8":
        activations = noted
    return storage_of(dtype.name if weights is None else weights, dtype, activations)


def weights_of(storage: Storage, dtype: np.dtype[Any]) -> str:
    """Return the ``weights`` that ask for a storage."""
    return dtype.name if storage == "full" else "int8" if is_int8(storage) else storage


def activations_of(storage: Storage, dtype: np.dtype[Any]) -> str:
    """Return what x and h are in products: the ``activations`` of ``eval``, or the dtype."""
    return {"int8": "int16", "int8_bytes": "int8"}.get(storage, dtype.name)


def compute_of(compute: object, dtype: np.dtype[Any]) -> Compute:
    """Return the type of products that an argument of `train` or `eval` asks for, or raise."""
    if compute is FULL:
        return "full"
    chosen = _checks.choice("compute", compute, get_args(ComputeFormat))
    if chosen == dtype.name:
        return "full"
    if chosen != "bfloat16" or dtype != np.float32:
        taken = (dtype.name, "bfloat16") if dtype == np.float32 else (dtype.name,)
        expected = " or ".join(map(repr, taken))
        raise ValueError(f"compute: expected {expected} for a layer of {dtype}, got {chosen!r}")
    return "bfloat16"


def check_together(storage: Storage, compute: Compute) -> None:
    """Raise if weights are stored narrower than products of their type take them."""
    if compute == "bfloat16" and storage not in ("full", "bfloat16"):
        raise ValueError(
            "weights: expected 'float32' or 'bfloat16' beside products of bfloat16 "
            f"(compute='float32' ends them), got {storage!r}"
        )


def check_range(storage: Storage, parameters: Mapping[str, Array], name: str = "weights") -> None:
    """Raise where a finite weight becomes infinite in a format, or another spoils its row."""
    if storage == "full":
        return
    for parameter, array in parameters.items():
        if not is_narrow(parameter, array):
            continue
        finite = np.isfinite(array)
        lost = finite & ~np.isfinite(rounded(storage, array))
        if is_int8(storage) and not finite.all():
            lost = ~finite
        if lost.any():
            raise ValueError(
                f"{name}: expected a format that can hold the weights, got "
                f"{weights_of(storage, array.dtype)!r} and "
                f"{array[lost][0]} in {parameter}"
            )
