"""What a training leaves for its report: numbers of its steps, scores, samples, gates."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn._files import AnyPath, checked_path, write_atomically
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.sampling.writing import features

FORMAT_VERSION = 1
COLUMNS = ("step", "characters", "loss", "lr", "grad_norm")
POINTS = 256
"""Each of the first steps is a point; later ones are means over 1/POINTS of the steps so far."""

TEXT_MOST = 20_000
SAMPLE_LENGTH = 200
SAMPLE_TEMPERATURE = 0.7
GATE_ROWS, GATE_STEPS = 4, 64
"""How many sequences the saturation of gates is measured on, and how long each is."""

SATURATED = 0.1
"""A gate is saturated where it is below this, or above 1 minus this."""


class Recording:
    """The numbers of a training, which take little memory however long it is.

    Parameters
    ----------
    about : dict
        What the report says of the run: strings and numbers by name.
    text : str
        Text that the model has not been trained on, for the report to look at.
    prompt : str
        What the samples continue; none are taken if it is empty.
    """

    def __init__(self, about: Mapping[str, Any], text: str = "", prompt: str = "") -> None:
        self.about: dict[str, Any] = dict(about)
        self.text: str = text[:TEXT_MOST]
        self.prompt: str = prompt
        self.points: list[tuple[float, ...]] = []
        self.scores: list[dict[str, Any]] = []
        self._sums = np.zeros(3)
        self._count = 0
        self._last: tuple[float, float] = 0, 0

    def step(self, step: int, characters: float, loss: float, lr: float, norm: float) -> None:
        """Record a step: the loss in nats, the learning rate, the norm before clipping."""
        self._sums += (loss, lr, norm)
        self._count += 1
        self._last = step, characters
        if self._count * POINTS >= step:
            self.points.append(self._mean())
            self._sums[:] = 0
            self._count = 0

    def _mean(self) -> tuple[float, ...]:
        """The mean of the steps since the last point."""
        loss, lr, norm = (self._sums / self._count).tolist()
        step, characters = self._last
        return float(step), float(characters), loss, lr, norm

    def score(self, step: int, characters: float, bits: float, model: CharacterModel) -> None:
        """Record a score on held-out text, a sample of the model and its saturated gates."""
        numbers = {"step": step, "characters": characters, "bits": bits}
        looks = {"sample": self._sample(model), "gates": self._gates(model)}
        self.scores.append({**{n: _finite(v) for n, v in numbers.items()}, **looks})

    def _sample(self, model: CharacterModel) -> str:
        if not self.prompt:
            return ""
        with np.errstate(all="ignore"):
            try:
                return self.prompt + model.sample(self.prompt, SAMPLE_LENGTH, SAMPLE_TEMPERATURE, 0)
            except ValueError:  # the training diverges, and reports it itself
                return ""

    def _gates(self, model: CharacterModel) -> dict[str, list[float]]:
        rows, length = GATE_ROWS, GATE_STEPS
        text = self.text[: rows * length * model.vocabulary.most_characters]
        indices = model.vocabulary.encode(text, replace=True)[: rows * length]
        if len(indices) < rows * length:
            return {}
        with np.errstate(all="ignore"):
            return saturation(model, indices.reshape(rows, length).T)

    def state_dict(self) -> dict[str, Any]:
        """All that a later run needs to continue."""
        return {
            "points": np.array(self.points, np.float64).reshape(-1, len(COLUMNS)),
            "scores": json.dumps(self.scores),
            "sums": self._sums.copy(),
            "count": self._count,
            "last": list(self._last),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.points = [tuple(point) for point in np.asarray(state["points"]).tolist()]
        self.scores = json.loads(state["scores"])
        self._sums = np.array(state["sums"], np.float64)
        self._count = int(state["count"])
        step, characters = state["last"]
        self._last = step, characters

    def write(self, path: AnyPath, model_file: str | None) -> None:
        """Write the history file; ``model_file`` is the name of the model beside it."""
        points = [*self.points, self._mean()] if self._count else self.points
        columns = zip(*points, strict=True) if points else ((),) * len(COLUMNS)
        document = {
            "pyrnn_history": FORMAT_VERSION,
            "model": model_file,
            "about": self.about,
            "steps": {
                name: [_finite(value) for value in column]
                for name, column in zip(COLUMNS, columns, strict=True)
            },
            "scores": self.scores,
            "text": self.text,
        }
        # Lone surrogates, which UTF-8 cannot hold, are escaped.
        write_atomically(checked_path(path), json.dumps(document, allow_nan=False).encode())


def saturation(model: CharacterModel, indices: Any) -> dict[str, list[float]]:
    """For each gate the shares of its values that are near 0, and near 1; (T, N) of indices.

    Of an RNN, which has no gates, those of its hidden state near -1 and near 1.
    """
    gates = model.rnn.gates(features(model, indices))
    if not gates:
        y, _ = model.rnn(features(model, indices))
        gates = {"h": (y + 1) / 2}
    return {
        name: [float((gate < SATURATED).mean()), float((gate > 1 - SATURATED).mean())]
        for name, gate in gates.items()
        if name[0] not in "gn"  # candidates are not gates
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
