"""Text as a character model sees it: corpus and vocabulary."""

from __future__ import annotations

import codecs
import errno
import io
import os
import stat
import sysconfig
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._files import AnyPath, checked_path, shown
from pyrnn._pickling import Portable
from pyrnn._types import Indices

SmallIndices = npt.NDArray[np.unsignedinteger[Any]]

PIECE_BYTES = 1 << 18
"""Text is read and encoded in pieces of so many bytes or characters."""

REPLACEMENT = "\ufffd"
"""Stands in a vocabulary for every character that the vocabulary does not have."""

RARE_SHARE = 1e-5
"""A character that makes up less than this share of a text is left out of its vocabulary."""

HELD_OUT_SHARE = 0.05
HELD_OUT_MOST = 100_000
"""At most so many characters are held out, however long the text is."""


class TextError(ValueError):
    """A text that cannot be read, or is too short for what was asked; the message is one line."""


class Corpus(NamedTuple):
    """A text cut into a part to train on and a part to test on; they do not overlap."""

    train: str
    held_out: str


class EncodedCorpus(NamedTuple):
    """A `Corpus` as indices into its vocabulary, in the smallest integers that hold them."""

    vocabulary: Vocabulary
    train: SmallIndices
    held_out: SmallIndices


class Vocabulary(Portable):
    """The characters that a model knows, each with its index.

    Parameters
    ----------
    characters : str
        Distinct characters; the index of each is its place. If `REPLACEMENT` (U+FFFD) is among
        them, `encode` can map unknown characters to it.

    Raises
    ------
    TypeError, ValueError
        If that is no string, or is empty, or has a character twice.

    Examples
    --------
    >>> from pyrnn.text import Vocabulary
    >>> vocabulary = Vocabulary("helo")
    >>> vocabulary.encode("hello")
    array([0, 1, 2, 2, 3])
    >>> vocabulary.decode([0, 1, 2, 2, 3])
    'hello'
    """

    def __init__(self, characters: str) -> None:
        if not isinstance(characters, str):
            kind = type(characters).__name__
            raise TypeError(f"vocabulary: expected a string of distinct characters, got {kind}")
        codes = _codes(characters)
        self._order = np.argsort(codes)
        self._sorted = codes[self._order]
        if not characters:
            raise ValueError("vocabulary: expected at least one character, got ''")
        twice = self._sorted[1:][np.diff(self._sorted.astype(np.int64)) == 0]
        if twice.size:
            raise ValueError(
                f"vocabulary: expected distinct characters, got {chr(twice[0])!r} twice"
            )
        self.characters = characters

    @classmethod
    def of(cls, text: str | Iterable[str]) -> Vocabulary:
        """The characters of a text, sorted, but for rare ones, and `REPLACEMENT` last.

        A character is rare if it makes up less than 1 in 100 000 of the text (`RARE_SHARE`). A
        shorter text has none, so it keeps all that it has. A text may come in pieces.
        """
        counts, total = np.zeros(0, dtype=np.int64), 0
        for piece in _cut(text if isinstance(text, str) else _strings("text", text)):
            found = np.bincount(_codes(piece))
            counts = np.pad(counts, (0, max(0, len(found) - len(counts))))
            counts[: len(found)] += found
            total += len(piece)
        common = np.flatnonzero((counts > 0) & (counts >= RARE_SHARE * total))
        return cls("".join(map(chr, common)).replace(REPLACEMENT, "") + REPLACEMENT)

    def __len__(self) -> int:
        return len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __repr__(self) -> str:
        return f"Vocabulary({self.characters!r})"

    @property
    def replacement(self) -> int | None:
        """The index of `REPLACEMENT`; None if the vocabulary does not have it."""
        index = self.characters.find(REPLACEMENT)
        return None if index < 0 else index

    def encode(self, text: str, *, replace: bool = False, name: str = "text") -> Indices:
        """The index of each character of a text.

        Parameters
        ----------
        text : str
            Any length, also 0.
        replace : bool
            Whether unknown characters become `REPLACEMENT`, where the vocabulary has that.
        name : str
            What an error calls the text.

        Returns
        -------
        array of intp
            (len(text),).

        Raises
        ------
        TypeError
            If an argument has a wrong type.
        ValueError
            If there are unknown characters that are not replaced; it names them.
        """
        name = _checks.string("name", name)
        codes = _codes(_checks.string(name, text))
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
        """A text in pieces as the smallest unsigned integers that hold its indices.

        Unknown characters become `REPLACEMENT`, where the vocabulary has that, as in `encode`.
        """
        pieces = _strings("pieces", pieces)
        dtype = np.min_scalar_type(len(self) - 1)
        indices = np.empty(sum(map(len, pieces)), dtype=dtype)
        start = 0
        for piece in _cut(pieces):
            indices[start : start + len(piece)] = self.encode(piece, replace=True)
            start += len(piece)
        return indices

    def normalise(self, prompt: str) -> str:
        r"""A prompt in the form of the text that the vocabulary is of.

        Line ends become ``\n``, as `read` makes them. If characters are unknown, the prompt is
        composed (NFC) or decomposed (NFD) where then fewer are.
        """
        prompt = _checks.string("prompt", prompt)
        if "\r" not in self.characters:
            prompt = _line_ends(prompt)
        forms = [prompt, *(unicodedata.normalize(form, prompt) for form in ("NFC", "NFD"))]
        return min(forms, key=lambda text: len(set(text).difference(self.characters)))

    def decode(self, indices: npt.ArrayLike) -> str:
        """The text of a sequence of indices, (T,); the inverse of `encode`."""
        checked = _checks.index_array("indices", indices, len(self))
        return "".join(self.characters[index] for index in checked.reshape(-1))


def read(path: AnyPath) -> str:
    r"""The text of a file in UTF-8, with ``\n`` as its line ends.

    Raises
    ------
    TextError
        If the file cannot be read, is not UTF-8 or is empty.
    """
    return "".join(pieces(path))


def pieces(path: AnyPath) -> Iterator[str]:
    r"""The text of a file as `read` gives it, piece by piece; none is empty.

    Raises
    ------
    TextError
        As `read`, once it gets there.
    """
    try:
        name = checked_path(path)
    except ValueError as error:
        raise TextError(str(error)) from error
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")(), translate=True)
    done, begun, empty = 0, False, True
    try:
        with _open(name) as file:
            while True:
                data = file.read(PIECE_BYTES)
                pending = len(decoder.getstate()[0])
                try:
                    piece = decoder.decode(data, final=not data)
                except UnicodeDecodeError as error:
                    place = done - pending + error.start
                    raise TextError(
                        f"{shown(name)}: expected text in UTF-8, "
                        f"got {error.object[error.start]:#04x} at byte {place}"
                    ) from error
                done += len(data)
                if piece and not begun:
                    begun, piece = True, piece.removeprefix("\ufeff")
                if piece:
                    empty = False
                    yield piece
                if not data:
                    break
    except OSError as error:
        raise TextError(f"{shown(name)}: cannot be read ({error.strerror})") from error
    if empty:
        raise TextError(f"{shown(name)}: expected text, got an empty file")


def load(paths: Sequence[AnyPath]) -> EncodedCorpus:
    """Read files, `split` them, and encode them with the vocabulary of what is to train on.

    It takes about two bytes of memory for a byte of a file, where `read` and `Vocabulary.encode`
    take ten.

    Raises
    ------
    TypeError
        If that is no sequence of files' names.
    TextError
        As from `pieces` and `split`, and if no character is common enough to learn.
    """
    if isinstance(paths, (str, bytes)) or not isinstance(paths, Iterable):
        raise TypeError(f"paths: expected a sequence of files' names, got {_checks.shown(paths)}")
    corpus = _split([list(pieces(path)) for path in paths])
    vocabulary = Vocabulary.of(corpus[0])
    if vocabulary.characters == REPLACEMENT:
        raise TextError(
            f"text: expected characters that make up {RARE_SHARE:g} of it or more, got none "
            f"but {REPLACEMENT!r}"
        )
    return EncodedCorpus(vocabulary, *map(vocabulary.encode_pieces, corpus))


def standard_library() -> list[Path]:
    """The source files of the running Python's standard library: its top-level modules by name.

    Packages, tests and whatever was installed are left out, so that the text is much the same on
    every machine with the same Python.

    Raises
    ------
    TextError
        If that library came without source files (some are a zip archive).
    """
    folder = Path(sysconfig.get_path("stdlib"))
    files = sorted(folder.glob("*.py"), key=lambda path: path.name)
    if not files:
        raise TextError(
            f"{folder}: expected the source of the standard library, found no .py file; "
            "name text files to train on"
        )
    return files


def split(texts: Sequence[str]) -> Corpus:
    """Hold out the end of each text; join what is left, and what is held out.

    The last 5 % of each text are held out, or less, so that all together are no more than
    `HELD_OUT_MOST` characters.

    Raises
    ------
    TypeError
        If that is no sequence of strings.
    TextError
        If the texts are too short to have two characters on either side.

    Examples
    --------
    >>> from pyrnn.text import split
    >>> corpus = split(["a" * 95 + "b" * 5])
    >>> corpus.held_out
    'bbbbb'
    """
    return Corpus(
        *("".join(part) for part in _split([[text] for text in _strings("texts", texts)]))
    )


def _split(texts: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """`split` of texts that are in pieces."""
    lengths = [sum(map(len, text)) for text in texts]
    total = sum(lengths)
    if total < 4:
        raise TextError(f"text: expected at least 4 characters, got {total}")
    # Room for the line ends that join the parts.
    share = min(HELD_OUT_SHARE, max(0, HELD_OUT_MOST - len(texts)) / total)
    ends = [int(length * share) for length in lengths]
    if sum(ends) < 2:
        longest = lengths.index(max(lengths))
        ends[longest] = 2
        if lengths[longest] < 4:
            shown = "".join(texts[longest])
            raise TextError(f"text: expected one of at least 4 characters, got {shown!r}")
    train: list[str] = []
    held_out: list[str] = []
    for number, (text, length, end) in enumerate(zip(texts, lengths, ends, strict=True)):
        if number:
            train.append("\n")
        if end and held_out:
            held_out.append("\n")
        left = length - end
        for piece in text:
            train += filter(None, [piece[:left]])
            held_out += filter(None, [piece[left:]])
            left = max(0, left - len(piece))
    return train, held_out


def _open(path: str) -> BinaryIO:
    """A file or a pipe; a device may have no end."""
    file = open(path, "rb")  # noqa: SIM115 - the caller closes it
    kind = os.fstat(file.fileno()).st_mode
    if stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
        file.close()
        raise OSError(errno.EINVAL, "it is a device")
    return file


def _line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _cut(text: str | Iterable[str]) -> Iterator[str]:
    """A text, or its pieces, in pieces that are not long."""
    for piece in [text] if isinstance(text, str) else text:
        for start in range(0, len(piece), PIECE_BYTES):
            yield piece[start : start + PIECE_BYTES]


def _strings(name: str, texts: object) -> list[str]:
    """Several strings; one alone would count as a sequence of its characters."""
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise TypeError(f"{name}: expected a sequence of strings, got {_checks.shown(texts)}")
    return [_checks.string(f"{name}[{number}]", text) for number, text in enumerate(texts)]


def _codes(text: str) -> npt.NDArray[np.uint32]:
    """The code points of a text; lone surrogates are let through."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _unknown(name: str, codes: npt.NDArray[np.uint32]) -> str:
    """What an error says about characters that are not in a vocabulary."""
    shown = ", ".join(repr(chr(code)) for code in codes[:8])
    more = f" and {len(codes) - 8} more" if len(codes) > 8 else ""
    return f"{name}: expected characters of the model's vocabulary, got {shown}{more}"
