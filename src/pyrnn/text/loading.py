"""Texts from files: read, split, with their vocabulary, in memory or in a cache on the disk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrnn import _checks
from pyrnn._files import AnyPath, shown
from pyrnn._pickling import public
from pyrnn.text import cache as cached
from pyrnn.text.corpus import EncodedCorpus
from pyrnn.text.encoders import Characters
from pyrnn.text.preparation import in_memory


@public("pyrnn.text")
def load(paths: Sequence[AnyPath], *, cache: AnyPath | None = None) -> EncodedCorpus:
    """Read files, `split` them, and encode them with the vocabulary of the training part.

    It takes about a byte of memory per byte of a file, where `read` and `Vocabulary.encode`
    take ten. With a cache it takes next to none, whatever the size of the files.

    Parameters
    ----------
    paths : sequence of str, bytes or os.PathLike
        Files or pipes, in UTF-8.
    cache : str, bytes or os.PathLike, optional
        A file in which the indices are kept; the arrays are memory maps of it. If it holds the same
        texts already, nothing is read: texts are the same by their size and the time of their last
        change, or by their hash. If not, or if it is damaged, it is made again.

    Returns
    -------
    EncodedCorpus
        The vocabulary, the training part and the held-out part.

    Raises
    ------
    TypeError
        If ``paths`` is not a sequence of file names, or ``cache`` is not a file name.
    TextError
        If a file cannot be read, is not UTF-8 or is empty, the text is too short, or no character
        is common enough to learn.
    ValueError
        If ``cache`` names a file that is not a cache.
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
    files, encoder = list(paths), Characters()
    if cache is None:
        return in_memory(files, encoder).corpus()
    if not cached.is_ours(cache):
        raise ValueError(f"cache: expected one of texts, or no file, got {shown(cache)}")
    prepared = cached.find(cache, files, encoder.kind)
    if prepared is None:
        prepared = cached.prepare_file(cache, files, encoder)
    return prepared.corpus()
