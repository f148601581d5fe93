"""What readers have in common: a spoiled file in its place, read in time or refused in a line."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pyrnn
from pyrnn.serialization import ModelFileError
from tests.fuzz.case import Case, Entry
from tests.fuzz.draw import Draw

SLOW = 1.0
"""Seconds of the processor that reading a small file never takes."""


class Reader(NamedTuple):
    """A reader of files: how its cases are drawn, and what they cover.

    ``warm`` makes the files that are spoiled, before any worker begins. ``packages`` have to be
    there. ``server`` begins in a worker what reads in its place.
    """

    name: str
    make: Callable[[Draw], Case]
    covers: tuple[str, ...]
    warm: Callable[[], object]
    packages: tuple[str, ...] = ()
    weight: float = 0.3
    server: Callable[[], object] | None = None

    @property
    def entry(self) -> str:
        """What the cases are called."""
        return f"spoiled {self.name} file"

    def as_entry(self) -> Entry:
        """As an entry point of the fuzzer."""
        return Entry(self.entry, self.make, self.covers, self.weight)


_place: Path | None = None
"""The folder of a worker, in which each file takes the place of the one before."""


@contextlib.contextmanager
def in_one_place(folder: Path) -> Iterator[None]:
    """Let all files be written into this folder, one over the other."""
    global _place
    _place = folder
    try:
        yield
    finally:
        _place = None


@contextlib.contextmanager
def placed(data: bytes, name: str) -> Iterator[Path]:
    """A file of these bytes, alone in a folder."""
    if _place is None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            yield path
        return
    path = _place / name
    with open(path, "wb", buffering=0) as file:
        file.write(data)
    try:
        yield path
    finally:  # a new file each time, as the one before may still be mapped
        os.unlink(path)
    left = os.listdir(_place)
    for other in left:
        os.unlink(_place / other)
    if left:
        raise AssertionError(f"leaves files behind: {left}")


def in_one_line(
    path: Path,
    read: Callable[[], Any],
    errors: tuple[type[BaseException], ...] = (ModelFileError,),
    most: int = 600,
    *,
    begins_with_path: bool = True,
) -> Any:
    """What is read; an AssertionError for everything that a refusal must not be."""
    begun = time.perf_counter()
    try:
        return read()
    except errors as error:
        said = str(error).removeprefix(f"{path}: ")
        unnamed = begins_with_path and said == str(error)
        if unnamed or "\n" in said or len(said) > most or "into memory" in said:
            raise AssertionError(f"a message that does not say it: {said[:200]!r}") from error
        raise
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}") from error
    finally:
        if time.perf_counter() - begun > SLOW and _processor_seconds(read) > SLOW:
            raise AssertionError("slow")


def _processor_seconds(read: Callable[[], Any]) -> float:
    """Of this process: other processes may have had the processor the first time.

    Asking for them each time would take longer than reading a file, on some systems.
    """
    begun = time.process_time()
    with contextlib.suppress(Exception):
        read()
    return time.process_time() - begun


def made_apart(make: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns, computed by a new process: what it imports stays there.

    Not by a fork: threads of torch do not survive one.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(make, *arguments).result()


def each(make: Callable[[int], Any], count: int) -> list[Any]:
    """What a function makes of 0, 1, ..., for `made_apart`."""
    return [make(number) for number in range(count)]


def parameters_of(layers: dict[str, Any]) -> list[dict[str, Any]]:
    """The arrays of all layers, which the caller may keep."""
    return [
        {name: array.copy() for name, array in layer.parameters.items()}
        for layer in layers.values()
        if isinstance(layer, pyrnn.Layer)
    ]
