r"""Words as tokens, with the space before them, so that a text can be put together again.

"To be, or not" is "To", " be", ",", " or", " not". Every other whitespace is a token of its own,
and so is every sign that is no letter, digit or mark, and every character of the scripts that write
no spaces between words (Chinese, Japanese).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import Indices
from pyrnn.layers._options import Part
from pyrnn.text.vocabularies.base import (
    REPLACEMENT,
    BaseVocabulary,
    Spans,
    line_ends,
)

MOST_LETTERS = 64
"""Longer words are cut."""
MOST_JOINED = 3
"""So many apostrophes may be within a word."""
LONGEST = 1 + (1 + MOST_JOINED) * (1 + MOST_LETTERS)
"""No token has more characters."""

UNSPACED = ((0x2E80, 0xA000), (0xF900, 0xFB00), (0x20000, 0x32400))
"""The code points of scripts whose characters are tokens one by one."""
LETTERS_END = 0x32400
MARKS = (0x200C, 0x200D, *range(0xE0100, 0xE01F0))
"""What joins letters, or chooses between their forms."""

SEPARATOR = "\0"
"""Between the words in a file; no word has it."""


ASCII, PLANE = 128, 0x10000


@functools.cache
def pattern(end: int = LETTERS_END) -> re.Pattern[str]:
    """What finds the tokens of a text, one after the other, without gaps.

    For a text of characters below ``end``: a pattern that knows fewer letters is several times
    faster.
    """
    letters = _ranges(
        code
        for code in range(end)
        if not any(first <= code < last for first, last in UNSPACED) and _is_letter(chr(code))
    )
    joined = _ranges(code for code in MARKS if code < end)
    word = f"[{letters}{joined}]{{1,{MOST_LETTERS}}}"
    return re.compile(f" ?{word}(?:['’]{word}){{0,{MOST_JOINED}}}| ?[^\\s]|\\s")


def _is_letter(character: str) -> bool:
    """Whether it is part of a word: a letter, digit or mark, or the underscore."""
    is_mark = unicodedata.category(character)[0] == "M"
    return character == "_" or character.isalnum() or is_mark


def _ranges(codes: Iterable[int]) -> str:
    """Code points as the inside of a set in a pattern."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


def split(text: str) -> list[str]:
    """The tokens of a text; together they are the text."""
    if text.isascii():
        return pattern(ASCII).findall(text)
    # In UTF-16 a character of the first plane has two bytes, and others four.
    in_plane = len(text.encode("utf-16-le", "surrogatepass")) == 2 * len(text)
    return pattern(PLANE if in_plane else LETTERS_END).findall(text)


def segments(pieces: Iterable[str]) -> Iterator[str]:
    """A text in normal form C, cut where tokens begin, however it was cut before."""
    pending = ""
    for piece in pieces:
        text = unicodedata.normalize("NFC", pending + piece)
        end = max(text.rfind(" "), text.rfind("\n"))  # no token has one but at its beginning
        if end <= 0 and len(text) > 2 * LONGEST:
            # What comes cannot change a token that begins so long before the end.
            found = [m.end() for m in pattern().finditer(text) if m.start() < len(text) - LONGEST]
            end = found[-1]
        if end > 0:
            yield text[:end]
        pending = text[max(end, 0) :]
    if pending:
        yield pending


@public("pyrnn.text")
class WordVocabulary(BaseVocabulary):
    r"""The words that a model knows, each with the space before it, if there is one.

    A token is a word with the space before it, a sign with the space before it, or any other
    whitespace. Tokens that are not among the words have the last index, `replacement`; a model
    never writes it. Text is composed (NFC), and its line ends are ``\n``.

    Parameters
    ----------
    words : sequence of str
        Distinct tokens; the index of each is its position. None has a null character.

    Raises
    ------
    TypeError, ValueError
        If ``words`` are not such strings.

    Examples
    --------
    >>> from pyrnn.text import WordVocabulary
    >>> vocabulary = WordVocabulary(["To", " be", ",", " or", " not"])
    >>> vocabulary.encode("To be, or not to be")
    array([0, 1, 2, 3, 4, 5, 1])
    >>> vocabulary.decode([0, 1, 2, 3, 4])
    'To be, or not'
    """

    unit: ClassVar[str] = "word"
    most_characters: ClassVar[int] = LONGEST

    words: Part[tuple[str, ...]] = Part()

    def __init__(self, words: Sequence[str]) -> None:
        if isinstance(words, str) or not np.iterable(words):
            raise TypeError(f"words: expected a sequence of strings, got {_checks.shown(words)}")
        own = tuple(_checks.string(f"words[{number}]", word) for number, word in enumerate(words))
        Part.keep(self, words=own)
        self._indices = {word: index for index, word in enumerate(self.words)}
        if len(self._indices) != len(self.words):
            twice = next(w for n, w in enumerate(self.words) if self._indices[w] != n)
            raise ValueError(f"words: expected distinct ones, got {_checks.shown(twice)} twice")
        if not self.words:
            raise ValueError("words: expected at least one, got none")
        for word in self.words:
            if not word or SEPARATOR in word or not _is_unicode(word):
                raise ValueError(
                    "words: expected characters, and none of them null or half a pair, in each, "
                    f"got {_checks.shown(word)}"
                )

    @property
    def replacement(self) -> int:
        """The index of all words that the vocabulary does not have: the last one.

        Examples
        --------
        >>> from pyrnn.text import WordVocabulary
        >>> WordVocabulary(["to", " be"]).replacement
        2
        """
        return len(self.words)

    def __len__(self) -> int:
        return len(self.words) + 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WordVocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    def __repr__(self) -> str:
        return f"WordVocabulary({len(self.words):,} words)"

    def normalise(self, prompt: str) -> str:
        r"""Bring a prompt into the form of the text: composed (NFC), with ``\n`` as line ends.

        Parameters
        ----------
        prompt : str
            The prompt as a user typed it.

        Returns
        -------
        str
            The prompt to encode.

        Raises
        ------
        TypeError
            If ``prompt`` is not a string.

        Examples
        --------
        >>> from pyrnn.text import WordVocabulary
        >>> WordVocabulary(["né"]).normalise("ne\u0301")
        'né'
        """
        return unicodedata.normalize("NFC", line_ends(_checks.string("prompt", prompt)))

    def _spans(self, text: str, name: str = "text") -> Spans:
        tokens = split(text)
        other = self.replacement
        found = (self._indices.get(token, other) for token in tokens)
        indices = np.fromiter(found, np.intp, len(tokens))
        ends = np.cumsum(np.fromiter(map(len, tokens), np.intp, len(tokens)))
        unknown = [tokens[n].removeprefix(" ") for n in np.flatnonzero(indices == other)]
        return Spans(indices, np.concatenate([[0], ends])[:-1], ends, unknown)

    def _decoded(self, indices: Indices) -> str:
        words = (*self.words, REPLACEMENT)
        return "".join([words[index] for index in indices.tolist()])

    def _segments(self, pieces: Iterable[str]) -> Iterator[str]:
        return segments(super()._segments(pieces))

    def _plain(self) -> Any:
        return {"tokens": "words", "words": SEPARATOR.join(self.words)}

    def _opening(self) -> str:
        return "\n" if "\n" in self._indices else self.words[0]

    def _written(self, before: Any, index: int) -> tuple[str, Any]:
        return self.words[index] if index < len(self.words) else REPLACEMENT, before


def _is_unicode(word: str) -> bool:
    """Whether it has whole characters only."""
    try:
        word.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
