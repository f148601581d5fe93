"""Every instruction set that is built in computes what the reference and torch do.

The choice is made once in a process, so tests run anew in one of their own: those that are marked
``kernels``, a case for each path through the code that is compiled for each instruction set; in the
long form all tests of the files that have any.
"""

import os
import re
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


LONG = os.environ.get("PYRNN_LONG_TESTS") == "1"
MARK = "kernels"
FILES = sorted(
    path
    for path in TESTS.rglob("test_*.py")
    if path != Path(__file__) and f"pytest.mark.{MARK}" in path.read_text(encoding="utf-8")
)
CHOSEN = () if LONG else ("-m", MARK, "--hypothesis-profile", "few")


def run(isa, *arguments):
    """Run Python in a process of its own, on one instruction set."""
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path, "PYRNN_ISA": isa, "PYRNN_BACKEND": "native"},
        cwd=TESTS.parent, capture_output=True, text=True, timeout=7200 if LONG else 600,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa != pyrnn.build_info()["isa"]])
def test_numbers_on_every_instruction_set(isa):
    told = run(isa, "-c", "import pyrnn; print(pyrnn.build_info()['isa'])")
    if "this processor does not run" in told.stderr:
        pytest.skip(f"this processor does not run {isa}")
    assert told.stdout.strip() == isa, told.stderr
    result = run(isa, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CHOSEN, *FILES)
    assert result.returncode == 0, result.stdout[-3000:]
    assert int(re.findall(r"(\d+) passed", result.stdout)[-1]) > 300


def test_files_with_marked_tests_are_found():
    names = {path.relative_to(TESTS).as_posix() for path in FILES}
    expected = {"agreement/test_equivalence", "core/test_math_functions", "core/test_options"}
    assert {f"{name}.py" for name in expected} <= names


def test_an_unknown_instruction_set_is_refused():
    result = run("mmx", "-c", "import pyrnn; print(pyrnn.build_info())")
    assert result.returncode == 1
    assert f"PYRNN_ISA: expected one of {', '.join(ISAS)}, got 'mmx'" in result.stderr
