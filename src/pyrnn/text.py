"""Text as a character model sees it: corpus, vocabulary, parallel streams."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._pickling import Portable
from pyrnn._types import Indices

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
    def of(cls, text: str) -> Vocabulary:
        """The characters of a text, sorted, but for rare ones, and `REPLACEMENT` last.

        A character is rare if it makes up less than 1 in 100 000 of the text (`RARE_SHARE`). A
        shorter text has none, so it keeps all that it has.
        """
        counts = np.bincount(_codes(text)) if text else np.empty(0, dtype=np.intp)
        common = np.flatnonzero((counts > 0) & (counts >= RARE_SHARE * len(text)))
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
        ValueError
            If there are unknown characters that are not replaced; it names them.
        """
        codes = _codes(text)
        places = np.searchsorted(self._sorted, codes)
        places[places == len(self)] = 0
        known = self._sorted[places] == codes
        indices = self._order[places]
        if not known.all():
            if not replace or self.replacement is None:
                raise ValueError(_unknown(name, np.unique(codes[~known])))
            indices[~known] = self.replacement
        return indices

    def decode(self, indices: npt.ArrayLike) -> str:
        """The text of a sequence of indices, (T,); the inverse of `encode`."""
        checked = _checks.index_array("indices", indices, len(self))
        return "".join(self.characters[index] for index in checked.reshape(-1))


def read(path: str | Path) -> str:
    r"""The text of a file in UTF-8, with ``\n`` as its line ends.

    Raises
    ------
    TextError
        If the file cannot be read, is not UTF-8 or is empty.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise TextError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # a name with a null character
        raise TextError(f"{path!r}: cannot be read ({error})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"{data[error.start]:#04x} at byte {error.start}"
        raise TextError(f"{path}: expected text in UTF-8, got {found}") from error
    if not text:
        raise TextError(f"{path}: expected text, got an empty file")
    return text.replace("\r\n", "\n").replace("\r", "\n")


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
    TextError
        If the texts are too short to have two characters on either side.

    Examples
    --------
    >>> from pyrnn.text import split
    >>> corpus = split(["a" * 95 + "b" * 5])
    >>> corpus.held_out
    'bbbbb'
    """
    total = sum(map(len, texts))
    if total < 4:
        raise TextError(f"text: expected at least 4 characters, got {total}")
    # Room for the line ends that join the parts.
    share = min(HELD_OUT_SHARE, max(0, HELD_OUT_MOST - len(texts)) / total)
    ends = [int(len(text) * share) for text in texts]
    if sum(ends) < 2:
        longest = max(range(len(texts)), key=lambda index: len(texts[index]))
        ends[longest] = 2
        if len(texts[longest]) < 4:
            raise TextError(f"text: expected one of at least 4 characters, got {texts[longest]!r}")
    pairs = list(zip(texts, ends, strict=True))
    train = "\n".join(text[: len(text) - end] for text, end in pairs)
    return Corpus(train, "\n".join(text[len(text) - end :] for text, end in pairs if end))


def streams(indices: Indices, batch_size: int) -> tuple[Indices, Indices]:
    """Cut a text into streams that run side by side.

    Parameters
    ----------
    indices : array of int
        (L,): the text.
    batch_size : int
        How many streams, N. Up to N - 1 characters at the end of the text are left out.

    Returns
    -------
    inputs, targets : array of int
        ((L - 1) // N, N) each: column n is the n-th part of the text, and what follows each of its
        characters.

    Raises
    ------
    TextError
        If the text has fewer than N + 1 characters.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.text import streams
    >>> inputs, targets = streams(np.arange(7), 2)
    >>> inputs.T.tolist(), targets.T.tolist()
    ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """
    steps = (len(indices) - 1) // batch_size
    if steps < 1:
        raise TextError(
            f"text: expected at least {batch_size + 1} characters for {batch_size} streams, "
            f"got {len(indices)}"
        )
    used = steps * batch_size
    inputs, targets = (
        np.ascontiguousarray(part.reshape(batch_size, steps).T)
        for part in (indices[:used], indices[1 : used + 1])
    )
    return inputs, targets


def chunks(inputs: Indices, targets: Indices, seq_len: int) -> Iterator[tuple[Indices, Indices]]:
    """Successive chunks of up to ``seq_len`` steps of streams (T, N); the last may be shorter."""
    for start in range(0, len(inputs), seq_len):
        yield inputs[start : start + seq_len], targets[start : start + seq_len]


def _codes(text: str) -> npt.NDArray[np.uint32]:
    """The code points of a text; lone surrogates are let through."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _unknown(name: str, codes: npt.NDArray[np.uint32]) -> str:
    """What an error says about characters that are not in a vocabulary."""
    shown = ", ".join(repr(chr(code)) for code in codes[:8])
    more = f" and {len(codes) - 8} more" if len(codes) > 8 else ""
    return f"{name}: expected characters of the model's vocabulary, got {shown}{more}"
