"""The texts of ``pyrnn train``: which files they are, and where their indices are kept."""

from __future__ import annotations

import contextlib
import glob
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pyrnn._files import shown
from pyrnn.cli._common.errors import UsageError
from pyrnn.text import cache
from pyrnn.text.corpus import EncodedCorpus, blocks, text_of
from pyrnn.text.encoders import Encoder
from pyrnn.text.preparation import Prepared, Reported, Source, hash_of, in_memory
from pyrnn.text.vocabularies.base import BaseVocabulary

STANDARD_INPUT = "-"
CACHE_FROM = 1 << 23
"""Texts of at least this many bytes, and texts from pipes, are prepared in a file."""

LINES = 10
"""Lines of progress, where there is no terminal."""
PATIENCE = 2.0
"""Seconds before the first of them."""


def expand(names: Sequence[str]) -> list[str]:
    """The files that names stand for: in a folder all files, for a pattern all that match.

    They are sorted by their paths. Hidden and empty files are left out.
    """
    files: list[str] = []
    for name in names:
        if name == STANDARD_INPUT:
            files.append(name)
        elif os.path.isdir(name):
            files += _found(name, Path(name).rglob("*"), name)
        elif not os.path.exists(name) and glob.has_magic(name):
            matches = map(Path, glob.glob(name, recursive=True))
            files += _found(name, matches, "")
        else:
            files.append(name)
    return files


def _found(name: str, paths: Iterator[Path], folder: str) -> list[str]:
    found = [str(path) for path in sorted(paths) if not _left_out(path, folder)]
    if not found:
        raise UsageError(f"{shown(name)}: expected text files, found none")
    return found


def _left_out(path: Path, folder: str) -> bool:
    inside = path.relative_to(folder).parts if folder else ()
    hidden = any(part.startswith(".") for part in inside)
    return hidden or not path.is_file() or not path.stat().st_size


def cache_beside(model: Path) -> Path:
    """The cache of the texts of a model: ``m.tokens`` for ``m.safetensors``."""
    return Path(f"{model.with_suffix('') if model.suffix == '.safetensors' else model}.tokens")


def are_cached(files: Sequence[str | Path]) -> bool:
    """Whether texts are prepared in a file: they are large, or cannot be read a second time."""
    if any(file == STANDARD_INPUT or _is_pipe(file) for file in files):
        return True
    return sum(os.path.getsize(file) for file in files if os.path.isfile(file)) >= CACHE_FROM


def _is_pipe(file: str | Path) -> bool:
    return os.path.exists(file) and not os.path.isfile(file)


def prepare(
    files: Sequence[str | Path],
    encoder: Encoder,
    path: Path | None,
    streams: bool,
    report: Reported,
) -> Prepared:
    """Read the texts; with a path, into that file, unless it holds them already.

    With ``streams`` the file must hold what came from the standard input.
    """
    sources = list(files) if streams else [_opened(file) for file in files]
    if path is None:
        return in_memory(sources, encoder, report)
    prepared = cache.find(path, sources, encoder.kind, streams=streams)
    if prepared is not None:
        return prepared
    if streams and STANDARD_INPUT in sources:
        raise UsageError(
            f"--resume: {shown(path)}: expected what was read from the standard input, got a file "
            "that is damaged or missing"
        )
    return cache.prepare_file(path, sources, encoder, report)


def _opened(file: str | Path) -> Any:
    if file != STANDARD_INPUT:
        return file
    stdin: BinaryIO | None = getattr(sys.stdin, "buffer", None)
    if stdin is None:
        raise UsageError("standard input: expected one to read, got none")
    return stdin


def corpus_of(prepared: Prepared, held_out: str | None) -> tuple[EncodedCorpus, int]:
    """Both parts of the text, and how many characters the held-out one has.

    With a file of its own for scores nothing else is held out.
    """
    if held_out is None:
        return prepared.corpus(), prepared.characters
    scored, characters = encoded(prepared.vocabulary, held_out)
    if len(scored) < 2:
        units = prepared.vocabulary.units
        raise UsageError(f"--val: expected at least 2 {units}, got {len(scored)}")
    # The ends of all texts come last.
    return EncodedCorpus(prepared.vocabulary, prepared.tokens, scored), characters


def encoded(vocabulary: BaseVocabulary, file: str) -> tuple[Any, int]:
    """The indices of a text, and how many characters it has."""
    dtype = np.min_scalar_type(len(vocabulary) - 1)
    parts, characters = [], 0
    for text in vocabulary._segments(text_of(blocks(file), shown(file), vocabulary)):
        parts.append(vocabulary.encode(text, replace=True, name="--val").astype(dtype))
        characters += len(text)
    return np.concatenate(parts), characters


def read_again(file: str | Path) -> Source:
    """The size and the hash of a text."""
    try:
        with open(file, "rb") as opened:
            found = hash_of(iter(lambda: opened.read(1 << 20), b""))
            return Source(os.path.abspath(file), opened.tell(), 0, found)
    except OSError as error:
        raise UsageError(f"{shown(file)}: cannot be read ({error.strerror or error})") from error


@contextlib.contextmanager
def progress() -> Iterator[Reported]:
    """Yield a function that shows how much of the texts is read, inside a ``with`` block."""
    begun = time.monotonic()
    if sys.stdout is not None and sys.stdout.isatty():
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("reading the text"),
            BarColumn(None),
            DownloadColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, expand=True, transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    yield _lines(lambda: time.monotonic() - begun)


def _lines(elapsed: Callable[[], float]) -> Reported:
    shown_parts, shown_at = 0, 0

    def show(done: int, total: int | None) -> None:
        nonlocal shown_parts, shown_at
        if elapsed() < PATIENCE:
            return
        if total is None:
            if done >= 2 * shown_at:
                shown_at = done
                print(f"reading the text: {done / 1e6:,.0f} MB", flush=True)
        elif done * LINES >= shown_parts * total and total:
            shown_parts = done * LINES // total + 1
            print(f"reading the text: {done / total:4.0%} of {total / 1e6:,.0f} MB", flush=True)

    return show
