"""What a file does not hold of layers that are written to it; see `pyrnn.interop.conversion`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from pyrnn._files import AnyPath
from pyrnn.interop._holding import FORMATS, Holding, suffix_of
from pyrnn.interop._targets import WHOLE
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.pointwise import Dropout
from pyrnn.parameters.dictionary import arrays_of

_OF_TRAINING = ("dropout", "input_dropout", "recurrent_dropout")
_DRAWN = ("seed", "initialization", "forget_bias")
"""What only matters when weights are drawn."""


def unheld(holding: Holding, path: AnyPath) -> list[str]:
    """One line for each thing that a file of this name does not hold of what another one held."""
    kind = suffix_of(path)
    return list(_unheld(holding, kind))


def _unheld(holding: Holding, kind: str) -> Iterator[str]:
    if kind == ".safetensors":
        if holding.program is None or not holding.whole:
            yield from (f"{name}: {reason}" for name, reason in holding.left.items())
        return
    if kind in WHOLE:
        if not holding.ordered and len(holding.layers) > 1:
            yield "the file read gives no order of layers: they follow each other as it lists them"
    else:
        yield "it holds weights alone, not how layers follow each other"
        yield from (f"{name}: {reason}" for name, reason in holding.left.items())
    for name, layer in holding.layers.items():
        if kind not in WHOLE and not arrays_of(layer):
            yield f"{name}: {layer!r} has no weights"
        elif FORMATS[kind] == "PyTorch":
            options = _differences(name, layer)
            if options:
                yield f"{name}: {', '.join(options)}"
        elif isinstance(layer, Dropout) and kind == ".onnx":
            yield f"{name}: {layer!r} acts in training alone"
        else:
            acting = [option for option in _OF_TRAINING if getattr(layer, option, 0)]
            said = ", ".join(f"{option}={getattr(layer, option)!r}" for option in acting)
            if said:
                yield f"{name}: {said} acts in training alone"
    yield from (f"{name}: {reason}" for name, reason in holding.notes.items())


def _differences(name: str, layer: Layer) -> list[str]:
    """The options that a state dict does not say, as they are written."""
    torch = importlib.import_module("pyrnn.interop.torch")
    kind = type(layer).__name__
    config = layer.config()
    try:
        found = torch.from_state_dict(torch.to_state_dict(layer, name), name)
    except (TypeError, ValueError):
        found = None  # its arrays alone do not say what they are of
    if type(found) is type(layer):
        read: Any = found.config()
        return [f"{o}={v!r}" for o, v in config.items() if o not in _DRAWN and v != read[o]]
    usual = {o: v for o, v in config.items() if o not in (*_DRAWN, "dtype")}
    return [f"kind={kind!r}", *(f"{option}={value!r}" for option, value in usual.items())]
