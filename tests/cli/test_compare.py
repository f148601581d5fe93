"""``pyrnn compare``: its table, its status, what it finds."""

from typing import Any

import numpy as np
import pytest

import pyrnn
from pyrnn.backend import selection
from pyrnn.cli import _comparison
from pyrnn.reference.backend import ReferenceBackend

ARRAYS = ("y", "dx", "dh", "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
SIZES = ("--hidden", 5, "--input", 3, "--seq-len", 9, "--batch", 2)


class Other(ReferenceBackend):
    """A second backend: the reference itself, wrong by ``error`` where it is told to be."""

    name = "native"

    def __init__(self, wrong: str = "", error: float = 0.0) -> None:
        self.wrong = wrong
        self.error = error

    def _changed(self, array: Any, where: str) -> Any:
        if self.wrong != where or array is None:
            return array
        array = array.copy()
        array.flat[0] += self.error * np.abs(array).max()
        return array

    def forward(self, *arguments: Any, **options: Any) -> Any:
        y, state, saved = super().forward(*arguments, **options)
        return self._changed(y, "y"), (self._changed(state[0], "h"), *state[1:]), saved

    def backward(self, *arguments: Any) -> Any:
        dx, dstate, grads = super().backward(*arguments)
        grads["weight_hh_l0"] = self._changed(grads["weight_hh_l0"], "weight_hh")
        return self._changed(dx, "dx"), (self._changed(dstate[0], "dh"), *dstate[1:]), grads

    def backward_windows(self, *arguments: Any) -> Any:
        dx, grads = super().backward_windows(*arguments)
        grads[0]["bias_ih_l0"] = self._changed(grads[0]["bias_ih_l0"], "bias_ih")
        return dx, grads


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_comparison, "ENOUGH_SECONDS", 0.0)


def install(monkeypatch: pytest.MonkeyPatch, *wrong: Any) -> None:
    monkeypatch.setitem(selection._loaded, "native", Other(*wrong))


def test_table(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    result = run("compare", *SIZES)
    assert (result.status, result.err) == (0, "")
    lines = [line.split() for line in result.out.splitlines()]
    header = ["cell", "pass", "out", "dx", "dh", "W_ih", "W_hh", "b_ih", "b_hh"]
    assert header in [line[:9] for line in lines]
    rows = [line for line in lines if {"fwd", "bwd", "trunc"} & set(line) and "×" in line[-1]]
    assert len(rows) == len(_comparison.CELLS) * 2 * 3
    # A cell's name stands before its forward, with the differences of outputs and three times.
    assert [" ".join(row[: row.index("fwd")]) for row in rows[::3]] == [
        name for cell in _comparison.CELLS for name in [cell, cell]
    ]
    assert {len(row) - row.index("fwd") for row in rows[::3]} == {1 + 1 + 3}
    assert {row[0] for row in rows[1::3]} == {"float32", "float64"}
    assert {len(row) for row in rows[1::3]} == {2 + 6 + 3}
    assert max(map(len, result.out.splitlines())) <= 80


def test_table_holds_the_widest_numbers(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    difference, milliseconds = 1.234e-105, 12.345
    monkeypatch.setitem(selection._loaded, "native", Other())
    monkeypatch.setattr(
        "pyrnn.cli.compare.compare",
        lambda cell, dtype, sizes, seed: [
            _comparison.Result(
                cell, dtype, direction, dict.fromkeys(ARRAYS, difference), milliseconds, 0.0987
            )
            for direction in ("forward", "backward", "truncated")
        ],
    )
    result = run("compare")
    assert "…" not in result.out
    assert result.out.count("1e-105") == 8 * 3 * 7
    for text in ("RNN relu", "12345", "98.7", "125×"):
        assert text in result.out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("wrong", "direction"),
    [
        ("y", "forward"),
        ("h", "forward"),
        ("dx", "backward"),
        ("dh", "backward"),
        ("weight_hh", "backward"),
        ("bias_ih", "truncated"),
    ],
)
def test_finds_what_is_wrong(
    wrong: str, direction: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tolerance = _comparison.TOLERANCES[dtype]
    sizes = _comparison.Sizes(3, 5, 9, 2)
    for error, is_wrong in [(4 * tolerance, True), (tolerance / 4, False)]:
        install(monkeypatch, wrong, error)
        results = _comparison.compare("GRU", dtype, sizes, 0)
        assert [not result.ok for result in results] == [
            is_wrong and result.direction == direction for result in results
        ]
        if is_wrong:
            (result,) = (result for result in results if not result.ok)
            name = next(n for n in result.differences if n.startswith(wrong))
            assert result.differences[name] == max(result.differences.values())
            assert result.differences[name] == pytest.approx(error, rel=0.1)


def test_status_and_line(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "weight_hh", 1e-3)
    result = run("compare", *SIZES)
    assert result.status == 1
    lines = result.err.splitlines()
    assert len(lines) == len(_comparison.CELLS) * 2
    assert lines[0] == (
        "pyrnn: RNN tanh float32 backward: weight_hh_l0 differs by 1.0e-03, expected at most 1e-05"
    )
    assert result.out.count("1e-03!") == len(lines)


def test_nan_is_a_difference(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "dx", np.nan)
    result = run("compare", *SIZES)
    assert result.status == 1
    assert "dx differs by nan" in result.err
    assert "nan!" in result.out


def test_relative_difference() -> None:
    array = np.array([4.0, -8.0])
    assert _comparison.relative_difference(array, array) == 0
    assert _comparison.relative_difference(np.array([5.0, -8.0]), array) == 1 / 8
    assert _comparison.relative_difference(np.zeros(2), np.zeros(2)) == 0
    assert _comparison.relative_difference(np.ones(2), np.zeros(2)) == np.inf


def test_compares_the_two_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    class Recording(Other):
        def forward(self, *arguments: Any, **options: Any) -> Any:
            used.append("native")
            return super().forward(*arguments, **options)

    monkeypatch.setitem(selection._loaded, "native", Recording())
    with pyrnn.use_backend("reference"):
        _comparison.compare("LSTM", "float64", _comparison.Sizes(2, 2, 3, 1), 0)
    assert len(used) == 3 * (1 + _comparison.LEAST_RUNS)


@pytest.mark.skipif("native" not in selection.available(), reason="the compiled core is not built")
def test_the_core_agrees(run: Any) -> None:
    assert run("compare", *SIZES, "--threads", 2).status == 0


def test_without_the_core(fails: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "available", lambda: ("reference",))
    assert fails("compare") == (
        "compare: expected the compiled core, but it is missing (pip install pyrnn)"
    )


def test_options(fails: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    for option in ("--hidden", "--input", "--seq-len", "--batch", "--threads"):
        message = fails("compare", option, 0)
        assert message == f"argument {option}: expected a whole number of at least 1, got '0'"
