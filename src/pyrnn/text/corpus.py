"""Text for character models: reading it and splitting it."""

from __future__ import annotations

import codecs
import errno
import io
import os
import stat
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pyrnn import _checks
from pyrnn._files import AnyPath, checked_path, shown
from pyrnn._pickling import public
from pyrnn.text.vocabulary import (
    PIECE_BYTES,
    RARE_SHARE,
    REPLACEMENT,
    SmallIndices,
    Vocabulary,
    checked_strings,
)

HELD_OUT_SHARE = 0.05
HELD_OUT_MOST = 100_000
"""The largest number of characters that are held out, however long the text is."""


@public("pyrnn.text")
class TextError(ValueError):
    """A text that cannot be read, or is too short for its purpose. The message is one line.

    Examples
    --------
    >>> from pyrnn.text import TextError, read
    >>> try:
    ...     read("no such file")
    ... except TextError as error:
    ...     print(error)
    no such file: cannot be read (No such file or directory)
    """


@public("pyrnn.text")
class Corpus(NamedTuple):
    """A text cut into a part for training and a held-out part that does not overlap it.

    Parameters
    ----------
    train : str
        The text to train on.
    held_out : str
        The text to score the model on.

    Examples
    --------
    >>> from pyrnn.text import split
    >>> len(split(["a" * 95 + "b" * 5]).train)
    95
    """

    train: str
    held_out: str


@public("pyrnn.text")
class EncodedCorpus(NamedTuple):
    """A `Corpus` as indices into its vocabulary, in the smallest integers that hold them.

    Parameters
    ----------
    vocabulary : Vocabulary
        The characters of the training part.
    train : array of int
        The text to train on.
    held_out : array of int
        The text to score the model on.

    Examples
    --------
    >>> from pyrnn.text import load, standard_library
    >>> corpus = load(standard_library()[:3])
    >>> corpus.train.dtype, len(corpus.vocabulary) > 50
    (dtype('uint8'), True)
    """

    vocabulary: Vocabulary
    train: SmallIndices
    held_out: SmallIndices


@public("pyrnn.text")
def read(path: AnyPath) -> str:
    r"""Read a text file in UTF-8, with ``\n`` as line ends.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        A file or a pipe.

    Returns
    -------
    str
        The text, without a byte order mark.

    Raises
    ------
    TypeError
        If ``path`` has a wrong type.
    TextError
        If the file cannot be read, is not UTF-8 or is empty.

    Examples
    --------
    >>> from pyrnn.text import read, standard_library
    >>> len(read(standard_library()[0])) > 0
    True
    """
    return "".join(pieces(path))


@public("pyrnn.text")
def pieces(path: AnyPath) -> Iterator[str]:
    r"""Read a text file in UTF-8 piece by piece, with ``\n`` as line ends.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        A file or a pipe.

    Yields
    ------
    str
        The next piece of the text; none is empty.

    Raises
    ------
    TypeError
        If ``path`` has a wrong type.
    TextError
        If the file cannot be read, is empty, or is not UTF-8 (when the iteration arrives there).

    Examples
    --------
    >>> from pyrnn.text import pieces, read, standard_library
    >>> path = standard_library()[0]
    >>> "".join(pieces(path)) == read(path)
    True
    """
    try:
        name = checked_path(path)
    except ValueError as error:
        raise TextError(str(error)) from error
    try:
        with _open(name) as file:
            yield from decoded(file, shown(name))
    except OSError as error:
        raise TextError(f"{shown(name)}: cannot be read ({error.strerror})") from error


def decoded(file: BinaryIO, name: str) -> Iterator[str]:
    r"""Yield an open file's text in UTF-8 piece by piece, with ``\n`` as line ends; as `pieces`."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")(), translate=True)
    done, begun, empty = 0, False, True
    while True:
        data = file.read(PIECE_BYTES)
        pending = len(decoder.getstate()[0])
        try:
            piece = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            place = done - pending + error.start
            raise TextError(
                f"{name}: expected text in UTF-8, got {error.object[error.start]:#04x} "
                f"at byte {place}"
            ) from error
        done += len(data)
        if piece and not begun:
            begun, piece = True, piece.removeprefix("\ufeff")
        if piece:
            empty = False
            yield piece
        if not data:
            break
    if empty:
        raise TextError(f"{name}: expected text, got an empty file")


@public("pyrnn.text")
def load(paths: Sequence[AnyPath]) -> EncodedCorpus:
    """Read files, `split` them, and encode them with the vocabulary of the training part.

    It takes about two bytes of memory per byte of a file, where `read` and `Vocabulary.encode`
    take ten.

    Parameters
    ----------
    paths : sequence of str, bytes or os.PathLike
        Files or pipes, in UTF-8.

    Returns
    -------
    EncodedCorpus
        The vocabulary, the training part and the held-out part.

    Raises
    ------
    TypeError
        If ``paths`` is not a sequence of file names.
    TextError
        If a file cannot be read, is not UTF-8 or is empty, the text is too short, or no character
        is common enough to learn.

    Examples
    --------
    >>> from pyrnn.text import load, standard_library
    >>> vocabulary, train, held_out = load(standard_library()[:3])
    >>> len(train) > len(held_out)
    True
    """
    if isinstance(paths, (str, bytes)) or not isinstance(paths, Iterable):
        raise TypeError(f"paths: expected a sequence of file names, got {_checks.shown(paths)}")
    corpus = _split([list(pieces(path)) for path in paths])
    vocabulary = Vocabulary.of(corpus[0])
    if vocabulary.characters == REPLACEMENT:
        raise TextError(
            f"text: expected characters that make up {RARE_SHARE:g} of it or more, got none "
            f"but {REPLACEMENT!r}"
        )
    return EncodedCorpus(vocabulary, *map(vocabulary.encode_pieces, corpus))


@public("pyrnn.text")
def standard_library() -> list[Path]:
    """Return the source files of the running Python's standard library.

    These are its top-level modules. Packages, tests and installed packages are left out, so that
    the text is nearly the same on every machine with the same Python.

    Returns
    -------
    list of pathlib.Path
        The files, sorted by name.

    Raises
    ------
    TextError
        If the library has no source files (some installations have a zip archive instead).

    Examples
    --------
    >>> from pyrnn.text import standard_library
    >>> standard_library()[0].name
    '__future__.py'
    """
    folder = Path(sysconfig.get_path("stdlib"))
    files = sorted(folder.glob("*.py"), key=lambda path: path.name)
    if not files:
        raise TextError(
            f"{folder}: expected the source of the standard library, found no .py file; "
            "name text files to train on"
        )
    return files


@public("pyrnn.text")
def split(texts: Sequence[str]) -> Corpus:
    """Hold out the end of each text for evaluation.

    The last 5 % of each text are held out, or less, so that all held-out parts together have no
    more than 100 000 characters.

    Parameters
    ----------
    texts : sequence of str
        The texts. Their training parts are joined by line ends, and so are the held-out parts.

    Returns
    -------
    Corpus
        The training part and the held-out part.

    Raises
    ------
    TypeError
        If ``texts`` is not a sequence of strings.
    TextError
        If the texts are too short to leave two characters in each part.

    Examples
    --------
    >>> from pyrnn.text import split
    >>> corpus = split(["a" * 95 + "b" * 5])
    >>> corpus.held_out
    'bbbbb'
    """
    return Corpus(
        *("".join(part) for part in _split([[text] for text in checked_strings("texts", texts)]))
    )


def _split(texts: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """Do as `split` does, for texts in pieces."""
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
    """Open a file or a pipe, but no device, which may have no end."""
    file = open(path, "rb")  # noqa: SIM115 - the caller closes it
    kind = os.fstat(file.fileno()).st_mode
    if stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
        file.close()
        raise OSError(errno.EINVAL, "it is a device")
    return file
