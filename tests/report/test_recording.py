"""What is recorded: means of steps, in little memory; the same after a resume; its cost."""

import itertools
import json
import math
import time
from pathlib import Path

import numpy as np
import pytest

from pyrnn.report.recording import COLUMNS, GATE_ROWS, GATE_STEPS, Recording, saturation
from pyrnn.text.character_model import CharacterModel


def recorded(steps: int, recording: Recording | None = None, first: int = 1) -> Recording:
    recording = Recording({"a": 1}) if recording is None else recording
    for step in range(first, steps + 1):
        recording.step(step, 10 * step, 1 / step, step / 2, step % 7)
    return recording


def test_points_are_means(tmp_path: Path) -> None:
    recording = recorded(2000)
    recording.write(tmp_path / "h.json", "m.safetensors")
    document = json.loads((tmp_path / "h.json").read_text())
    steps = document["steps"]
    assert list(steps) == list(COLUMNS)
    assert steps["step"][:256] == list(range(1, 257))
    assert steps["step"][-1] == 2000
    assert len(steps["step"]) < 256 * (2 + math.log(2000 / 256))
    ends = [0, *map(int, steps["step"])]
    losses = 1 / np.arange(1, 2001)
    expected = [losses[a:b].mean() for a, b in itertools.pairwise(ends)]
    np.testing.assert_allclose(steps["loss"], expected)
    assert steps["characters"] == [10 * step for step in steps["step"]]
    assert (document["model"], document["about"]) == ("m.safetensors", {"a": 1})


def test_a_long_training_takes_little() -> None:
    recording = Recording({})
    for step in range(1, 300_000):
        recording.step(step, step, 1.0, 1.0, 1.0)
    assert len(recording.points) < 2500


@pytest.mark.parametrize("cut", [1, 255, 700, 1999])
def test_resumed(cut: int, tmp_path: Path) -> None:
    model = CharacterModel("ab", hidden_size=3, seed=0)
    whole = recorded(2000)
    whole.score(3, 4, 1.5, model)
    first = recorded(cut)
    first.score(3, 4, 1.5, model)
    again = Recording({"a": 1})
    again.load_state_dict(first.state_dict())
    recorded(2000, again, cut + 1)
    for name, recording in (("whole", whole), ("again", again)):
        recording.write(tmp_path / name, None)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "again").read_bytes()


def test_scores(tmp_path: Path) -> None:
    model = CharacterModel("abc\n", hidden_size=4, seed=0)
    recording = Recording({}, "abc\n" * 100, "ab")
    recording.score(5, 50, math.nan, model)
    (score,) = recording.scores
    assert score["sample"] == "ab" + model.sample("ab", 200, 0.7, 0)
    assert (score["step"], score["characters"], score["bits"]) == (5, 50, None)
    text = model.vocabulary.encode("abc\n" * 64).reshape(GATE_ROWS, GATE_STEPS).T
    assert score["gates"] == saturation(model, text)
    recording.write(tmp_path / "h.json", None)
    assert json.loads((tmp_path / "h.json").read_text())["scores"] == [score]
    short = Recording({}, "abc")
    short.score(1, 1, 2.0, model)
    assert (short.scores[0]["sample"], short.scores[0]["gates"]) == ("", {})


def test_saturation() -> None:
    text = np.arange(20).reshape(10, 2) % 3
    for cell, names in (("lstm", ["f_l0", "i_l0", "o_l0"]), ("gru", ["r_l0", "z_l0"])):
        model = CharacterModel("abc", cell, 4, embedding_dim=2, seed=0)  # type: ignore[arg-type]
        assert sorted(saturation(model, text)) == names
        for array in model.rnn.parameters.values():
            array[...] = 0
        assert set(map(tuple, saturation(model, text).values())) == {(0.0, 0.0)}
        model.rnn.parameters["bias_ih_l0"][:4] = 9  # the first gate, i or r
        name = "i_l0" if cell == "lstm" else "r_l0"
        assert saturation(model, text)[name] == [0.0, 1.0]
    model = CharacterModel("abc", "rnn", 4, seed=0)
    model.rnn.parameters["bias_ih_l0"][:] = [9, 9, 9, -9]
    assert saturation(model, text) == {"h": [0.25, 0.75]}


def test_a_step_costs_microseconds() -> None:
    """Far below 2 % of the shortest steps, which take a millisecond."""
    recording = Recording({})
    times = []
    for first in range(1, 20_000, 1000):
        start = time.perf_counter()
        for step in range(first, first + 1000):
            recording.step(step, step, 1.0, 1.0, 1.0)
        times.append((time.perf_counter() - start) / 1000)
    assert min(times) < 20e-6
