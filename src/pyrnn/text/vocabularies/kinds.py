"""Vocabularies from what is given for one, and from what files keep of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pyrnn import _checks
from pyrnn.text.vocabularies import tokenizer
from pyrnn.text.vocabularies.base import BaseVocabulary
from pyrnn.text.vocabularies.byte_level import ByteVocabulary
from pyrnn.text.vocabularies.words import SEPARATOR, WordVocabulary
from pyrnn.text.vocabulary import Vocabulary

KINDS = ("characters", "bytes", "words")
"""The tokens that pyrnn makes itself, by name."""


def checked(value: Any) -> BaseVocabulary:
    """A vocabulary, from the characters of one, a description or another library's tokeniser."""
    if isinstance(value, BaseVocabulary):
        return value
    if isinstance(value, Mapping):
        return from_plain(value)
    is_tokenizer = all(callable(getattr(value, name, None)) for name in ("encode", "decode"))
    if is_tokenizer and not isinstance(value, (str, bytes)):
        return tokenizer.TokenizerVocabulary(value)
    return Vocabulary(value)


def from_plain(description: Mapping[str, Any]) -> BaseVocabulary:
    """The vocabulary that `BaseVocabulary._plain` described."""
    kind = description.get("tokens")
    keys = {"bytes": [], "words": ["words"], "tokenizer": ["json"]}
    known = isinstance(kind, str) and kind in keys
    if not known or set(description) != {"tokens", *keys[str(kind)]}:
        raise ValueError(
            f"vocabulary: expected bytes, words or a tokenizer, got {_checks.shown(description)}"
        )
    if kind == "bytes":
        return ByteVocabulary()
    if kind == "tokenizer":
        return tokenizer.from_json(description["json"])
    words = _checks.string("words", description["words"])
    return WordVocabulary(words.split(SEPARATOR))


def size_of(plain: Any) -> int:
    """The least number of tokens of a vocabulary that files describe so; to be checked further."""
    if isinstance(plain, str):
        return len(plain)
    words = plain.get("words") if isinstance(plain, dict) else None
    return words.count(SEPARATOR) + 2 if isinstance(words, str) else 1


def is_plain(vocabulary: BaseVocabulary) -> bool:
    """Whether a file can keep it."""
    return isinstance(vocabulary._plain(), (str, dict))


def fingerprint(vocabulary: BaseVocabulary) -> str:
    """What two vocabularies have in common if they are the same."""
    plain = vocabulary._plain()
    return json.dumps(plain) if is_plain(vocabulary) else repr(plain)
