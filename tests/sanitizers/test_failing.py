"""The quick part of ``python tests/sanitizers``: things that fail in turn, in a few calls."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

needs_compiler = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("c++") or not importlib.util.find_spec("pybind11"),
    reason="a library to load before others is compiled, as for Linux",
)


# A layer that packs at once, one that keeps a cache, a stream, a linear layer: a bound class each.
@needs_compiler
@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        ("allocations", "min-gru alone training"),
        ("allocations", "rnn alone stream"),
        ("allocations", "linear 3 fixed"),
        ("workers", "gru units"),
    ],
)
def test_calls_outlive_what_fails_in_them(kind, calls):
    command = [sys.executable, HERE, kind, "--threads", "2", "--calls", calls]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
