"""For the tests of the compiled core: it is the active backend; comparison of bits, processes."""

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyrnn
from pyrnn.backend import selection

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def native_core() -> Iterator[Any]:
    """The compiled core, active in every test of this folder; they are skipped without it."""
    core = selection.native_module()
    if core is None:
        pytest.skip("the compiled core is not built")
    with pyrnn.use_backend("native"):
        yield core


@pytest.fixture(scope="session")
def same_bits() -> Callable[..., None]:
    """``same_bits(got, expected)``: equal to the last bit, signs of zeros and NaN included."""

    def check(got: Any, expected: Any, name: str = "") -> None:
        if isinstance(expected, dict):
            assert list(got) == list(expected), name
            for key in expected:
                check(got[key], expected[key], f"{name} {key}")
        elif isinstance(expected, (tuple, list)):
            assert len(got) == len(expected), name
            for number, (one, other) in enumerate(zip(got, expected, strict=True)):
                check(one, other, f"{name}[{number}]")
        elif expected is None:
            assert got is None, name
        else:
            one, other = np.asarray(got), np.asarray(expected)
            assert (one.shape, one.dtype) == (other.shape, other.dtype), name
            if one.tobytes() != other.tobytes():
                worst = float(np.abs(one - other).max())
                pytest.fail(f"{name}: not bit for bit the same; largest difference {worst}")

    return check


@pytest.fixture(scope="session")
def num_threads() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """``with num_threads(n):`` the core may use n threads."""

    @contextlib.contextmanager
    def use(n: int) -> Iterator[None]:
        before = pyrnn.get_num_threads()
        pyrnn.set_num_threads(n)
        try:
            yield
        finally:
            pyrnn.set_num_threads(before)

    return use


@pytest.fixture(scope="session")
def run_python() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """``run_python(*arguments, timeout=600, NAME=value, ...)``: a process, and what it said.

    The names are environment variables. Those that choose instruction set, backend or threads are
    not handed down.
    """
    # Under emulation the system cannot start this Python by itself.
    python = shlex.split(os.environ.get("PYRNN_TEST_PYTHON", "")) or [sys.executable]
    long = os.environ.get("PYRNN_LONG_TESTS") == "1" or len(python) > 1
    usual = 7200 if long else 600

    def run(
        *arguments: object, timeout: float = usual, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        chosen = ("PYRNN_ISA", "PYRNN_BACKEND", "PYRNN_NUM_THREADS", "OMP_NUM_THREADS")
        kept = {name: value for name, value in os.environ.items() if name not in chosen}
        path = os.pathsep.join(p for p in sys.path if p)
        return subprocess.run(
            [*python, *map(str, arguments)],
            env={**kept, "PYTHONPATH": path, **variables},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
