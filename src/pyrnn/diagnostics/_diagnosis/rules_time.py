"""Rules for faults that show with several steps only."""

from __future__ import annotations

import numpy as np

from pyrnn._types import Array
from pyrnn.diagnostics._diagnosis.roles import NAMES, Role, close, role_of, vectors
from pyrnn.diagnostics._diagnosis.rules_batch import softmax_axis
from pyrnn.diagnostics._diagnosis.rules_step import Finding
from pyrnn.diagnostics._diagnosis.trials import Comparison, Trial, Trials


def several_steps(trials: Trials) -> list[Finding]:
    """Faults that are absent with T = 1 and present with more steps, for one sequence."""
    if trials.axes.time is None:
        return []
    longest = max(trials.steps, 4)
    if not trials.at(longest, 1).wrong():
        return []
    steps = _first_wrong(trials, longest)
    trial = trials.at(steps, 1)
    found = softmax_axis(trials, trial) or _parameters_alone(trials, trial)
    if found:
        return found
    if steps > 2:
        return [
            (
                "truncation",
                f"right up to T={steps - 1}, wrong from T={steps}: gradients reach back over "
                f"{steps - 1} steps only. A truncated gradient is not that of the loss, so it "
                "fails this check by design",
            )
        ]
    if trials.at(2, 1, 0).wrong():
        return [
            (
                "time index",
                "with a loss on the first of two steps alone, the gradients are wrong: look at "
                "which step's values each step of the backward pass reads",
            )
        ]
    return _last_step(trials)


def _first_wrong(trials: Trials, longest: int) -> int:
    """The smallest T with a wrong gradient, by bisection: longer ones are wrong as well."""
    right, wrong = 1, longest
    while wrong - right > 1:
        middle = (right + wrong) // 2
        right, wrong = (right, middle) if trials.at(middle, 1).wrong() else (middle, wrong)
    return wrong


def _parameters_alone(trials: Trials, trial: Trial) -> list[Finding]:
    """Parameters whose gradient is wrong though what is carried from step to step is right."""
    wrong = trial.wrong()
    parameters = [name for name in wrong if name in trial.parameters]
    carried_is_right = "x" in trial.names and "x" not in wrong
    if len(parameters) != len(wrong) or not (carried_is_right or len(parameters) == 1):
        return []
    known = vectors(trials, trial)
    compared = [trial.compared(name) for name in parameters]
    # Of a matrix that multiplies with nothing known, little can be said: others tell more.
    certain = [each for each in compared if not each.shaped or role_of(each, known) is not None]
    found = [_accumulated(each, known) for each in certain or compared]
    return list({region: (region, sentence) for region, sentence in found}.values())


def _accumulated(comparison: Comparison, known: dict[str, Array]) -> Finding:
    """How one parameter's gradient differs from the sum over steps that it should be."""
    name = comparison.name
    overwritten = (
        "accumulation",
        f"right for T=1, wrong from T=2, in {name} alone: is it `=` where `+=` is meant?",
    )
    if not comparison.shaped:
        return overwritten
    if not np.any(comparison.block):
        return ("time index", f"the gradient of {name} is 0 beyond one step: which state is read?")
    role = role_of(comparison, known)
    if role is None:
        return overwritten
    numeric, _ = role.parts(comparison, comparison.numeric)
    analytic, misfit = role.parts(comparison, comparison.block)
    if misfit < 1e-4:
        kept = [step for step, dz in enumerate(analytic) if _matters(dz, analytic)]
        if len(kept) < len(analytic) and all(close(analytic[t], numeric[t]) for t in kept):
            return overwritten
        if close(analytic * len(analytic), numeric):
            return ("accumulation", f"the gradient of {name} is a mean over steps, not a sum")
        return (
            "time index",
            f"in the gradient of {name} a step's dz multiplies with another step's vector",
        )
    return ("time index", _other_vectors(comparison, role, numeric, known))


def _other_vectors(
    comparison: Comparison, role: Role, numeric: Array, known: dict[str, Array]
) -> str:
    """Which vectors a gradient is made of that is not made of its own."""
    for key, sequence in known.items():
        if sequence.shape == role.vectors.shape and key != role.key:
            parts, misfit = Role(key, sequence, role.transposed).parts(comparison, comparison.block)
            if misfit < 1e-4 and close(parts, numeric):
                return (
                    f"the gradient of {comparison.name} multiplies with {NAMES.get(key, key)}; it "
                    f"should be {NAMES.get(role.key, role.key)}"
                )
    return (
        f"right for T=1, wrong from T=2, in {comparison.name}: look at which step's vector its "
        "gradient multiplies with"
    )


def _last_step(trials: Trials) -> list[Finding]:
    """With a loss on the second of two steps: is the step itself wrong, or what goes back."""
    trial = trials.at(2, 1, 1)
    if _own_step_is_right(trials, trial):
        if not trials.at(2, 1, 1, symmetric=True).wrong():
            return [
                (
                    "transpose",
                    "right with symmetric weights, wrong from T=2 with others: what is carried "
                    "from step to step is W dz; it should be Wᵀ dz",
                )
            ]
        return [
            (
                "carry",
                "right for T=1, wrong from T=2: look at what is carried from step to step",
            )
        ]
    single = trials.at(1, 1)
    unused = [name for name in single.parameters if not np.any(single.compared(name).numeric)]
    if unused and _only(trials, trial, unused):
        return [
            (
                "activation",
                f"wrong where {' and '.join(unused)} first matter, in the second step: look at the "
                "derivative of this gate",
            )
        ]
    return [
        (
            "time index",
            "the last of two steps is wrong, and right alone: look at which step's values it reads",
        )
    ]


def _own_step_is_right(trials: Trials, trial: Trial) -> bool:
    """Whether the gradients of the last step itself are right, whatever goes back from it."""
    if "x" in trial.names:
        found = trial.compared("x")
        if not found.shaped:
            return False
        time = trial.axes.time
        assert time is not None
        last = [np.take(part, -1, axis=time) for part in (found.block, found.numeric)]
        return close(*last)
    known = vectors(trials, trial)
    return all(
        close(analytic[-1], numeric[-1])
        for analytic, numeric in _decomposed(trial, trial.parameters, known)
    )


def _only(trials: Trials, trial: Trial, names: list[str]) -> bool:
    """Whether the last step's dz is right in all other parameters than these."""
    others = [name for name in trial.parameters if name not in names]
    pairs = _decomposed(trial, others, vectors(trials, trial))
    return all(close(analytic[-1], numeric[-1]) for analytic, numeric in pairs)


def _decomposed(
    trial: Trial, names: list[str], known: dict[str, Array]
) -> list[tuple[Array, Array]]:
    """The analytic and the numeric dz of each step, of parameters that are such matrices."""
    pairs = []
    for name in names:
        comparison = trial.compared(name)
        role = role_of(comparison, known) if comparison.shaped else None
        if role is not None:
            analytic = role.parts(comparison, comparison.block)[0]
            pairs.append((analytic, role.parts(comparison, comparison.numeric)[0]))
    return pairs


def _matters(dz: Array, all_steps: Array) -> bool:
    return bool(np.abs(dz).max(initial=0.0) > 1e-6 * np.abs(all_steps).max(initial=0.0))
