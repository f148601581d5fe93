"""What the long forms of the sanitizers leave out is there, and is not all."""

import itertools
import runpy
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def test_what_is_left_out_exists():
    pytest.importorskip("pybind11")  # the builds need it
    names = runpy.run_path(str(HERE / "__main__.py"))
    lists = ("LEFT_OUT", "KERNELS", "SHORT_SUITE", "NARROW_SUITE")
    for path in itertools.chain.from_iterable(names[name] for name in lists):
        file, *parts = path.split("::")
        assert (ROOT / file).exists(), path
        assert all(part in (ROOT / file).read_text(encoding="utf-8") for part in parts), path
    assert not {"tests/core", "tests/layers", "tests/training"} & set(names["LEFT_OUT"])
