"""Converts a text to numbers while it is read, before its vocabulary is known.

An encoder gives each token a number of its own at its first appearance. Once the whole text was
read, and its tokens are counted, `Encoder.vocabulary` chooses the tokens of the model, and gives
the index of each number.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pyrnn._files import shown
from pyrnn.text.corpus import TextError, decoded
from pyrnn.text.vocabulary import RARE_SHARE, REPLACEMENT, UnicodeForm, Vocabulary, codes_of

Codes = npt.NDArray[np.unsignedinteger[Any]]
Counts = npt.NDArray[np.int64]

ASCII = 128
CODE_POINTS = 0x110000


class Encoder(Protocol):
    """What `prepare` needs to know about a kind of tokens."""

    unit: str
    kind: dict[str, Any]
    """Identifies this kind of tokens in files, as JSON values."""

    def encode(self, blocks: Iterable[bytes], name: str) -> Iterator[Codes]:
        """The numbers of the tokens of a text, which comes in blocks of bytes."""

    def newline(self) -> Codes:
        """The tokens between two texts."""

    def show(self, codes: Codes) -> str:
        """The text of some numbers, for an error."""

    def vocabulary(self, counts: Counts) -> tuple[Vocabulary, Codes]:
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

    def vocabulary(self, counts: Counts) -> tuple[Vocabulary, Codes]:
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
