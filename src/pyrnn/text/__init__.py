"""Text: corpora, vocabularies, and streams of characters to train on."""

from pyrnn.text.batches import chunks, streams
from pyrnn.text.corpus import (
    Corpus,
    EncodedCorpus,
    TextError,
    pieces,
    read,
    split,
    standard_library,
)
from pyrnn.text.loading import load
from pyrnn.text.scoring import LineScore, Score
from pyrnn.text.vocabulary import REPLACEMENT, Vocabulary

__all__ = [
    "REPLACEMENT",
    "Corpus",
    "EncodedCorpus",
    "LineScore",
    "Score",
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
