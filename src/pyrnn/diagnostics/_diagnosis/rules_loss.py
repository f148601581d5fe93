"""Rules for loss functions, whose states are hidden: parameters are scaled to remove paths.

Without its recurrent weights a network carries no gradient from step to step, so a fault that goes
with them is one of the carry. Scaled by s, what is cut off after k steps is of the order s^k.
"""

from __future__ import annotations

import math

import numpy as np

from pyrnn._types import Array
from pyrnn.diagnostics._diagnosis.loss_target import SIZES, SYMMETRIC, LossTrials
from pyrnn.diagnostics._diagnosis.roles import close
from pyrnn.diagnostics._diagnosis.rules_step import Finding, is_dead
from pyrnn.diagnostics._diagnosis.trials import Comparison, Trial

_CARRY = "right where nothing is carried, wrong from T=2: look at what is carried from step to step"


def loss_diagnosis(trials: LossTrials) -> tuple[Finding, ...]:
    """At most two pairs (region, sentence) for a loss function; none if nothing is wrong."""
    trial = _smallest_wrong(trials)
    if trial is None:
        return ()
    for found in (_constant(trials), _scaled(trials, trial), _by_sizes(trials, trial)):
        if found:
            return tuple(found[:2])
    return tuple(_by_place(trials, trial)[:2])


def _smallest_wrong(trials: LossTrials) -> tuple[int, int] | None:
    """The smallest T and N with a wrong gradient."""
    sizes = [(1, 1), (1, 2), (2, 1), (3, 1), (4, 1), (6, 1), (9, 1), SIZES]
    for size in sizes if trials.has_sizes else [SIZES]:
        if trials.at(*size).wrong():
            return size
    return None


def _constant(trials: LossTrials) -> list[Finding]:
    """A loss that does not depend on parameters that have a gradient."""
    trial = trials.first
    dead = [name for name in trial.parameters if is_dead(trial.compared(name))]
    if not dead:
        return []
    if any(trials.reads(name) for name in dead):
        # Read, and without effect: a softmax over another axis takes away what it adds there.
        return [
            (
                "softmax axis",
                f"the loss does not change with {' and '.join(dead)}: does the softmax sum over "
                "the classes?",
            )
        ]
    which = "any parameter" if len(dead) == len(trial.parameters) else " and ".join(dead)
    return [("not live", f"the loss does not depend on {which}: is `parameters` what f reads?")]


def _scaled(trials: LossTrials, size: tuple[int, int]) -> list[Finding]:
    """Gradients that all differ from the right ones by the same factor."""
    factor = _factor(trials.at(*size))
    if factor is None or math.isclose(factor, 1.0, rel_tol=1e-4):
        return []
    if trials.has_sizes:
        alone = _factor(trials.at(1, 1))
        for region, axis, other in (
            ("batch sum", "the batch", _factor(trials.at(1, 2))),
            ("output layer", "time steps", _factor(trials.at(2, 1))),
        ):
            if alone and other and not math.isclose(other, alone, rel_tol=1e-4):
                return [
                    (
                        region,
                        f"with two in place of one, every gradient is {other / alone:.6g} times "
                        "too large: the loss and its gradient differ in a mean or a sum over "
                        f"{axis}",
                    )
                ]
    return [
        (
            "output layer",
            f"every gradient is {factor:.6g} times the right one: the loss and its gradient are "
            "not scaled alike",
        )
    ]


def _factor(trial: Trial) -> float | None:
    """The common factor of all gradients; None if there is none."""
    factors = []
    for name in trial.parameters:
        comparison = trial.compared(name)
        if not np.any(comparison.numeric):
            continue
        place = np.unravel_index(np.argmax(np.abs(comparison.numeric)), comparison.numeric.shape)
        factor = float(comparison.block[place] / comparison.numeric[place])
        if factor == 0 or not close(comparison.block, factor * comparison.numeric):
            return None
        factors.append(factor)
    if not factors or not np.allclose(factors, factors[0], rtol=1e-4):
        return None
    return factors[0]


def _by_sizes(trials: LossTrials, size: tuple[int, int]) -> list[Finding]:
    """Findings from the smallest wrong T and N; none without sizes."""
    if not trials.has_sizes:
        return []
    trial = trials.at(*size)
    wrong = trial.wrong()
    outputs = _output_parameters(trials, size)
    if size == (1, 2) or (size == SIZES and size[1] > 1):
        return _of_batch(trial, wrong, outputs)
    if size == (1, 1):
        return _of_step(trials, trial, wrong, outputs)
    if outputs and any(name in outputs for name in wrong) and len(wrong) > 1:
        return [("softmax axis", "right for T=1, wrong from T=2, in the output layer too")]
    if len(wrong) == 1:
        return _transposed(trial.compared(wrong[0])) or _alone(trial, wrong[0])
    steps = size[0]
    if steps > 2:
        wrong_steps = next(t for t in range(3, steps + 1) if trials.at(t, 1).wrong())
        return [_truncated(wrong_steps - 1)]
    if _carrying(trials, size, wrong) or not _recurrent(trials, size):
        return [_carried(trials, size)]
    return [
        ("time index", "right for T=1, wrong from T=2: look at which step's values each step reads")
    ]


def _of_batch(trial: Trial, wrong: list[str], outputs: list[str]) -> list[Finding]:
    if outputs and len(wrong) > 1 and any(name in outputs for name in wrong):
        return [("softmax axis", "right for N=1, wrong from N=2, in the output layer too")]
    halved = [n for n in wrong if close(2 * trial.compared(n).block, trial.compared(n).numeric)]
    note = ": 1/N times the right one, a mean where a sum is meant" if halved == wrong else ""
    return [("batch sum", f"right for N=1, wrong from N=2, in {', '.join(wrong[:4])}{note}")]


def _of_step(
    trials: LossTrials, trial: Trial, wrong: list[str], outputs: list[str]
) -> list[Finding]:
    """With one step of one sequence."""
    if outputs and any(name in outputs for name in wrong):
        return [("output layer", f"wrong from T=1, N=1 on, in {', '.join(wrong[:4])}")]
    if len(wrong) == 1:
        found = _transposed(trial.compared(wrong[0]))
        if found:
            return found
        if not np.any(trial.compared(wrong[0]).numeric):
            return [("time index", f"{wrong[0]} has a gradient in one step: which state is read?")]
    biases = [name for name in wrong if _is_vector(trials, name)]
    if outputs and _depends_on_output(trials, (1, 1), biases, outputs, {}):
        return [("output layer", "wrong in what the output layer hands down to the state")]
    return [
        (
            "activation",
            f"wrong from T=1, N=1 on, in {', '.join(wrong[:4])}: look at the derivative of the "
            "activation",
        )
    ]


def _depends_on_output(
    trials: LossTrials,
    size: tuple[int, int],
    biases: list[str],
    outputs: list[str],
    scaled: dict[str, float],
) -> bool:
    """Whether the ratio of a bias' gradient to the right one changes with the output layer."""
    if not biases:
        return False
    ratios = []
    for scale in (1.0, 0.5, -1.0):
        trial = trials.at(*size, {**scaled, **dict.fromkeys(outputs, scale)})
        found = trial.compared(biases[0])
        if np.any(found.numeric == 0):
            return False
        ratios.append(found.block / found.numeric)
    return not all(close(ratios[0], ratio) for ratio in ratios[1:])


def _by_place(trials: LossTrials, size: tuple[int, int]) -> list[Finding]:
    """Findings from the wrong parameters, if T and N cannot be changed."""
    trial = trials.at(*size)
    wrong = trial.wrong()
    outputs = _output_parameters(trials, size)
    if all(name in outputs for name in wrong):
        return [("output layer", f"only the output layer's {' and '.join(wrong)} is wrong")]
    if any(name in outputs for name in wrong):
        return [
            ("output layer", "the output layer is wrong, and so is what is below it"),
            ("softmax axis", "or the softmax sums over another axis than the loss assumes"),
        ]
    if len(wrong) == 1:
        return _transposed(trial.compared(wrong[0])) or _alone(trial, wrong[0])
    if _carrying(trials, size, wrong):
        reach = _reach(trials, size, wrong)
        return [_truncated(reach)] if reach > 1 else [_carried(trials, size)]
    return [_within_a_step(trials, size, wrong, outputs)]


def _carried(trials: LossTrials, size: tuple[int, int]) -> Finding:
    """A fault of what goes from step to step: transposed, or another one."""
    recurrent = _recurrent(trials, size)
    if recurrent and not trials.at(*size, dict.fromkeys(recurrent, SYMMETRIC)).wrong():
        return (
            "transpose",
            f"right where {' and '.join(recurrent)} is symmetric: what is carried from step to "
            "step is W dz; it should be Wᵀ dz",
        )
    return ("carry", _CARRY)


def _within_a_step(
    trials: LossTrials, size: tuple[int, int], wrong: list[str], outputs: list[str]
) -> Finding:
    """A fault that is there without recurrent weights.

    Without any weights below the output layer all states are equal, so what one step reads of
    another is right, and a wrong derivative of the activation scales the bias' gradient by numbers
    that do not depend on the output layer.
    """
    below = [n for n in trials.parameters if n not in outputs and not _is_vector(trials, n)]
    level = dict.fromkeys(below, 0.0)
    biases = [name for name in wrong if name not in below]
    if biases and not any(name in biases for name in trials.at(*size, level).wrong()):
        return ("time index", "right where all states are equal: which step's values are read?")
    if outputs and _depends_on_output(trials, size, biases, outputs, level):
        return ("output layer", "wrong in what the output layer hands down to the state")
    return (
        "activation",
        f"wrong in {', '.join(wrong[:4])}: look at the derivative of the activation",
    )


def _is_vector(trials: LossTrials, name: str) -> bool:
    shape = trials.parameters[name].shape
    return len(shape) < 2 or min(shape) == 1


def _truncated(steps: int) -> Finding:
    return (
        "truncation",
        f"gradients reach back over {steps} steps only. A truncated gradient is not that of the "
        "loss, so it fails this check by design",
    )


def _alone(trial: Trial, name: str) -> list[Finding]:
    """One parameter's gradient alone is wrong."""
    comparison = trial.compared(name)
    accumulation = ("accumulation", f"wrong in {name} alone: is it `=` where `+=` is meant?")
    time_index = (
        "time index",
        f"wrong in {name} alone: which step's vector does it multiply with?",
    )
    if comparison.numeric.ndim != 2 or min(comparison.analytic.shape) == 1:
        return [_mean(comparison) or accumulation]
    if not np.any(comparison.block):
        return [accumulation, time_index]
    if _rank(comparison.block) < _rank(comparison.numeric):
        return [time_index] if _has_all_steps(trial, comparison) else [accumulation]
    return [time_index]


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
            norm = float(np.linalg.norm(bias))
            parallel = abs(float(bias @ left)) > (1 - 1e-6) * norm * float(np.linalg.norm(left))
            if norm and (close(analytic.sum(axis=1), bias) or parallel):
                return True
    return False


def _rank(block: Array) -> int:
    return int(np.linalg.matrix_rank(block, tol=1e-6 * float(np.abs(block).max(initial=0.0))))


def _transposed(comparison: Comparison) -> list[Finding]:
    rows, *columns = comparison.analytic.shape
    if columns != [rows]:
        return []
    flipped = np.asarray(comparison.analytic.T[np.ix_(*comparison.grid)], dtype=np.float64)
    if not close(flipped, comparison.numeric):
        return []
    return [
        ("transpose", f"the gradient of {comparison.name} is the transpose of what it should be")
    ]


def _output_parameters(trials: LossTrials, size: tuple[int, int]) -> list[str]:
    """The output layer: one matrix that hands gradients to all below it, and its bias.

    Without that matrix every gradient below is 0.
    """
    best: list[str] = []
    most = 0
    whole = trials.at(*size)
    alive = [n for n in whole.parameters if np.any(whole.compared(n).numeric)]
    for name in alive:
        if trials.parameters[name].ndim < 2:
            continue
        without = trials.at(*size, {name: 0.0})
        zero = [n for n in alive if n != name and not np.any(without.compared(n).numeric)]
        if np.any(without.compared(name).numeric) and len(zero) > most:
            most, best = len(zero), [n for n in alive if n not in zero]
    if not most and sum(not _is_vector(trials, name) for name in trials.parameters) == 1:
        return alive  # one matrix: there is nothing but an output layer
    return best if most > 1 or (most == 1 and len(alive) == 2) else []


def _recurrent(trials: LossTrials, size: tuple[int, int]) -> list[str]:
    """Square matrices below the output layer."""
    outputs = _output_parameters(trials, size)
    return [
        n
        for n, a in trials.parameters.items()
        if a.ndim == 2 and a.shape[0] == a.shape[1] and n not in outputs
    ]


def _carrying(trials: LossTrials, size: tuple[int, int], wrong: list[str]) -> str | None:
    """The recurrent matrix that the fault goes away with, while gradients do not."""
    for name in _recurrent(trials, size):
        without = trials.at(*size, {name: 0.0})
        alive = any(np.any(without.compared(n).numeric) for n in wrong if n != name)
        if alive and not without.wrong():
            return name
    return None


def _reach(trials: LossTrials, size: tuple[int, int], wrong: list[str]) -> int:
    """Over how many steps gradients reach: what is cut off is of that order in the weights."""
    carrying = _carrying(trials, size, wrong)
    assert carrying is not None
    others = [name for name in wrong if name != carrying]
    errors = [_error(trials.at(*size, {carrying: scale}), others) for scale in (0.02, 0.01)]
    if min(errors) <= 0:
        return 1
    return max(1, round(math.log2(errors[0] / errors[1])))


def _error(trial: Trial, names: list[str]) -> float:
    return max(
        float(np.abs(trial.compared(n).block - trial.compared(n).numeric).max(initial=0.0))
        for n in names
    )
