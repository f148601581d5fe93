"""What tests of the command line share: a text, a place to work in, a way to run a command."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from pyrnn.cli import main
from pyrnn.cli._common.interrupt import NAMES

for package in ("rich", "matplotlib", "safetensors"):
    pytest.importorskip(package)


# Relative to where the tests were started, which is not where the commands run.
PYTHONPATH = os.pathsep.join(
    os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path
)


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Signals are heard, although a shell starts what runs in its background deaf to Ctrl-C."""
    usual = dict.fromkeys(NAMES, signal.SIG_DFL) | {signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Result(NamedTuple):
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text of 6000 characters in a folder of its own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    words = ["def f(x):\n", "    return x\n", "    x = [1, 2]\n", "class A:\n", "    é = 'ü'\n"]
    choice = np.random.default_rng(0).integers(len(words), size=600)
    path = tmp_path / "text.py"
    path.write_text("".join(words[i] for i in choice)[:6000], encoding="utf-8")
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run ``pyrnn`` with arguments inside this process."""

    def call(*arguments: object) -> Result:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return call


@pytest.fixture
def fails(run: Callable[..., Result]) -> Callable[..., str]:
    """Run ``pyrnn`` with a user's mistake; give the one line it says."""

    def call(*arguments: object) -> str:
        result = run(*arguments)
        assert result.status == 2
        assert result.err.startswith("pyrnn: error: ")
        assert result.err.count("\n") == 1
        return result.err.removeprefix("pyrnn: error: ").rstrip("\n")

    return call


@pytest.fixture
def start() -> Callable[..., "subprocess.Popen[str]"]:
    """Start ``python -m pyrnn`` as a process of its own."""

    def call(*arguments: object, code: str | None = None) -> "subprocess.Popen[str]":
        # Whether the compiled core is built is not what these tests ask.
        command = [sys.executable, "-W", "ignore::RuntimeWarning"]
        command += ["-m", "pyrnn"] if code is None else ["-c", code]
        return subprocess.Popen(
            [*command, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONIOENCODING": "utf-8", "PYTHONPATH": PYTHONPATH},
        )

    return call
