"""Text for character models: reading it and splitting it."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import itertools
import os
import stat
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pyrnn._files import AnyPath, checked_path, shown
from pyrnn._pickling import public
from pyrnn.text.vocabularies.base import PIECE_BYTES, BaseVocabulary, SmallIndices
from pyrnn.text.vocabulary import checked_strings

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
    vocabulary : BaseVocabulary
        The characters, or other tokens, of the training part.
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

    vocabulary: BaseVocabulary
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
    name = text_name(path)
    yield from decoded(blocks(path), shown(name))


def text_name(source: AnyPath | BinaryIO) -> str:
    """Check the name of a text, and return it as a string; that of an open file is not known."""
    if hasattr(source, "read"):
        return "standard input"
    try:
        return checked_path(source)
    except ValueError as error:
        raise TextError(str(error)) from error


def blocks(source: AnyPath | BinaryIO) -> Iterator[bytes]:
    """Read a file, a pipe or an open file block by block, to its end."""
    name = text_name(source)
    try:
        with contextlib.ExitStack() as stack:
            file: Any = source if hasattr(source, "read") else stack.enter_context(_open(name))
            while block := file.read(PIECE_BYTES):
                yield block
    except OSError as error:
        raise TextError(f"{shown(name)}: cannot be read ({error.strerror})") from error


def text_of(parts: Iterable[bytes], name: str, vocabulary: BaseVocabulary) -> Iterator[str]:
    """The text of a file for a vocabulary, which may read every byte of it."""
    return as_they_are(parts, name) if vocabulary.reads_bytes else decoded(parts, name)


def as_they_are(parts: Iterable[bytes], name: str) -> Iterator[str]:
    """Decode bytes block by block; what is no UTF-8 is escaped, and line ends stay."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    empty = True
    for data in itertools.chain(parts, [b""]):
        if piece := decoder.decode(data, final=not data):
            empty = False
            yield piece
    if empty:
        raise TextError(f"{name}: expected text, got an empty file")


def decoded(parts: Iterable[bytes], name: str) -> Iterator[str]:
    """Decode a text in UTF-8 block by block, cut anywhere; line feeds become its line ends."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")(), translate=True)
    done, begun, empty = 0, False, True
    for data in itertools.chain(parts, [b""]):
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
    if empty:
        raise TextError(f"{name}: expected text, got an empty file")


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
    return Corpus(*_split(checked_strings("texts", texts)))


def _split(texts: Sequence[str]) -> tuple[str, str]:
    ends = held_out_ends([len(text) for text in texts], lambda number: texts[number])
    parts = [
        (text[: len(text) - end], text[len(text) - end :])
        for text, end in zip(texts, ends, strict=True)
    ]
    train, held_out = zip(*parts, strict=True)
    return "\n".join(train), "\n".join(filter(None, held_out))


def held_out_ends(
    lengths: Sequence[int], show: Callable[[int], str], unit: str = "characters"
) -> list[int]:
    """How much of each text's end is held out, by the rule of `split`."""
    total = sum(lengths)
    if total < 4:
        raise TextError(f"text: expected at least 4 {unit}, got {total}")
    # Room for the line ends that join the parts.
    share = min(HELD_OUT_SHARE, max(0, HELD_OUT_MOST - len(lengths)) / total)
    ends = [int(length * share) for length in lengths]
    if sum(ends) < 2:
        longest = lengths.index(max(lengths))
        ends[longest] = 2
        if lengths[longest] < 4:
            raise TextError(f"text: expected one of at least 4 {unit}, got {show(longest)!r}")
    return ends


def _open(path: str) -> BinaryIO:
    """Open a file or a pipe, but no device, which may have no end."""
    file = open(path, "rb")  # noqa: SIM115 - the caller closes it
    kind = os.fstat(file.fileno()).st_mode
    if stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
        file.close()
        raise OSError(errno.EINVAL, "it is a device")
    return file
