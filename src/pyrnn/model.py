"""The character model, under the module name that users know."""

from pyrnn.text.character_model import CharacterModel

__all__ = ["CharacterModel"]
