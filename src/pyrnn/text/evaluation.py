"""A character model at work: what it needs for a text, and what it writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from pyrnn import _checks, _divergence
from pyrnn._types import Array, Indices
from pyrnn.backend import selection
from pyrnn.text.batches import chunks, streams
from pyrnn.training.losses import softmax_cross_entropy

EVALUATION_STREAMS = 32
EVALUATION_STEPS = 256
CHECKED_AT_ONCE = 1 << 20


def bits(model: Any, indices: Any, callback: Callable[[], object] | None) -> float:
    """The bits per character that a model needs for a text."""
    text = _checks.as_array("indices", indices)
    if text.ndim != 1 or len(text) < 2:
        raise ValueError(f"indices: expected shape (L,) with L of at least 2, got {text.shape}")
    # Checked first, piece by piece, because as intp a text takes 8 times the memory.
    for start in range(0, len(text), CHECKED_AT_ONCE):
        model._check_indices(text[start : start + CHECKED_AT_ONCE])
    batch_size = min(EVALUATION_STREAMS, max(1, len(text) // EVALUATION_STEPS))
    inputs, targets = streams(text, batch_size)
    nats = cross_entropy(model, chunks(inputs, targets, EVALUATION_STEPS), callback)
    return nats / (targets.size * math.log(2))


def cross_entropy(
    model: Any, pieces: Iterable[tuple[Indices, Indices]], callback: Callable[[], object] | None
) -> float:
    """Sum the cross-entropy over pieces of text in nats, the state carried on, in eval mode."""
    was_training = model.training
    model.eval()
    try:
        nats, state = 0.0, None
        for x, y in pieces:
            logits, state = model(x, state)
            nats += softmax_cross_entropy(logits, y, reduction="sum")[0]
            if callback is not None:
                callback()
    finally:
        if was_training:
            model.train()
    return nats


def written(
    model: Any,
    prompt: Indices,
    length: int,
    temperature: float,
    generator: np.random.Generator,
) -> list[int]:
    """The characters that a model writes after a prompt, by index."""

    def features(index: int) -> Array | Indices:
        one: Indices = np.array([index])
        return one if model.embedding is None else model.embedding(one)

    stream = model.rnn.stream()
    for index in prompt[:-1]:
        stream.step(features(index))
    index = int(prompt[-1])
    found = []
    for _ in range(length):
        logits = model.linear(stream.step(features(index)))[0]
        index = _choose(logits, temperature, generator, model.vocabulary.replacement)
        found.append(index)
    return found


def _choose(
    logits: Array, temperature: float, generator: np.random.Generator, never: int | None
) -> int:
    """Draw from softmax(logits / temperature), (V,); the likeliest at temperature 0."""
    scores = logits.astype(np.float64)
    _divergence.check_usable({"the scores": scores})
    if never is not None:
        scores[never] = -np.inf
    scores -= scores.max()
    if temperature == 0:
        return int(scores.argmax())
    with np.errstate(over="ignore"):  # a tiny temperature: e^-inf is the 0 that is meant
        cumulative = selection.current().exp(scores / temperature).cumsum()
    # The draw is below the sum, and a choice of probability 0 has no width to fall into.
    draw = generator.random() * cumulative[-1]
    return int(np.searchsorted(cumulative, draw, side="right"))
