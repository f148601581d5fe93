"""Judges one case: runs it on the core and on the reference, and says what is wrong with it."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

import pyrnn
from pyrnn import _pieces
from pyrnn.backend import selection
from pyrnn.training.divergence import DivergenceError
from tests.fuzz import compare, modes
from tests.fuzz.case import Case, Entry, argument_names, draw_case
from tests.fuzz.draw import Draw, Mode

REFUSALS = (TypeError, ValueError, KeyError, NotImplementedError, MemoryError)
BINDING = re.compile(r"incompatible (function|constructor) arguments|\(arg\d|std::|pybind")
EXPECTED = re.compile(
    "invalid value encountered in matmul|UserWarning: dropout acts between layers"
    "|UserWarning: learning_rate: training with .* ended worse than it began"
    "|DataConversionWarning: A column-vector y was passed"
)
"""NumPy may say the first of lanes that nobody reads; see pyproject.toml. The others are meant."""
FROM_NUMPY = re.compile(
    "RuntimeWarning: (overflow|underflow|invalid value|divide by zero) |" + EXPECTED.pattern
)
"""What NumPy says of infinities and NaN where it computes: in the reference, and in the articles'
functions, which are NumPy's in part on every backend."""


class Finding(NamedTuple):
    """What is wrong with a case, in words that are the same for like cases."""

    entry: str
    kind: str
    detail: str


class Outcome(NamedTuple):
    """How a run ended: with a result or with an exception, and what it did on the way."""

    result: Any
    error: BaseException | None
    problems: list[str]
    case: Case


class Verdict(NamedTuple):
    """What came of a case: whether it was refused, what is wrong, what overflow leaves open."""

    refused: bool
    findings: list[Finding]
    undecided: bool = False


def check(entry: Entry, seed: int, number: int) -> Verdict:
    """Run one case in all the ways that it is compared by."""

    def run(backend: str, mode: Mode | None = None) -> Outcome:
        return attempt(draw_case(entry, seed, number, mode), backend)

    def again(mode: Mode) -> Outcome:
        with modes.rerun(mode):
            return run("reference", mode)

    def again_flat(mode: Mode) -> compare.Flat | None:
        outcome = again(mode)
        if mode.dtype is None and isinstance(outcome.error, TypeError):  # these were taken before
            raise outcome.error
        return None if outcome.error else compare.flatten(outcome.result)

    backends = [name for name in ("native", "reference") if name in selection.available()]
    draw = Draw(entry.name, seed, number)
    outcomes = [run(name) for name in backends]
    first, last = outcomes[0], outcomes[-1]
    problems: list[tuple[str, str]] = []
    undecided = False
    for name, outcome in zip(backends, outcomes, strict=True):
        problems += [(f"{name}", problem) for problem in outcome.problems]
    if type(first.error) is not type(last.error):
        undecided = _overflow_refuses(first, last, draw, again)
        if not undecided:
            problems.append(("backends", f"{_said(first.error)} / {_said(last.error)}"))
    elif first.error is None:
        results = compare.flatten(first.result), compare.flatten(last.result)
        nan_or_infinity = first.case.nan_or_infinity(first.case.arguments)
        found, undecided = compare.difference(
            *results, draw.drawn_dtype, again_flat, nan_or_infinity
        )
        if found:
            problems.append(("difference", found))
    if first.error is None:
        before = _bits(first.result)
        problems += _other_ways(entry, seed, number, first, draw)
        if _bits(first.result) != before:
            problems.append(("native", "a later call changes the result of this one"))
    findings = [Finding(entry.name, kind, detail) for kind, detail in dict.fromkeys(problems)]
    return Verdict(first.error is not None, findings, undecided)


def _overflow_refuses(
    first: Outcome, last: Outcome, draw: Draw, again: Callable[[Mode], Outcome]
) -> bool:
    """Whether one backend refuses, as diverged, what overflows in another order.

    Then the reference in a wider type, in which nothing overflows, ends as the core does.
    """
    refusals = [outcome.error for outcome in (first, last) if outcome.error is not None]
    wider = compare.WIDER[draw.drawn_dtype]
    if wider is None or len(refusals) != 1:
        return False
    if not isinstance(refusals[0], DivergenceError):
        return False
    return type(again(Mode(dtype=wider)).error) is type(first.error)


# --- one run --------------------------------------------------------------------------------


def attempt(case: Case, backend: str) -> Outcome:
    """Run a case on one backend, and look at what it left behind."""
    before = _snapshot(case.arguments)
    result, error = None, None
    numpy = backend == "reference" or case.in_numpy
    with _surroundings(FROM_NUMPY if numpy else EXPECTED) as problems, pyrnn.use_backend(backend):
        try:
            result = case.run(case.arguments)
        except Exception as caught:
            error = caught
    changes = frozenset() if error and not case.late else case.changes
    after = _snapshot(case.arguments)
    changed = sorted({key[0] for key in before if before[key] != after.get(key)} - changes)
    problems += [f"changes {name}" for name in changed]
    if error is None:
        problems += _result_problems(case, result)
    else:
        problems += _error_problems(case, error)
    return Outcome(result, error, problems, case)


@contextlib.contextmanager
def _surroundings(expected: re.Pattern[str]) -> Iterator[list[str]]:
    """What a call must leave as it is, and the warnings that it may give."""
    problems: list[str] = []
    settings = _settings()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield problems
    problems += sorted(
        f"warns: {said}"
        for said in {f"{w.category.__name__}: {w.message}" for w in caught}
        if not expected.search(said)
    )
    for name, value in _settings().items():
        if value != settings[name]:
            problems.append(f"leaves another {name}")


def _settings() -> dict[str, Any]:
    tiny = np.array([np.finfo(np.float32).tiny])
    return {
        "flush mode": bool((tiny * np.float32(0.5) > 0).all()),
        "error state": np.geterr(),
        "backend": pyrnn.build_info()["backend"],
        "state of np.random": np.random.get_state()[1].tobytes(),  # noqa: NPY002
    }


def _snapshot(arguments: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """All that could be changed of the arguments, by argument and path in it."""
    return {
        (name, path): _frozen(value)
        for name, argument in arguments.items()
        for path, value in compare.flatten(argument).items()
    }


def _frozen(value: Any) -> Any:
    array = getattr(value, "_array", value)  # what a wrapper holds
    if not isinstance(array, np.ndarray):
        return repr(value) if isinstance(value, (float, set)) else id(type(value))
    return (array.dtype.str, array.shape, array.strides, array.flags.writeable, array.tobytes())


# --- what came out --------------------------------------------------------------------------


def _result_problems(case: Case, result: Any) -> list[str]:
    inputs = [
        np.asarray(value)
        for name, argument in case.arguments.items()
        if name not in case.shares | case.changes
        for value in compare.flatten(argument).values()
        if isinstance(getattr(value, "_array", value), np.ndarray)
    ]
    problems = []
    for path, value in compare.flatten(result).items():
        if not isinstance(value, np.ndarray):
            continue
        name = compare.general(path)
        if type(value) is not np.ndarray and not case.shares:
            problems.append(f"{name}: is a {type(value).__name__}")
        if not value.dtype.isnative:
            problems.append(f"{name}: not in the machine's order of bytes")
        if any(np.may_share_memory(value, array) for array in inputs if array.size):
            problems.append(f"{name}: shares memory with an argument")
    return problems


def _error_problems(case: Case, error: BaseException) -> list[str]:
    if not isinstance(error, (*REFUSALS, *case.errors)):
        return [f"raises {_said(error)}"]
    text = str(error.args[0] if error.args else "")
    if BINDING.search(text):
        return [f"shows a binding's signature: {type(error).__name__}"]
    names = argument_names(case.arguments) | set(case.names)
    named = set(re.findall(r"\w+", text)) & names
    if not named and not isinstance(error, (MemoryError, OSError)):
        return [f"names no argument: {_said(error)}"]
    return []


def _said(error: BaseException | None) -> str:
    """An error without what differs between like errors."""
    if error is None:
        return "no error"
    text = re.sub(r"got .*", "got ...", str(error), flags=re.DOTALL)
    return f"{type(error).__name__}: {re.sub(r'[0-9]+', '#', text)[:120]}"


def _bits(result: Any) -> list[bytes]:
    leaves = compare.flatten(result).values()
    return [leaf.tobytes() for leaf in leaves if isinstance(leaf, np.ndarray)]


# --- other ways to the same bits ------------------------------------------------------------


def _other_ways(
    entry: Entry, seed: int, number: int, first: Outcome, draw: Draw
) -> list[tuple[str, str]]:
    """Other threads, processes and pieces, and what the case itself knows."""

    def fresh() -> Case:
        return draw_case(entry, seed, number)

    problems = []
    backend = "native" if "native" in selection.available() else "reference"
    if draw.chance(0.3):
        for count in (1, 3):
            with _threads(count), pyrnn.use_backend(backend):
                found = compare.bit_difference(_plain_run(fresh()), first.result)
            if found:
                problems.append(("threads", found))
    if draw.chance(0.05):
        found = _at_once([fresh() for _ in range(3)], first.result, backend)
        if found:
            problems.append(("several threads", found))
    if draw.chance(0.04):
        found = _forked(fresh(), first.result, backend)
        if found:
            problems.append(("fork", found))
    if draw.chance(0.15):
        with _pieces_of(draw.choice((1, 7, 100))), pyrnn.use_backend(backend):
            try:
                found = compare.bit_difference(_plain_run(fresh()), first.result)
            except Exception as error:
                found = _said(error)
        if found:
            problems.append(("pieces", found))
    if not first.case.spoiled:
        for index, relation in enumerate(first.case.relations):
            with pyrnn.use_backend(backend), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                case = fresh()
                try:
                    found = compare.bit_difference(*case.relations[index].run(case.arguments))
                except Exception as error:
                    found = _said(error)
            if found:
                problems.append((relation.name, found))
    if first.case.expected is not None and not first.case.spoiled:
        case = fresh()
        found = compare.bit_difference(first.result, case.expected(case.arguments))
        if found:
            problems.append(("expected", found))
    return problems


@contextlib.contextmanager
def _pieces_of(numbers: int) -> Iterator[None]:
    """Work on arrays in pieces of so many numbers, as on far larger arrays."""
    before = _pieces.PIECE
    _pieces.PIECE = numbers
    try:
        yield
    finally:
        _pieces.PIECE = before


def _plain_run(case: Case) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return case.run(case.arguments)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = pyrnn.get_num_threads()
    pyrnn.set_num_threads(count)
    try:
        yield
    finally:
        pyrnn.set_num_threads(before)


def _at_once(cases: list[Case], expected: Any, backend: str) -> str | None:
    """What several threads make of the same case at the same time."""

    def work(case: Case) -> str | None:
        with pyrnn.use_backend(backend):
            return compare.bit_difference(case.run(case.arguments), expected)

    with warnings.catch_warnings(), ThreadPoolExecutor(len(cases)) as pool:
        warnings.simplefilter("ignore")
        found = [answer for answer in pool.map(work, cases) if answer]
    return found[0] if found else None


def _forked(case: Case, expected: Any, backend: str) -> str | None:
    """What a child process makes of the same case."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
        child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException), os.fdopen(writing, "wb") as pipe:
            with pyrnn.use_backend(backend):
                found = compare.bit_difference(_plain_run(case), expected)
            pipe.write(pickle.dumps(found))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(answer) if answer else "the child died"
