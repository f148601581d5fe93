"""What a unit may track in a text: for each character a number."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np

from pyrnn._types import Array

STRAIGHT = "\"'"
OPENING, CLOSING = "([{", ")]}"
CURLY = {"“": "”", "«": "»", "„": "“"}
TAB = 4
"""The width of a tab in an indentation."""


def quotes(text: str) -> Array:
    """1 within quotation marks, the opening one included; 0 elsewhere.

    Straight quotes end with their line. Three in a row do not count: where a text begins within a
    docstring, the inside could not be told from the outside. An apostrophe between letters is no
    quote, and a backslash in a quotation takes the next character's meaning away.
    """
    inside = np.zeros(len(text))
    end, place = "", 0
    while place < len(text):
        character, step = text[place], 1
        if end:
            if character == "\\" and end in STRAIGHT:
                step = 2
            elif character == end or (character == "\n" and end in STRAIGHT):
                end = ""
        elif character in STRAIGHT and text.startswith(character * 3, place):
            step = 3
        else:
            end = _opened(text, place)
        inside[place : place + step] = bool(end)
        place += step
    return inside


def _opened(text: str, place: int) -> str:
    """The string that ends the quotation that begins here; empty if none begins."""
    character = text[place]
    if character not in STRAIGHT:
        return CURLY.get(character, "")
    word = text[place - 1 : place + 2] if place else ""
    apostrophe = character == "'" and len(word) == 3 and word[0].isalnum() and word[2].isalnum()
    return "" if apostrophe else character


def indentation(text: str) -> Array:
    """The width of the white space that the line begins with, as far as it has been read."""
    return _along_lines(text, _indents)


def _indents(line: str) -> Iterator[float]:
    width, leading = 0, True
    for character in line:
        leading = leading and character in " \t"
        if leading:
            width += TAB if character == "\t" else 1
        yield 0 if character == "\n" else width


def brackets(text: str) -> Array:
    """The number of open brackets outside of quotations; an empty line closes all."""
    depths, depth = np.zeros(len(text)), 0
    inside = quotes(text)
    for place, character in enumerate(text):
        if not inside[place]:
            if character in OPENING:
                depth += 1
            elif character in CLOSING:
                depth = max(0, depth - 1)
            elif character == "\n" and text[place - 1 : place] == "\n":
                depth = 0
        depths[place] = depth
    return depths


def line_length(text: str) -> Array:
    """The number of characters since the line began."""
    return _along_lines(text, lambda line: (0 if c == "\n" else n + 1 for n, c in enumerate(line)))


def _along_lines(text: str, of_line: Callable[[str], Iterator[float]]) -> Array:
    found = [value for line in re.findall(r"[^\n]*\n|[^\n]+", text) for value in of_line(line)]
    values: Array = np.array(found, dtype=np.float64)
    return values


PROPERTIES: dict[str, Callable[[str], Array]] = {
    "quotes": quotes,
    "indentation": indentation,
    "brackets": brackets,
    "line length": line_length,
}
