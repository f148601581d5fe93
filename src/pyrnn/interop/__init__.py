"""Models of other libraries, read and written: safetensors, PyTorch, ONNX, Keras, plain C."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pyrnn._imports.lazy import importing

if TYPE_CHECKING:
    from pyrnn.interop import c as c
    from pyrnn.interop import keras as keras
    from pyrnn.interop import onnx as onnx
    from pyrnn.interop import torch as torch
    from pyrnn.interop.converted import load as load

__all__ = ["c", "keras", "load", "onnx", "torch"]

if not TYPE_CHECKING:

    def __getattr__(name):
        """Import a public name when it is first used."""
        if name not in __all__:
            raise AttributeError(f"module 'pyrnn.interop' has no attribute {name!r}")
        module = "converted" if name == "load" else name
        with importing():
            found = importlib.import_module(f"pyrnn.interop.{module}")
        return found.load if name == "load" else found


def __dir__() -> list[str]:
    return __all__
