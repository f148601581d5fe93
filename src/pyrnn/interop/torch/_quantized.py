"""Modules that torch has quantised: the names and arrays that they had before.

Their weights are packed into objects of C++, whose state in a file is tuples of tensors: a weight
and a bias of one product, or the two products of one direction of one level of a layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PRODUCT = "LinearPackedParamsBase"
_CELL = "CellParamsBase"
_OF_CELL = re.compile(r"(?:(.*)\.)?_all_weight_values\.(\d{1,4})\.param")
_OF_LINEAR = re.compile(r"(?:(.*)\.)?_packed_params\._packed_params")
_OF_SIDE = re.compile(r"(?:(.*)\.)?_packed_weight_(ih|hh)")
_RAW = re.compile(
    r"(?:(.*)\.)?_all_weight_values\.(\d{1,4})\.(weight_ih|weight_hh|bias_ih|bias_hh)"
)
_DYNAMIC, _HALF = "quantized_dynamic", "quantized_fp16"


def parts(name: str, value: Any) -> dict[str, Any] | None:
    """The arrays that a packed object of that name stands for; None for anything else."""
    if match := _OF_LINEAR.fullmatch(name):
        return _named(match[1], "", _product(value))
    if match := _OF_SIDE.fullmatch(name):
        return _named(match[1], f"_{match[2]}", _product(value))
    if match := _OF_CELL.fullmatch(name):
        products = _cell(value)
        if products is None:
            return None
        module = f"{match[1]}._all_weight_values" if match[1] else "_all_weight_values"
        found: dict[str, Any] = {}
        for side, product in zip(("_ih", "_hh"), products, strict=True):
            found |= _named(f"{module}.{match[2]}", side, product) or {}
        return found
    return None


def _named(module: str | None, side: str, product: Any) -> dict[str, Any] | None:
    if product is None:
        return None
    start = f"{module}." if module else ""
    found = zip(("weight", "bias"), product, strict=True)
    return {f"{start}{name}{side}": array for name, array in found if array is not None}


def _state(value: Any, kind: str) -> Any:
    """The state of a packed object of that kind, from a file or of torch itself."""
    if str(getattr(value, "kind", "")).endswith(kind):
        return value.get("state")
    if type(value).__name__ == "ScriptObject" and hasattr(value, "__getstate__"):
        packed = value.__getstate__()
        if type(packed) is tuple and len(packed) == 2 and str(packed[1]).endswith(kind):
            return packed[0]
    return None


def _product(value: Any) -> tuple[Any, Any] | None:
    """Weight and bias of one product."""
    state = value if type(value) is tuple else _state(value, _PRODUCT)
    if type(state) is not tuple or len(state) < 2 or not hasattr(state[0], "shape"):
        return None
    bias = state[1] if hasattr(state[1], "shape") else None
    return state[0], bias


def _cell(value: Any) -> list[Any] | None:
    """Both products of one direction of a level."""
    state = _state(value, _CELL)
    if type(state) is not tuple or len(state) != 5 or state[0] not in (_DYNAMIC, _HALF):
        return None
    if type(state[4]) is not list or len(state[4]) != 2:
        return None
    products = [_product(one) for one in state[4]]
    return None if None in products else products


# --- names of layers ------------------------------------------------------------------------


def renamed(
    found: Mapping[str, Any], both: Mapping[str, bool], others: bool | None = None
) -> dict[str, Any]:
    """The arrays with the names of levels and directions in place of numbers.

    ``both`` says of modules whether they have two directions, where that is known, and ``others``
    of the rest. Where neither that nor shapes tell, the numbers stay.
    """
    if not any("_all_weight_values." in name for name in found):
        return dict(found)
    modules: dict[str, dict[tuple[int, str], Any]] = {}
    for name, array in found.items():
        if match := _RAW.fullmatch(name):
            modules.setdefault(match[1] or "", {})[int(match[2]), match[3]] = array
    suffixes = {module: _suffixes(own, both.get(module, others)) for module, own in modules.items()}
    result: dict[str, Any] = {}
    for name, array in found.items():
        match = _RAW.fullmatch(name)
        ends = suffixes.get(match[1] or "") if match else None
        if match and ends:
            start = f"{match[1]}." if match[1] else ""
            name = f"{start}{match[3]}{ends[int(match[2])]}"
        result[name] = array
    return result


def _suffixes(arrays: Mapping[tuple[int, str], Any], both: bool | None) -> list[str] | None:
    count = 1 + max(number for number, _ in arrays)
    if count > len(arrays):
        return None
    if both is None:
        both = _has_both(arrays, count)
    if both is None or (both and count % 2):
        return None
    if not both:
        return [f"_l{number}" for number in range(count)]
    return [f"_l{number // 2}" + "_reverse" * (number % 2) for number in range(count)]


def _has_both(arrays: Mapping[tuple[int, str], Any], count: int) -> bool | None:
    """Whether cells are two directions of each level, as far as their sizes say it."""
    if count % 2:
        return False
    shapes: dict[tuple[int, str], tuple[int, ...]] = {
        key: getattr(array, "shape", ()) for key, array in arrays.items()
    }
    sizes = [shapes.get((number, "weight_ih"), ()) for number in range(count)]
    hidden = shapes.get((0, "weight_hh"), ())
    if any(len(size) != 2 for size in (*sizes, hidden)):
        return None
    if count > 2:
        return bool(sizes[2][1] != hidden[1])
    if sizes[0][1] != sizes[1][1]:
        return False
    return None if sizes[1][1] == hidden[1] else True
