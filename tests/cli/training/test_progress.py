"""What a training knows and shows while it runs."""

import io
import math
from typing import Any

import numpy as np
import pytest

from pyrnn.cli._training import progress
from pyrnn.cli._training.run import Settings, Training
from pyrnn.text.character_model import CharacterModel


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def training() -> Training:
    """A training of 40 steps on random characters that has not begun."""
    text = np.random.default_rng(0).integers(4, size=500)
    model = CharacterModel("abcd", "rnn", 3, seed=0)
    return Training(model, text, text[:50], Settings(4, 5, 0.01, 1.0, 40, None))


def run(training: Training) -> None:
    with progress.display(training) as show:
        training.run(show, lambda: False)


@pytest.mark.usefixtures("backend")
class TestTraining:
    def test_what_it_knows_afterwards(self, training: Training) -> None:
        training.run(lambda: None, lambda: False)
        assert training.step == len(training.losses) == 40
        assert training.progress == 1
        # 499 characters make 4 streams of 124 steps: 24 chunks of 5 and one of 4.
        assert training.characters == 4 * (124 + 15 * 5) == training.losses[-1].characters
        assert len(training.scores) == 7
        assert training.seconds_left == 0
        assert training.characters_per_second == training.characters / training.seconds

    def test_learning_rate(self, training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
        rates = []
        step = training._optimizer.step

        def record(grads: Any) -> None:
            rates.append(training._optimizer.lr)
            step(grads)

        monkeypatch.setattr(training._optimizer, "step", record)
        training.run(lambda: None, lambda: False)
        expected = [0.01 * min(1, (n + 1) / 20) * (1 - n / 40) for n in range(40)]
        assert rates == pytest.approx(expected, rel=1e-12)

    def test_state_is_carried_and_starts_over(
        self, training: Training, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given: list[Any] = []
        got: list[Any] = []
        forward = training.model.forward

        def record(x: Any, state: Any = None) -> Any:
            result = forward(x, state)
            given.append(state)
            got.append(result[1])
            return result

        monkeypatch.setattr(training.model, "forward", record)
        training.run(lambda: None, lambda: False)
        for n in range(40):
            assert given[n] is (None if n % 25 == 0 else got[n - 1])

    def test_stop(self, training: Training) -> None:
        training.run(lambda: None, lambda: training.step == 3)
        assert training.step == 3

    def test_smoothed_loss(self, training: Training) -> None:
        training.run(lambda: None, lambda: training.step == 3)
        assert training.smoothed == pytest.approx(np.mean([p.bits for p in training.losses]))


class TestDisplay:
    def test_terminal(self, training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "100")
        terminal = Terminal()
        monkeypatch.setattr("sys.stdout", terminal)
        run(training)
        shown = terminal.getvalue()
        assert "100%" in shown
        assert "bits/char · held-out" in shown
        assert "chars/s · 0:00 left" in shown

    def test_elsewhere(self, training: Training, capsys: pytest.CaptureFixture[str]) -> None:
        run(training)
        lines = capsys.readouterr().out.splitlines()
        assert [line[:4] for line in lines] == [f"{n:3}%" for n in [2, *range(5, 101, 5)]]

    def test_closed_stdout(self, training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdout", None)
        run(training)
        assert training.progress == 1

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0, "0:00"), (0.2, "0:01"), (59.5, "1:00"), (3599, "59:59"), (3600, "1:00:00"),
         (7325, "2:02:05"), (math.inf, "∞")],
    )  # fmt: skip
    def test_clock(self, seconds: float, text: str) -> None:
        assert progress._clock(seconds) == text
