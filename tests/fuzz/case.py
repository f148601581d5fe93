"""What a case is, and the list of entry points that cases are drawn for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.fuzz.draw import Draw, Mode
from tests.fuzz.mutate import mutate

Run = Callable[[dict[str, Any]], Any]


class Relation(NamedTuple):
    """Another way to the same bits: what it gives, beside what of the result it has to equal."""

    name: str
    run: Callable[[dict[str, Any]], tuple[Any, Any]]


@dataclass
class Case:
    """Arguments, and what is done with them.

    ``run`` makes the calls on the active backend and returns arrays within tuples, lists and
    dicts. ``expected`` is the right answer where no backend computes it. ``changes`` names the
    arguments that are changed in place, only if nothing is refused; or, if ``late``, also if one
    of several calls is refused (``run`` looks after that one then). ``in_numpy``: some of it is
    NumPy's work on either backend. ``shares`` names those that
    results may share memory with, ``names`` what an error may name besides the arguments,
    ``errors`` classes of exceptions that are documented besides the usual ones.
    ``nan_or_infinity`` says of the arguments whether one backend may have NaN where the other has
    an infinity.
    """

    arguments: dict[str, Any]
    run: Run
    relations: list[Relation] = field(default_factory=list)
    expected: Run | None = None
    changes: frozenset[str] = frozenset()
    late: bool = False
    in_numpy: bool = False
    shares: frozenset[str] = frozenset()
    names: Iterable[str] = ()
    errors: tuple[type[BaseException], ...] = ()
    nan_or_infinity: Callable[[dict[str, Any]], bool] = lambda arguments: False
    spoiled: list[str] = field(default_factory=list)


class Entry(NamedTuple):
    """An entry point: its name, how its cases are drawn, what they cover, how often it comes."""

    name: str
    make: Callable[[Draw], Case]
    covers: tuple[str, ...]
    weight: float


ENTRIES: dict[str, Entry] = {}


def entry(
    name: str, *covers: str, weight: float = 1.0
) -> Callable[[Callable[[Draw], Case]], Callable[[Draw], Case]]:
    """Enrol a function that draws cases; ``covers`` are the public names that these call."""

    def enrol(make: Callable[[Draw], Case]) -> Callable[[Draw], Case]:
        if name in ENTRIES:
            raise ValueError(f"two entries are called {name!r}")
        ENTRIES[name] = Entry(name, make, covers, weight)
        return make

    return enrol


def draw_case(entry: Entry, seed: int, number: int, mode: Mode | None = None) -> Case:
    """A case with fresh arguments; each call with the same numbers draws the same."""
    draw = Draw(entry.name, seed, number, mode)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers that are made for the shapes of their weights
        case = entry.make(draw)
    case.in_numpy |= any(name.startswith("textbook.") for name in entry.covers)
    for _ in range(draw.mutations):
        case.spoiled.append(mutate(draw, case.arguments))
    return case


def argument_names(arguments: Mapping[Any, Any]) -> set[str]:
    """The keys of nested dicts: what errors may call arguments."""
    names: set[str] = set()
    for key, value in arguments.items():
        names.add(str(key))
        if isinstance(value, Mapping):
            names |= argument_names(value)
    return names
