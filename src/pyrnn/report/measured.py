"""A run in numbers: what was recorded, and what is measured on its model and a text."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn._types import Array
from pyrnn.report import units
from pyrnn.report.lag import gradient_over_lag
from pyrnn.report.recording import COLUMNS, saturation
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.vocabulary import Vocabulary

GATE_TEXT = 2000
"""The number of characters over which the gates of the model are looked at."""


class Measured:
    """Base of `Run`: its numbers. What takes time is computed when it is first asked for."""

    def __init__(
        self,
        name: str,
        *,
        about: Mapping[str, Any] | None = None,
        steps: Mapping[str, Any] | None = None,
        scores: Any = (),
        model: CharacterModel | None = None,
        text: str = "",
    ) -> None:
        self.name = name
        self.about: dict[str, Any] = dict(about or {})
        self.steps: dict[str, Array] = {
            column: np.array((steps or {}).get(column, ()), dtype=np.float64) for column in COLUMNS
        }
        self.scores: list[dict[str, Any]] = list(scores)
        self.model = model
        self.text: str = text if model is None else _readable(model, text)

    @functools.cached_property
    def states(self) -> units.States | None:
        """The states of the model after each character of the text."""
        if self.model is None or not self.text:
            return None
        return units.states(self.model, self.text)

    @functools.cached_property
    def findings(self) -> list[units.Finding]:
        """For each property of text the unit that tracks it best, with their correlation."""
        return [] if self.states is None else units.find(self.states, self.text)

    @functools.cached_property
    def gradient_over_lag(self) -> Array:
        """The norm of the gradient of a loss with respect to the hidden state k steps before."""
        if self.model is None:
            return np.zeros(0)
        return gradient_over_lag(self.model, self._indices())

    @functools.cached_property
    def gates(self) -> dict[str, list[float]]:
        """For each gate of the model the shares of values below 0.1 and above 0.9."""
        indices = self._indices()[:GATE_TEXT]
        if self.model is None or not len(indices):
            return {}
        return saturation(self.model, indices[:, None])

    def _indices(self) -> Any:
        if self.model is None:
            return np.zeros(0, dtype=np.intp)
        return self.model.vocabulary.encode(self.text, replace=True)


def _readable(model: CharacterModel, text: str) -> str:
    """A text without characters that the model neither knows nor has a replacement for."""
    vocabulary = model.vocabulary
    text = vocabulary.normalise(text)
    if vocabulary.replacement is not None or not isinstance(vocabulary, Vocabulary):
        return text
    return "".join(character for character in text if character in vocabulary.characters)
