"""Fixtures that the tests share: every backend that is built, one after the other."""

import warnings
from collections.abc import Iterator

import pytest

with warnings.catch_warnings():
    # Without the compiled core the package says so once, at import; the reference is tested then.
    warnings.filterwarnings("ignore", message="pyrnn: the compiled core", category=RuntimeWarning)
    import pyrnn
    from pyrnn import _backend


@pytest.fixture(params=sorted(_backend.BACKENDS))
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a backend, in force during the test."""
    with pyrnn.use_backend(request.param):
        yield request.param


@pytest.fixture
def native() -> Iterator[str]:
    """The compiled core in force during the test; the test is skipped where it is missing."""
    if "native" not in _backend.BACKENDS:
        pytest.skip("the compiled core is not built")
    with pyrnn.use_backend("native"):
        yield "native"
