"""What a trainer has to know of a model: its axes, and how it is called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyrnn.layers.composition._layers import ends_time as ends_time
from pyrnn.layers.composition.pooling import Pooling
from pyrnn.layers.composition.sequential import Sequential


def leaves(model: Any, name: str = "model") -> Iterator[tuple[str, Any]]:
    """The layers of a model that are not compositions, with their names."""
    if isinstance(model, Sequential):
        for own, layer in model.layers.items():
            yield from leaves(layer, f"{name}.{own}")
    elif hasattr(model, "_layers"):  # a character model
        for own, layer in model._layers().items():
            yield from leaves(layer, f"{name}.{own}")
    else:
        yield name, model


def batch_first(model: Any) -> bool:
    """Whether sequences are (N, T, ...)."""
    return bool(getattr(model, "batch_first", False))


def refuse_window(model: Any) -> None:
    """Refuse models that need the end of a sequence first, since truncation cuts sequences."""
    for name, layer in leaves(model):
        if getattr(layer, "bidirectional", False) and not isinstance(layer, Pooling):
            raise ValueError(
                f"k1: expected layers of one direction for truncated back-propagation, got {name}, "
                f"{layer!r}"
            )
        if isinstance(layer, Pooling):
            raise ValueError(
                f"k1: expected an output for each step for truncated back-propagation, got {name}, "
                f"{layer!r}"
            )


def call(model: Any, x: Any, state: Any, lengths: Any) -> tuple[Any, Any]:
    """Y and the state after, for inference only."""
    options = {} if lengths is None else {"lengths": lengths}
    if state is not None:
        options["state"] = state
    if callable(model):
        result = model(x, **options)
        return result if isinstance(result, tuple) else (result, None)
    y, state, _ = model.forward(x, **options)
    return y, state


def generators(model: Any) -> dict[str, Any]:
    """The random generators of a model's layers, by the layers' names."""
    return {
        name: layer._generator
        for name, layer in leaves(model)
        if getattr(layer, "_generator", None) is not None
    }
