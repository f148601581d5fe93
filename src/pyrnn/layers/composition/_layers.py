"""What `Sequential` needs from its layers: names, dtypes, axes, their parts of the state."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import Array
from pyrnn.layers import _arguments
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition._modes import Modes
from pyrnn.layers.composition.batch_norm import BatchNorm1d
from pyrnn.layers.composition.pooling import Pooling
from pyrnn.layers.recurrent._cell import Cell
from pyrnn.layers.recurrent._stack import Recurrent
from pyrnn.parameters.dictionary import arrays_of


@public("pyrnn", "_FixedLayers")
class FixedLayers(dict[str, Layer]):
    """The layers of a model by name; another model has others."""

    def _refuse(self, *arguments: Any, **named: Any) -> NoReturn:
        raise TypeError(
            "layers: expected none to be added, removed or replaced; make another model, as in "
            "pyrnn.Sequential(**{**model.layers, 'name': layer})"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = pop = popitem = setdefault = clear = _refuse

    def __reduce__(self) -> Any:
        return FixedLayers, (dict(self),)

    def __copy__(self) -> FixedLayers:
        return self


def layers_of(config: Mapping[str, Any]) -> dict[str, Layer]:
    """Make new layers of the kinds and options that `Sequential.config` returned."""
    layers = {}
    for name, described in config.items():
        kind = getattr(importlib.import_module("pyrnn"), described["kind"], None)
        if not (isinstance(kind, type) and issubclass(kind, Layer)):
            got = _checks.shown(described["kind"])
            raise ValueError(f"{name}: expected the name of one of pyrnn's layers, got {got}")
        layers[name] = kind.from_config(described["config"])
    return layers


def split_state(
    owner: Layer, parts_of: Mapping[str, tuple[str, ...]], name: str, state: Any
) -> dict[str, Any]:
    """Split the state into that of each layer that has one; empty for None."""
    if state is None:
        return {}
    names = state_parts(owner)
    if not names:
        _arguments.not_taken(owner, **{name: state})
    parts = list(_arguments.state_parts(name, state, names).values())
    states: dict[str, Any] = {}
    for layer, own in parts_of.items():
        if own:
            mine, parts = parts[: len(own)], parts[len(own) :]
            states[layer] = mine[0] if len(own) == 1 else tuple(mine)
    return states


def joined(parts: list[Array]) -> Any:
    """Return a state in the user's form: None, one array or a tuple of arrays."""
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else tuple(parts)


def state_parts(layer: Layer) -> tuple[str, ...]:
    """Return the names of the parts of a layer's state."""
    names: tuple[str, ...] = getattr(layer, "_state_names", ())
    return names


def takes_lengths(layer: Layer) -> bool:
    """Return whether a layer's forward takes lengths."""
    return isinstance(layer, (Recurrent, Pooling)) or hasattr(layer, "layers")


def takes_rows(layer: Layer) -> bool:
    """Return whether a layer knows rows, not time steps, and has to be told which of them count."""
    if isinstance(layer, Modes):
        return not has_time_axis(layer) and any(map(takes_rows, layer.layers.values()))
    return isinstance(layer, BatchNorm1d)


def has_time_axis(layer: Any) -> bool:
    """Return whether a layer, or one within it, knows which axis is time."""
    inner = getattr(layer, "layers", None)
    return any(map(has_time_axis, inner.values())) if inner else hasattr(layer, "batch_first")


def ends_time(layer: Any) -> bool:
    """Return whether the output of a layer, or of layers in a row, has no time axis."""
    inner = getattr(layer, "layers", None)
    return any(map(ends_time, inner.values())) if inner else isinstance(layer, Pooling)


def check_layers(layers: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Layer]:
    """Return the layers by name, or raise an error that names the wrong one."""
    found = {**{str(n): layer for n, layer in enumerate(layers)}, **named}
    if not found:
        raise ValueError("layers: expected one or more, got none")
    for name, layer in found.items():
        if not name or "." in name:
            raise ValueError(f"layers: expected names without a dot, got {_checks.shown(name)}")
        if isinstance(layer, Cell) or not isinstance(layer, Layer):
            got = _checks.shown(layer)
            raise TypeError(f"{name}: expected a layer that takes sequences, got {got}")
    kinds = list(found.values())
    for name, layer in found.items():
        if sum(other is layer for other in kinds) > 1:
            raise ValueError(f"{name}: expected each layer once, got {layer!r} twice")
    return found


def common_dtype(layers: Mapping[str, Layer]) -> np.dtype[Any]:
    """Return the common dtype of the layers with parameters."""
    dtypes = {name: layer.dtype for name, layer in layers.items() if arrays_of(layer)}
    first = next(iter(dtypes.values()), np.dtype("float32"))
    for name, dtype in dtypes.items():
        if dtype != first:
            raise TypeError(f"{name}: expected dtype {first}, as of the layers before, got {dtype}")
    return first


def common_batch_first(layers: Mapping[str, Layer]) -> bool:
    """Return the common ``batch_first`` of the layers with a time axis."""
    flags = {
        n: bool(getattr(layer, "batch_first", False))
        for n, layer in layers.items()
        if has_time_axis(layer)
    }
    first = next(iter(flags.values()), False)
    for name, flag in flags.items():
        if flag != first:
            raise ValueError(
                f"{name}: expected batch_first={first}, as of the layers before, got {flag}"
            )
    return bool(first)
