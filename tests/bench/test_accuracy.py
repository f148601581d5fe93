"""The tables of docs/numerics.md: their short form is measured anew, and must keep the promise."""

import re

import numpy as np
import pytest

from bench import accuracy
from pyrnn.backend import selection
from pyrnn.reference.cells import CELLS

pytestmark = [
    pytest.mark.skipif(
        "native" not in selection.available(), reason="the compiled core is not built"
    ),
    pytest.mark.skipif(
        np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than double"
    ),
]
DTYPES = pytest.mark.parametrize("dtype", accuracy.BASE)


@DTYPES
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", accuracy.REGIMES)
def test_rows_keep_the_promise(name, cell, dtype):
    regime = accuracy.REGIMES[name]
    row = accuracy.measure(cell, dtype, regime._replace(steps=min(regime.steps, 20)), seed=1)
    assert row.ok, row


@pytest.mark.long
@DTYPES
@pytest.mark.parametrize("cell", CELLS)
def test_ten_thousand_steps_keep_the_promise(cell, dtype):
    row = accuracy.measure(cell, dtype, accuracy.REGIMES["long"])
    assert row.ok, row


@DTYPES
@pytest.mark.parametrize("cell", CELLS)
def test_an_error_in_the_core_is_seen(cell, dtype, monkeypatch):
    """One number of the outputs, off by more than is allowed."""
    native = selection.find("native")
    forward = native.forward

    def wrong(*arguments, **options):
        y, state, saved = forward(*arguments, **options)
        y = y.copy()
        place = np.unravel_index(np.abs(y).argmax(), y.shape)
        y[place] *= 1 + 2000 * accuracy.BASE[dtype]
        return y, state, saved

    monkeypatch.setattr(native, "forward", wrong)
    assert not accuracy.measure(cell, dtype, accuracy.REGIMES["ordinary"]._replace(steps=5)).ok


def test_stored_as_leaves_the_cells_as_they_were():
    before = dict(CELLS)

    def fail():
        with accuracy.stored_as("float32"):
            assert CELLS["lstm"].forward is not before["lstm"].forward
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert before == CELLS


def test_the_page_has_every_cell_in_every_regime():
    text = accuracy.PAGE.read_text(encoding="utf-8")
    for name, regime in accuracy.REGIMES.items():
        assert f"### {name.capitalize()}: {regime.text}\n" in text
    for cell in CELLS:
        assert len(re.findall(rf"^\| `{cell}` \|", text, re.MULTILINE)) == len(accuracy.REGIMES)
