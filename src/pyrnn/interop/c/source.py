"""A model's C while it grows: constants, functions of layers, the state, the lines of one step."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from pyrnn._number_formats import int8
from pyrnn._number_formats.narrow import narrowed
from pyrnn._types import Array, Indices, Storage
from pyrnn.interop.c.functions import EXACT, FUNCTIONS, INTEGERS, Integers

_PER_LINE = 8
_API = ("state", "init", "reset", "step", "vocabulary")
"""What the header declares, each behind the model's name."""
_MACROS = ("H", "INPUT_SIZE", "OUTPUT_SIZE")
_TYPES = (
    "size_t",
    "float_t",
    "double_t",
    *(f"{u}int{bits}_t" for u in ("", "u") for bits in (8, 16, 32, 64)),
)
_LOCALS = ("old_h", "old_c", "reset_h")
"""Names within the functions of layers that have a _, as all names of the file have."""


def in_comment(text: str) -> str:
    """Text, as names of the user's classes, that does not end a comment of C, in ASCII."""
    ascii_text = text.encode("ascii", "backslashreplace").decode()
    return " ".join(ascii_text.replace("*/", "* /").replace("/*", "/ *").split())


def _new(name: str, used: set[str]) -> str:
    """The name, or a longer one if it is used; from now on it is."""
    while name in used:
        name += "_"
    used.add(name)
    return name


class Source:
    """What layers add to one after the other.

    ``value`` is the C expression of what the last layer gave, ``size`` numbers; before the first
    layer it is "x". ``indices`` says how many indices the input may be; 0 where it is numbers.
    """

    def __init__(
        self, prefix: str, dtype: np.dtype[np.floating[Any]], storage: Storage = "full"
    ) -> None:
        self.prefix: str = prefix
        self.dtype: np.dtype[np.floating[Any]] = dtype
        self.allowed: float = 1e-5 if dtype == np.float32 else 1e-12
        """How far outputs may be from pyrnn's."""
        self.parts: list[str] = []
        self.state: list[tuple[str, int]] = []
        self.wide: list[tuple[str, int]] = []
        """Arrays of the state: of the model's numbers, and of double."""
        self.results: dict[str, int] = {}
        self.steps: list[str] = []
        self.called: set[str] = set()
        self.vocabulary: list[int] = []
        """The characters of the indices, where they stand for characters: code points."""
        self.int8: Integers | None = INTEGERS.get(storage)
        """What x and h become where matrices are whole numbers with a scale for each row."""
        self._known: dict[str, str] = EXACT if self.int8 else FUNCTIONS
        self.is_narrow: bool = storage != "full"
        self.narrow: Storage | None = storage if storage in ("bfloat16", "float16") else None
        """The format of matrices, if it has 16 bits."""
        self.own: dict[str, str] = {"tanh": "own_tanh" if self.int8 else "tanhf"}
        """Activations that C has by another name."""
        self.flash: int = 0
        self.value: str = "x"
        self.size: int = 0
        self.indices: int = 0
        self.inputs: int = 0
        self._layers: set[str] = set()
        self._names: set[str] = {*EXACT, *_TYPES, *_LOCALS}
        """All that the file declares outside of functions, or calls."""
        self._names |= {f"{prefix}_{name}" for name in _API}
        self._names |= {f"{prefix.upper()}_{name}" for name in _MACROS}
        self._lines: list[str] = []
        self._buffers: dict[str, int] = {}
        self._whole_numbers = 0
        self._most_buffer_bytes = 0

    def take_numbers(self, count: int) -> None:
        """The input is so many numbers."""
        self.size = self.inputs = count

    def take_indices(self, count: int) -> None:
        """The input is an index below ``count``."""
        self.size = self.indices = count

    def identifier(self, name: str) -> str:
        """A layer's name as a part of names in C, which no other layer has."""
        plain = re.sub(r"\W", "_", name, flags=re.ASCII)
        plain = f"layer_{plain}" if plain[:1].isdigit() else plain
        return _new(plain, self._layers)

    def number(self, value: float) -> str:
        """A number, from which C makes exactly this one."""
        single = self.dtype == np.float32
        text = f"{value:.9g}" if single else f"{value:.17g}"
        return text + ".0" * ("." not in text and "e" not in text) + "f" * single

    def numbers(self, values: Array | Indices) -> str:
        """The lines within the braces of an array."""
        flat = values.ravel().tolist()
        words = list(map(str if values.dtype.kind in "iu" else self.number, flat))
        rows = (words[at : at + _PER_LINE] for at in range(0, len(words), _PER_LINE))
        return ",\n".join(f"    {', '.join(row)}" for row in rows)

    def constant(self, name: str, values: Array, comment: str = "") -> str:
        """A constant array; its name in C."""
        named = _new(f"{self.prefix}_{name}", self._names)
        own = np.ascontiguousarray(values, self.dtype)
        shape = " x ".join(map(str, own.shape))
        self.parts.append(
            f"/* {comment or name}: {shape} */\n"
            f"static const float {named}[{own.size}] = {{\n{self.numbers(own)}\n}};\n"
        )
        self.flash += own.nbytes
        return named

    def int8_matrix(self, name: str, matrix: Array, transposed: bool = False) -> tuple[str, str]:
        """A matrix as whole numbers and the scales of its rows; the names of both in C."""
        rows = int8.weights(matrix)
        numbers = rows.numbers.T if transposed else rows.numbers
        named = _new(f"{self.prefix}_{name}", self._names)
        shape = " x ".join(map(str, numbers.shape))
        comment = f"{name}, transposed" if transposed else name
        self.parts.append(
            f"/* {comment}: {shape}, to be multiplied with {name}_scales */\n"
            f"static const int8_t {named}[{numbers.size}] = {{\n{self.numbers(numbers)}\n}};\n"
        )
        self.flash += numbers.nbytes
        return named, self.constant(f"{name}_scales", rows.scales)

    def narrow_matrix(self, name: str, matrix: Array, comment: str = "") -> str:
        """A matrix as the bits of its numbers of 16 bits; the name in C."""
        bits = narrowed(self.narrow or "bfloat16", matrix)
        named = _new(f"{self.prefix}_{name}", self._names)
        shape = " x ".join(map(str, bits.shape))
        self.parts.append(
            f"/* {comment or name}: {shape}, as the bits of {self.narrow} */\n"
            f"static const uint16_t {named}[{bits.size}] = {{\n{self.numbers(bits)}\n}};\n"
        )
        self.flash += bits.nbytes
        return named

    def activated(self, layer: str, function: str, applied: dict[str, str]) -> str:
        """A function of a cell with other activations; its name in C.

        ``applied`` has what gate, candidate and output make of x, as expressions.
        """
        text = self._known[function]
        text = re.sub(r"\bsigmoid\(", "gate(", text)
        text = re.sub(r"\b(?:tanhf|own_tanh)\(c\[j\]\)", "output(c[j])", text)
        text = re.sub(r"\b(?:tanhf|own_tanh)\(", "candidate(", text)
        text = re.sub(r"\bmix\(", "mix_activated(", text)
        named = _new(f"{self.prefix}_{layer}_{function}", self._names)
        text = re.sub(rf"\b{function}\(", f"{named}(", text)
        for part, expression in applied.items():
            if f" {part}(" not in text and f"({part}(" not in text:
                continue
            own = _new(f"{named}_{part}", self._names)
            text = re.sub(rf"\b{part}\(", f"{own}(", text)
            self._note_calls(expression)
            head = f"static float {own}(float x)"
            self.parts.append(f"{head}\n{{\n    return {expression};\n}}\n")
        self.parts.append(text.lstrip("\n"))
        self._note_calls(text)
        return named

    def whole_numbers(self, count: int) -> str:
        """An array of integers within the layer's function, which products share."""
        self._whole_numbers = max(self._whole_numbers, count)
        return "whole"

    def kept(self, name: str, size: int, wide: bool = False) -> str:
        """An array of the state, if ``wide`` of double; the expression for it."""
        (self.wide if wide else self.state).append((name, size))
        return f"state->{name}"

    def buffer(self, name: str, size: int) -> str:
        """An array within the layer's function."""
        self._buffers[name] = size
        return name

    def line(self, text: str) -> None:
        """A line of the layer's function."""
        self._note_calls(text)
        self._lines.append(text)

    def _note_calls(self, text: str) -> None:
        """Have the functions that a text calls in the file."""
        self.called |= set(re.findall(r"\w+", text)) & set(self._known)

    def call(self, function: str, *arguments: object) -> None:
        """A line that calls a function."""
        self.line(f"{function}({', '.join(map(str, arguments))});")

    def end_layer(self, name: str, comment: str, size: int, given: str = "") -> None:
        """Make a function of the lines so far.

        What it gives is ``given``, a part of the state, or else what it wrote to ``y``.
        """
        result = "" if given else _new(f"y_{name}", self._names)
        takes = "size_t x" if self.value == "x" and self.indices else "const float *x"
        with_state = any("state->" in line for line in self._lines)
        parameters = [f"{self.prefix}_state *state"] * with_state + [takes]
        arguments = ["state"] * with_state + [self.value]
        if result:
            parameters.append("float *y")
            arguments.append(result)
            self.results[result] = size
        lines = [f"float {buffer}[{count}];" for buffer, count in self._buffers.items()]
        if self.int8 and self._whole_numbers:
            lines.append(f"int{self.int8.bits}_t whole[{self._whole_numbers}];")
        body = "\n".join(f"    {line}" for line in [*lines, *self._lines])
        function = _new(f"{self.prefix}_{name}", self._names)
        head = f"static void {function}({', '.join(parameters)})"
        self.parts.append(f"/* {in_comment(comment)} */\n{head}\n{{\n{body}\n}}\n")
        self.steps.append(f"{function}({', '.join(arguments)});")
        own_bytes = sum(self._buffers.values()) * self.dtype.itemsize
        if self.int8:
            own_bytes += self.int8.bits // 8 * self._whole_numbers
        self._most_buffer_bytes = max(self._most_buffer_bytes, own_bytes)
        self._lines, self._buffers, self._whole_numbers = [], {}, 0
        self.value, self.size = given or result, size

    def state_bytes(self) -> int:
        """Of the state of one sequence."""
        own, wide = (sum(size for _, size in arrays) for arrays in (self.state, self.wide))
        return own * self.dtype.itemsize + wide * 8

    def stack_bytes(self) -> int:
        """Of the arrays that a step has on the stack at once."""
        return sum(self.results.values()) * self.dtype.itemsize + self._most_buffer_bytes
