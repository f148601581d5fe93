"""What a model file says of a layer, checked before the layer is made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast, get_args

from pyrnn import _checks
from pyrnn._types import ActivationFormat
from pyrnn.interop._safetensors import ITEM_BYTES
from pyrnn.interop._stored import DTYPES
from pyrnn.text.vocabularies import kinds

_SIZES = (
    "hidden_size",
    "num_layers",
    "input_size",
    "proj_size",
    "in_features",
    "out_features",
    "num_embeddings",
    "embedding_dim",
    "normalized_shape",
    "in_channels",
    "out_channels",
    "kernel_size",
    "num_features",
)


class ContentError(ValueError):
    """A valid safetensors file that is not a model of pyrnn. The message is one line."""


def _sizes_without_parameters(kind: str, arguments: Mapping[str, Any]) -> set[str]:
    """The sizes that do not affect the number of parameters of a layer."""
    free = set()
    if "in_channels" not in arguments:
        free.add("kernel_size")  # of a window, not of weights
    batch = kind == "BatchNorm1d"
    if not (arguments.get("affine", batch) or arguments.get("track_running_stats", batch)):
        free.add("num_features")
    if not arguments.get("elementwise_affine", True):
        free.add("normalized_shape")
    return free


def check_arguments(
    kind: str,
    defaults: Collection[str],
    arguments: Mapping[str, Any],
    data_bytes: int,
    num_tensors: int,
) -> None:
    """Refuse arguments that `save` does not write, and sizes that do not fit the amount of data."""
    for name in arguments:
        if name not in defaults:
            raise ContentError(f"expected arguments of {kind}, got {_checks.shown(name)}")
    dtype = arguments.get("dtype", "float32")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        expected = ", ".join(DTYPES)
        raise ContentError(f"dtype: expected one of {expected}, got {_checks.shown(dtype)}")
    optional = ("proj_size", "embedding_dim")  # which may be 0 or None
    free = _sizes_without_parameters(kind, arguments)
    sizes: dict[str, Any] = {
        name: arguments[name]
        for name in _SIZES
        if name in arguments and (arguments[name] or name not in optional)
        if name not in free
    }
    for name, size in sizes.items():
        if type(size) is not int or size < 1:
            raise ContentError(
                f"{name}: expected a whole number above 0, got {_checks.shown(size)}"
            )
    if isinstance(arguments.get("vocabulary"), (str, dict)):
        sizes["vocabulary"] = kinds.size_of(arguments["vocabulary"])
    numbers = data_bytes // ITEM_BYTES[DTYPES[dtype]]
    for name, size in sizes.items():
        if size > (num_tensors if name == "num_layers" else numbers):
            raise ContentError(
                f"{name}: expected sizes that fit the tensors' {numbers} numbers in {num_tensors} "
                f"arrays, got {size}"
            )


def noted(description: Mapping[str, Any]) -> ActivationFormat:
    """Return the activations that a file's description says, for ``eval(weights="int8")``."""
    found = description.get("activations", "int16")
    if found not in get_args(ActivationFormat):
        raise ContentError(f"expected activations 'int16' or 'int8', got {_checks.shown(found)}")
    return cast(ActivationFormat, found)
