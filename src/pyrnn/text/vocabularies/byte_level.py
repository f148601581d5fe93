"""Bytes as tokens: every file can be read, and nothing is unknown."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import Indices
from pyrnn.text.vocabularies.base import BaseVocabulary, Spans, checked_pieces

ESCAPED = range(0xDC80, 0xDD00)
"""The code points that stand for bytes that are no UTF-8, as in Python's "surrogateescape"."""


@public("pyrnn.text")
class ByteVocabulary(BaseVocabulary):
    """The 256 bytes, each its own index; text is in UTF-8.

    A byte that is no UTF-8 is in strings as Python's "surrogateescape" has it: `encode` makes the
    byte of it. `decode`, and what a model writes, has U+FFFD for such bytes.

    Examples
    --------
    >>> from pyrnn.text import ByteVocabulary
    >>> vocabulary = ByteVocabulary()
    >>> len(vocabulary), vocabulary.encode("né"), vocabulary.decode([110, 195, 169])
    (256, array([110, 195, 169]), 'né')
    """

    unit: ClassVar[str] = "byte"
    reads_bytes: ClassVar[bool] = True

    @property
    def units(self) -> str:
        """What several tokens are.

        Examples
        --------
        >>> from pyrnn.text import ByteVocabulary
        >>> ByteVocabulary().units
        'bytes'
        """
        return "bytes"

    def __len__(self) -> int:
        return 256

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByteVocabulary)

    def __hash__(self) -> int:
        return hash(ByteVocabulary)

    def __repr__(self) -> str:
        return "ByteVocabulary()"

    def normalise(self, prompt: str) -> str:
        r"""Return a prompt as it is: line ends are bytes like others.

        Parameters
        ----------
        prompt : str
            The prompt.

        Returns
        -------
        str
            The same.

        Raises
        ------
        TypeError
            If ``prompt`` is not a string.

        Examples
        --------
        >>> from pyrnn.text import ByteVocabulary
        >>> ByteVocabulary().normalise("a\r\n")
        'a\r\n'
        """
        return _checks.string("prompt", prompt)

    def _spans(self, text: str, name: str = "text") -> Spans:
        try:
            data = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{name}: expected characters that UTF-8 has, got {text[error.start]!r}"
            ) from error
        indices = np.frombuffer(data, np.uint8).astype(np.intp)
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        sizes = 1 + (codes >= 0x80).astype(np.intp) + (codes >= 0x800) + (codes >= 0x10000)
        sizes[(codes >= ESCAPED.start) & (codes < ESCAPED.stop)] = 1
        places = np.repeat(np.arange(len(codes)), sizes)
        return Spans(indices, places, places + 1, [])

    def _decoded(self, indices: Indices) -> str:
        return indices.astype(np.uint8).tobytes().decode("utf-8", "replace")

    def _segments(self, pieces: Iterable[str]) -> Iterator[str]:
        return (piece for piece in checked_pieces(pieces) if piece)

    def _plain(self) -> Any:
        return {"tokens": "bytes"}

    def _opening(self) -> str:
        return "\n"

    def _began(self, indices: Indices) -> Any:
        return b""

    def _written(self, before: Any, index: int) -> tuple[str, Any]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        decoder.setstate((before, 0))
        text = decoder.decode(bytes([index]))
        return text, decoder.getstate()[0]

    def _length(self, indices: Any) -> int:
        """What begins a character in UTF-8: all bytes but those within one."""
        return int(np.count_nonzero((np.asarray(indices) & 0xC0) != 0x80))
