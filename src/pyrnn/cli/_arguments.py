"""The parser of the command line, and what several commands do with their arguments."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from pyrnn import _backend, threads
from pyrnn.cli._errors import UsageError

Subparsers = Any
"""What `argparse.ArgumentParser.add_subparsers` returns; argparse gives it no public name."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        """Raise a `UsageError` instead of printing and leaving."""
        raise UsageError(message)


def whole(least: int) -> Callable[[str], int]:
    """The type of an option that is a whole number of at least ``least``."""

    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {least}, got {text!r}"
            )
        return number

    return convert


def number(low: float, *, above: bool = False) -> Callable[[str], float]:
    """The type of an option that is a finite number of at least ``low``, or above it."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < low or (above and value == low):
            bound = f"above {low:g}" if above else f"of at least {low:g}"
            raise argparse.ArgumentTypeError(f"expected a number {bound}, got {text!r}")
        return value

    return convert


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``."""
    parser.add_argument(
        "--threads", type=whole(1), metavar="N", help="threads of the compiled core (default: all)"
    )


@contextlib.contextmanager
def use_threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads inside a ``with`` block; None leaves them as they are."""
    before = threads.get_num_threads()
    if count is not None:
        threads.set_num_threads(count)
    try:
        yield
    finally:
        threads.set_num_threads(before)


def check_native(argument: str) -> None:
    """Raise a `UsageError` if the compiled core is missing."""
    if "native" not in _backend.BACKENDS:
        raise UsageError(
            f"{argument}: expected the compiled core, but it is missing (pip install pyrnn)"
        )
