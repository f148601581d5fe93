"""Rules for loss functions, whose states are hidden: parameters are scaled to remove paths.

Without its recurrent weights, a network carries no gradient from step to step; so a fault that
disappears with them is a fault of the carry. If they are scaled by s, a gradient that is cut off
after k steps has an error of the order s^k.
"""

from __future__ import annotations

import math

import numpy as np

from pyrnn.diagnostics._diagnosis import loss_gates
from pyrnn.diagnostics._diagnosis.loss_alone import (
    alone,
    has_right_bias,
    is_matrix,
    one_of_one_step,
    rank,
)
from pyrnn.diagnostics._diagnosis.loss_output import (
    is_quadratic,
    output_parameters,
    ratio_of,
    sums_over_classes,
)
from pyrnn.diagnostics._diagnosis.loss_step import within_a_step
from pyrnn.diagnostics._diagnosis.loss_target import SIZES, SYMMETRIC, LossTrials
from pyrnn.diagnostics._diagnosis.roles import close
from pyrnn.diagnostics._diagnosis.rules_step import Finding, is_dead, transposed_gradient
from pyrnn.diagnostics._diagnosis.trials import Trial

_CARRY = "right where nothing is carried, wrong from T=2: look at what is carried from step to step"


def loss_diagnosis(trials: LossTrials) -> tuple[Finding, ...]:
    """At most two pairs (region, sentence) for a loss function; none if nothing is wrong."""
    trial = _smallest_wrong(trials)
    if trial is None:
        return ()
    for rule in (_constant, _scaled, _clipped, _by_sizes, _by_place):
        found = rule(trials, trial)
        if found:
            return tuple(found[:2])
    return ()


def _smallest_wrong(trials: LossTrials) -> tuple[int, int] | None:
    """The smallest T and N with a wrong gradient."""
    sizes = [(1, 1), (1, 2), (2, 1), (3, 1), (4, 1), (6, 1), (9, 1), SIZES]
    for size in sizes if trials.has_sizes else [SIZES]:
        if trials.at(*size).wrong():
            return size
    return None


def _constant(trials: LossTrials, size: tuple[int, int]) -> list[Finding]:
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
    outputs = output_parameters(trials, size)
    outputs_too = len(wrong) > 1 and any(name in outputs for name in wrong)
    if size == (1, 2) or (size == SIZES and size[1] > 1):
        if outputs_too and _softmax_is_possible(trials, size, outputs):
            return [("softmax axis", "right for N=1, wrong from N=2, in the output layer too")]
        return _of_batch(trial, wrong)
    if size == (1, 1):
        return _of_step(trials, trial, wrong, outputs)
    if outputs_too and _softmax_is_possible(trials, size, outputs):
        return [("softmax axis", "right for T=1, wrong from T=2, in the output layer too")]
    if outputs_too:
        return [
            (
                "time index",
                "right for T=1, wrong from T=2, in the output layer too: which step's prediction "
                "is read?",
            )
        ]
    # Without a bias whose gradient is right, a wrong dz may show in one matrix alone; with a step
    # more it shows in the recurrent one too.
    longer = trials.at(size[0] + 1, 1).wrong()
    of_dz = not has_right_bias(trial, outputs) and longer != wrong and wrong[0] not in outputs
    of_dz = of_dz and (bool(_carrying(trials, size, wrong)) or set(wrong) < set(longer))
    if len(wrong) == 1 and not of_dz:
        return alone(trials, size, wrong[0], outputs, _recurrent(trials, size))
    steps = size[0]
    if steps > 2:
        wrong_steps = next(t for t in range(3, steps + 1) if trials.at(t, 1).wrong())
        smallest = wrong_steps, 1
        wrong = trials.at(*smallest).wrong()
        if _carrying(trials, smallest, wrong) and _reach(trials, smallest, wrong) < wrong_steps - 1:
            return [
                (
                    "carry",
                    f"right up to T={wrong_steps - 1}, wrong from T={wrong_steps}: look at what is "
                    "carried from step to step",
                )
            ]
        return [_truncated(wrong_steps - 1)]
    if loss_gates.has_gates(trials, outputs):
        return _of_gates(trials, size, outputs) or loss_gates.in_two_steps(trials, outputs)
    if _carrying(trials, size, wrong) or not _recurrent(trials, size):
        return [_carried(trials, size)]
    if _gains_steps(trials, size, wrong):
        return [("carry", "a step's own gradient is handed on as it is: see what is carried")]
    return [
        ("time index", "right for T=1, wrong from T=2: look at which step's values each step reads")
    ]


def _gains_steps(trials: LossTrials, size: tuple[int, int], wrong: list[str]) -> bool:
    """Whether steps that the loss does not depend on without recurrent weights have gradients."""
    recurrent = _recurrent(trials, size)
    trial = trials.at(*size, dict.fromkeys(recurrent, 0.0))
    compared = [trial.compared(name) for name in wrong if name not in recurrent]
    return any(is_matrix(each) and rank(each.block) > rank(each.numeric) == 1 for each in compared)


def _softmax_is_possible(trials: LossTrials, size: tuple[int, int], outputs: list[str]) -> bool:
    """Whether a softmax over a wrong axis can be the fault."""
    if sums_over_classes(trials, size, outputs):
        return False
    return not is_quadratic(trials, size, outputs)


def _of_batch(trial: Trial, wrong: list[str]) -> list[Finding]:
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
        compared = trial.compared(wrong[0])
        found = transposed_gradient(compared) or one_of_one_step(trial, compared, outputs)
        if found:
            return [found]
    if loss_gates.only_what_is_read(trials, (1, 1), outputs):
        return [loss_gates.READS]
    if outputs and ratio_of(trials, (1, 1), wrong[0], outputs, {}) is None:
        return [("output layer", "wrong in what the output layer hands down to the state")]
    return [
        (
            "activation",
            f"wrong from T=1, N=1 on, in {', '.join(wrong[:4])}: look at the derivative of the "
            "activation",
        )
    ]


def _clipped(trials: LossTrials, size: tuple[int, int]) -> list[Finding]:
    """Gradients that are right up to a number that larger ones are cut off at."""
    compared = [trials.at(*size).compared(name) for name in trials.at(*size).wrong()]
    limit = max(float(np.abs(each.block).max(initial=0.0)) for each in compared)
    most = max(float(np.abs(each.numeric).max(initial=0.0)) for each in compared)
    count = 0
    for each in compared:
        cut = np.abs(each.block) >= limit * (1 - 1e-9)
        count += int(cut.sum())
        as_cut = np.clip(each.numeric, -limit, limit)
        if np.abs(as_cut - each.block).max(initial=0.0) > 1e-4 * most:
            return []
    if count < 2 or not limit:
        return []
    return [
        (
            "truncation",
            f"gradients are clipped at {limit:.6g}. A clipped gradient is not that of the loss, so "
            "it fails this check by design: check it before it is clipped",
        )
    ]


def _by_place(trials: LossTrials, size: tuple[int, int]) -> list[Finding]:
    """Findings from the wrong parameters, if T and N cannot be changed."""
    trial = trials.at(*size)
    wrong = trial.wrong()
    outputs = output_parameters(trials, size)
    if all(name in outputs for name in wrong):
        return [("output layer", f"only the output layer's {' and '.join(wrong)} is wrong")]
    if any(name in outputs for name in wrong):
        found = [("output layer", "the output layer is wrong, and so is what is below it")]
        if _softmax_is_possible(trials, size, outputs):
            found.append(
                ("softmax axis", "or the softmax sums over another axis than the loss assumes")
            )
        return found
    if len(wrong) == 1:
        return alone(trials, size, wrong[0], outputs, _recurrent(trials, size))
    if loss_gates.has_gates(trials, outputs):
        return _of_gates(trials, size, outputs)  # else sizes are needed to tell
    if _carrying(trials, size, wrong):
        reach = _reach(trials, size, wrong)
        return [_truncated(reach)] if reach > 1 else [_carried(trials, size)]
    return within_a_step(trials, size, wrong, outputs, _recurrent(trials, size))


def _of_gates(trials: LossTrials, size: tuple[int, int], outputs: list[str]) -> list[Finding]:
    """What one size tells of a network with gates."""
    if loss_gates.only_what_is_read(trials, size, outputs):
        return [loss_gates.READS]
    return loss_gates.transposed(trials, size, outputs)


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


def _truncated(steps: int) -> Finding:
    return (
        "truncation",
        f"gradients reach back over {steps} steps only. A truncated gradient is not that of the "
        "loss, so it fails this check by design",
    )


def _recurrent(trials: LossTrials, size: tuple[int, int]) -> list[str]:
    """Square matrices below the output layer."""
    outputs = output_parameters(trials, size)
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
