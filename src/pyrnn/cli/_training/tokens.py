"""The tokens of ``pyrnn train``: characters, bytes, words, or those of a tokeniser."""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np

from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._common.scores import per_token
from pyrnn.cli._training.run import Training
from pyrnn.text.corpus import EncodedCorpus
from pyrnn.text.encoders import Encoder
from pyrnn.text.loading import encoder_of
from pyrnn.text.vocabularies import kinds
from pyrnn.text.vocabularies.base import BaseVocabulary
from pyrnn.text.vocabularies.tokenizer import TokenizerVocabulary
from pyrnn.text.vocabulary import REPLACEMENT, Vocabulary

PROMPT_MOST = 40
PROMPT_FROM = 100_000
"""The prompt of the sample is a line from this many tokens."""


def files(tokens: str) -> list[str]:
    """The file of a tokeniser, if that is what ``--tokens`` names."""
    return [] if tokens in kinds.KINDS else [tokens]


def encoder(arguments: argparse.Namespace) -> Encoder:
    """The encoder that converts the texts to numbers."""
    chosen: Any = arguments.tokens
    for name in ("vocab_size", "min_count"):
        value = getattr(arguments, name)
        if value is not None and chosen != "words":
            option = name.replace("_", "-")
            raise UsageError(f"--{option}: expected --tokens words with it, got {chosen}")
    if chosen not in kinds.KINDS:
        if not os.path.exists(chosen):
            raise UsageError(
                f"--tokens: expected {', '.join(kinds.KINDS)} or the file of a tokeniser, got "
                f"{chosen!r}"
            )
        try:
            chosen = TokenizerVocabulary(chosen)
        except OSError as error:
            raise UsageError(f"--tokens: {chosen}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise UsageError(f"--tokens: {error}") from error
    return encoder_of(chosen, arguments.vocab_size, arguments.min_count)


def score(training: Training, bits: float, corpus: EncodedCorpus) -> str:
    """The held-out score: per character, which can be compared, and per token."""
    count, vocabulary = len(corpus.held_out), corpus.vocabulary
    each = training.characters_per_token
    line = f"held-out  {bits:.3f} bits per character over {round(count * each):,} characters"
    if isinstance(vocabulary, Vocabulary):
        return line
    unknown = np.count_nonzero(corpus.held_out == vocabulary.replacement)
    return line + per_token(vocabulary, bits * each, count, int(unknown))


def prompt(arguments: argparse.Namespace, corpus: EncodedCorpus) -> str:
    """The prompt of the sample: the start of a function, or of the user's text.

    That is the first line that has known tokens only, or what the vocabulary opens with.
    """
    vocabulary = corpus.vocabulary
    usual = "def " if isinstance(vocabulary, Vocabulary) else "def"
    if not arguments.files and not vocabulary._spans(usual).unknown:
        return usual
    beginning = vocabulary.decode(corpus.train[:PROMPT_FROM])
    for line in beginning.lstrip().split("\n"):
        begun = _beginning(line, vocabulary)
        if begun.strip() and REPLACEMENT not in begun:
            spans = vocabulary._spans(begun)
            if len(spans.indices) and not spans.unknown:
                return begun
    return vocabulary._opening()


def _beginning(line: str, vocabulary: BaseVocabulary) -> str:
    """The beginning of a line; of other tokens than characters whole words."""
    if len(line) <= PROMPT_MOST or isinstance(vocabulary, Vocabulary):
        return line[:PROMPT_MOST]
    return line[:PROMPT_MOST].rpartition(" ")[0] or line[:PROMPT_MOST]
