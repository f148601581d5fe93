"""Text and models of it: corpus, vocabulary, the character model."""

from pyrnn.text.corpus import (
    REPLACEMENT,
    Corpus,
    EncodedCorpus,
    TextError,
    Vocabulary,
    chunks,
    load,
    pieces,
    read,
    split,
    standard_library,
    streams,
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
