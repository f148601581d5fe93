"""Converts a text to numbers while it is read, before its vocabulary is known.

An encoder gives each token a number when it first appears. When the whole text has been read and
its tokens have been counted, `Encoder.vocabulary` chooses the tokens of the model, and returns the
index of each number.
"""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pyrnn._files import shown
from pyrnn.text.corpus import TextError, decoded, text_of
from pyrnn.text.vocabularies import kinds, words
from pyrnn.text.vocabularies.base import BaseVocabulary
from pyrnn.text.vocabularies.byte_level import ByteVocabulary
from pyrnn.text.vocabularies.words import WordVocabulary
from pyrnn.text.vocabulary import RARE_SHARE, REPLACEMENT, UnicodeForm, Vocabulary, codes_of

Codes = npt.NDArray[np.unsignedinteger[Any]]
Counts = npt.NDArray[np.int64]

ASCII = 128
CODE_POINTS = 0x110000

VOCAB_SIZE = 10_000
MIN_COUNT = 2
"""The default largest vocabulary of words, and how often each must occur in the text."""

MOST_WORDS = 1 << 20
"""After this many different words, new words are unknown, so that memory is bounded."""
OTHER = 0
"""The number of these."""
WORDS_AT_ONCE = 1 << 20
"""About so many words are handed on together: counting them takes time for each different one."""


class Encoder(Protocol):
    """What `prepare` needs to know about a kind of tokens."""

    unit: str
    kind: dict[str, Any]
    """Identifies this kind of tokens in files, as JSON values."""

    def encode(self, blocks: Iterable[bytes], name: str) -> Iterator[Codes]:
        """The numbers of the tokens of a text, which comes in blocks of bytes."""

    def newline(self) -> Codes:
        """The tokens between two texts; always the same."""

    def show(self, codes: Codes) -> str:
        """The text of some numbers, for an error."""

    def length(self, codes: Codes) -> int:
        """The number of characters of some numbers' text."""

    def vocabulary(self, counts: Counts) -> tuple[BaseVocabulary, Codes]:
        """The vocabulary of a text with so many of each number; the index of each number."""


class Characters:
    """Characters: ASCII characters have their code as number, others the next free one."""

    unit = "characters"

    def __init__(self) -> None:
        self.kind: dict[str, Any] = {"tokens": "characters"}
        self._points = [*range(ASCII), ord(REPLACEMENT)]
        self._forms: list[UnicodeForm] = ["NFC", "NFD"]
        self._combining = False
        self._numbers: Codes = np.zeros(0, np.uint8)
        self._make_table(np.dtype(np.uint8))

    def encode(self, blocks: Iterable[bytes], name: str) -> Iterator[Codes]:
        """Decode UTF-8, with line feeds as line ends, and number the characters."""
        for piece in decoded(blocks, shown(name)):
            if piece.isascii():
                yield np.frombuffer(piece.encode("ascii"), np.uint8)
                continue
            points = codes_of(piece)
            numbers = np.take(self._numbers, points)
            new = numbers == self._none
            if new.any():
                self._add(np.unique(points[new]).tolist())
                numbers = np.take(self._numbers, points)
            if self._combining and self._forms:
                self._forms = [f for f in self._forms if unicodedata.is_normalized(f, piece)]
            yield numbers

    def _add(self, points: list[int]) -> None:
        """Give numbers to characters that have none."""
        start = len(self._points)
        self._points += points
        self._look_at_forms(list(map(chr, points)))
        needed = np.min_scalar_type(len(self._points))
        if needed.itemsize > self._numbers.itemsize:
            self._make_table(needed)
        else:
            self._numbers[points] = range(start, len(self._points))

    def _make_table(self, dtype: np.dtype[Any]) -> None:
        """The number of each character, in small integers; the largest integer means none."""
        self._none = np.iinfo(dtype).max
        self._numbers = np.full(CODE_POINTS, self._none, dtype)
        self._numbers[self._points] = range(len(self._points))

    def _look_at_forms(self, characters: list[str]) -> None:
        """Find which normal forms the text may have, and whether that depends on neighbours.

        A character has a form of its own, unless it joins the one before it: marks and the later
        parts of Korean syllables. Checking each piece of a text would take longer than reading it.
        """
        self._forms = [
            form
            for form in self._forms
            if all(unicodedata.is_normalized(form, character) for character in characters)
        ]
        self._combining = self._combining or any(
            unicodedata.category(character).startswith("M") or "\u1160" <= character <= "\u11ff"
            for character in characters
        )

    def newline(self) -> Codes:
        """A line feed."""
        return np.array([ord("\n")], np.uint8)

    def show(self, codes: Codes) -> str:
        """The characters."""
        return "".join(chr(self._points[code]) for code in codes.tolist())

    def length(self, codes: Codes) -> int:
        """Each is one."""
        return len(codes)

    def vocabulary(self, counts: Counts) -> tuple[BaseVocabulary, Codes]:
        """As `Vocabulary.of` makes it: the characters that are not rare, sorted."""
        least = RARE_SHARE * int(counts.sum())
        kept = [
            point
            for point, count in zip(self._points, counts.tolist(), strict=False)
            if count > 0 and count >= least and point != ord(REPLACEMENT)
        ]
        if not kept:
            raise TextError(
                f"text: expected characters that make up {RARE_SHARE:g} of it or more, got none "
                f"but {REPLACEMENT!r}"
            )
        form = self._forms[0] if len(self._forms) == 1 else None
        vocabulary = Vocabulary("".join(map(chr, sorted(kept))) + REPLACEMENT, form)
        indices = vocabulary.encode("".join(map(chr, self._points)), replace=True)
        return vocabulary, indices.astype(np.min_scalar_type(len(vocabulary) - 1))


class Words:
    """Words, numbered as they come; the most frequent ones get into the vocabulary.

    Parameters
    ----------
    vocab_size : int
        The largest number of tokens of the vocabulary, with the one for unknown words.
    min_count : int
        How often a word has to be in the text.
    """

    unit = "words"

    def __init__(self, vocab_size: int = VOCAB_SIZE, min_count: int = MIN_COUNT) -> None:
        self.vocab_size, self.min_count = vocab_size, min_count
        self.kind: dict[str, Any] = {
            "tokens": "words",
            "vocab_size": vocab_size,
            "min_count": min_count,
        }
        self._numbers = _Numbers({REPLACEMENT: OTHER, "\n": OTHER + 1})

    def encode(self, blocks: Iterable[bytes], name: str) -> Iterator[Codes]:
        """Decode UTF-8 and number the words."""
        parts: list[Codes] = []
        for segment in words.segments(decoded(blocks, shown(name))):
            tokens = words.split(segment)
            numbers = map(self._numbers.__getitem__, tokens)
            parts.append(np.fromiter(numbers, np.uint32, len(tokens)))
            if sum(map(len, parts)) >= WORDS_AT_ONCE:
                yield np.concatenate(parts)
                parts.clear()
        if parts:
            yield np.concatenate(parts)

    def newline(self) -> Codes:
        """A line feed."""
        return np.array([OTHER + 1], np.uint8)

    def show(self, codes: Codes) -> str:
        """The words."""
        return "".join(map(list(self._numbers).__getitem__, codes.tolist()))

    def length(self, codes: Codes) -> int:
        """Of those that have no number of their own, each is one."""
        lengths = np.fromiter(map(len, self._numbers), np.int64, len(self._numbers))
        return int(lengths[codes].sum())

    def vocabulary(self, counts: Counts) -> tuple[BaseVocabulary, Codes]:
        """The most frequent words; of equally frequent ones those that came first."""
        names = list(self._numbers)
        counts = counts[: len(names)].copy()
        counts[OTHER] = 0
        order = np.argsort(-counts, kind="stable")
        order = order[counts[order] >= self.min_count]
        kept = [n for n in order[: self.vocab_size].tolist() if words.SEPARATOR not in names[n]]
        kept = kept[: self.vocab_size - 1]
        if not kept:
            raise TextError(
                f"text: expected words that are in it {self.min_count} times or more, got none"
            )
        indices = np.full(len(names), len(kept), np.min_scalar_type(len(kept)))
        indices[kept] = range(len(kept))
        return WordVocabulary([names[n] for n in kept]), indices


class _Numbers(dict[str, int]):
    """The number of each word; a new word gets the next one."""

    def __missing__(self, word: str) -> int:
        number = len(self)
        if number >= MOST_WORDS:
            return OTHER
        self[word] = number
        return number


class Fixed:
    """The tokens of a vocabulary that is known before the text: their numbers are their indices."""

    def __init__(self, vocabulary: BaseVocabulary) -> None:
        self.known = vocabulary
        self.unit = vocabulary.units
        fingerprint = kinds.fingerprint(vocabulary).encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(fingerprint).hexdigest()
        self.kind: dict[str, Any] = {"tokens": self.unit, "sha256": digest}
        self._characters, self._tokens = 0, 0

    def encode(self, blocks: Iterable[bytes], name: str) -> Iterator[Codes]:
        """The indices of the text; of bytes these are themselves."""
        vocabulary = self.known
        if isinstance(vocabulary, ByteVocabulary):
            yield from _bytes(blocks, shown(name))
            return
        dtype = np.min_scalar_type(len(vocabulary) - 1)
        for segment in vocabulary._segments(text_of(blocks, shown(name), vocabulary)):
            indices = vocabulary.encode(segment, replace=True, name=shown(name))
            self._characters += len(segment)
            self._tokens += len(indices)
            yield indices.astype(dtype)

    def newline(self) -> Codes:
        """A line feed, as far as the vocabulary has it."""
        indices = self.known._spans("\n").indices
        return indices.astype(np.min_scalar_type(len(self.known) - 1))

    def show(self, codes: Codes) -> str:
        """Their text."""
        return self.known.decode(codes)

    def length(self, codes: Codes) -> int:
        """Of their text; what is unknown in it counts as long as the mean of all tokens."""
        unknown = self.known.replacement
        if unknown is None or unknown not in codes or not self._tokens:
            return self.known._length(codes)
        return max(1, round(len(codes) * self._characters / self._tokens))

    def vocabulary(self, counts: Counts) -> tuple[BaseVocabulary, Codes]:
        """The one that there is."""
        size = len(self.known)
        return self.known, np.arange(size, dtype=np.min_scalar_type(size - 1))


def _bytes(blocks: Iterable[bytes], name: str) -> Iterator[Codes]:
    """The bytes of a file, which is not empty."""
    blocks = iter(blocks)
    first = next(blocks, b"")
    if not first:
        raise TextError(f"{name}: expected text, got an empty file")
    for block in itertools.chain([first], blocks):
        yield np.frombuffer(block, np.uint8)
