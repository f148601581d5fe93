"""Keras' files without Keras: `load` reads layers, `prepare` runs models, `save` writes both.

Names are imported when they are first used; reading and writing need h5py (the extra ``keras``).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrnn.interop.keras.model import prepare as prepare
    from pyrnn.interop.keras.read import load as load
    from pyrnn.interop.keras.write import save as save
    from pyrnn.interop.keras.write import to_keras as to_keras

_HOMES = {"load": "read", "prepare": "model", "save": "write", "to_keras": "write"}

__all__ = sorted(_HOMES)

if not TYPE_CHECKING:

    def __getattr__(name):
        """Import a public name when it is first used."""
        if name not in _HOMES:
            raise AttributeError(f"module 'pyrnn.interop.keras' has no attribute {name!r}")
        value = getattr(importlib.import_module(f"pyrnn.interop.keras.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
