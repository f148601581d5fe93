"""Text and models of it: corpus, vocabulary, the character model."""

from pyrnn.text.batches import chunks, streams
from pyrnn.text.corpus import (
    REPLACEMENT,
    Corpus,
    EncodedCorpus,
    TextError,
    Vocabulary,
    load,
    pieces,
    read,
    split,
    standard_library,
)

__all__ = [
    "REPLACEMENT",
    "Corpus",
    "EncodedCorpus",
    "TextError",
    "Vocabulary",
    "chunks",
    "load",
    "pieces",
    "read",
    "split",
    "standard_library",
    "streams",
]
