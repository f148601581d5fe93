"""Types for annotations, and what type checkers make of them."""

import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

import pyrnn
from pyrnn import _types


def test_arrays_are_those_of_signatures():
    assert typing.get_type_hints(pyrnn.Linear.__call__)["return"] == pyrnn.typing.Array
    assert typing.get_type_hints(pyrnn.Optimizer.step)["grads"] == pyrnn.typing.Parameters
    assert typing.get_type_hints(_types.is_indices)["x"] == (
        pyrnn.typing.Array | pyrnn.typing.Indices
    )


def test_a_state_is_what_layers_give():
    x = np.ones((2, 1, 3), np.float32)
    array, pair, none = typing.get_args(pyrnn.typing.State)
    assert array == pyrnn.typing.Array
    assert isinstance(pyrnn.GRU(3, 4)(x)[1], np.ndarray)
    assert isinstance(pyrnn.LSTM(3, 4)(x)[1], typing.get_origin(pair))
    assert isinstance(pyrnn.Linear(3, 4).forward(x)[1], none)


# --- type checkers --------------------------------------------------------------------------

FOLDER = Path(__file__).parent / "typing"
SOURCES = Path(pyrnn.__file__).parents[1]


def lines_with_errors(*command):
    """The lines of which a type checker complains, in the form of mypy and pyright."""
    environment = {**os.environ}
    if SOURCES.name != "site-packages":  # not installed, but looked at in place
        environment |= {"MYPYPATH": str(SOURCES), "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, timeout=500,
        env=environment, cwd=FOLDER, check=False,
    )  # fmt: skip
    found = re.findall(r"^.*?\.py:(\d+)[:\d]*:? (?:- )?error: .*", done.stdout, re.MULTILINE)
    assert done.returncode == bool(found), done.stdout + done.stderr
    return sorted({int(number) for number in found}), done.stdout


CHECKERS = {
    "mypy": ("mypy", "--strict", "--no-incremental"),
    "pyright": ("pyright", "--pythonpath", sys.executable),
}


@pytest.mark.long
@pytest.mark.parametrize("checker", CHECKERS)
def test_what_users_write_is_understood(checker):
    pytest.importorskip(checker)
    found, output = lines_with_errors(*CHECKERS[checker], "user.py")
    assert not found, output


@pytest.mark.long
@pytest.mark.parametrize("checker", CHECKERS)
def test_misuse_is_noticed(checker):
    pytest.importorskip(checker)
    lines = (FOLDER / "misuse.py").read_text().splitlines()
    wrong = [number for number, line in enumerate(lines, start=1) if "# wrong" in line]
    found, output = lines_with_errors(*CHECKERS[checker], "misuse.py")
    assert found == wrong, output


@pytest.mark.long
def test_public_types_are_complete():
    pytest.importorskip("pyright")
    done = subprocess.run(
        [sys.executable, "-m", *CHECKERS["pyright"], "--ignoreexternal", "--verifytypes", "pyrnn"],
        capture_output=True, text=True, timeout=500, cwd=FOLDER, check=False,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    )  # fmt: skip
    (score,) = re.findall(r"Type completeness score: ([\d.]+)%", done.stdout)
    assert float(score) >= 95, done.stdout
