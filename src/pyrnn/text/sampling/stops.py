"""Strings that end a text, found while it is generated."""

from __future__ import annotations

from collections.abc import Sequence

from pyrnn.text.vocabularies.base import BaseVocabulary
from pyrnn.text.vocabulary import checked_strings


def checked(stop: object, vocabulary: BaseVocabulary) -> tuple[str, ...]:
    """Check the strings, and bring them into the form of the vocabulary."""
    if stop is None:
        return ()
    given = [stop] if isinstance(stop, str) else checked_strings("stop", stop)
    strings = tuple(map(vocabulary.normalise, given))
    if not strings or "" in strings:
        raise ValueError("stop: expected strings of at least one character, got ''")
    for string in strings:
        vocabulary.encode(string, name="stop")
    return strings


class Ending:
    """A text that grows until one of some strings is in it.

    It is returned as far as it is certain: a possible beginning of such a string is held back.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = strings
        self._pending = ""
        self.ended: bool = False

    def add(self, text: str) -> str:
        """Add text, and return what is certain now; a string that ends it is left out."""
        if not self._strings:
            return text
        certain = ""
        for character in text:
            certain += self._added(character)
            if self.ended:
                break
        return certain

    def _added(self, character: str) -> str:
        text = self._pending + character
        if any(text.endswith(string) for string in self._strings):
            # What is pending is the beginning of the longest string; a shorter one is contained in
            # it.
            self.ended, self._pending = True, ""
            return text[: -max(len(s) for s in self._strings if text.endswith(s))]
        kept = max((_begun(text, string) for string in self._strings), default=0)
        self._pending = text[len(text) - kept :]
        return text[: len(text) - kept]

    def rest(self) -> str:
        """What is pending when the text is long enough."""
        rest, self._pending = self._pending, ""
        return rest


def _begun(text: str, string: str) -> int:
    """How many characters at the end of a text are the beginning of a string."""
    longest = min(len(text), len(string) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(string[:n])), 0)
