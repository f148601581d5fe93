"""The states over a text, and the units that track something: a planted one is found."""

from typing import Any

import numpy as np
import pytest

from pyrnn.report import properties, units
from pyrnn.text.character_model import CharacterModel
from tests.report.conftest import written

TEXT = written(3000)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_states(cell: Any) -> None:
    model = CharacterModel("".join(sorted(set(TEXT))), cell, 5, 2, embedding_dim=3, seed=0)
    found = units.states(model, TEXT[:50])
    assert model.embedding is not None
    y, _ = model.rnn(model.embedding(model.vocabulary.encode(TEXT[:50])))
    top = [n for n, unit in enumerate(found.units) if (unit.part, unit.layer) == ("h", 1)]
    np.testing.assert_array_equal(found.values[:, top], y)
    assert len(found.units) == found.values.shape[1] == (20 if cell == "lstm" else 10)
    assert np.abs(found.values).max() <= 1
    if cell == "lstm":
        _, (_, c) = model.rnn(model.embedding(model.vocabulary.encode(TEXT[:50])))
        np.testing.assert_array_equal(found.values[-1, 10:], np.tanh(c.ravel()))


@pytest.mark.parametrize("name", properties.PROPERTIES)
def test_a_unit_that_tracks_is_found(name: str) -> None:
    noise = np.random.default_rng(0).standard_normal((len(TEXT), 9))
    values = properties.PROPERTIES[name](TEXT)
    noise[:, 4] = noise[:, 4] * 0.3 - (values - values.mean()) / values.std()
    names = [units.Unit("h", 0, n) for n in range(9)]
    (found,) = (f for f in units.find(units.States(names, noise), TEXT) if f.tracked == name)
    half = len(TEXT) // 2
    expected = np.corrcoef(noise[half:, 4], values[half:])[0, 1]
    assert found.unit == names[4]
    assert found.correlation == pytest.approx(expected)
    assert found.tracks


def test_noise_tracks_nothing() -> None:
    """The best of many units on one half is not taken at its word."""
    noise = np.random.default_rng(0).standard_normal((450, 2000))
    names = [units.Unit("h", 0, n) for n in range(2000)]
    for found in units.find(units.States(names, noise), TEXT[:450]):
        assert not found.tracks
        assert abs(found.correlation) < 0.2


def test_what_is_not_there_is_not_found() -> None:
    names = [units.Unit("h", 0, 0)]
    for text in ("plain words " * 90, "ab\n"):
        values = np.random.default_rng(0).standard_normal((len(text), 1))
        found = {f.tracked: f for f in units.find(units.States(names, values), text)}
        assert found["quotes"] == units.Finding("quotes", None, 0.0)
        assert not found["brackets"].tracks
