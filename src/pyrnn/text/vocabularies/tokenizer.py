"""The tokens of another library's tokeniser: of `tokenizers`, of anything that encodes text."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np

from pyrnn import _checks
from pyrnn._files import AnyPath, checked_path, open_regular, shown
from pyrnn._imports import extras
from pyrnn._pickling import public
from pyrnn._types import Indices
from pyrnn.layers._options import Part
from pyrnn.text.vocabularies.base import REPLACEMENT, BaseVocabulary, Spans

MOST_TOKENS = 1 << 24
"""The largest number of tokens of one tokeniser."""

MOST_LINE = 1 << 16
"""Longer lines are cut after so many characters, and the parts encoded one by one."""

CONTEXT = 4
"""So many tokens before one are decoded with it: some decoders write a space between two."""
MOST_PENDING = 8
"""A character has no more tokens; what is still none after so many is written as U+FFFD."""

SIZES = ("get_vocab_size", "vocab_size", "get_piece_size", "n_vocab")
"""Where tokenisers say how many tokens they know: `tokenizers`, `sentencepiece`, `tiktoken`."""


@public("pyrnn.text")
class TokenizerVocabulary(BaseVocabulary):
    r"""The tokens of another library's tokeniser: byte pairs, word pieces, anything.

    Text is encoded line by line, each with its line end, so that a text may have any size.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer, str, os.PathLike, or object
        A tokeniser of the package `tokenizers`, or the name of a file that it saved
        (``tokenizer.json``); no special tokens are added, and padding and truncation are off. Or
        any object with ``encode(text)``, which gives indices, ``decode(indices)``, which gives a
        string, and a length (``__len__``, or `tiktoken`'s or `sentencepiece`'s name of it). Such a
        model cannot be saved in a file, only pickled.

    Raises
    ------
    TypeError, ValueError
        If ``tokenizer`` is none of these, or knows no token.
    OSError
        If the file cannot be read.
    MissingExtraError
        If a file is named, and `tokenizers` is not installed.

    Examples
    --------
    >>> from pyrnn.text import TokenizerVocabulary
    >>> class Digits:
    ...     def __len__(self):
    ...         return 10
    ...     def encode(self, text):
    ...         return [int(digit) for digit in text]
    ...     def decode(self, indices):
    ...         return "".join(str(index) for index in indices)
    >>> vocabulary = TokenizerVocabulary(Digits())
    >>> vocabulary.encode("2026"), vocabulary.decode([2, 0])
    (array([2, 0, 2, 6]), '20')
    """

    unit: ClassVar[str] = "token"
    most_characters: ClassVar[int] = 64

    tokenizer: Part[Any] = Part()

    def __init__(self, tokenizer: Any) -> None:
        if isinstance(tokenizer, (str, bytes, os.PathLike)):
            tokenizer = _read(tokenizer)
        elif _is_of_tokenizers(tokenizer):
            tokenizer = _made(tokenizer.to_str())  # a copy: options are set below
        elif not all(callable(getattr(tokenizer, name, None)) for name in ("encode", "decode")):
            raise TypeError(
                "tokenizer: expected a tokenizers.Tokenizer, the name of its file, or an object "
                f"with encode and decode, got {_checks.shown(tokenizer)}"
            )
        Part.keep(self, tokenizer=tokenizer)
        self._own: bool = _is_of_tokenizers(tokenizer)
        self._never: list[int] = []
        self._unknown: int | None = None
        if self._own:
            self._set_up()
        else:
            self._size = _size_of(tokenizer)
        if self._size < 1:
            raise ValueError("tokenizer: expected one that knows a token, got none")

    def _set_up(self) -> None:
        tokenizer = self.tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        if hasattr(tokenizer, "encode_special_tokens"):
            tokenizer.encode_special_tokens = True  # their names in a text are text
        known = set(tokenizer.get_vocab().values())
        self._size = max(known, default=-1) + 1
        if self._size > MOST_TOKENS:
            raise ValueError(
                f"tokenizer: expected indices below {MOST_TOKENS}, got {self._size - 1}"
            )
        added = tokenizer.get_added_tokens_decoder()
        special = {index for index, token in added.items() if token.special}
        self._unknown = _unknown_of(tokenizer)
        unknown = set() if self._unknown is None else {self._unknown}
        self._never = sorted(set(range(self._size)) - known | special | unknown)

    @property
    def replacement(self) -> int | None:
        """The index of the unknown token of a tokeniser of `tokenizers`, if it has one.

        Examples
        --------
        >>> import tokenizers  # doctest: +SKIP
        >>> model = tokenizers.models.WordLevel({"a": 0, "?": 1}, "?")  # doctest: +SKIP
        >>> TokenizerVocabulary(tokenizers.Tokenizer(model)).replacement  # doctest: +SKIP
        1
        """
        return self._unknown

    def __len__(self) -> int:
        return self._size

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TokenizerVocabulary):
            return False
        same = self.tokenizer is other.tokenizer
        return same or (self._own and other._own and self._plain() == other._plain())

    def __hash__(self) -> int:
        return hash((TokenizerVocabulary, self._size))

    def __repr__(self) -> str:
        return f"TokenizerVocabulary({self._size:,} tokens of {type(self.tokenizer).__module__})"

    def _spans(self, text: str, name: str = "text") -> Spans:
        nothing: Indices = np.zeros(0, np.intp)
        parts, before = [(nothing, nothing, nothing)], 0
        for line in _lines([text]):
            found = self._line(line, name)
            parts.append((found[0], found[1] + before, found[2] + before))
            before += len(line)
        indices, starts, ends = map(np.concatenate, zip(*parts, strict=True))
        unknown = -1 if self._unknown is None else self._unknown
        places = np.flatnonzero(indices == unknown)
        return Spans(indices, starts, ends, [text[starts[n] : ends[n]] for n in places])

    def _line(self, line: str, name: str) -> tuple[Indices, Indices, Indices]:
        """The tokens of a line, and where they begin and end."""
        if self._own:
            try:
                encoding = self.tokenizer.encode(line, add_special_tokens=False)
            except Exception as error:  # it has no kinds of errors
                raise ValueError(
                    f"{name}: expected text that the tokeniser takes, got {_checks.shown(line)} "
                    f"({error})"
                ) from error
            places = np.array(encoding.offsets, np.intp).reshape(-1, 2)
            # What the tokeniser leaves out (spaces, say) belongs to the token after it.
            starts = np.minimum(np.concatenate([[0], places[:, 1]])[:-1], places[:, 0])
            places[-1:, 1] = len(line)
            return np.array(encoding.ids, np.intp), starts, places[:, 1]
        found = self.tokenizer.encode(line)
        found = np.asarray(getattr(found, "ids", found))
        whole = found if found.size else np.zeros(0, np.intp)
        indices = _checks.index_array(name, whole, self._size).reshape(-1)
        ends = _ends(self.tokenizer, indices, line)
        return indices, np.concatenate([[0], ends])[:-1], ends

    def _decoded(self, indices: Indices) -> str:
        return _decode(self.tokenizer, indices.tolist(), self._own)

    def _segments(self, pieces: Iterable[str]) -> Iterator[str]:
        return _grouped(super()._segments(pieces))

    def _plain(self) -> Any:
        """For `tokenizers` its own JSON, in base64, so that it counts as one value."""
        if not self._own:
            return self.tokenizer
        text = self.tokenizer.to_str()
        return {"tokens": "tokenizer", "json": base64.b64encode(text.encode()).decode("ascii")}

    def _unwritten(self) -> list[int]:
        return self._never

    def _opening(self) -> str:
        if len(self._spans("\n").indices):
            return "\n"
        never = set(self._never)
        texts = (self._decoded(np.array([n])) for n in range(self._size) if n not in never)
        found = (t for t in texts if t and REPLACEMENT not in t and len(self._spans(t).indices))
        return next(found, REPLACEMENT)

    def _began(self, indices: Indices) -> Any:
        context = indices[-CONTEXT:].tolist()
        return context, len(_decode(self.tokenizer, context, self._own))

    def _written(self, before: Any, index: int) -> tuple[str, Any]:
        """What is decoded beyond the tokens before: its beginning is theirs.

        A token may have a part of a character only; then it waits for the next ones.
        """
        context, done = before
        indices = [*context, index]
        text = _decode(self.tokenizer, indices, self._own)
        waiting = len(indices) - CONTEXT
        if text.endswith(REPLACEMENT) and waiting < MOST_PENDING:
            return "", (indices, done)
        kept = indices[-CONTEXT:]
        return text[done:], (kept, len(_decode(self.tokenizer, kept, self._own)))


def from_json(encoded: Any) -> TokenizerVocabulary:
    """The vocabulary that `TokenizerVocabulary._plain` described."""
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (TypeError, ValueError) as error:
        raise ValueError(f"vocabulary: expected a tokeniser in base64 ({error})") from error
    extras.require("tokenizers", "tokenizers")
    return TokenizerVocabulary(_made(text))


def _is_of_tokenizers(tokenizer: object) -> bool:
    kind = type(tokenizer)
    return kind.__name__ == "Tokenizer" and kind.__module__.split(".")[0] == "tokenizers"


def _read(path: AnyPath) -> Any:
    """The tokeniser in a file."""
    name = checked_path(path)
    extras.require("tokenizers", "tokenizers")
    with open_regular(name) as file:
        data = file.read()
    try:
        return _made(data.decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{shown(name)}: expected a tokenizer.json ({error})") from error


def _made(text: str) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(text)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        raise ValueError(f"tokenizer: expected one of tokenizers ({error})") from error


def _unknown_of(tokenizer: Any) -> int | None:
    """The index of what the model of a tokeniser does not know."""
    name = getattr(tokenizer.model, "unk_token", None)
    index: int | None = tokenizer.token_to_id(name) if isinstance(name, str) else None
    return index


def _size_of(tokenizer: Any) -> int:
    for name in SIZES:
        value = getattr(tokenizer, name, None)
        value = value() if callable(value) else value
        if value is not None:
            return _checks.size("tokenizer", value)
    try:
        return len(tokenizer)
    except TypeError as error:
        raise TypeError(
            f"tokenizer: expected one with a length, got {_checks.shown(tokenizer)}"
        ) from error


def _decode(tokenizer: Any, indices: list[int], own: bool) -> str:
    found = (
        tokenizer.decode(indices, skip_special_tokens=False) if own else tokenizer.decode(indices)
    )
    return _checks.string("tokenizer.decode", found)


def _ends(tokenizer: Any, indices: Indices, line: str) -> Indices:
    """Where tokens end whose places nobody says: by the lengths of their texts, within the line."""
    lengths = [len(_decode(tokenizer, [index], False)) for index in indices.tolist()]
    ends = np.minimum(np.cumsum(np.array(lengths, np.intp)), len(line))
    if len(ends):
        ends[-1] = len(line)
    return ends


def _grouped(pieces: Iterable[str]) -> Iterator[str]:
    """A text in pieces that end where a line does."""
    lines: list[str] = []
    size = 0
    for line in _lines(pieces):
        lines.append(line)
        size += len(line)
        if size >= MOST_LINE:
            yield "".join(lines)
            lines, size = [], 0
    if lines:
        yield "".join(lines)


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    """The lines of a text, each with its end."""
    pending = ""
    for piece in pieces:
        text = pending + piece
        start = 0
        while True:
            end = text.find("\n", start) + 1 or len(text)
            if end - start >= MOST_LINE:
                end = start + MOST_LINE
            elif text[end - 1 : end] != "\n" or end == start:
                break
            yield text[start:end]
            start = end
        pending = text[start:]
    if pending:
        yield pending
