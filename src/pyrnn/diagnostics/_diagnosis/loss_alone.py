"""Rules for loss functions where one parameter's gradient alone is wrong."""

from __future__ import annotations

import numpy as np

from pyrnn._types import Array
from pyrnn.diagnostics._diagnosis.loss_output import is_vector, ratio_of
from pyrnn.diagnostics._diagnosis.loss_target import LossTrials
from pyrnn.diagnostics._diagnosis.roles import close, parallel
from pyrnn.diagnostics._diagnosis.rules_step import Finding, transposed_gradient
from pyrnn.diagnostics._diagnosis.trials import Comparison, Trial

_STEP = 1e-5
"""Step of the differences along a whole row."""


def alone(
    trials: LossTrials, size: tuple[int, int], name: str, outputs: list[str], recurrent: list[str]
) -> list[Finding]:
    """One parameter's gradient alone is wrong."""
    trial = trials.at(*size)
    comparison = trial.compared(name)
    found = transposed_gradient(comparison)
    if found:
        return [found]
    accumulation = ("accumulation", f"wrong in {name} alone: is it `=` where `+=` is meant?")
    time_index = (
        "time index",
        f"wrong in {name} alone: which step's vector does it multiply with?",
    )
    if not is_matrix(comparison):
        wrong_factor = _mean(comparison) or _own_derivative(trials, size, name, outputs)
        return [wrong_factor or accumulation]
    if not np.any(comparison.block):
        return [accumulation, time_index] if name in recurrent else [accumulation]
    if name in outputs and not any(
        is_vector(trials, n) and n not in trial.wrong() for n in outputs
    ):
        return [("output layer", f"only the output layer's {name} is wrong")]
    if rank(comparison.block) < rank(comparison.numeric):
        return [time_index] if _has_all_steps(trial, comparison) else [accumulation]
    if name in recurrent or _sums_are_right(trials, size, comparison):
        return [time_index]
    if _has_rows_of_one(comparison) or _is_last_alone(trials, size, name, recurrent):
        return [accumulation]
    # Of one sequence, `=` would leave one step's outer product.
    return [time_index] if trials.has_sizes and size[1] == 1 else [time_index, accumulation]


def has_right_bias(trial: Trial, outputs: list[str]) -> bool:
    """Whether some bias below the output layer has the right gradient: then so has every dz."""
    right = [n for n in trial.parameters if n not in outputs and trial.compared(n).right]
    shapes = [trial.compared(name).shape for name in right]
    return any(len(shape) < 2 or min(shape) == 1 for shape in shapes)


def one_of_one_step(trial: Trial, comparison: Comparison, outputs: list[str]) -> Finding | None:
    """With one step of one sequence a gradient is dz times a vector: which of them is wrong."""
    others = [n for n in trial.parameters if n not in outputs and n != comparison.name]
    if comparison.name not in outputs and not any(
        np.any(trial.compared(n).numeric) for n in others
    ):
        return None  # dz may be wrong: no other gradient shows it
    name, block, numeric = comparison.name, comparison.block, comparison.numeric
    if not np.any(numeric):
        return ("time index", f"{name} has a gradient in one step: which state is read?")
    if not np.any(block):
        return ("time index", f"the gradient of {name} is 0: it multiplies with a state of zeros")
    place = np.unravel_index(np.argmax(np.abs(numeric)), numeric.shape)
    factor = float(block[place] / numeric[place])
    if close(block, factor * numeric):
        return (
            "accumulation",
            f"the gradient of {name} alone is {factor:.6g} times the right one: look at how it is "
            "added up",
        )
    if not is_matrix(comparison):
        return None
    for left in (numeric, numeric.T):
        given = block if left is numeric else block.T
        vectors = [np.linalg.svd(each)[0][:, 0] for each in (left, given)]
        if rank(given) == rank(left) == 1 and parallel(*vectors):
            return (
                "time index",
                f"the gradient of {name} multiplies with another vector than it should",
            )
    return None


def _own_derivative(
    trials: LossTrials, size: tuple[int, int], name: str, outputs: list[str]
) -> Finding | None:
    """A bias whose gradient is dh where it should be dz: the ratio is that of each unit."""
    if name in outputs or not outputs:
        return None
    below = [n for n in trials.parameters if n not in outputs and not is_vector(trials, n)]
    ratio = ratio_of(trials, size, name, outputs, dict.fromkeys(below, 0.0))
    if ratio is None or not np.any(ratio) or np.allclose(ratio, ratio[:1]):
        return None
    return (
        "activation",
        f"wrong in {name} alone, unit by unit: its gradient is Σ dz, with the activation's "
        "derivative in it",
    )


def _is_last_alone(
    trials: LossTrials, size: tuple[int, int], name: str, recurrent: list[str]
) -> bool:
    """Whether a gradient is 0 where nothing is carried: what is kept is that of the first step."""
    if not recurrent:
        return False
    found = trials.at(*size, dict.fromkeys(recurrent, 0.0)).compared(name)
    return bool(np.any(found.numeric)) and not np.any(found.block)


def _has_rows_of_one(comparison: Comparison) -> bool:
    """Whether x is one-hot, as far as a gradient tells: whole columns or rows of it are 0."""
    right, given = comparison.numeric, comparison.block
    zero = [[not np.any(part) for part in each] for each in (right, right.T, given, given.T)]
    return (any(zero[0]) and zero[0] == zero[2]) or (any(zero[1]) and zero[1] == zero[3])


def _sums_are_right(trials: LossTrials, size: tuple[int, int], comparison: Comparison) -> bool:
    """Whether rows, or columns, have the right sums: one-hot x of other steps leave them."""
    shape = comparison.analytic.shape
    for axis in (0, 1):
        analytic = np.asarray(comparison.analytic, dtype=np.float64).sum(axis=axis)
        chosen = np.linspace(0, shape[1 - axis] - 1, min(shape[1 - axis], 6)).astype(int)
        numeric = [_along(trials, size, comparison.name, axis, int(n)) for n in chosen]
        if close(analytic[chosen], np.array(numeric)):
            return True
    return False


def _along(trials: LossTrials, size: tuple[int, int], name: str, axis: int, at: int) -> float:
    """The derivative of the loss along a whole row or column of ones."""
    direction = np.zeros(trials.parameters[name].shape)
    direction[(slice(None), at) if axis == 0 else (at, slice(None))] = _STEP
    above, below = (trials.loss(*size, {name: sign * direction}) for sign in (1, -1))
    return (above - below) / (2 * _STEP)


def _mean(comparison: Comparison) -> Finding | None:
    """The right gradient over a whole number: a mean over the batch."""
    place = np.unravel_index(np.argmax(np.abs(comparison.numeric)), comparison.numeric.shape)
    count = float(comparison.numeric[place] / (comparison.block[place] or 1.0))
    if round(count) < 2 or not close(comparison.block * round(count), comparison.numeric):
        return None
    return (
        "batch sum",
        f"the gradient of {comparison.name} is 1/{round(count)} of the right one: a mean where a "
        "sum is meant",
    )


def _has_all_steps(trial: Trial, comparison: Comparison) -> bool:
    """Whether a matrix' gradient holds each step's dz, with a wrong vector.

    With one-hot rows its columns sum to the bias' gradient, with one vector they are multiples.
    """
    rows = comparison.grid[0]
    analytic = np.asarray(comparison.analytic, dtype=np.float64)[rows]
    left = np.linalg.svd(comparison.block)[0][:, 0]
    for name in trial.parameters:
        other = trial.found.analytic[name]
        if other.size == comparison.analytic.shape[0] and name != comparison.name:
            bias = np.asarray(other, dtype=np.float64).reshape(-1)[rows]
            if np.any(bias) and (close(analytic.sum(axis=1), bias) or parallel(bias, left)):
                return True
    return False


def is_matrix(comparison: Comparison) -> bool:
    """Whether a gradient is that of weights, as far as its shape tells."""
    return comparison.numeric.ndim == 2 and min(comparison.analytic.shape) > 1


def rank(block: Array) -> int:
    """How many outer products a gradient is made of."""
    return int(np.linalg.matrix_rank(block, tol=1e-6 * float(np.abs(block).max(initial=0.0))))
