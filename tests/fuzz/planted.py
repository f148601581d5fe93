"""Entry points with a fault each, to see that the fuzzer finds it."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import pyrnn
from pyrnn import _pieces
from pyrnn.backend import selection
from pyrnn.training.divergence import DivergenceError
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw

Arguments = dict[str, Any]


def _native() -> bool:
    return selection.current().name == "native"


def plant(name: str, kind: str, weight: float = 1.0) -> Callable[[Callable[[Arguments], Any]], Any]:
    """Enrol a function of one argument x; ``kind`` is what the fuzzer should say of it."""

    def enrol(run: Callable[[Arguments], Any]) -> Any:
        def make(draw: Draw) -> Case:
            draw.mutations, draw.wild = 0, ""
            return Case({"x": np.asarray(draw.array(2, 3))}, run)

        EXPECTED[name] = kind
        return entry(name, weight=weight)(make)

    return enrol


EXPECTED: dict[str, str] = {}


@plant("wrong value", "difference: : another value")
def _(a: Arguments) -> Any:
    return a["x"] * (1.001 if _native() else 1)


@plant("wrong shape", "difference: : shape")
def _(a: Arguments) -> Any:
    return np.ones((2, 3) if _native() else (3, 2), np.float32)


@plant("wrong dtype", "difference: : dtype float64 for float32")
def _(a: Arguments) -> Any:
    return np.ones(2, np.float64 if _native() else np.float32)


@plant("NaN", "difference: : NaN or infinity elsewhere")
def _(a: Arguments) -> Any:
    return np.array([np.nan if _native() else 1.0])


@plant("changed input", "native: changes x")
def _(a: Arguments) -> Any:
    x = a["x"].copy()
    a["x"] = x + 1
    return x


@plant("shared memory", "native: : shares memory with an argument")
def _(a: Arguments) -> Any:
    return a["x"][:1]


@plant("subclass", "native: : is a matrix")
def _(a: Arguments) -> Any:
    return np.ones((2, 2)).view(np.matrix)


@plant("order of bytes", "native: : not in the machine's order of bytes")
def _(a: Arguments) -> Any:
    return np.ones(2, np.dtype(np.float32).newbyteorder("S"))


@plant("warning", "native: warns: UserWarning: careful")
def _(a: Arguments) -> Any:
    warnings.warn("careful", stacklevel=1)
    return 1.0


@plant("one refuses", "backends: ValueError: x: no / no error")
def _(a: Arguments) -> Any:
    if _native():
        raise ValueError("x: no")
    return 1.0


@plant("other class", "backends: ValueError: x: no / TypeError: x: no")
def _(a: Arguments) -> Any:
    raise (ValueError if _native() else TypeError)("x: no")


@plant("unnamed", "native: names no argument: ValueError: something is wrong")
def _(a: Arguments) -> Any:
    raise ValueError("something is wrong")


@plant("binding", "native: shows a binding's signature: TypeError")
def _(a: Arguments) -> Any:
    raise TypeError("f(): incompatible function arguments. (arg0: x)")


@plant("unusual error", "native: raises ZeroDivisionError: x")
def _(a: Arguments) -> Any:
    raise ZeroDivisionError("x")


@plant("global generator", "native: leaves another state of np.random")
def _(a: Arguments) -> Any:
    np.random.random()  # noqa: NPY002
    return 1.0


@plant("error state", "native: leaves another error state")
def _(a: Arguments) -> Any:
    np.seterr(over="warn" if np.geterr()["over"] == "ignore" else "ignore")
    return 1.0


@plant("threads", "threads: : bits")
def _(a: Arguments) -> Any:
    return np.array([pyrnn.get_num_threads() * 1.0])


@plant("pieces", "pieces: : bits")
def _(a: Arguments) -> Any:
    return np.array([_pieces.PIECE * 1.0])


# --- among huge numbers, where overflow leaves some cases undecided -----------------------------


def plant_huge(name: str, kind: str, x: list[float]) -> Callable[..., Any]:
    """Enrol a function of these float32 numbers, in a case that counts as one of huge numbers."""

    def enrol(run: Callable[[Arguments], Any]) -> Any:
        def make(draw: Draw) -> Case:
            draw.mutations, draw.wild, draw.drawn_dtype = 0, "huge", "float32"
            draw.dtype = np.float32 if draw.mode is None else draw.mode.dtype or np.float32
            return Case({"x": np.array(x, draw.dtype)}, run)

        EXPECTED[name] = kind
        return entry(name, weight=0.7)(make)

    return enrol


ELSEWHERE = "difference: {}: NaN or infinity elsewhere"


@plant_huge("huge: NaN for a number", ELSEWHERE.format(""), [1e30, 1e33])
def _(a: Arguments) -> Any:
    return a["x"] * (np.float32(np.nan) if _native() else 1)


@plant_huge("huge: a number for NaN", ELSEWHERE.format(""), [1e30, np.nan])
def _(a: Arguments) -> Any:
    return np.nan_to_num(a["x"], nan=1.0) if _native() else a["x"]


@plant_huge("huge: NaN for an infinity", ELSEWHERE.format(""), [1e30, np.inf])
def _(a: Arguments) -> Any:
    return a["x"] - a["x"] + a["x"] if _native() else a["x"]


@plant_huge("huge: wrong value", "difference: : another value", [1e30, -1e33])
def _(a: Arguments) -> Any:
    return a["x"] * a["x"].dtype.type(1.001 if _native() else 1)


@plant_huge("huge: beside the same overflow", ELSEWHERE.format("[#]"), [1e30, 1e33])
def _(a: Arguments) -> Any:
    product = a["x"] * a["x"]  # infinite in float32 on both backends, finite in long double
    return product, a["x"] * (np.float32(np.nan) if _native() else 1)


@plant_huge("huge: one refuses", "backends: ValueError: x: no / no error", [1e30, 1e33])
def _(a: Arguments) -> Any:
    if _native():
        raise ValueError("x: no")
    return 1.0


@plant_huge("huge: one diverges", "backends: DivergenceError: x: expected", [1e30, 1e33])
def _(a: Arguments) -> Any:
    if _native():
        raise DivergenceError("x", 1.0, "no product overflows")
    return 1.0


BUFFER = np.zeros(1)


@plant("kept buffer", "native: a later call changes the result of this one")
def _(a: Arguments) -> Any:
    BUFFER[0] += 1
    return BUFFER


LOCAL = threading.local()
LOCAL.main = True


@plant("several threads", "several threads: : bits", 3)
def _(a: Arguments) -> Any:
    return np.array([1.0 if hasattr(LOCAL, "main") else 2.0])


PARENT = os.getpid()


@plant("fork", "fork: : bits", 12)
def _(a: Arguments) -> Any:
    return np.array([1.0 if os.getpid() == PARENT else 2.0])


@entry("relation")
def _(draw: Draw) -> Case:
    draw.mutations = 0
    other = Relation("twice", lambda a: (np.ones(2), np.ones(2) + 1e-15))
    return Case({"x": 1}, lambda a: 1.0, [other])


@entry("expected")
def _(draw: Draw) -> Case:
    draw.mutations = 0
    return Case({"x": 1}, lambda a: 1.0, expected=lambda a: 2.0)


EXPECTED["relation"] = "twice: : bits"
EXPECTED["expected"] = "expected: : bits"


@plant("segmentation fault", "crash: signal SIGSEGV", 0.2)
def _(a: Arguments) -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)


@plant("exit", "crash: exit 3", 0.2)
def _(a: Arguments) -> Any:
    os._exit(3)


@plant("hang", "crash: no end within 2 s", 0.2)
def _(a: Arguments) -> Any:
    time.sleep(60)
