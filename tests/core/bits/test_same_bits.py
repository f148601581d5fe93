"""The same bits on every processor that multiplies and adds at once.

Hashes of outputs, gradients, optimisers' steps and a training run are stored; whoever changes a bit
on purpose stores new ones (`same_bits.py --write`) and raises the number of the arithmetic.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyrnn

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PROGRAM = HERE / "same_bits.py"
STORED = ROOT / "tests" / "data" / "same_bits.json"

# "baseline" has no multiply-add that rounds once: it has bits of its own.
ISAS = [isa for isa in pyrnn.build_info()["isas"] if isa != "baseline"]


@pytest.fixture
def output(run_python):
    """``output(isa, *arguments)``: what a Python process printed that uses an instruction set."""

    def run(isa, *arguments, **variables):
        result = run_python(*arguments, PYRNN_ISA=isa, **variables)
        if "this processor" in result.stderr:
            pytest.skip(result.stderr.splitlines()[-1])
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def differing(hashes, expected):
    """What an assertion shows: names alone."""
    return sorted(name for name in {*hashes, *expected} if hashes.get(name) != expected.get(name))


def without_numpys_vectors():
    """NumPy's functions for old processors alone: what they round must not matter."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    able = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    return {"NPY_DISABLE_CPU_FEATURES": " ".join(able), "OPENBLAS_CORETYPE": "Prescott"}


@pytest.mark.parametrize("isa", ISAS)
def test_hashes_are_those_stored(output, isa):
    stored = json.loads(STORED.read_text())
    old = {} if isa == ISAS[-1] else without_numpys_vectors()
    assert differing(json.loads(output(isa, PROGRAM, **old)), stored) == []


@pytest.mark.skipif(len(ISAS) < 2, reason="there is one instruction set alone")
@pytest.mark.parametrize(
    "seed_and_count", [(0, 40), pytest.param((1, 1000), marks=pytest.mark.long)], ids=str
)
def test_any_sizes_on_any_number_of_threads(output, seed_and_count):
    first, *others = (json.loads(output(isa, PROGRAM, "--drawn", *seed_and_count)) for isa in ISAS)
    for other in others:
        assert differing(other, first) == []


@pytest.mark.skipif(len(ISAS) < 2, reason="there is one instruction set alone")
def test_trained_model_files_are_the_same(output, tmp_path):
    pytest.importorskip("safetensors")
    text = tmp_path / "text.txt"
    text.write_text("It was a bright cold day in April, and the clocks were striking. " * 200)
    contents = []
    for isa in ISAS:
        folder = tmp_path / isa
        folder.mkdir()
        arguments = ("--steps", 60, "--seed", 1, "--hidden", 40, "--out", folder / "model")
        output(isa, "-m", "pyrnn", "train", *arguments, text)
        contents.append([path.read_bytes() for path in sorted(folder.glob("model*"))])
    assert contents[0]
    assert all(content == contents[0] for content in contents)


@pytest.mark.long
def test_hashes_on_neon():
    """Cross-built, under emulation."""
    for program in ("qemu-aarch64", "aarch64-linux-gnu-g++"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing")
    emulator = ROOT / "tests" / "emulation" / "run.py"
    chosen = "tests/core/bits/test_same_bits.py::test_hashes_are_those_stored"
    result = subprocess.run(
        [sys.executable, emulator, "arm64", chosen], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-3000:]


def test_version_of_the_arithmetic():
    assert pyrnn.build_info()["numerics"] >= 1
