"""The bits that a character model needs for a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from pyrnn import _checks
from pyrnn._types import Indices
from pyrnn.distributed import shares
from pyrnn.text.batches import chunks, streams
from pyrnn.training.losses import softmax_cross_entropy

EVALUATION_STREAMS = 32
EVALUATION_STEPS = 256
CHECKED_AT_ONCE = 1 << 20


def bits(model: Any, indices: Any, callback: Callable[[], object] | None) -> float:
    """The bits per token that a model needs for a text."""
    nats, count = nats_of(model, indices, callback)
    return nats / (count * math.log(2))


def nats_of(
    model: Any,
    indices: Any,
    callback: Callable[[], object] | None,
    rank: int = 0,
    ranks: int = 1,
) -> tuple[float, int]:
    """The nats that a model needs for one of several ranks' streams of a text.

    Also returns the number of characters that the streams of all ranks score.
    """
    text = _checks.as_array("indices", indices)
    if text.ndim != 1 or len(text) < 2:
        raise ValueError(f"indices: expected shape (L,) with L of at least 2, got {text.shape}")
    # Checked first, piece by piece, because as intp a text takes 8 times the memory.
    for start in range(0, len(text), CHECKED_AT_ONCE):
        model._check_indices(text[start : start + CHECKED_AT_ONCE])
    batch_size = min(EVALUATION_STREAMS, max(1, len(text) // EVALUATION_STEPS))
    inputs, targets = streams(text, batch_size)
    mine = shares.neighbours(batch_size, rank, ranks)
    if mine.start == mine.stop:
        return 0.0, targets.size
    pieces = chunks(inputs[:, mine], targets[:, mine], EVALUATION_STEPS)
    return cross_entropy(model, pieces, callback), targets.size


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
