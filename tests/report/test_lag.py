"""The gradient of a loss over the lag: held against finite differences."""

from typing import Any

import numpy as np
import pytest

from pyrnn.report import lag
from pyrnn.text.character_model import CharacterModel


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_as_finite_differences(cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "ROWS", 1)
    monkeypatch.setattr(lag, "LAGS", 5)
    model = CharacterModel("abcd", cell, 3, 2, dtype="float64", seed=0)
    text = np.random.default_rng(0).integers(4, size=12)
    norms = lag.gradient_over_lag(model, text)
    assert len(norms) == 6
    read, target = text[:6], text[6]

    def loss_from(place: int, change: np.ndarray) -> float:
        """The loss at the last step if h is another after this step."""
        _, state = model(read[: place + 1])
        state = (state[0] + change, state[1]) if cell == "lstm" else state + change
        logits, _ = model(read[place + 1 :], state)
        return float(np.log(np.exp(logits[-1]).sum()) - logits[-1][target])

    for back in range(1, 6):
        gradient = np.zeros((2, 3))
        for place in np.ndindex(2, 3):
            step = np.zeros((2, 3))
            step[place] = 1e-5
            ends = loss_from(5 - back, step), loss_from(5 - back, -step)
            gradient[place] = (ends[0] - ends[1]) / 2e-5
        assert norms[back] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
    logits, _ = model(read)
    error = np.exp(logits[-1]) / np.exp(logits[-1]).sum() - np.eye(4)[target]
    expected = np.linalg.norm(error @ model.parameters["linear.weight"])
    assert norms[0] == pytest.approx(expected, rel=1e-9)


def test_too_short_and_the_mode() -> None:
    model = CharacterModel("abcd", hidden_size=3, seed=0)
    assert lag.gradient_over_lag(model, np.zeros(3, int)).size == 0
    assert lag.gradient_over_lag(model, np.zeros(0, int)).size == 0
    assert lag.gradient_over_lag(model, np.arange(400) % 4).shape == (12,)
    assert model.training
