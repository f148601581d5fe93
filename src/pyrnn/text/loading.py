"""Texts from files: read, split, with their vocabulary, in memory or in a cache on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._files import AnyPath, shown
from pyrnn._pickling import public
from pyrnn.text import cache as cached
from pyrnn.text.corpus import EncodedCorpus
from pyrnn.text.encoders import MIN_COUNT, VOCAB_SIZE, Characters, Encoder, Fixed, Words
from pyrnn.text.preparation import in_memory
from pyrnn.text.vocabularies import kinds
from pyrnn.text.vocabularies.byte_level import ByteVocabulary


@public("pyrnn.text")
def load(
    paths: Sequence[AnyPath],
    *,
    cache: AnyPath | None = None,
    tokens: Any = "characters",
    vocab_size: int | None = None,
    min_count: int | None = None,
) -> EncodedCorpus:
    """Read files, `split` them, and encode them with the vocabulary of the training part.

    It takes about a byte of memory per byte of a file, where `read` and `Vocabulary.encode`
    take ten. With a cache it takes next to none, whatever the size of the files.

    Parameters
    ----------
    paths : sequence of str, bytes or os.PathLike
        Files or pipes, in UTF-8; of bytes any files.
    cache : str, bytes or os.PathLike, optional
        A file in which the indices are kept; the arrays are memory maps of it. If it holds the same
        texts already, nothing is read: texts are the same by their size and the time of their last
        change, or by their hash. If not, or if it is damaged, it is made again.
    tokens : {"characters", "bytes", "words"}, vocabulary or tokeniser
        What becomes an index: the characters that are not rare, all bytes (`ByteVocabulary`), the
        most frequent words (`WordVocabulary`), or the tokens of a vocabulary that there is already,
        or of whatever `TokenizerVocabulary` takes, but the name of a file. What is held out is
        counted in these.
    vocab_size : int, optional
        The largest vocabulary of words, with the token for unknown ones: 10 000.
    min_count : int, optional
        How often a word has to be in the training part: 2 times.

    Returns
    -------
    EncodedCorpus
        The vocabulary, the training part and the held-out part.

    Raises
    ------
    TypeError
        If ``paths`` is not a sequence of file names, ``cache`` not one, or ``tokens`` no tokens.
    TextError
        If a file cannot be read, is not UTF-8 or is empty, the text is too short, or no character
        or word is common enough to learn.
    ValueError
        If ``cache`` is another file, or given with a tokeniser that no file can keep; if
        ``vocab_size`` or ``min_count`` are given without words, or too small.
    OSError
        If the cache cannot be written.

    Examples
    --------
    >>> from pyrnn.text import load, standard_library
    >>> vocabulary, train, held_out = load(standard_library()[:3])
    >>> len(train) > len(held_out)
    True
    """
    if isinstance(paths, (str, bytes)) or not np.iterable(paths):
        raise TypeError(f"paths: expected a sequence of file names, got {_checks.shown(paths)}")
    files, encoder = list(paths), encoder_of(tokens, vocab_size, min_count)
    if cache is None:
        return in_memory(files, encoder).corpus()
    if isinstance(encoder, Fixed) and not kinds.is_plain(encoder.known):
        raise ValueError(f"cache: expected None with such a tokeniser, got {shown(cache)}")
    if not cached.is_ours(cache):
        raise ValueError(f"cache: expected one of texts, or no file, got {shown(cache)}")
    prepared = cached.find(cache, files, encoder.kind)
    if prepared is None:
        prepared = cached.prepare_file(cache, files, encoder)
    return prepared.corpus()


def encoder_of(tokens: Any, vocab_size: int | None = None, min_count: int | None = None) -> Encoder:
    """The encoder of some tokens, by name or by their vocabulary."""
    words = isinstance(tokens, str) and tokens == "words"
    for name, value in (("vocab_size", vocab_size), ("min_count", min_count)):
        if value is not None and not words:
            raise ValueError(f"{name}: expected None without words as tokens, got {value!r}")
    if words:
        size = VOCAB_SIZE if vocab_size is None else _checks.size("vocab_size", vocab_size, least=2)
        count = MIN_COUNT if min_count is None else _checks.size("min_count", min_count)
        return Words(size, count)
    if not isinstance(tokens, str):
        return Fixed(kinds.checked(tokens))
    name = _checks.choice("tokens", tokens, kinds.KINDS)
    return Characters() if name == "characters" else Fixed(ByteVocabulary())
