"""The characters that a model knows, and the conversion between text and indices."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import Indices
from pyrnn.layers._options import Part
from pyrnn.text.vocabularies.base import PIECE_BYTES as PIECE_BYTES
from pyrnn.text.vocabularies.base import REPLACEMENT as REPLACEMENT
from pyrnn.text.vocabularies.base import (
    BaseVocabulary,
    SmallIndices,
    Spans,
    checked_pieces,
    line_ends,
)
from pyrnn.text.vocabularies.base import checked_strings as checked_strings

UnicodeForm = Literal["NFC", "NFD"]

RARE_SHARE = 1e-5
"""A character that makes up less than this share of a text is left out of its vocabulary."""


@public("pyrnn.text")
class Vocabulary(BaseVocabulary):
    """The characters that a model knows, each with its index.

    Parameters
    ----------
    characters : str
        Distinct characters; the index of each is its position. If `REPLACEMENT` (U+FFFD) is among
        them, `encode` can map unknown characters to it.
    unicode_form : {"NFC", "NFD"}, optional
        The normal form of the text that the characters come from, into which `normalise` brings
        prompts. None if the text has both forms, or no character in which they differ.

    Raises
    ------
    TypeError, ValueError
        If ``characters`` is not a string, is empty, or has a character twice, or ``unicode_form``
        is invalid.

    Examples
    --------
    >>> from pyrnn.text import Vocabulary
    >>> vocabulary = Vocabulary("helo")
    >>> vocabulary.encode("hello")
    array([0, 1, 2, 2, 3])
    >>> vocabulary.decode([0, 1, 2, 2, 3])
    'hello'
    """

    unit: ClassVar[str] = "character"

    characters: Part[str] = Part()

    def __init__(self, characters: str, unicode_form: UnicodeForm | None = None) -> None:
        if not isinstance(characters, str):
            kind = type(characters).__name__
            raise TypeError(f"vocabulary: expected a string of distinct characters, got {kind}")
        codes = codes_of(characters)
        self._order = np.argsort(codes)
        self._sorted = codes[self._order]
        if not characters:
            raise ValueError("vocabulary: expected at least one character, got ''")
        twice = self._sorted[1:][np.diff(self._sorted.astype(np.int64)) == 0]
        if twice.size:
            raise ValueError(
                f"vocabulary: expected distinct characters, got {chr(twice[0])!r} twice"
            )
        form = check_unicode_form("unicode_form", unicode_form)
        Part.keep(self, characters=characters, unicode_form=form)

    @property
    def unicode_form(self) -> UnicodeForm | None:
        """The normal form into which text is brought; None for none."""
        form: UnicodeForm | None = self.__dict__.get("unicode_form")  # older pickles have none
        return form

    @classmethod
    def of(cls, text: str | Iterable[str]) -> Vocabulary:
        """Make the vocabulary of a text: its characters without rare ones, and `REPLACEMENT`.

        A character is rare if it makes up less than 1 in 100 000 of the text (`RARE_SHARE`); a
        shorter text has no rare characters.

        Parameters
        ----------
        text : str or iterable of str
            The text, whole or in pieces.

        Returns
        -------
        Vocabulary
            The characters, sorted, with `REPLACEMENT` last.

        Raises
        ------
        TypeError
            If ``text`` is neither.

        Examples
        --------
        >>> from pyrnn.text import Vocabulary
        >>> Vocabulary.of("hello")
        Vocabulary('ehlo\ufffd')
        """
        counts, total = np.zeros(0, dtype=np.int64), 0
        forms: list[UnicodeForm] = ["NFC", "NFD"]
        for piece in _cut(text if isinstance(text, str) else checked_strings("text", text)):
            found = np.bincount(codes_of(piece))
            counts = np.pad(counts, (0, max(0, len(found) - len(counts))))
            counts[: len(found)] += found
            total += len(piece)
            forms = [form for form in forms if unicodedata.is_normalized(form, piece)]
        common = np.flatnonzero((counts > 0) & (counts >= RARE_SHARE * total))
        characters = "".join(map(chr, common)).replace(REPLACEMENT, "") + REPLACEMENT
        return cls(characters, forms[0] if len(forms) == 1 else None)

    def __len__(self) -> int:
        return len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (
            (self.characters, self.unicode_form) == (other.characters, other.unicode_form)
        )

    def __hash__(self) -> int:
        return hash(self.characters)

    def __repr__(self) -> str:
        form = "" if self.unicode_form is None else f", {self.unicode_form!r}"
        return f"Vocabulary({self.characters!r}{form})"

    @property
    def replacement(self) -> int | None:
        """The index of `REPLACEMENT`; None if the vocabulary does not have it.

        Examples
        --------
        >>> from pyrnn.text import Vocabulary
        >>> Vocabulary.of("hello").replacement, Vocabulary("helo").replacement
        (4, None)
        """
        index = self.characters.find(REPLACEMENT)
        return None if index < 0 else index

    def encode(self, text: str, *, replace: bool = False, name: str = "text") -> Indices:
        """Convert a text to indices.

        Parameters
        ----------
        text : str
            The text; it may be empty.
        replace : bool, default False
            Whether unknown characters become `REPLACEMENT`, if the vocabulary has that.
        name : str, default "text"
            The name of the text in errors.

        Returns
        -------
        array of intp
            The index of each character, (len(text),).

        Raises
        ------
        TypeError
            If an argument has a wrong type.
        ValueError
            If there are unknown characters that are not replaced; it names them.

        Examples
        --------
        >>> from pyrnn.text import Vocabulary
        >>> Vocabulary.of("hello").encode("hey", replace=True)
        array([1, 0, 4])
        """
        name = _checks.string("name", name)
        codes = codes_of(_checks.string(name, text))
        replace = _checks.flag("replace", replace)
        places = np.searchsorted(self._sorted, codes)
        places[places == len(self)] = 0
        known = self._sorted[places] == codes
        indices = self._order[places]
        if not known.all():
            if not replace or self.replacement is None:
                raise ValueError(_unknown(name, np.unique(codes[~known])))
            indices[~known] = self.replacement
        return indices

    def encode_pieces(self, pieces: Sequence[str]) -> SmallIndices:
        """Convert a text in pieces to the smallest unsigned integers that hold its indices.

        Unknown characters become `REPLACEMENT`, if the vocabulary has that.

        Parameters
        ----------
        pieces : sequence of str
            The text, cut anywhere.

        Returns
        -------
        array of unsigned integers
            The index of each character of all pieces.

        Raises
        ------
        TypeError
            If ``pieces`` is not a sequence of strings.
        ValueError
            If there are unknown characters that are not replaced; it names them.

        Examples
        --------
        >>> from pyrnn.text import Vocabulary
        >>> Vocabulary("helo").encode_pieces(["he", "llo"])
        array([0, 1, 2, 2, 3], dtype=uint8)
        """
        pieces = checked_strings("pieces", pieces)
        dtype = np.min_scalar_type(len(self) - 1)
        indices = np.empty(sum(map(len, pieces)), dtype=dtype)
        start = 0
        for piece in _cut(pieces):
            indices[start : start + len(piece)] = self.encode(piece, replace=True)
            start += len(piece)
        return indices

    def normalise(self, prompt: str) -> str:
        r"""Bring a prompt into the form of the text that the vocabulary comes from.

        Line ends become ``\n``, as in `read`. The prompt is composed (NFC) or decomposed (NFD) as
        ``unicode_form`` says. If that is None or leaves unknown characters, the form that leaves
        the fewest of them is taken, which may be the prompt as it is.

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
        >>> from pyrnn.text import Vocabulary
        >>> Vocabulary("aé\n").normalise("e\u0301\r\n") == "é\n"
        True
        """
        prompt = _checks.string("prompt", prompt)
        if "\r" not in self.characters:
            prompt = line_ends(prompt)
        first = [] if self.unicode_form is None else [self.unicode_form]
        normal = {form: unicodedata.normalize(form, prompt) for form in (*first, "NFC", "NFD")}
        forms = [*map(normal.__getitem__, first), prompt, *normal.values()]
        return min(forms, key=lambda text: len(set(text).difference(self.characters)))

    def _decoded(self, indices: Indices) -> str:
        return "".join([self.characters[index] for index in indices.tolist()])

    def _spans(self, text: str, name: str = "text") -> Spans:
        """Unknown characters are left out, if the vocabulary has no `REPLACEMENT`."""
        places, unknown = np.arange(len(text)), []
        try:
            indices = self.encode(text, name=name)
        except ValueError:
            unknown = [c for c in text if c not in self.characters]
            if self.replacement is None:
                known = np.array([c in self.characters for c in text])
                places = places[known]
                text = "".join(np.array(list(text))[known])
            indices = self.encode(text, replace=True, name=name)
        return Spans(indices, places, places + 1, unknown)

    def _segments(self, pieces: Iterable[str]) -> Iterator[str]:
        decoder = io.IncrementalNewlineDecoder(None, translate="\r" not in self.characters)
        form, pending = self.unicode_form, ""
        for piece in checked_pieces(pieces):
            text = decoder.decode(piece)
            if form is not None:
                # What follows may combine with the end of a piece, but not beyond a line end.
                text, pending = _cut_at_line_end(pending + text)
                text = unicodedata.normalize(form, text)
            if text:
                yield text
        text = pending + decoder.decode("", final=True)
        text = text if form is None else unicodedata.normalize(form, text)
        if text:
            yield text

    def _plain(self) -> Any:
        return self.characters

    def _opening(self) -> str:
        known = self.characters.replace(REPLACEMENT, "")
        # Without a known character, the model raises the error.
        return "\n" if "\n" in known else known[:1] or REPLACEMENT

    def _line_end(self) -> int | None:
        index = self.characters.find("\n")
        return None if index < 0 else index

    def _written(self, before: Any, index: int) -> tuple[str, Any]:
        return self.characters[index], before

    def _length(self, indices: Any) -> int:
        return len(indices)


def check_unicode_form(name: str, value: Any) -> UnicodeForm | None:
    """Check a normal form of Unicode, or None."""
    form: Any = None if value is None else _checks.choice(name, value, get_args(UnicodeForm))
    return cast("UnicodeForm | None", form)


def _cut(text: str | Iterable[str]) -> Iterator[str]:
    """Cut a text, or its pieces, into short pieces."""
    for piece in [text] if isinstance(text, str) else text:
        for start in range(0, len(piece), PIECE_BYTES):
            yield piece[start : start + PIECE_BYTES]


def _cut_at_line_end(text: str) -> tuple[str, str]:
    """Cut after the last line end, or where there has been none for long, anywhere."""
    end = text.rfind("\n") + 1
    return (text, "") if not end and len(text) > PIECE_BYTES else (text[:end], text[end:])


def codes_of(text: str) -> npt.NDArray[np.uint32]:
    """Return the code points of a text; lone surrogates are allowed."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _unknown(name: str, codes: npt.NDArray[np.uint32]) -> str:
    """Return the error message about characters that are not in a vocabulary."""
    shown = ", ".join(repr(chr(code)) for code in codes[:8])
    more = f" and {len(codes) - 8} more" if len(codes) > 8 else ""
    return f"{name}: expected characters of the model's vocabulary, got {shown}{more}"
