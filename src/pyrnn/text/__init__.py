"""Text: corpora, vocabularies, and streams of characters or other tokens to train on."""

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
from pyrnn.text.scoring import LineScore, Score, TokenScore
from pyrnn.text.vocabularies.base import BaseVocabulary
from pyrnn.text.vocabularies.byte_level import ByteVocabulary
from pyrnn.text.vocabularies.tokenizer import TokenizerVocabulary
from pyrnn.text.vocabularies.words import WordVocabulary
from pyrnn.text.vocabulary import REPLACEMENT, Vocabulary

__all__ = [
    "REPLACEMENT",
    "BaseVocabulary",
    "ByteVocabulary",
    "Corpus",
    "EncodedCorpus",
    "LineScore",
    "Score",
    "TextError",
    "TokenScore",
    "TokenizerVocabulary",
    "Vocabulary",
    "WordVocabulary",
    "chunks",
    "load",
    "pieces",
    "read",
    "split",
    "standard_library",
    "streams",
]
