"""Which parameters of a loss function are its output layer's, and what its softmax sums over."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyrnn._types import Array
from pyrnn.diagnostics._diagnosis.loss_target import LossTrials, Scale

FAR = 100.0
"""A scale of weights at which an activation such as tanh is saturated."""


def is_vector(trials: LossTrials, name: str) -> bool:
    """Whether a parameter is a bias, as far as its shape tells."""
    shape = trials.parameters[name].shape
    return len(shape) < 2 or min(shape) == 1


def output_parameters(trials: LossTrials, size: tuple[int, int]) -> list[str]:
    """The output layer: one matrix that hands gradients to all below it, and its bias.

    Without that matrix every gradient below is 0. In a network without biases that is true of the
    first matrix too, since without it all states are 0: the loss tells the two apart.
    """
    whole = trials.at(*size)
    alive = [n for n in whole.parameters if np.any(whole.compared(n).numeric)]
    zeros: dict[str, list[str]] = {}
    for name in alive:
        if trials.parameters[name].ndim < 2:
            continue
        without = trials.at(*size, {name: 0.0})
        if np.any(without.compared(name).numeric):
            zeros[name] = [
                n for n in alive if n != name and not np.any(without.compared(n).numeric)
            ]
    most = max(map(len, zeros.values()), default=0)
    if not most and sum(not is_vector(trials, name) for name in trials.parameters) == 1:
        return alive  # one matrix: there is nothing but an output layer
    if most > 1 or (most == 1 and len(alive) == 2):
        best = _last([n for n in zeros if len(zeros[n]) == most], trials, size)
        return [name for name in alive if name not in zeros[best]]
    return []


def sums_over_classes(trials: LossTrials, size: tuple[int, int], outputs: list[str]) -> bool:
    """Whether the loss is of a softmax over the classes: then one bias for all changes nothing."""
    matrices = [name for name in outputs if not is_vector(trials, name)]
    return any(_is_of_softmax(trials, size, name) for name in matrices)


def is_quadratic(trials: LossTrials, size: tuple[int, int], outputs: list[str]) -> bool:
    """Whether the loss is a squared error: it has no softmax."""
    return any(_is_quadratic(trials, size, n) for n in outputs if not is_vector(trials, n))


def _last(names: list[str], trials: LossTrials, size: tuple[int, int]) -> str:
    """Of matrices that all gradients depend on, the one behind the activations."""
    for is_output in (_is_of_softmax, _is_quadratic):
        found = [name for name in names if len(names) > 1 and is_output(trials, size, name)]
        if len(found) == 1:
            return found[0]
    return max(names, key=lambda name: _unsaturated(trials, size, name)) if names[1:] else names[0]


def _is_of_softmax(trials: LossTrials, size: tuple[int, int], name: str) -> bool:
    shape = trials.parameters[name].shape
    loss = trials.loss(*size)
    generator = np.random.default_rng(0)
    for axis in range(len(shape)):
        shared = [1 if n == axis else count for n, count in enumerate(shape)]
        moved = trials.loss(*size, {name: generator.standard_normal(shared)})
        if shape[axis] > 1 and abs(moved - loss) <= 1e-9 * max(1.0, abs(loss)):
            return True
    return False


def _is_quadratic(trials: LossTrials, size: tuple[int, int], name: str) -> bool:
    array = trials.parameters[name]
    values = [trials.loss(*size, {name: (scale - 1) * array}) for scale in (-1, 0, 1, 2)]
    third = values[3] - 3 * values[2] + 3 * values[1] - values[0]
    return bool(abs(third) <= 1e-9 * max(map(abs, values)))


def _unsaturated(trials: LossTrials, size: tuple[int, int], name: str) -> float:
    """What is left of the gradient of a matrix where it is large."""
    left = [trials.at(*size, {name: scale}).compared(name).numeric for scale in (FAR, -FAR)]
    return max(float(np.abs(each).max(initial=0.0)) for each in left)


def ratio_of(
    trials: LossTrials,
    size: tuple[int, int],
    name: str,
    outputs: list[str],
    scaled: Mapping[str, Scale],
) -> Array | None:
    """A gradient over the right one, number by number; None if it changes with the outputs.

    A wrong derivative of the activation does not change with the output layer. What that hands
    down does, and so does a sum over steps of which some are wrong.
    """
    ratios: list[Array] = []
    for scale in (1.0, 0.5, -1.0):
        trial = trials.at(*size, {**scaled, **dict.fromkeys(outputs, scale)})
        found = trial.compared(name)
        large = np.abs(found.numeric) > 1e-6 * np.abs(found.numeric).max(initial=0.0)
        ratios.append(np.where(large, found.block / np.where(large, found.numeric, 1.0), np.nan))
    known = np.isfinite(np.sum(ratios, axis=0))
    first = ratios[0][known]
    same = all(np.allclose(first, each[known], rtol=1e-3, atol=1e-4) for each in ratios[1:])
    return first if same else None
