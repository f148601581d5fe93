"""How far back in time a loss has a gradient: its norm over the lag."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrnn._types import Array
from pyrnn.text.character_model import CharacterModel
from pyrnn.training.losses import softmax_cross_entropy

LAGS = 100
ROWS = 32


def gradient_over_lag(model: CharacterModel, indices: Any) -> Array:
    """The norm of ∂L_t/∂h_{t-k} for k = 0, 1, ...: L_t is the loss of one predicted character.

    It is the root of the mean of squares over places in a text (L,), with c of an LSTM held fixed;
    of h of all layers. Empty if the text is too short.
    """
    rows = min(ROWS, (len(indices) - 1) // 8)
    steps = min(LAGS + 1, (len(indices) - 1) // max(rows, 1))
    if rows < 1 or steps < 2:
        return np.zeros(0)
    starts = np.linspace(0, len(indices) - steps - 1, rows).astype(int)
    windows = np.stack([indices[start : start + steps + 1] for start in starts], axis=1)
    was_training = model.training
    model.eval()
    try:
        caches, state = [], None
        for x in windows[:-1]:
            logits, state, cache = model.forward(x[None], state)
            caches.append(cache)
        _, dlogits = softmax_cross_entropy(logits, windows[-1:], reduction="sum")
        norms: list[float] = []
        dstate: Any = None
        # The last step's own state: what the output layer passes back to it.
        norms.append(_norm(dlogits[0] @ model.linear.parameters["weight"]))
        for number, cache in enumerate(reversed(caches)):
            _, dstate, _ = model.backward(cache, None if number else dlogits, dstate)
            h = dstate[0] if isinstance(dstate, tuple) else dstate
            norms.append(_norm(np.concatenate(list(h), axis=-1)))
    finally:
        if was_training:
            model.train()
    # The last one belongs to the zero state before the text.
    return np.array(norms[:-1])


def _norm(gradient: Array) -> float:
    """The root of the mean square over rows of the norm of each row's gradient (N, units)."""
    return float(np.sqrt(np.square(gradient.astype(np.float64)).sum(axis=-1).mean()))
