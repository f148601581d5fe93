"""Beam search: the likeliest text that a search of limited width finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pyrnn import _checks
from pyrnn._types import Array, Indices
from pyrnn.backend.probabilities import log_softmax
from pyrnn.text.sampling.choice import scores_of
from pyrnn.text.sampling.writing import features
from pyrnn.text.vocabularies.base import BaseVocabulary


class _Beam(NamedTuple):
    """A text, the logarithm of its probability, and the row whose state and last index it has."""

    score: float
    text: str
    tokens: int
    before: Any
    row: int = 0
    last: int = 0

    @property
    def mean(self) -> float:
        """For each token; that of texts of different length may be compared."""
        return self.score / self.tokens


def search(model: Any, prompt: Indices, length: int, breadth: int, stop: Sequence[str]) -> str:
    """Return the likeliest continuation of a prompt that the search finds."""
    sizes = (model.rnn.num_layers, breadth, model.rnn.hidden_size)
    _checks.parameter_shape("num_beams", sizes)
    stream = model.rnn.stream(breadth)
    for index in prompt:
        y = stream.step(features(model, np.full(breadth, index)))
    live, ended = [_Beam(0.0, "", 0, model.vocabulary._began(prompt))], list[_Beam]()
    for _ in range(length):
        live = _extended(model, model.linear(y), live, breadth, stop, ended)
        if not live or len(ended) >= breadth:
            break
        rows = _filled([beam.row for beam in live], breadth)
        indices = _filled([beam.last for beam in live], breadth)
        state = stream.state
        parts = state if isinstance(state, tuple) else (state,)
        chosen = tuple(part[:, rows] for part in parts)
        stream.state = chosen if isinstance(state, tuple) else chosen[0]
        y = stream.step(features(model, indices))
    best = max(ended if len(ended) >= breadth else [*ended, *live], key=lambda beam: beam.mean)
    return best.text[: _end(best.text, stop)]


def _extended(
    model: Any,
    logits: Array,
    live: Sequence[_Beam],
    breadth: int,
    stop: Sequence[str],
    ended: list[_Beam],
) -> list[_Beam]:
    """The best texts that are a token longer; those that a string ends are set aside."""
    vocabulary: BaseVocabulary = model.vocabulary
    never = vocabulary._unwritten()
    scores = np.stack(
        [
            beam.score + log_softmax(scores_of(row, never))
            for beam, row in zip(live, logits, strict=False)
        ]
    )
    found: list[_Beam] = []
    for place in np.argsort(-scores, axis=None, kind="stable"):
        row, index = divmod(int(place), len(vocabulary))
        if len(found) == breadth or scores[row, index] == -np.inf:
            break
        written, before = vocabulary._written(live[row].before, index)
        text, tokens = live[row].text + written, live[row].tokens + 1
        beam = _Beam(float(scores[row, index]), text, tokens, before, row, index)
        (found if _end(text, stop) is None else ended).append(beam)
    return found


def _end(text: str, stop: Sequence[str]) -> int | None:
    """Where the string that ends a text begins; None if there is none in it."""
    found = [text.find(string) for string in stop if string in text]
    return min(found, default=None)


def _filled(values: Sequence[int], count: int) -> Indices:
    """The values, padded to the number of rows of the stream; the rest is ignored."""
    filled: Indices = np.zeros(count, dtype=np.intp)
    filled[: len(values)] = values
    return filled
