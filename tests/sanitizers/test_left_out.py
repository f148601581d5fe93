"""What the long forms of the sanitizers leave out is there, and is not all."""

import runpy
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def test_what_is_left_out_exists():
    pytest.importorskip("pybind11")  # the builds need it
    names = runpy.run_path(str(HERE / "__main__.py"))
    for path in [*names["LEFT_OUT"], *names["KERNELS"], *names["SHORT_SUITE"]]:
        assert (ROOT / path).exists(), path
    assert not {"tests/core", "tests/layers", "tests/training"} & set(names["LEFT_OUT"])
