"""Save and load models: `save`, `load`."""

from pyrnn.interop.serialization import ModelFileError, load, load_character_model, save

__all__ = ["ModelFileError", "load", "load_character_model", "save"]
