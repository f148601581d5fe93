"""What is printed: generated text, and lines on stderr.

On a terminal, control characters of generated text are shown instead of executed.

A model file may come from a stranger, and its characters may move the cursor, set the window's
title or reverse the order of letters.
"""

from __future__ import annotations

import contextlib
import sys
import unicodedata

_PLAIN = "\n\t"
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that mark or override the direction of writing."""


def say(message: str) -> None:
    """Print one line on stderr. Where that cannot be written, nothing else fails for it."""
    if sys.stderr is not None:  # print would write to stdout, among the results
        with contextlib.suppress(OSError, ValueError):
            print(escaped(" ".join(message.split())), file=sys.stderr, flush=True)


def print_written(text: str, *, raw: bool = False) -> None:
    """Print generated text; on a terminal with control characters escaped, unless ``raw``."""
    print(_shown(text, raw))


def print_piece(text: str, *, raw: bool = False) -> None:
    """Print a part of generated text at once, as `print_written` does."""
    print(_shown(text, raw), end="", flush=True)


def _shown(text: str, raw: bool) -> str:
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    return escaped(text) if on_terminal and not raw else text


def escaped(text: str) -> str:
    """Escape control characters as Python does, except line ends and tabs."""
    return "".join(map(_escaped, text))


def one_line(text: str) -> str:
    """Text with control characters, new lines too, as escapes: names are what a file says."""
    return escaped(text).replace("\n", "\\n").replace("\t", "\\t")


def _escaped(character: str) -> str:
    obeyed = unicodedata.category(character) in ("Cc", "Zl", "Zp") or character in _TURNING
    if not obeyed or character in _PLAIN:
        return character
    return character.encode("unicode_escape").decode("ascii")
