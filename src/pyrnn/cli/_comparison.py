"""What ``pyrnn compare`` measures: differences and times of the two backends on one layer."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import pyrnn
from pyrnn._types import Array
from pyrnn.layers.recurrent._stack import Recurrent

TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
"""The largest difference allowed, relative to the largest magnitude in the reference's array."""

CELLS: Mapping[str, Callable[..., Recurrent]] = {
    "RNN tanh": functools.partial(pyrnn.RNN, nonlinearity="tanh"),
    "RNN relu": functools.partial(pyrnn.RNN, nonlinearity="relu"),
    "LSTM": pyrnn.LSTM,
    "GRU": pyrnn.GRU,
}
WINDOW = 8
"""Truncated BPTT uses a sliding window of this many time steps."""

LEAST_RUNS, MOST_RUNS = 3, 25
ENOUGH_SECONDS, MOST_SECONDS = 0.2, 2.0
"""A time is the median of 3 to 25 runs, as many as fit into 0.2 s; fewer if they exceed 2 s."""

Arrays = dict[str, Array]


@dataclass(frozen=True)
class Sizes:
    """The sizes of the compared layer and its input."""

    input_size: int
    hidden_size: int
    seq_len: int
    batch_size: int


class Measured(NamedTuple):
    """One backend's arrays by name, and its median time in seconds."""

    arrays: Arrays
    seconds: float


class Result(NamedTuple):
    """One pass of one cell: relative difference by name, and the time of each path."""

    cell: str
    dtype: str
    direction: str
    differences: dict[str, float]
    reference_seconds: float
    native_seconds: float

    @property
    def tolerance(self) -> float:
        """The largest difference allowed."""
        return TOLERANCES[self.dtype]

    @property
    def ok(self) -> bool:
        """Whether every difference is finite and within the tolerance."""
        return all(difference <= self.tolerance for difference in self.differences.values())


def compare(cell: str, dtype: str, sizes: Sizes, seed: int) -> list[Result]:
    """Run forward, backward and truncated BPTT of one cell on both backends."""
    case = _Case(cell, dtype, sizes, seed)
    passes: dict[str, Callable[[], Measured]] = {
        "forward": case.forward,
        "backward": case.backward,
        "truncated": case.truncated,
    }
    results = []
    for direction, run in passes.items():
        with pyrnn.use_backend("reference"):
            expected = run()
        with pyrnn.use_backend("native"):
            got = run()
        differences = {
            name: relative_difference(got.arrays[name], array)
            for name, array in expected.arrays.items()
        }
        results.append(Result(cell, dtype, direction, differences, expected.seconds, got.seconds))
    return results


def relative_difference(got: Array, expected: Array) -> float:
    """Return the largest absolute difference, relative to the largest expected magnitude."""
    difference = float(np.abs(got - expected).max())
    scale = float(np.abs(expected).max())
    if scale == 0:
        return 0.0 if difference == 0 else np.inf
    return difference / scale


class _Case:
    """A layer with its inputs and the gradients of its outputs."""

    def __init__(self, cell: str, dtype: str, sizes: Sizes, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.layer = CELLS[cell](sizes.input_size, sizes.hidden_size, dtype=dtype, seed=seed)

        def normal(*shape: int) -> Array:
            return generator.standard_normal(shape).astype(dtype)

        def state() -> Any:
            parts = [normal(1, sizes.batch_size, sizes.hidden_size) for _ in range(states)]
            return parts[0] if states == 1 else tuple(parts)

        states = 2 if cell == "LSTM" else 1
        self.x = normal(sizes.seq_len, sizes.batch_size, sizes.input_size)
        self.dy = normal(sizes.seq_len, sizes.batch_size, sizes.hidden_size)
        self.state, self.dstate = state(), state()
        self.window = min(WINDOW, sizes.seq_len)

    def forward(self) -> Measured:
        """Return the outputs and final states."""
        (y, state, _), seconds = _time(lambda: (), lambda: self._forward())
        return Measured({"y": y} | _named_states("", state), seconds)

    def backward(self) -> Measured:
        """Return the gradients of BPTT over the whole sequence."""
        (dx, dstate, grads), seconds = _time(
            lambda: self._forward()[2:],
            lambda cache: self.layer.backward(cache, self.dy, self.dstate),
        )
        return Measured({"dx": dx} | _named_states("d", dstate) | grads, seconds)

    def truncated(self) -> Measured:
        """Return the gradients of truncated BPTT with a sliding window."""
        (dx, grads), seconds = _time(
            lambda: self._forward()[2:],
            lambda cache: self.layer.backward_truncated(cache, self.dy, 1, self.window),
        )
        return Measured({"dx": dx} | grads, seconds)

    def _forward(self) -> tuple[Array, Any, Any]:
        return self.layer.forward(self.x, self.state)


def _named_states(prefix: str, state: Any) -> Arrays:
    parts = state if isinstance(state, tuple) else (state,)
    return {f"{prefix}{name}": part for name, part in zip(("h", "c"), parts, strict=False)}


def _time(prepare: Callable[[], tuple[Any, ...]], run: Callable[..., Any]) -> tuple[Any, float]:
    """Return the first result of a function, and the median time of its later runs."""
    result = run(*prepare())
    times: list[float] = []
    while len(times) < MOST_RUNS and sum(times) < MOST_SECONDS:
        if len(times) >= LEAST_RUNS and sum(times) >= ENOUGH_SECONDS:
            break
        prepared = prepare()
        start = time.perf_counter()
        run(*prepared)
        times.append(time.perf_counter() - start)
    return result, statistics.median(times)
