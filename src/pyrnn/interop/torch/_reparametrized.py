"""Weights that are stored as what they are computed from: the weights themselves, as in eval mode.

- `weight_norm`: a length for each row and a direction, in its older form and as a parametrization;
- `spectral_norm`: a matrix, and the two vectors that give its largest singular value, likewise;
- pruning: a matrix and the mask of what is left of it;
- weight dropout, as in AWD-LSTM and fastai: the whole matrix, beside the last one with dropped
  weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_ROOM = 1 << 20
_WIDER = 2
"""Than a float16 is the float32 that it becomes."""
_MARKS = ("_g", "_raw", "_orig", ".original0", ".original")
"""How the name ends of the first array that a weight is computed from."""
_NEW = re.compile(r"((?:.*\.)?)parametrizations\.([^.]+)\.original0?")


def computed(found: Mapping[str, Any], as_array: Callable[[str, Any], Array]) -> dict[str, Any]:
    """The arrays by name, with weights in place of what they are computed from.

    Raises
    ------
    ValueError
        If the weights have many more bytes than what they are computed from, which then is the same
        memory under many names.
    """
    result = dict(found)
    first = [name for name in found if name.endswith(_MARKS)]
    room: float | None = None
    for name in first:
        plan = _plan(name, found)
        if plan is None:
            continue
        weight, sources, function = plan
        try:
            arrays = [as_array(source, found[source]) for source in sources]
        except TypeError:  # not of floating-point numbers
            continue
        with np.errstate(all="ignore"):
            value = function(*arrays)
        if value is None:
            continue
        room = _WIDER * _bytes_of(found) + _ROOM if room is None else room
        room -= value.nbytes
        if room < 0:
            raise ValueError("mapping: expected each weight once, got the same under many names")
        for source in sources:
            result.pop(source, None)
        result[weight] = value
    return result


def _bytes_of(found: Mapping[str, Any]) -> int:
    """Of all arrays, those that share their memory counted once."""
    roots: dict[int, int] = {}
    for value in found.values():
        while isinstance(getattr(value, "base", None), np.ndarray):
            value = value.base
        roots[id(value)] = value.nbytes
    return sum(roots.values())


_Plan = tuple[str, tuple[str, ...], Callable[..., "Array | None"]]


def _plan(name: str, found: Mapping[str, Any]) -> _Plan | None:
    """A weight's name, the names of what it is computed from, and how."""
    plans: list[_Plan] = []
    if match := _NEW.fullmatch(name):
        weight = match[1] + match[2]
        stem = name.removesuffix("0") if name.endswith("0") else name
        of_stem = stem.removesuffix("original")
        if name.endswith("0"):
            plans.append((weight, (name, f"{of_stem}original1"), _of_length))
        else:
            plans.append((weight, (name, f"{of_stem}0._u", f"{of_stem}0._v"), _of_spectrum))
    elif name.endswith("_g"):
        weight = name.removesuffix("_g")
        plans.append((weight, (name, f"{weight}_v"), _of_length))
    elif name.endswith("_orig"):
        weight = name.removesuffix("_orig")
        plans.append((weight, (name, f"{weight}_mask"), _of_mask))
        plans.append((weight, (name, f"{weight}_u", f"{weight}_v"), _of_spectrum))
    elif name.endswith("_raw"):
        module, _, weight = name.removesuffix("_raw").rpartition(".")
        start = f"{module}." if module else ""
        if weight.startswith("weight") and f"{start}module.weight_ih_l0" in found:
            return f"{start}module.{weight}", (name,), _as_it_is  # instead of one that is there
        plans.append((f"{start}{weight}", (name,), _as_it_is))
    for plan in plans:
        named = plan[0].rpartition(".")[2].startswith(("weight", "bias"))
        if named and plan[0] not in found and all(source in found for source in plan[1]):
            return plan
    return None


def _as_it_is(whole: Array) -> Array:
    return whole


def _of_length(length: Array, direction: Array) -> Array | None:
    """Each row, or whatever has a length of its own, in its direction."""
    if length.ndim not in (0, direction.ndim):
        return None
    sizes = length.shape or (1,) * direction.ndim
    over = tuple(axis for axis, n in enumerate(sizes) if n == 1)
    if not over or any(n not in (1, m) for n, m in zip(sizes, direction.shape, strict=True)):
        return None
    norm = np.sqrt(np.sum(np.square(direction), axis=over, keepdims=True, dtype=np.float64))
    found: Array = direction * (length.reshape(sizes) / norm).astype(direction.dtype)
    return found


def _of_mask(whole: Array, mask: Array) -> Array | None:
    if mask.shape != whole.shape:
        return None
    found: Array = whole * mask.astype(whole.dtype)
    return found


def _of_spectrum(whole: Array, left: Array, right: Array) -> Array | None:
    """The matrix divided by its largest singular value, u W v."""
    rows = whole.shape[0] if whole.ndim else 0
    if not whole.size or left.shape != (rows,) or right.shape != (whole.size // rows,):
        return None
    flat = whole.reshape(rows, -1).astype(np.float64)
    found: Array = (whole / (left @ flat @ right)).astype(whole.dtype)
    return found
