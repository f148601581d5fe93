"""The character model, where it has always been found."""

from pyrnn.text.character_model import CharacterModel

__all__ = ["CharacterModel"]
