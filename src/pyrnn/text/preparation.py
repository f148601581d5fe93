"""Texts as numbers of tokens, made in one pass through them, in memory or in a file.

While the text is read, the numbers are written in the smallest integers that hold them. At the end
the vocabulary is known. Then the numbers are replaced by indices in place: first the training parts
of all texts, one after the other, then the held-out parts.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from pyrnn._files import AnyPath
from pyrnn.text.corpus import EncodedCorpus, blocks, held_out_ends, text_name
from pyrnn.text.encoders import Codes, Counts, Encoder
from pyrnn.text.vocabularies.base import BaseVocabulary, SmallIndices

START = 128
"""The position of the first number in a file; the caller writes what comes before it."""

AT_ONCE = 1 << 20
"""How many numbers are exchanged at once."""

Reported = Callable[[int, int | None], object]
"""Called with the number of bytes that were read, and the total number if it is known."""


class Source(NamedTuple):
    """A text that was read: its path, its size, the time of its last change, its hash.

    The path of a pipe or of the standard input is "-", and its time 0.
    """

    path: str
    size: int
    changed: int
    sha256: str


class Prepared(NamedTuple):
    """Texts as indices of tokens: the first ``train`` of ``tokens`` to train on, the rest held out.

    ``prepared``: when that was begun, in nanoseconds. ``characters``: those of the held-out text.
    """

    vocabulary: BaseVocabulary
    tokens: SmallIndices
    train: int
    sources: list[Source]
    prepared: int
    characters: int

    def corpus(self) -> EncodedCorpus:
        """Both parts."""
        return EncodedCorpus(self.vocabulary, self.tokens[: self.train], self.tokens[self.train :])


def in_memory(
    sources: Sequence[AnyPath | BinaryIO], encoder: Encoder, report: Reported | None = None
) -> Prepared:
    """Prepare texts in memory."""
    file = io.BytesIO()
    prepared = prepare(sources, encoder, file, report)
    tokens = np.frombuffer(file.getbuffer(), prepared.tokens.dtype, len(prepared.tokens), START)
    return prepared._replace(tokens=tokens)


def prepare(
    sources: Sequence[AnyPath | BinaryIO],
    encoder: Encoder,
    file: Any,
    report: Reported | None = None,
) -> Prepared:
    """Write the indices of texts to a file that can be read too, from `START` on.

    The result's ``tokens`` have the dtype and length of the data, but take no memory.
    """
    begun = time.time_ns()
    total = _size(sources) if report is not None else None
    writer, read, lengths, done = _Writer(file), [], [], 0
    newline = encoder.newline()
    gap = len(newline)
    for number, source in enumerate(sources):
        if number:
            writer.append(newline)
        hashed = _Hashed(source, done, total, report)
        before = writer.length
        for codes in encoder.encode(hashed, text_name(source)):
            writer.append(codes)
        lengths.append(writer.length - before)
        done += hashed.size
        read.append(hashed.result())
    starts = np.cumsum([0, *(length + gap for length in lengths)])[:-1].tolist()
    ends = held_out_ends(
        lengths,
        lambda number: encoder.show(writer.read(starts[number], lengths[number])),
        encoder.unit,
    )
    held_out: list[Codes] = []
    for start, length, end in zip(starts, lengths, ends, strict=True):
        if end:
            held_out += [newline] if held_out else []
            held_out.append(writer.read(start + length - end, end))
            found = _counted(held_out[-1])
            writer.counts[: len(found)] -= found
    ends_of_all = np.concatenate(held_out)
    characters = encoder.length(ends_of_all)
    vocabulary, indices = encoder.vocabulary(writer.counts)
    dtype = np.min_scalar_type(len(vocabulary) - 1)
    stretches = [  # each but the first with the line end before it
        (start - gap * bool(number), length - end + gap * bool(number))
        for number, (start, length, end) in enumerate(zip(starts, lengths, ends, strict=True))
    ]
    train = writer.exchange(stretches, indices.astype(dtype))
    whole = writer.add(indices.astype(dtype)[ends_of_all])
    tokens = np.broadcast_to(np.zeros((), dtype), whole)
    return Prepared(vocabulary, tokens, train, read, begun, characters)


class _Hashed:
    """The blocks of a text, hashed while they are read."""

    def __init__(
        self,
        source: AnyPath | BinaryIO,
        done: int,
        total: int | None,
        report: Reported | None,
    ) -> None:
        self._source = source
        self._done, self._total, self._report = done, total, report
        self._digest = hashlib.sha256()
        self._changed = changed(source)
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for block in blocks(self._source):
            self._digest.update(block)
            self.size += len(block)
            yield block
            if self._report is not None:
                self._report(self._done + self.size, self._total)

    def result(self) -> Source:
        path = "-" if self._changed is None else os.path.abspath(text_name(self._source))
        return Source(path, self.size, self._changed or 0, self._digest.hexdigest())


def hash_of(parts: Iterable[bytes]) -> str:
    """The hash of a text."""
    digest = hashlib.sha256()
    for block in parts:
        digest.update(block)
    return digest.hexdigest()


def changed(source: AnyPath | BinaryIO) -> int | None:
    """The time of a file's last change in nanoseconds; None if it is not a regular file."""
    if hasattr(source, "read") or not os.path.isfile(text_name(source)):
        return None
    return os.stat(text_name(source)).st_mtime_ns


def _size(sources: Sequence[AnyPath | BinaryIO]) -> int | None:
    """The size of all texts in bytes, if it is known before they are read."""
    if any(changed(source) is None for source in sources):
        return None
    return sum(os.path.getsize(text_name(source)) for source in sources)


class _Writer:
    """Numbers in a file, from `START` on, in the smallest integers that hold those so far."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)
        self.length = 0
        self.counts: Counts = np.zeros(256, np.int64)
        file.seek(START)

    def append(self, codes: Codes) -> None:
        """Add numbers at the end, and count them."""
        if not codes.size:
            return
        found = _counted(codes)
        if len(found) > len(self.counts):
            room = np.zeros(max(len(found), 2 * len(self.counts)), np.int64)
            room[: len(self.counts)] = self.counts
            self.counts = room
        self.counts[: len(found)] += found
        needed = np.min_scalar_type(len(found) - 1)
        if needed.itemsize > self.dtype.itemsize:
            self._widen(needed)
        self._file.write(np.ascontiguousarray(codes, self.dtype).data)
        self.length += len(codes)

    def _widen(self, dtype: np.dtype[Any]) -> None:
        """Write all numbers again in larger integers, the last ones first."""
        narrow = self.dtype
        for start in range((self.length - 1) // AT_ONCE * AT_ONCE, -1, -AT_ONCE):
            part = self._at(start, min(AT_ONCE, self.length - start), narrow)
            self._file.seek(START + start * dtype.itemsize)
            self._file.write(part.astype(dtype).data)
        self.dtype = dtype
        self._file.seek(START + self.length * dtype.itemsize)

    def _at(self, start: int, count: int, dtype: np.dtype[Any]) -> Codes:
        self._file.seek(START + start * dtype.itemsize)
        return np.frombuffer(self._file.read(count * dtype.itemsize), dtype)

    def read(self, start: int, count: int) -> Codes:
        """Numbers that were appended."""
        return self._at(start, count, self.dtype)

    def exchange(self, stretches: Iterable[tuple[int, int]], indices: Codes) -> int:
        """Exchange numbers for indices in some stretches, moved to the front; return how many."""
        if indices.itemsize > self.dtype.itemsize:  # writing must not overtake reading
            self._widen(indices.dtype)
        written = 0
        for start, count in stretches:
            for at in range(start, start + count, AT_ONCE):
                part = self.read(at, min(AT_ONCE, start + count - at))
                self._file.seek(START + written * indices.itemsize)
                self._file.write(np.take(indices, part).data)
                written += len(part)
        self._file.seek(START + written * indices.itemsize)
        self.length, self.dtype = written, indices.dtype
        return written

    def add(self, indices: Codes) -> int:
        """Add indices at the end of the file; return the total."""
        self._file.write(np.ascontiguousarray(indices, self.dtype).data)
        self._file.truncate()
        self.length += len(indices)
        return self.length


def _counted(codes: Codes) -> Counts:
    """How many of each number there are."""
    if codes.dtype == np.uint8 and len(codes) > ASCII_PAIRS:
        even = len(codes) // 2 * 2
        pairs = np.bincount(codes[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
        found = pairs.sum(0) + pairs.sum(1)
        if even < len(codes):
            found[codes[-1]] += 1
        return np.trim_zeros(found, "b")
    counts: Counts = np.bincount(codes)
    return counts


ASCII_PAIRS = 1 << 16
"""From this many bytes on, they are counted in pairs, which is faster."""
