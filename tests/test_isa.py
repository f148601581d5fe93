"""Every instruction set that is built in computes what the reference and torch do.

The choice is made once in a process, so the tests of the numbers run anew in one of their own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pyrnn
from pyrnn.backend import selection

pytestmark = pytest.mark.skipif(
    "native" not in selection.available(), reason="the compiled core is not built"
)

TESTS = Path(__file__).parent
ISAS = pyrnn.build_info()["isas"]


def run(isa, *arguments):
    """Run Python in a process of its own, on one instruction set."""
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path, "PYRNN_ISA": isa, "PYRNN_BACKEND": "native"},
        cwd=TESTS.parent, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa != pyrnn.build_info()["isa"]])
def test_numbers_on_every_instruction_set(isa):
    told = run(isa, "-c", "import pyrnn; print(pyrnn.build_info()['isa'])")
    if "this processor does not run" in told.stderr:
        pytest.skip(f"this processor does not run {isa}")
    assert told.stdout.strip() == isa, told.stderr
    files = [
        "test_equivalence.py", "layers/recurrent/test_stack_torch.py",
        "layers/recurrent/test_stream.py", "training/test_losses.py",
    ]  # fmt: skip
    result = run(isa, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(TESTS / f for f in files))
    assert result.returncode == 0, result.stdout[-3000:]


def test_an_unknown_instruction_set_is_refused():
    result = run("mmx", "-c", "import pyrnn; print(pyrnn.build_info())")
    assert result.returncode == 1
    assert f"PYRNN_ISA: expected one of {', '.join(ISAS)}, got 'mmx'" in result.stderr
