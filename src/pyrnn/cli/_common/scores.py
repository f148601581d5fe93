"""How scores are printed."""

from __future__ import annotations

from pyrnn.text.vocabularies.base import BaseVocabulary


def per_token(vocabulary: BaseVocabulary, bits: float, tokens: int, unknown: int) -> str:
    """The score per token, and the share of unknown ones, which are easier to predict."""
    units = vocabulary.units
    share = f", {unknown / tokens:.1%} of them unknown".replace("%", " %") if unknown else ""
    return f" ({bits:.3f} per {vocabulary.unit} over {tokens:,} {units}{share})"
