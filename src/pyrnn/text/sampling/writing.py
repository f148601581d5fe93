"""Several texts generated side by side, as one batch whose rows are independent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pyrnn._types import Array, Indices
from pyrnn.text.sampling.choice import Choice, choose, scores_of
from pyrnn.text.sampling.stops import Ending
from pyrnn.text.vocabularies.base import BaseVocabulary


def features(model: Any, indices: Indices) -> Array | Indices:
    """What the recurrent layer reads for characters."""
    read: Array | Indices = indices if model.embedding is None else model.embedding(indices)
    return read


def write(
    model: Any,
    prompts: Sequence[Indices],
    length: int,
    choice: Choice,
    generators: Sequence[np.random.Generator],
    stop: Sequence[str],
) -> Iterator[tuple[int, str]]:
    """Continue each prompt; yield its number and the next piece of its text.

    A row that has read its prompt begins to generate while others still read theirs.
    """
    vocabulary: BaseVocabulary = model.vocabulary
    never = vocabulary._unwritten()
    before = [vocabulary._began(prompt) for prompt in prompts]
    stream = model.rnn.stream(len(prompts))
    endings = [Ending(stop) for _ in prompts]
    ends = [len(prompt) + length - 1 for prompt in prompts]
    current = np.array([prompt[0] for prompt in prompts])
    active, step = set(range(len(prompts))), 0
    while active:
        y = stream.step(features(model, current))
        writing = [row for row in sorted(active) if step >= len(prompts[row]) - 1]
        logits = model.linear(y[writing]) if writing else ()
        for row in active.difference(writing):
            current[row] = prompts[row][step + 1]
        for row, scores in zip(writing, logits, strict=True):
            current[row] = choose(scores_of(scores, never), choice, generators[row])
            text, before[row] = vocabulary._written(before[row], int(current[row]))
            piece = endings[row].add(text)
            if step + 1 == ends[row] or endings[row].ended:
                active.discard(row)
                piece += endings[row].rest()
            if piece:
                yield row, piece
        step += 1
