"""The parser of the command line, and arguments that several commands share."""

from __future__ import annotations

import argparse
import contextlib
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from pyrnn.backend import selection, threads
from pyrnn.cli._common.errors import UsageError

SIZES = 2**31 - 1
"""No size is larger than what a C++ int holds, and no parameter has more elements."""

SEEDS = 2**64 - 1
SHOWN_MOST = 40
"""The number of characters of a wrong value that are shown."""

Subparsers = Any
"""What `argparse.ArgumentParser.add_subparsers` returns; argparse gives it no public name."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        """Raise a `UsageError` instead of printing and leaving."""
        raise UsageError(message)


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return the type of an option that is a whole number in [least, most]."""

    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1 if _digits(text) is None else most + 1
        if number < least:
            raise _wrong(f"a whole number of at least {least}", text)
        if number > most:
            raise _wrong(f"a whole number of at most {most}", text)
        return number

    return convert


def _digits(text: str) -> re.Match[str] | None:
    """Return whether the text is a number, but too long for Python to read."""
    return re.fullmatch(r"\s*\+?\d+\s*", text)


def number(low: float, high: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """Return the type of an option that is a finite number in [low, high], or above ``low``."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < low or (above and value == low):
            raise _wrong(
                f"a number above {low:g}" if above else f"a number of at least {low:g}", text
            )
        if value > high:
            raise _wrong(f"a number of at most {high:g}", text)
        return value

    return convert


def _wrong(expected: str, text: str) -> argparse.ArgumentTypeError:
    shown = repr(text) if len(text) <= SHOWN_MOST else f"{text[:SHOWN_MOST]!r}..."
    return argparse.ArgumentTypeError(f"expected {expected}, got {shown}")


def file_name(text: str) -> str:
    """Check an argument that names a file."""
    if not text:
        raise _wrong("a file name", text)
    return text


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``."""
    kind = whole(1, threads.MOST_THREADS)
    help_text = "threads of the compiled core (default: all)"
    parser.add_argument("--threads", type=kind, metavar="N", help=help_text)


@contextlib.contextmanager
def use_threads(count: int | None) -> Iterator[None]:
    """Compute with this number of threads inside a ``with`` block; None: no change."""
    before = threads.get_num_threads()
    if count is not None:
        threads.set_num_threads(count)
    try:
        yield
    finally:
        threads.set_num_threads(before)


def check_native(argument: str) -> None:
    """Raise a `UsageError` if the compiled core is missing."""
    if "native" not in selection.available():
        raise UsageError(
            f"{argument}: expected the compiled core, but it is missing (pip install pyrnn)"
        )
