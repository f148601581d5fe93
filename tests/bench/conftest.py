"""What the tests of ``bench`` share."""

import pytest

import pyrnn
from pyrnn.backend import selection


@pytest.fixture
def native():
    """Use the compiled core during the test; skip the test if it is missing."""
    if "native" not in selection.available():
        pytest.skip("the compiled core is not built")
    with pyrnn.use_backend("native"):
        yield


@pytest.fixture(autouse=True)
def _same_threads_afterwards():
    before = pyrnn.get_num_threads()
    yield
    pyrnn.set_num_threads(before)


@pytest.fixture
def make_row():
    """``make_row(cell, shape, seconds, ...)``: a row of the grid, as a worker reports it."""

    def make(cell, shape, seconds, section="training", threads=2, **more):
        return {
            "name": f"{section} {cell} {shape}",
            "section": section,
            "task": "training" if section == "training" else "inference",
            "cell": cell,
            "shape": shape,
            "step": shape.startswith("T1 "),
            "hidden": int(shape.split("H")[1]),
            "threads": threads,
            "gflop": 1.0,
            "peak": None,
            "seconds": seconds,
            "settings": {},
            "differ": {},
        } | more

    return make
