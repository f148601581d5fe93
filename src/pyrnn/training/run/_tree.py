"""Nested dicts and lists with arrays in them, as JSON and a dict of tensors; and back, exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn._types import Array

LARGEST = 2**53
"""Whole numbers up to here are exact in any JSON."""


def pack(tree: Any) -> tuple[Any, dict[str, Array]]:
    """The tree with its arrays taken out: "@tensor" says which, and has no other meaning."""
    tensors: dict[str, Array] = {}
    return _packed(tree, "", tensors), tensors


def _packed(tree: Any, path: str, tensors: dict[str, Array]) -> Any:
    if isinstance(tree, np.ndarray):
        tensors[path] = np.ascontiguousarray(tree)
        return {"@tensor": path, "shape": list(tree.shape)}
    if isinstance(tree, Mapping):
        return {str(key): _packed(value, f"{path}/{key}", tensors) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_packed(value, f"{path}/{number}", tensors) for number, value in enumerate(tree)]
    if isinstance(tree, (bool, np.bool_)):
        return bool(tree)
    if isinstance(tree, (int, np.integer)):
        return int(tree) if abs(int(tree)) < LARGEST else {"@int": hex(tree)}
    if isinstance(tree, (float, np.floating)):
        return float(tree) if math.isfinite(tree) else {"@float": repr(float(tree))}
    if tree is None or isinstance(tree, str):
        return tree
    raise TypeError(f"checkpoint: expected numbers, strings and arrays, got {type(tree).__name__}")


def unpack(packed: Any, tensors: Mapping[str, Array]) -> Any:
    """The inverse of `pack`; a KeyError or ValueError if something is missing."""
    if isinstance(packed, list):
        return [unpack(value, tensors) for value in packed]
    if not isinstance(packed, dict):
        return packed
    if "@tensor" in packed:
        return tensors[packed["@tensor"]].reshape(packed["shape"])
    if "@int" in packed:
        return int(packed["@int"], 16)
    if "@float" in packed:
        return float(packed["@float"])
    return {key: unpack(value, tensors) for key, value in packed.items()}
