"""Models of other libraries, read and written: safetensors, PyTorch, ONNX, Keras, plain C."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrnn.interop.converted import load as load

__all__ = ["load"]

if not TYPE_CHECKING:

    def __getattr__(name):
        """Import `load` when it is first used."""
        if name != "load":
            raise AttributeError(f"module 'pyrnn.interop' has no attribute {name!r}")
        return importlib.import_module("pyrnn.interop.converted").load
