"""``pyrnn compare --weights``: a row for each cell and format."""

from typing import Any

import pytest

from pyrnn.backend import selection
from pyrnn.cli import _formats
from pyrnn.cli._comparison import Sizes

pytestmark = pytest.mark.skipif(
    "native" not in selection.available(), reason="the compiled core is not built"
)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_formats, "ROUND_SECONDS", 0.0)


def test_rows() -> None:
    rows = _formats.measure(Sizes(3, 16, 5, 2), seed=0)
    assert [row[:2] for row in rows] == [
        (cell, weights) for cell in _formats.CELLS for weights in _formats.FORMATS
    ]
    for full, *narrow in zip(*(rows[start::5] for start in range(5)), strict=True):
        assert full.speed == 1
        assert full.largest == full.mean == 0
        bfloat16, float16, int8, fast = narrow
        assert [full.mebibytes / row.mebibytes for row in narrow] == [2, 2, 4, 4]
        assert 0 < float16.largest < bfloat16.largest < 0.05
        assert float16.largest < int8.largest < 0.05
        assert 0 < fast.largest < 0.05
    lstm = next(row for row in rows if row.cell == "LSTM")
    assert lstm.mebibytes * 2**20 == 4 * 4 * 16 * (3 + 16)


def test_table(run: Any) -> None:
    sizes = ("--hidden", 5, "--input", 3, "--seq-len", 4, "--batch", 1)
    result = run("compare", "--weights", *sizes, "--threads", 1)
    assert (result.status, result.err) == (0, "")
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[0] == ["T", "4,", "N", "1,", "I", "3,", "H", "5"]
    assert lines[2] == ["cell", "weights", "MiB", "speed", "largest", "mean"]
    names = ["float32", "bfloat16", "float16", "int8", "int8"]  # the last with "x too"
    assert [line[1].strip(",") for line in lines[3:18]] == names * 3
    assert max(map(len, result.out.splitlines())) <= 80
