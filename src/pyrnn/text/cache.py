"""Prepared texts in a file, so that the next start is fast and needs little memory.

The file has a line of 128 bytes that says what it is, the indices as they are, and at its end a
description as JSON: the vocabulary, and of each text the size, the time of its last change and the
hash. It is written beside its place and then renamed. A file that is incomplete, or of other texts
or tokens, is written again.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from pyrnn._files import AnyPath, checked_path, open_regular, written_beside
from pyrnn.text.corpus import blocks, text_name
from pyrnn.text.encoders import Encoder
from pyrnn.text.preparation import START, Prepared, Reported, Source, changed, hash_of, prepare
from pyrnn.text.vocabularies import kinds
from pyrnn.text.vocabularies.base import BaseVocabulary
from pyrnn.text.vocabulary import Vocabulary

MAGIC = b"pyrnn text "
VERSION = 1
DTYPES = ("uint8", "uint16", "uint32")
SAMPLES = 64
SAMPLE_BYTES = 4096
"""The number of parts of the indices that are checked; checking all would take long."""

WRONG = (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What reading a damaged file may raise."""

SETTLED = 2 * 10**9
"""Nanoseconds. A file that changed less than this before it was read may change again with the
same time, since some file systems count in seconds; so its hash is compared too."""


def is_ours(path: AnyPath) -> bool:
    """Whether a file may be overwritten: it is a cache (even a damaged one), empty or missing."""
    try:
        with open_regular(checked_path(path)) as file:
            beginning = file.read(len(MAGIC))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return not beginning.strip(b"\0") or beginning == MAGIC


def prepare_file(
    path: AnyPath,
    sources: Sequence[AnyPath | BinaryIO],
    encoder: Encoder,
    report: Reported | None = None,
) -> Prepared:
    """Prepare texts in a file, replacing an existing one; the indices are a memory map."""
    with written_beside(path, sync=False) as file:
        prepared = prepare(sources, encoder, file, report)
        file.flush()
        description = {
            "version": VERSION,
            "kind": encoder.kind,
            "vocabulary": _plain_vocabulary(prepared.vocabulary),
            "characters": prepared.characters,
            "train": prepared.train,
            "sources": [list(source) for source in prepared.sources],
            "prepared": prepared.prepared,
            "samples": _samples(file, prepared.tokens.nbytes),
        }
        end = json.dumps(description).encode()
        tokens = prepared.tokens
        line = {"dtype": tokens.dtype.name, "length": len(tokens)}
        line |= {"bytes": len(end), "crc": zlib.crc32(end)}
        file.seek(0, os.SEEK_END)
        file.write(end)
        file.seek(0)
        file.write((MAGIC + json.dumps(line).encode()).ljust(START - 1) + b"\n")
    return prepared._replace(tokens=_mapped(path, tokens.dtype, len(tokens)))


def find(
    path: AnyPath,
    sources: Sequence[AnyPath | BinaryIO],
    kind: dict[str, Any],
    *,
    streams: bool = False,
) -> Prepared | None:
    """The contents of a file of exactly these texts; None if missing, incomplete or of others.

    Texts from pipes and the standard input count as the same with ``streams`` only.
    """
    prepared = read(path, kind)
    if prepared is None or len(prepared.sources) != len(sources):
        return None
    pairs = zip(prepared.sources, sources, strict=True)
    same = all(_same(before, source, prepared.prepared, streams) for before, source in pairs)
    return prepared if same else None


def read(path: AnyPath, kind: dict[str, Any]) -> Prepared | None:
    """The contents of a file of any texts; None if it is missing, damaged or of another kind."""
    try:
        with open_regular(checked_path(path)) as file:
            line = file.read(START)
            if not line.startswith(MAGIC):
                return None
            head = json.loads(line[len(MAGIC) :])
            if head["dtype"] not in DTYPES:
                return None
            dtype = np.dtype(head["dtype"])
            end = START + head["length"] * dtype.itemsize
            if os.fstat(file.fileno()).st_size != end + head["bytes"]:
                return None
            file.seek(end)
            text = file.read(head["bytes"])
            if zlib.crc32(text) != head["crc"]:
                return None
            description = json.loads(text)
            if description["version"] != VERSION or description["kind"] != kind:
                return None
            if description["samples"] != _samples(file, end - START):
                return None
        vocabulary = _vocabulary(description["vocabulary"])
        sources = [Source(*map(_plain, source)) for source in description["sources"]]
        train, prepared = int(description["train"]), int(description["prepared"])
        characters = int(description.get("characters", head["length"] - train))
        if not 0 < train < head["length"] or characters < 1:
            return None
        tokens = _mapped(path, dtype, head["length"])
        return Prepared(vocabulary, tokens, train, sources, prepared, characters)
    except WRONG:
        return None


def _plain_vocabulary(vocabulary: BaseVocabulary) -> Any:
    """What JSON keeps of it."""
    if isinstance(vocabulary, Vocabulary):
        return [vocabulary.characters, vocabulary.unicode_form]
    return vocabulary._plain()


def _vocabulary(plain: Any) -> BaseVocabulary:
    return Vocabulary(*plain) if isinstance(plain, list) else kinds.from_plain(plain)


def _plain(value: Any) -> Any:
    if not isinstance(value, (str, int)):
        raise TypeError
    return value


def _same(before: Source, now: AnyPath | BinaryIO, prepared: int, streams: bool) -> bool:
    """Whether a text is the same as when it was read."""
    time = changed(now)
    if time is None:
        return streams and before.path == "-"
    name = text_name(now)
    if os.path.getsize(name) != before.size:
        return False
    if time == before.changed and time < prepared - SETTLED:
        return before.path == os.path.abspath(name) or hash_of(blocks(now)) == before.sha256
    return hash_of(blocks(now)) == before.sha256


def _mapped(path: AnyPath, dtype: np.dtype[Any], length: int) -> Any:
    return np.memmap(checked_path(path), dtype, "r", START, (length,))


def _samples(file: BinaryIO, size: int) -> int:
    """A checksum of parts of the indices, including the first and the last."""
    last, total = max(0, size - SAMPLE_BYTES), 0
    for number in range(SAMPLES):
        file.seek(START + last * number // (SAMPLES - 1))
        total = zlib.crc32(file.read(min(SAMPLE_BYTES, size)), total)
    return total
