"""Layers made from the arrays of other libraries, and what could not be made."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from pyrnn._types import Array
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.batch_norm import BatchNorm1d
from pyrnn.layers.dense import Embedding, Linear
from pyrnn.parameters import dictionary

Made = TypeVar("Made", bound=Layer)
_ROOM = 1 << 16
_MOST_SAID = 400
"""Characters."""


class Found(NamedTuple):
    """The layers of a file by name, and, by name, why other entries are not layers."""

    layers: dict[str, Layer]
    refused: dict[str, str]


def one_line(error: Exception) -> str:
    """The message of an error as one line of limited length, since names in files may be long."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error
    said = " ".join(str(said).split()) or type(error).__name__
    return said if len(said) <= _MOST_SAID else f"{said[:_MOST_SAID]}..."


def warned(found: Found, stacklevel: int = 3) -> dict[str, Layer]:
    """The layers, after a `UserWarning` for each one that pyrnn does not have."""
    for name, reason in found.refused.items():
        warnings.warn(f"{name}: {reason}", UserWarning, stacklevel=stacklevel)
    return found.layers


def made_of(make: Callable[[], Made], parameters: Mapping[str, Array]) -> Made:
    """A new layer with copies of these arrays, without drawing random weights first."""
    with dictionary.not_drawn(2 * _bytes(parameters.values()) + _ROOM):
        layer = make()
    arrays = dictionary.arrays_of(layer)
    if set(arrays) != set(parameters):
        raise ValueError(f"expected {', '.join(arrays)} of {layer!r}, got {', '.join(parameters)}")
    dictionary.set_arrays(layer, parameters)
    return layer


def changed(layer: Made, changes: Mapping[str, Any]) -> Made:
    """A layer with other options and copies of the same arrays."""
    kind, config = type(layer), {**layer.config(), **changes}
    return made_of(lambda: kind.from_config(config), dictionary.arrays_of(layer))


def _bytes(arrays: Iterable[Any]) -> int:
    return sum(array.nbytes for array in arrays)


def batch_norm_of(
    statistics: tuple[Array, Array],
    weight: Array | None,
    bias: Array | None,
    *,
    eps: float,
    momentum: float = 0.1,
) -> BatchNorm1d:
    """A `BatchNorm1d` with copies of running mean and variance, weight and bias."""
    mean, variance = statistics
    arrays = {"running_mean": mean, "running_var": variance}
    affine = weight is not None or bias is not None
    if affine:
        arrays["weight"] = np.ones_like(mean) if weight is None else weight
        arrays["bias"] = np.zeros_like(mean) if bias is None else bias
    counted = arrays | {"num_batches_tracked": np.zeros((), np.int64)}
    return made_of(lambda: BatchNorm1d(len(mean), eps, momentum, affine, dtype=mean.dtype), counted)


def linear_of(weight: Array, bias: Array | None) -> Linear:
    """A `Linear` with copies of a weight (out, in) and a bias (out,)."""
    out, inputs = weight.shape
    parameters = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return made_of(lambda: Linear(inputs, out, bias is not None, dtype=weight.dtype), parameters)


def embedding_of(weight: Array) -> Embedding:
    """An `Embedding` with a copy of its rows (num_embeddings, embedding_dim)."""
    rows, columns = weight.shape
    return made_of(lambda: Embedding(rows, columns, dtype=weight.dtype), {"weight": weight})
