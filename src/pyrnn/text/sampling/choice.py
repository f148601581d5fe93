"""The choice of the next character: temperature, top-k, top-p."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pyrnn import _checks
from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.training import divergence


class Choice(NamedTuple):
    """How characters are drawn from their scores."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None


def checked(temperature: object, top_k: object, top_p: object) -> Choice:
    """Check the arguments of a choice."""
    temperature = _checks.finite_number("temperature", temperature, 0.0)
    if top_k is not None:
        top_k = _checks.size("top_k", top_k)
    if top_p is not None:
        top_p = _checks.finite_number("top_p", top_p, 0.0, 1.0)
        if top_p == 0:
            raise ValueError("top_p: expected a number above 0, got 0; temperature 0 is greedy")
    return Choice(temperature, top_k, top_p)


def scores_of(logits: Array, never: Sequence[int]) -> Array:
    """Logits (V,) in float64, the largest 0, with -infinity for what is never chosen."""
    scores: Array = logits.astype(np.float64)
    divergence.check_usable({"the scores": scores})
    scores[[*never]] = -np.inf
    scores -= scores.max()
    return scores


def choose(scores: Array, choice: Choice, generator: np.random.Generator) -> int:
    """Draw an index from softmax(scores / temperature), cut as ``choice`` says; scores ≤ 0."""
    if choice.temperature == 0:
        return int(scores.argmax())
    with np.errstate(over="ignore"):  # a tiny temperature: e^-inf is the 0 that is meant
        weights: Any = selection.current().exp(scores / choice.temperature)
    if choice.top_k is not None or choice.top_p is not None:
        weights = _cut(weights, choice)
    cumulative = weights.cumsum()
    # The draw is below the sum, and a choice of probability 0 has no width to fall into.
    draw = generator.random() * cumulative[-1]
    return int(np.searchsorted(cumulative, draw, side="right"))


def _cut(weights: Array, choice: Choice) -> Array:
    """Weights with 0 for what is not among the likeliest; among equals the first is likelier."""
    order = np.argsort(-weights, kind="stable")[: choice.top_k]
    if choice.top_p is not None and choice.top_p < 1:
        total = weights[order].cumsum()
        before = np.concatenate([[0.0], total[:-1]])
        order = order[before < choice.top_p * total[-1]]
    kept = np.zeros_like(weights)
    kept[order] = weights[order]
    return kept
