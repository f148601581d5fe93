"""What an operator is built from: a node's attributes, its opset, and its constant inputs."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

import numpy as np

from pyrnn.interop.onnx.graph import DTYPES, AnyArray, GraphError, Node, UnsupportedError

Function = Callable[..., Any]
"""Takes the inputs (None for one left out); returns the output, or a tuple of several."""

Kind = TypeVar("Kind")

MOST_NUMBERS = (1 << 31) - 1
FOLDED_NUMBERS = 1 << 22
"""Most elements of one array that is computed before any input is known; and of all:"""
ALL_FOLDED_NUMBERS = 1 << 24
CONTRADICTIONS = (
    ValueError, IndexError, KeyError, TypeError, AttributeError, ZeroDivisionError, OverflowError,
)  # fmt: skip
"""The errors that operators raise if inputs and attributes do not fit each other."""
_most_numbers: ContextVar[int] = ContextVar("pyrnn_onnx_most_numbers", default=MOST_NUMBERS)


class Build(NamedTuple):
    """A node, and what is known of it before any input."""

    node: Node
    opset: int
    constants: Mapping[str, AnyArray]
    shared: MutableMapping[Any, Any] | None = None
    """What several nodes of a graph have in common, as packed weights."""

    def constant(self, index: int) -> AnyArray | None:
        """An input that never changes; None for other inputs and for one that is left out."""
        return self.constants.get(self.node.inputs[index]) if self.given(index) else None

    def given(self, index: int) -> bool:
        """Whether the node has this input."""
        return index < len(self.node.inputs) and self.node.inputs[index] != ""

    def wanted(self, index: int) -> bool:
        """Whether this output is used."""
        return index < len(self.node.outputs) and self.node.outputs[index] != ""

    def integer(self, name: str, default: int) -> int:
        """A whole number."""
        return self._of(name, int, default)

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean, stored as 0 or another number."""
        return self.integer(name, int(default)) != 0

    def number(self, name: str, default: float) -> float:
        """A float."""
        return self._of(name, float, default)

    def text(self, name: str, default: str) -> str:
        """A string."""
        return self._of(name, str, default)

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Whole numbers; None without the attribute."""
        return self._many(name, int)

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """Floats; None without the attribute."""
        return self._many(name, float)

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Strings; None without the attribute."""
        return self._many(name, str)

    def array(self, name: str) -> AnyArray | None:
        """A tensor; None without the attribute."""
        return self._of(name, np.ndarray, None) if name in self.node.attributes else None

    def unsupported(self, what: str) -> UnsupportedError:
        """The error for something that this node needs and pyrnn does not have."""
        return UnsupportedError(f"{self.node}: {what} is not implemented")

    def _of(self, name: str, kind: type[Kind], default: Any) -> Kind:
        value = self.node.attributes.get(name, default)
        if name in self.node.attributes and not isinstance(value, kind):
            raise GraphError(
                f"{self.node}: {name}: expected {kind.__name__}, got {type(value).__name__}"
            )
        found: Kind = value
        return found

    def _many(self, name: str, kind: type[Kind]) -> tuple[Kind, ...] | None:
        if name not in self.node.attributes:
            return None
        values = self._of(name, tuple, ())
        if not all(isinstance(value, kind) for value in values):
            raise GraphError(f"{self.node}: {name}: expected numbers of one kind, got {values!r}")
        return values


class OfFirst:
    """A function of the first input alone: what the others say was known when it was built."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, x: Any, *_: Any) -> Any:
        """Take all inputs, as any operator does."""
        return self.function(x)


Builder = Callable[[Build], Function]


def plain(function: Function) -> Builder:
    """An operator without attributes."""
    return lambda build: function


def widened(builder: Builder) -> Builder:
    """The operator, in float32 and rounded once where its weights are float16."""

    def build(build: Build) -> Function:
        known = [(name, build.constants.get(name)) for name in build.node.inputs]
        wide = {n: a.astype(np.float32) for n, a in known if a is not None and a.dtype == HALF}
        if not wide:
            return builder(build)
        run = builder(build._replace(constants=ChainMap(wide, dict(build.constants))))
        places = [wide.get(name) for name in build.node.inputs]

        def rounded(*inputs: Any) -> Any:
            single = [
                x.astype(np.float32) if fixed is None and getattr(x, "dtype", None) == HALF else x
                for x, fixed in zip(inputs, places, strict=False)
            ]
            single = [x if w is None else w for x, w in zip(single, places, strict=False)]
            result = run(*single)
            if inputs[0].dtype != HALF:
                return result
            if type(result) is tuple:
                return tuple(_half(part) for part in result)
            return _half(result)

        return rounded

    return build


HALF = np.dtype(np.float16)


def _half(part: Any) -> Any:
    return part.astype(HALF) if getattr(part, "dtype", None) == np.float32 else part


def dtype_of(build: Build, number: int) -> np.dtype[Any]:
    """The dtype that ONNX gives this number."""
    if number not in DTYPES:
        raise build.unsupported(f"element type {number}")
    return DTYPES[number]


def contradiction(error: Exception) -> str:
    """One line for an error among `CONTRADICTIONS`, whose message may not be for users."""
    said = " ".join(str(error).split())
    if isinstance(error, ValueError):
        return said
    return f"expected inputs and attributes that fit each other ({said[:200]})"


# --- sizes ----------------------------------------------------------------------------------


@contextmanager
def folding() -> Iterator[None]:
    """Limit the size of what is computed before any input is known."""
    token = _most_numbers.set(FOLDED_NUMBERS)
    try:
        yield
    finally:
        _most_numbers.reset(token)


class TooManyNumbersError(MemoryError):
    """An operator would make an array of an implausible size."""


def check_size(shape: Sequence[int]) -> None:
    """Refuse a huge shape that follows from a few numbers of the file, not from its data."""
    most = _most_numbers.get()
    if math.prod(map(int, shape)) > most:
        raise TooManyNumbersError(
            f"expected at most {most} numbers, got shape {tuple(map(int, shape))}"
        )


def axis_of(axis: int, ndim: int) -> int:
    """An axis counted from the front."""
    if not -ndim <= axis < max(ndim, 1):
        raise ValueError(f"axis: expected one of {ndim} axes, got {axis}")
    return axis % ndim if ndim else 0


def ints(array: Any) -> list[int]:
    """The whole numbers of an input that says sizes or axes."""
    return [int(number) for number in np.asarray(array).reshape(-1)]
