"""Rules for loss functions: faults that show without recurrent weights."""

from __future__ import annotations

import numpy as np

from pyrnn._types import Array
from pyrnn.diagnostics._diagnosis.loss_output import is_vector, ratio_of
from pyrnn.diagnostics._diagnosis.loss_target import LossTrials, Scale
from pyrnn.diagnostics._diagnosis.roles import close, parallel
from pyrnn.diagnostics._diagnosis.rules_step import Finding
from pyrnn.diagnostics._diagnosis.trials import Comparison

_SMALL = 1e-3
"""A scale of weights at which every activation is almost linear."""
_OUTPUT = ("output layer", "wrong in what the output layer hands down to the state")
_INDEX = ("time index", "right where all states are equal: which step's values are read?")
_FIRST = (
    "time index",
    "wrong in the first step alone, where states are equal from then on: is the state before a "
    "step read for the one after it?",
)


def within_a_step(
    trials: LossTrials,
    size: tuple[int, int],
    wrong: list[str],
    outputs: list[str],
    recurrent: list[str],
) -> list[Finding]:
    """A fault that shows without recurrent weights.

    Without any weights below the output layer, all states are equal. Then it does not matter which
    step's state is read, and a wrong derivative of the activation scales the gradient of the bias
    by numbers that do not depend on the output layer.
    """
    activation = (
        "activation",
        f"wrong in {', '.join(wrong[:4])}: look at the derivative of the activation",
    )
    below = [n for n in trials.parameters if n not in outputs and not is_vector(trials, n)]
    biases = [name for name in wrong if name not in below]
    if not biases:
        return _without_biases(trials, size, wrong, outputs, recurrent) or [activation]
    level: dict[str, Scale] = dict.fromkeys(below, 0.0)
    if not any(name in biases for name in trials.at(*size, level).wrong()):
        return [_INDEX]
    if outputs and ratio_of(trials, size, biases[0], outputs, level) is None:
        zero = trials.at(*size, {**level, **dict.fromkeys(biases, 0.0)})
        if not any(name in biases for name in zero.wrong()):
            return [("time index", _INDEX[1])]
        first = trials.at(*size, level)
        if any(_is_of_first_state(first.compared(n), zero.compared(n)) for n in recurrent):
            return [_FIRST]
        return [_OUTPUT]
    return [activation]


def _without_biases(
    trials: LossTrials,
    size: tuple[int, int],
    wrong: list[str],
    outputs: list[str],
    recurrent: list[str],
) -> list[Finding]:
    """A fault of a network without biases: with small weights, activations are almost linear."""
    inputs = [name for name in wrong if name not in recurrent]
    if not inputs or not outputs:
        return []
    name = inputs[0]
    alone: dict[str, Scale] = dict.fromkeys(recurrent, 0.0)
    small: dict[str, Scale] = {**alone, **dict.fromkeys(inputs, _SMALL)}
    ratio = ratio_of(trials, size, name, outputs, small)
    if ratio is None:
        return [_OUTPUT]
    if not np.allclose(ratio, 1.0, atol=0.1):
        return []
    matrix = trials.parameters[name]
    for axis in (0, 1):
        equal = np.broadcast_to(matrix.mean(axis=axis, keepdims=True), matrix.shape).copy()
        trial = trials.at(*size, {**alone, name: equal})
        if any(_is_outer(trial.compared(n).numeric) for n in outputs):
            same = trial.compared(name)
            return [] if not close(same.block, same.numeric) else [_INDEX]
    return [
        ("activation", f"wrong in {', '.join(wrong[:4])}: look at the activation's derivative"),
        ("time index", "or at which step's state it is taken of"),
    ]


def _is_of_first_state(level: Comparison, zero: Comparison) -> bool:
    """Whether an error is an outer product with the state before the first step.

    Where biases are 0 too, that state is all that the recurrent matrix multiplies with.
    """
    error = level.block - level.numeric
    if not _is_outer(error) or not _is_outer(zero.numeric):
        return False
    (left, _, right), (dz, _, state) = np.linalg.svd(error), np.linalg.svd(zero.numeric)
    return parallel(right[0], state[0]) or parallel(left[:, 0], dz[:, 0])


def _is_outer(gradient: Array) -> bool:
    """Whether a matrix's gradient is one vector times another: then all states are equal."""
    if gradient.ndim != 2 or min(gradient.shape) < 2 or not np.any(gradient):
        return False
    values = np.linalg.svd(gradient, compute_uv=False)
    return bool(values[1] < 1e-6 * values[0])
