"""What a training knows and shows while it runs."""

import dataclasses
import io
import math
from typing import Any

import numpy as np
import pytest

from pyrnn.cli._training import progress
from pyrnn.cli._training.run import Training
from pyrnn.cli._training.settings import Settings
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

    @pytest.mark.parametrize(
        ("schedule", "halfway", "end"), [("cosine", 0.5, 0.0), ("constant", 1.0, 1.0)]
    )
    def test_schedules(self, schedule: Any, halfway: float, end: float, training: Training) -> None:
        settings = dataclasses.replace(training.settings, schedule=schedule, steps=400)
        text = np.random.default_rng(0).integers(4, size=500)
        other = Training(training.model, text, text[:50], settings)
        other.run(lambda: None, lambda: other.step == 201)
        assert other.lr == pytest.approx(0.01 * halfway, rel=1e-12)
        other.run(lambda: None, lambda: False)
        assert other.lr == pytest.approx(0.01 * end, abs=1e-5)

    def test_gradients_go_further_back(
        self, training: Training, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each step begins k2 - k1 steps before, with the state from there."""
        settings = dataclasses.replace(training.settings, k2=15)
        text = np.random.default_rng(0).integers(4, size=500)
        training = Training(training.model, text, text[:50], settings)
        inputs = text[:496].reshape(4, 124).T
        given: list[Any] = []
        got: list[Any] = []
        gradients: list[Any] = []
        forward, backward = training.model.forward, training.model.backward

        def record(x: Any, state: Any = None) -> Any:
            result = forward(x, state)
            given.append((x, state))
            got.append(result[1])
            return result

        def record_gradients(cache: Any, dlogits: Any) -> Any:
            gradients.append(dlogits)
            return backward(cache, dlogits)

        monkeypatch.setattr(training.model, "forward", record)
        monkeypatch.setattr(training.model, "backward", record_gradients)
        training.run(lambda: None, lambda: False)
        for n, ((x, state), dlogits) in enumerate(zip(given, gradients, strict=True)):
            start = n % 25 * 5
            begin = max(0, start - 10)
            assert np.array_equal(x, inputs[begin : start + 5])
            assert state is (got[n - 3] if begin else None)
            assert not dlogits[: start - begin].any()
            assert dlogits[start - begin :].all(axis=2).all()
        assert training.characters == 4 * (124 + 15 * 5)

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
        assert "step 40 epoch 2 0:0" in shown
        assert "left 0:00" in shown
        assert "/s lr 2.5e-4 bits " in shown
        assert " best " in shown

    def test_elsewhere(self, training: Training, capsys: pytest.CaptureFixture[str]) -> None:
        run(training)
        lines = capsys.readouterr().out.splitlines()
        assert [line[:4] for line in lines] == [f"{n:3}%" for n in [2, *range(5, 101, 5)]]

    def test_fits_into_80_columns(self, training: Training) -> None:
        for step, tokens, seconds in ((1, 20, 0.1), (40, 800, 3600.0), (99_999, 10**12, 3e5)):
            training.step, training.tokens, training.seconds = step, tokens, seconds
            training._steps = 10**10
            training.smoothed, training.best = 10.1234, (10.1234, {})
            line = progress.describe(training)
            assert len(f"100% {line}") <= 80
            assert line.split()[::2][:2] == ["step", "epoch"]

    @pytest.mark.parametrize(
        ("number", "text"),
        [(0, "0"), (99_999.4, "99999"), (99_999.5, "100k"), (999_499, "999k"), (999_500, "1M"),
         (2.6e9, "3G"), (math.inf, "∞")],
    )  # fmt: skip
    def test_short_numbers(self, number: float, text: str) -> None:
        assert progress._short(number) == text

    def test_closed_stdout(self, training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdout", None)
        run(training)
        assert training.progress == 1

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0, "0:00"), (0.2, "0:01"), (59.5, "1:00"), (3599, "59:59"), (3599.5, "1h00"),
         (7325, "2h02"), (4 * 86_400 - 1, "95h59"), (4 * 86_400, "4d00"), (99e5, "∞"),
         (math.inf, "∞")],
    )  # fmt: skip
    def test_clock(self, seconds: float, text: str) -> None:
        assert progress._clock(seconds) == text
