"""The training loop of ``pyrnn train``: chunks with carried state, a schedule, a record."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pyrnn._divergence import (
    JUDGED,
    DivergenceError,
    check_loss,
    check_weights,
    worse_than_a_guess,
)
from pyrnn.text.batches import AnyIndices, chunks, streams
from pyrnn.text.character_model import CharacterModel
from pyrnn.training.clipping import clip_grad_norm
from pyrnn.training.losses import softmax_cross_entropy
from pyrnn.training.optimizers import Adam

WARM_UP_STEPS = 20
"""The number of steps in which the learning rate rises, while Adam's moments settle."""

EVALUATIONS = 8
"""How often the held-out text is scored during training."""

SMOOTHING_STEPS = 20
"""The time constant, in steps, of the moving average of the displayed loss."""


@dataclass(frozen=True)
class Settings:
    """How to train. At least one of ``steps`` and ``seconds`` is given; the earlier end counts."""

    batch_size: int
    seq_len: int
    lr: float
    clip: float
    steps: int | None
    seconds: float | None
    seed: int = 0


class Point(NamedTuple):
    """A score of the model after a number of characters, in bits per character."""

    characters: int
    bits: float


class _Stopped(Exception):  # noqa: N818 - a request, not an error
    """A signal ended an evaluation."""


class Training:
    """One training run over a text: its state and its measurements so far.

    The learning rate rises over the first steps and then falls in a straight line to 0 at the end
    of the steps or of the time, whichever is nearer. Only the time of the steps counts.
    """

    def __init__(
        self, model: CharacterModel, text: AnyIndices, held_out: AnyIndices, settings: Settings
    ) -> None:
        self.model = model
        self.settings = settings
        self.step = 0
        self.seconds = 0.0
        self.characters = 0
        self.losses: list[Point] = []
        self.scores: list[Point] = []
        self.smoothed = math.nan
        self._held_out = held_out
        self._read = 0
        self._streams = streams(text, settings.batch_size)
        self._optimizer = Adam(model.parameters, lr=settings.lr)

    @property
    def progress(self) -> float:
        """The finished part of the run, from 0 to 1."""
        shares = []
        if self.settings.steps is not None:
            shares.append(self.step / self.settings.steps)
        if self.settings.seconds is not None:
            shares.append(self.seconds / self.settings.seconds)
        return min(1.0, max(shares))

    @property
    def characters_per_second(self) -> float:
        """The mean speed of training so far."""
        return self.characters / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float:
        """The time left at this speed."""
        progress = self.progress
        return self.seconds * (1 - progress) / progress if progress else math.inf

    def run(self, show: Callable[[], None], stop: Callable[[], bool]) -> None:
        """Train until the end or until ``stop()``; call ``show()`` after every step."""
        for x, y, state in self._batches():
            # No warnings of overflow, because the loss is checked.
            with np.errstate(over="ignore", invalid="ignore"):
                self._step(x, y, state)
            show()
            if self.progress >= 1 or stop():
                return
            if self.progress * EVALUATIONS >= len(self.scores) + 1:
                try:
                    self.evaluate(stop)
                except _Stopped:
                    return

    def check(self) -> None:
        """Raise `DivergenceError` if training left the model worse than a guess.

        That is, if some weights are not finite, or if the model foresees the text that it read last
        worse than who takes every character for equally likely, and worse than it did untrained.
        """
        check_weights("--lr", self.settings.lr, self.model.parameters.values())
        reason = worse_than_a_guess(
            self._recent_bits(self.model),
            len(self.model.vocabulary),
            lambda: self._recent_bits(self._untrained()),
        )
        if reason:
            raise DivergenceError(
                "--lr", self.settings.lr, f"it ended with {reason}, per character"
            )

    def evaluate(self, stop: Callable[[], bool] = lambda: False) -> float:
        """Score the held-out text, in bits per character; `_Stopped` if ``stop()``."""

        def look() -> None:
            if stop():
                raise _Stopped

        with np.errstate(over="ignore", invalid="ignore"):
            bits = self.model.bits_per_character(self._held_out, callback=look)
        self.scores.append(Point(self.characters, bits))
        return bits

    def _recent_bits(self, model: CharacterModel) -> float:
        """Return how well the model predicts the last characters, starting from a zero state."""
        inputs, targets = self._streams
        steps = max(self.settings.seq_len, JUDGED // self.settings.batch_size)
        start = max(0, self._read - steps)
        with np.errstate(over="ignore", invalid="ignore"):
            logits, _ = model(inputs[start : start + steps])
            loss, _ = softmax_cross_entropy(logits, targets[start : start + steps])
        return loss / math.log(2)

    def _untrained(self) -> CharacterModel:
        model, layer = self.model, self.model.rnn
        return CharacterModel(
            model.vocabulary,
            model.cell,
            layer.hidden_size,
            layer.num_layers,
            dtype=model.dtype,
            seed=self.settings.seed,
        )

    def _batches(self) -> Iterator[tuple[AnyIndices, AnyIndices, list[Any]]]:
        """Yield chunks of all streams, again and again, with a holder for the carried state."""
        while True:
            state: list[Any] = [None]
            self._read = 0
            for x, y in chunks(*self._streams, self.settings.seq_len):
                self._read += len(x)
                yield x, y, state

    def _step(self, x: AnyIndices, y: AnyIndices, state: list[Any]) -> None:
        start = time.perf_counter()
        logits, state[0], cache = self.model.forward(x, state[0])
        loss, dlogits = softmax_cross_entropy(logits, y)
        check_loss("--lr", self.settings.lr, loss, self.step + 1)
        _, _, grads = self.model.backward(cache, dlogits)
        clip_grad_norm(grads, self.settings.clip)
        warm_up = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        self._optimizer.lr = self.settings.lr * warm_up * (1 - self.progress)
        self._optimizer.step(grads)
        self.seconds += time.perf_counter() - start
        self.step += 1
        self.characters += y.size
        self._record(loss / math.log(2))

    def _record(self, bits: float) -> None:
        self.losses.append(Point(self.characters, bits))
        weight = max(1 / self.step, 1 / SMOOTHING_STEPS)
        previous = bits if self.step == 1 else self.smoothed
        self.smoothed = previous + weight * (bits - previous)
