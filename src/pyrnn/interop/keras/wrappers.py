"""What Keras wraps in its configurations: layers in layers, functions in objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyrnn.interop.keras.hdf5 import ContentError

_FUNCTIONS: dict[Any, Any] = {
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "relu": "relu",
    "linear": "identity",
    "softsign": "softsign",
    "softplus": "softplus",
    "elu": "elu",
    "leaky_relu": ("leaky_relu", 0.2),
}
"""Keras' activations, by their names there."""


def functions_of(version: str | None) -> dict[Any, Any]:
    """Keras' activations as layers have them, hard_sigmoid as that version defines it."""
    slope = 0.2 if is_old(version) else 1 / 6
    return {**_FUNCTIONS, "hard_sigmoid": ("hard_sigmoid", slope, 0.5)}


def is_old(version: str | None) -> bool:
    """Whether a version is one before Keras 3."""
    return version is not None and version.partition(".")[0] in ("1", "2")


def unwrapped(class_name: str | None, config: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """A layer's class and configuration, from the outermost wrapper to the innermost."""
    for _ in range(8):
        yield class_name, config
        inner = config.get("cell" if class_name == "RNN" else "layer")
        if class_name not in ("Bidirectional", "TimeDistributed", "RNN"):
            return
        if not isinstance(inner, dict) or not isinstance(inner.get("config"), dict):
            raise ContentError(f"expected a layer inside of {class_name}, got none")
        class_name, config = inner.get("class_name"), inner["config"]


def activation_name(value: Any) -> Any:
    """An activation's name; Keras 3 may write it as an object."""
    if isinstance(value, dict):
        value = value.get("config") if value.get("class_name") == "function" else value
        if isinstance(value, dict):
            value = value.get("class_name")
    return "linear" if value is None else str(value)
