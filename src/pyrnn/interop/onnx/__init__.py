"""ONNX: whole models that run without onnxruntime, their recurrent layers, and export.

Names are imported when they are first used: a model that was converted once runs with NumPy alone,
and only `prepare`, `layers` and `save` need the package onnx.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrnn.interop.onnx.backend import is_compatible as is_compatible
    from pyrnn.interop.onnx.backend import prepare as prepare
    from pyrnn.interop.onnx.backend import run_model as run_model
    from pyrnn.interop.onnx.backend import run_node as run_node
    from pyrnn.interop.onnx.backend import supports_device as supports_device
    from pyrnn.interop.onnx.graph import GraphError as GraphError
    from pyrnn.interop.onnx.graph import UnsupportedError as UnsupportedError
    from pyrnn.interop.onnx.model import Model as Model
    from pyrnn.interop.onnx.nodes import layers as layers
    from pyrnn.interop.onnx.write import save as save

_NAMES = {
    "backend": ["is_compatible", "prepare", "run_model", "run_node", "supports_device"],
    "graph": ["GraphError", "UnsupportedError"],
    "nodes": ["layers"],
    "model": ["Model"],
    "write": ["save"],
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOMES)

if not TYPE_CHECKING:

    def __getattr__(name):
        """Import a public name when it is first used."""
        if name == "_restored":  # as pickles of models call it
            from pyrnn.interop.onnx.model import restored

            return restored
        if name not in _HOMES:
            raise AttributeError(f"module 'pyrnn.interop.onnx' has no attribute {name!r}")
        value = getattr(importlib.import_module(f"pyrnn.interop.onnx.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
