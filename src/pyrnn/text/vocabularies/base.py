"""What a model, its training and its sampling need to know of a vocabulary, whatever its tokens."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._pickling import Portable, public
from pyrnn._types import Indices
from pyrnn.layers._options import Closed

SmallIndices = npt.NDArray[np.unsignedinteger[Any]]

PIECE_BYTES = 1 << 18
"""The size of the pieces in which text is read and encoded, in bytes or characters."""

REPLACEMENT = "\ufffd"
"""Represents, in a vocabulary, every character that the vocabulary does not have."""

AT_ONCE = 1 << 16
"""This many indices are decoded at once if only the length of their text is needed."""


class Spans(NamedTuple):
    """The tokens of a text: their indices, and where each begins and ends, in characters.

    Tokens may share a character (the bytes of one), and leave some out. ``unknown``: what the
    vocabulary does not have.
    """

    indices: Indices
    starts: Indices
    ends: Indices
    unknown: list[str]


@public("pyrnn.text")
class BaseVocabulary(Closed, Portable):
    """Base of all vocabularies: the tokens that a model knows, each with its index.

    `Vocabulary` has characters, `ByteVocabulary` bytes, `WordVocabulary` words,
    `TokenizerVocabulary` what another library's tokeniser makes.

    Examples
    --------
    >>> from pyrnn.text import BaseVocabulary, ByteVocabulary, Vocabulary
    >>> isinstance(Vocabulary("helo"), BaseVocabulary), isinstance(ByteVocabulary(), BaseVocabulary)
    (True, True)
    """

    unit: ClassVar[str] = "token"
    """What one token is."""

    reads_bytes: ClassVar[bool] = False
    """Whether every byte of a file counts: files need not be text, and line ends stay."""

    most_characters: ClassVar[int] = 1
    """As a rule, no token has more characters."""

    @property
    def replacement(self) -> int | None:
        """The index of what is not in the vocabulary; None if there is none.

        Examples
        --------
        >>> from pyrnn.text import ByteVocabulary, WordVocabulary
        >>> WordVocabulary(["to", " be"]).replacement, ByteVocabulary().replacement
        (2, None)
        """
        return None

    @property
    def units(self) -> str:
        """What several tokens are: "characters", "bytes", "words" or "tokens".

        Examples
        --------
        >>> from pyrnn.text import ByteVocabulary
        >>> ByteVocabulary().units
        'bytes'
        """
        return f"{self.unit}s"

    def __len__(self) -> int:
        raise NotImplementedError

    def encode(self, text: str, *, replace: bool = False, name: str = "text") -> Indices:
        """Convert a text to indices.

        Parameters
        ----------
        text : str
            The text; it may be empty.
        replace : bool, default False
            Only `Vocabulary` uses it.
        name : str, default "text"
            The name of the text in errors.

        Returns
        -------
        array of intp
            The index of each token.

        Raises
        ------
        TypeError, ValueError
            If ``text`` is not a string, or has no such indices.

        Examples
        --------
        >>> from pyrnn.text import ByteVocabulary
        >>> ByteVocabulary().encode("né")
        array([110, 195, 169])
        """
        name = _checks.string("name", name)
        _checks.flag("replace", replace)
        return self._spans(_checks.string(name, text), name).indices

    def decode(self, indices: npt.ArrayLike) -> str:
        """Convert indices to text.

        Parameters
        ----------
        indices : array of int
            Indices in [0, len(vocabulary)), (T,).

        Returns
        -------
        str
            The text.

        Raises
        ------
        TypeError, ValueError
            If ``indices`` does not hold such indices.

        Examples
        --------
        >>> from pyrnn.text import WordVocabulary
        >>> WordVocabulary(["to", " be"]).decode([0, 1, 1])
        'to be be'
        """
        checked = _checks.index_array("indices", indices, len(self))
        return self._decoded(checked.reshape(-1))

    def normalise(self, prompt: str) -> str:
        r"""Bring a prompt into the form of the text that the model learned: line ends are ``\n``.

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
        >>> WordVocabulary(["to", "\n"]).normalise("to\r\n")
        'to\n'
        """
        return line_ends(_checks.string("prompt", prompt))

    def encode_pieces(self, pieces: Sequence[str]) -> SmallIndices:
        """Convert a text in pieces to the smallest unsigned integers that hold its indices.

        Parameters
        ----------
        pieces : sequence of str
            The text, cut anywhere, in the form that `normalise` gives it.

        Returns
        -------
        array of unsigned integers
            The index of each token of all pieces together.

        Raises
        ------
        TypeError, ValueError
            If ``pieces`` is not a sequence of strings, or they have no such indices.

        Examples
        --------
        >>> from pyrnn.text import WordVocabulary
        >>> WordVocabulary(["hello"]).encode_pieces(["hel", "lo"])
        array([0], dtype=uint8)
        """
        segments = self._segments(checked_strings("pieces", pieces))
        dtype = np.min_scalar_type(len(self) - 1)
        parts = [self.encode(text, replace=True).astype(dtype) for text in segments]
        return np.concatenate([np.zeros(0, dtype), *parts])

    # --- for the rest of pyrnn ---------------------------------------------------------------

    def _spans(self, text: str, name: str = "text") -> Spans:
        """The tokens of a text that is not cut within one."""
        raise NotImplementedError

    def _decoded(self, indices: Indices) -> str:
        raise NotImplementedError

    def _segments(self, pieces: Iterable[str]) -> Iterator[str]:
        """A text in the form that the model learned, in pieces that can be encoded one by one.

        Where these are cut does not depend on where the pieces were.
        """
        decoder = io.IncrementalNewlineDecoder(None, translate=True)
        for piece in checked_pieces(pieces):
            if text := decoder.decode(piece):
                yield text
        if text := decoder.decode("", final=True):
            yield text

    def _plain(self) -> Any:
        """What JSON keeps of it, and `kinds.checked` takes."""
        raise NotImplementedError

    def _unwritten(self) -> list[int]:
        """The indices that sampling never chooses."""
        return [] if self.replacement is None else [self.replacement]

    def _opening(self) -> str:
        """The default prompt of a model: a line end, if it knows one."""
        raise NotImplementedError

    def _line_end(self) -> int | None:
        """The index of a line end, after which a text begins; None if it is not one token."""
        indices = self._spans("\n").indices
        known = len(indices) == 1 and indices[0] != self.replacement
        return int(indices[0]) if known else None

    def _began(self, indices: Indices) -> Any:
        """What `_written` needs to know of the tokens before the first one."""
        return None

    def _written(self, before: Any, index: int) -> tuple[str, Any]:
        """The text that is certain once a token more is there, and what the next one needs."""
        return self._decoded(np.array([index])), before

    def _length(self, indices: Any) -> int:
        """The number of characters of the text of some indices."""
        parts = (indices[n : n + AT_ONCE] for n in range(0, len(indices), AT_ONCE))
        return sum(len(self._decoded(np.asarray(part, np.intp))) for part in parts)


def checked_strings(name: str, texts: object) -> list[str]:
    """Check a sequence of strings; a single string is not taken as one of its characters."""
    if isinstance(texts, str) or not np.iterable(texts):
        raise TypeError(f"{name}: expected a sequence of strings, got {_checks.shown(texts)}")
    return [_checks.string(f"{name}[{number}]", text) for number, text in enumerate(texts)]


def checked_pieces(pieces: Iterable[str]) -> Iterator[str]:
    """Check the pieces of a text as they come."""
    for number, piece in enumerate(pieces):
        yield _checks.string(f"text[{number}]", piece)


def line_ends(text: str) -> str:
    r"""A text with ``\n`` as line ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
