"""Names of tensors: nested dicts laid flat, tensors as arrays, the modules that names belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn.interop.torch import _quantized, _reparametrized
from pyrnn.interop.torch._values import Placeholder

MOST_LEVELS = 200
MOST_NAMES = 200_000
MOST_ITEMS = 1000
"""Of a list that may contain models; longer ones are records of something else."""
MOST_CHARACTERS = 1000
"""Of a name; it is part of the names of everything below it."""
_OF_MODULES = ("_parameters", "_buffers", "_modules")
_SETTINGS = {
    "batch_first": bool,
    "nonlinearity": str,
    "eps": float,
    "momentum": float,
    "groups": int,
    "padding": str,
    "padding_mode": str,
    "transposed": bool,
}
"""What the objects of whole modules have beside their tensors, and state dicts have not."""
_SIZES = ("kernel_size", "stride", "padding", "dilation", "normalized_shape")
"""So are these, a tuple with a number for each axis; `settings` gives those of one axis."""
_NONLINEARITIES = {"RNN_TANH": "tanh", "RNN_RELU": "relu"}
"""By the ``mode`` of an RNN, which older ones have instead."""
_WIDENED = ("torch.float16", "torch.bfloat16")


def flat(mapping: Any, bidirectional: bool | None = None) -> dict[str, Any]:
    """The tensors and arrays of nested dicts by their names, joined by dots, as torch joins them.

    In lists and tuples, their numbers are names: ``[model, optimizer]`` is saved as well. A
    module's parameters, which `read` gives as ``["_parameters"]``, have the names that its
    ``state_dict()`` would give them. Those of quantised modules have the names that they had
    before; ``bidirectional`` says what the sizes of such a layer may leave open. Weights that are
    computed from others, as by `weight_norm`, are computed.
    """
    if not isinstance(mapping, Mapping) and not _may_have_models(mapping):
        raise TypeError(f"mapping: expected a dict of arrays, got {type(mapping).__name__}")
    found: dict[str, Any] = {}
    both: dict[str, bool] = {}
    for count, (name, value) in enumerate(_entries(mapping)):
        if count > MOST_NAMES:
            raise ValueError(f"mapping: expected at most {MOST_NAMES} entries, got more")
        if _is_tensor(value):
            found[name] = value
        elif type(value) is bool and name.rpartition(".")[2] == "bidirectional":
            both[name.rpartition(".")[0]] = value
    return _reparametrized.computed(_quantized.renamed(found, both, bidirectional), as_array)


def settings(mapping: Any) -> dict[str, dict[str, Any]]:
    """What whole modules say about themselves beside their tensors, by the names of the modules."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in _entries(mapping):
        module, _, own = name.rpartition(".")
        if own == "mode" and type(value) is str and value in _NONLINEARITIES:
            found.setdefault(module, {}).setdefault("nonlinearity", _NONLINEARITIES[value])
        elif own in _SETTINGS and type(value) is _SETTINGS[own]:
            found.setdefault(module, {})[own] = value
        elif own in _SIZES:
            size = value[0] if type(value) is tuple and len(value) == 1 else value
            if type(size) is int:
                found.setdefault(module, {})[own] = size
    return found


def _entries(mapping: Any) -> Iterator[tuple[str, Any]]:
    """All values that are not dicts. Dicts may be deeply nested, so the stack is explicit."""
    waiting = [("", _items(mapping), 1, not isinstance(mapping, Placeholder))]
    while waiting:
        prefix, items, levels, plain = waiting[-1]
        item = next(items, None)
        if item is None:
            waiting.pop()
            continue
        key, value = item
        name = prefix if key in _OF_MODULES else f"{prefix}.{key}" if prefix else str(key)
        if len(name) > MOST_CHARACTERS:
            raise ValueError(
                f"mapping: expected names of at most {MOST_CHARACTERS} characters, got one of "
                f"{len(name)}"
            )
        packed = _quantized.parts(name, value) if "_packed" in name or "_all" in name else None
        if packed is not None:
            yield from packed.items()
        elif not isinstance(value, Mapping) and not (plain and _may_have_models(value)):
            yield name, value
        elif levels == MOST_LEVELS:
            raise ValueError(f"mapping: expected at most {MOST_LEVELS} levels of dicts, got more")
        else:
            yield name, None
            inside = plain and not isinstance(value, Placeholder)
            waiting.append((name, _items(value), levels + 1, inside))


def _may_have_models(value: Any) -> bool:
    """Whether it is a list of more than numbers.

    Those that are attributes of objects are not looked into: they often refer to modules that are
    there already by their own names.
    """
    return type(value) in (list, tuple) and len(value) <= MOST_ITEMS and any(map(_is_more, value))


def _is_more(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple)) or _is_tensor(value)


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    """Of a dict, or of a list those that are more than numbers."""
    if isinstance(value, Mapping):
        return iter(list(value.items()))
    return iter([(number, one) for number, one in enumerate(value) if _is_more(one)])


def _is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "detach")


def as_array(name: str, value: Any) -> npt.NDArray[Any]:
    """A tensor or an array as float32 or float64; narrower floats are widened."""
    if hasattr(value, "detach"):  # torch's; it need not be imported here
        value = value.detach().cpu()
        if getattr(value, "is_quantized", False):
            value = value.dequantize()
        if str(value.dtype) in _WIDENED:
            value = value.float()
        value = value.numpy()
    if value.dtype == np.float16:
        value = value.astype(np.float32)
    return _checks.any_float_array(name, value)


def below(names: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The entries whose names begin with a prefix, without it."""
    start = f"{prefix.rstrip('.')}." if prefix.rstrip(".") else ""
    return {n.removeprefix(start): value for n, value in names.items() if n.startswith(start)}
