"""Training that diverges: numbers are no longer finite, or the model is worse than a guess."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from pyrnn import _warnings
from pyrnn._types import Array

JUDGED = 4096
"""This many of the last characters or words decide whether training has diverged."""

TOLERANCE = 0.01
"""A training that changes next to nothing may end this much worse than it began."""


class DivergenceError(ValueError):
    """Training has diverged. The message is one line and begins with the learning rate's name.

    Parameters
    ----------
    name : str
        The argument that holds the learning rate.
    rate : float
        Its value.
    reason : str
        What was found.
    """

    def __init__(self, name: str, rate: float, reason: str) -> None:
        super().__init__(
            f"{name}: expected a rate at which training converges, got {rate:g}: {reason}"
        )


def all_finite(arrays: Iterable[Array]) -> bool:
    """Return whether no array has a NaN or an infinity."""
    return all(bool(np.isfinite(array).all()) for array in arrays)


def check_loss(name: str, rate: float, loss: float, step: int) -> None:
    """Raise `DivergenceError` unless the loss of a step is a finite number."""
    if not math.isfinite(loss):
        raise DivergenceError(name, rate, f"the loss became {loss} at step {step}")


def check_weights(name: str, rate: float, weights: Iterable[Array]) -> None:
    """Raise `DivergenceError` unless all weights are finite numbers."""
    if not all_finite(weights):
        raise DivergenceError(name, rate, "some weights became NaN or infinite")


def worse_than_a_guess(bits: float, classes: int, untrained: Callable[[], float]) -> str:
    """Say how a trained model predicts worse than an untrained one; nothing if it does not.

    ``bits`` is what it needs per character, or word, of which there are so many; a guess takes each
    for equally likely. ``untrained`` says what the model needed before, and is asked if it decides.
    """
    guess = math.log2(classes)
    if bits <= guess or bits <= (1 + TOLERANCE) * max(guess, untrained()):
        return ""
    return f"{bits:.4g} bits where a guess needs {guess:.4g}"


def warn_if_worse(name: str, rate: float, reason: str) -> None:
    """Warn of such a model: after a short training, more steps might still improve it."""
    if reason:
        _warnings.warn_user(
            f"{name}: training with {rate:g} ended worse than it began: {reason}. Train longer, or "
            "with a lower rate"
        )


def check_usable(arrays: Mapping[str, Array]) -> None:
    """Raise a ValueError if parameters, or values computed from them, are not finite."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(
                "parameters: expected finite numbers; the model computes NaN or infinity "
                f"(seen in {name})"
            )
