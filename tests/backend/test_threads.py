"""Threads and what is told about the build."""

import numpy as np
import pytest

import pyrnn
from pyrnn.backend import selection

NATIVE = "native" in selection.available()


def test_build_info():
    info = pyrnn.build_info()
    assert info["version"] == pyrnn.__version__
    assert info["numpy"] == np.__version__
    assert info["threads"] == pyrnn.get_num_threads() >= 1
    assert info["backend"] == selection.current().name
    assert (info["isa"] in info["isas"]) is NATIVE
    with pyrnn.use_backend("reference"):
        assert pyrnn.build_info()["backend"] == "reference"


def test_set_num_threads():
    before = pyrnn.get_num_threads()
    try:
        for n in (1, np.int64(2), 1024):
            pyrnn.set_num_threads(n)
            assert pyrnn.get_num_threads() == (n if NATIVE else 1)
    finally:
        pyrnn.set_num_threads(before)


@pytest.mark.parametrize("n", [0, -1])
def test_too_few_threads(n):
    with pytest.raises(ValueError, match=f"n: expected a whole number of at least 1, got {n}"):
        pyrnn.set_num_threads(n)


@pytest.mark.parametrize("n", [1025, 10**30])
def test_too_many_threads(n):
    with pytest.raises(ValueError, match=f"n: expected a whole number of at most 1024, got {n}"):
        pyrnn.set_num_threads(n)


@pytest.mark.parametrize("n", [1.0, "2", None, True])
def test_what_is_not_a_number_of_threads(n):
    with pytest.raises(TypeError, match="n: expected a whole number, got"):
        pyrnn.set_num_threads(n)
