"""What the tests share: every backend that is built, every cell, close comparison of arrays."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

with warnings.catch_warnings():
    # Without the compiled core the package says so once, at import; the reference is tested then.
    warnings.filterwarnings("ignore", message="pyrnn: the compiled core", category=RuntimeWarning)
    import pyrnn
    from pyrnn.backend import selection

# The package ``bench`` is no part of the installed one.
sys.path.insert(0, str(Path(__file__).parents[1]))

LONG = os.environ.get("PYRNN_LONG_TESTS") == "1"

# The short form tries the same examples every time; the long form looks for new ones.
# How fast the machine is at that moment is no fault of what is tested.
CHECKS = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("short", max_examples=60, derandomize=True, **CHECKS)
hypothesis.settings.register_profile("long", max_examples=300, **CHECKS)
# For tests that run again on every instruction set.
hypothesis.settings.register_profile("few", max_examples=12, derandomize=True, **CHECKS)
hypothesis.settings.load_profile("long" if LONG else "short")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the long form of a check, unless it is asked for."""
    if not LONG:
        skip = pytest.mark.skip(reason="PYRNN_LONG_TESTS=1 runs it")
        for item in items:
            if "long" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(params=sorted(selection.available()))
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a backend, which is active during the test."""
    with pyrnn.use_backend(request.param):
        yield request.param


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of Keras are read in this process: they are sound, and another one takes its time."""
    from pyrnn.interop.keras import hdf5

    monkeypatch.setattr(hdf5, "_is_python", lambda name: False)


VARIANTS: dict[str, Callable[..., Any]] = {
    "lstm-projected": partial(pyrnn.LSTM, proj_size=2),
    "lstm-peephole": partial(pyrnn.LSTM, peephole=True),
    "lstm-peephole-projected": partial(pyrnn.LSTM, peephole=True, proj_size=2),
    "lstm-coupled": partial(pyrnn.LSTM, coupled=True),
    "lstm-coupled-projected": partial(pyrnn.LSTM, coupled=True, proj_size=2),
    "lstm-coupled-peephole": partial(pyrnn.LSTM, coupled=True, peephole=True),
    "lstm-coupled-peephole-projected": partial(
        pyrnn.LSTM, coupled=True, peephole=True, proj_size=2
    ),
    "lstm-layer-norm": partial(pyrnn.LSTM, layer_norm=True),
    "gru-reset-before": partial(pyrnn.GRU, reset_after=False),
    "gru-layer-norm": partial(pyrnn.GRU, layer_norm=True),
    "min-gru": pyrnn.MinGRU,
}


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS, scope="session")
def make_variant(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A constructor of layers of the cells that are not plain; hidden_size is 3 at least."""
    return request.param  # type: ignore[no-any-return]


NOISY: dict[str, Callable[..., Any]] = {
    "rnn": pyrnn.RNN,
    "lstm": pyrnn.LSTM,
    "gru": pyrnn.GRU,
} | {name: make for name, make in VARIANTS.items() if "projected" not in name}


@pytest.fixture(params=NOISY.values(), ids=NOISY, scope="session")
def make_noisy(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A constructor of layers that take zoneout and, but for MinGRU, recurrent dropout."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=(NOISY | VARIANTS).values(), ids=NOISY | VARIANTS, scope="session")
def make_any(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A constructor of layers, plain or with an option; hidden_size is 3 at least."""
    return request.param  # type: ignore[no-any-return]


PLAIN_CELLS = ("rnn_tanh", "rnn_relu", "lstm", "gru")
"""The cells of the layers and cell classes as they come, without options."""


@pytest.fixture(params=PLAIN_CELLS, scope="session")
def make_layer(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A constructor of recurrent layers, ``make_layer(input_size, hidden_size, ...)``, per cell."""
    cell: str = request.param
    if cell.startswith("rnn_"):
        return partial(pyrnn.RNN, nonlinearity=cell.removeprefix("rnn_"))
    return getattr(pyrnn, cell.upper())  # type: ignore[no-any-return]


@pytest.fixture(params=PLAIN_CELLS, scope="session")
def make_cell(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A constructor of cells, ``make_cell(input_size, hidden_size, ...)``, per cell."""
    cell: str = request.param
    if cell.startswith("rnn_"):
        return partial(pyrnn.RNNCell, nonlinearity=cell.removeprefix("rnn_"))
    return getattr(pyrnn, f"{cell.upper()}Cell")  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def assert_close() -> Callable[..., None]:
    """``assert_close(got, expected, tolerance)``: relative to expected's largest magnitude."""

    def check(got: Any, expected: Any, tolerance: float, name: str = "") -> None:
        if isinstance(expected, dict):
            assert list(got) == list(expected)
            for key in expected:
                check(got[key], expected[key], tolerance, key)
        elif isinstance(expected, (tuple, list)):
            assert len(got) == len(expected)
            for number, (one, other) in enumerate(zip(got, expected, strict=True)):
                check(one, other, tolerance, f"{name}[{number}]")
        elif expected is None:
            assert got is None, name
        else:
            assert got.shape == expected.shape, name
            assert got.dtype == expected.dtype, name
            scale = float(np.abs(expected).max(initial=0))
            worst = float(np.abs(got - expected).max(initial=0))
            assert worst <= tolerance * scale, f"{name}: {worst} > {tolerance} of {scale}"

    return check
