"""Torch's model before and after `accelerate`: what is measured, and that steps are the same."""

import pytest

from bench.characters import accelerated
from bench.characters.case import CharacterCase
from bench.options import Options
from bench.pages import tables


def test_what_is_measured():
    names = [case.name for case in accelerated.cases(Options("accelerate", 1))]
    assert "LSTM 256 T64 N32 embedding 64" in names
    assert "GRU 256 T64 N32 one-hot" in names


def test_the_steps_are_the_same(native):
    pytest.importorskip("torch")
    own, *others = accelerated.contenders(CharacterCase("LSTM", 8, 2, 6, 2, 4), 1)
    assert own.column == "pyrnn"
    assert [other.column for other in others] == ["torch"]
    with own.context():
        expected = own.outputs(own.run())["losses"]
    for other in others:
        with other.context():
            got = other.outputs(other.run())["losses"]
        assert got == pytest.approx(expected, rel=1e-5)
    assert len(set(expected)) == len(expected) > 1


def test_its_table():
    row = {"name": "torch's GRU", "threads": 2, "characters": 2048}
    row["seconds"] = {"pyrnn": 0.01, "torch": 0.02}
    (sheet,) = tables.sheets({"mode": "accelerate", "rows": [row]})
    assert sheet.title == "Torch's models, accelerated"
    assert sheet.lines[1][-1] == "2.00 x"
