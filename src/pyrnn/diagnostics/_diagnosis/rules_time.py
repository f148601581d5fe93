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
    if steps > 2 and not _is_truncated(trials, steps):
        return [
            (
                "carry",
                f"right up to T={steps - 1}, wrong from T={steps}: look at what is carried from "
                "step to step",
            )
        ]
    if steps > 2:
        return [_truncated(steps)]
    if _first_state_cut_off(trial) and trials.at(longest, 1).wrong() != trial.wrong():
        return [_truncated(steps)]
    if trials.at(2, 1, 0).wrong():
        if _own_is_left_out(trials):
            return [
                (
                    "carry",
                    "with a loss on the first of two steps alone some gradients are 0: what is "
                    "carried from step to step takes the place of a step's own; add the two",
                )
            ]
        return [
            (
                "time index",
                "with a loss on the first of two steps alone, the gradients are wrong: look at "
                "which step's values each step of the backward pass reads",
            )
        ]
    return _last_step(trials)


def _truncated(steps: int) -> Finding:
    return (
        "truncation",
        f"right up to T={steps - 1}, wrong from T={steps}: gradients reach back over {steps - 1} "
        "steps only. A truncated gradient is not that of the loss, so it fails this check by "
        "design",
    )


def _first_state_cut_off(trial: Trial) -> bool:
    """Whether nothing but the first state's gradient is wrong, and that is 0."""
    wrong = trial.wrong()
    states = [trial.compared(name) for name in wrong if name.startswith("state")]
    return bool(states) and len(states) == len(wrong) and not any(np.any(s.block) for s in states)


def _is_truncated(trials: Trials, steps: int) -> bool:
    """Whether nothing reaches the first step, or the state before it, from a loss on the last."""
    trial = trials.at(steps, 1, steps - 1)
    states = [trial.compared(name) for name in trial.names if name.startswith("state")]
    if any(np.any(each.numeric) and not np.any(each.block) for each in states if each.shaped):
        return True
    if "x" in trial.names and trial.compared("x").shaped:
        first = np.take(trial.compared("x").block, 0, axis=trials.axes.time)
        return not np.any(first)
    known = vectors(trials, trial)
    parts = _decomposed(trial, trial.parameters, known)
    return not parts or any(not _matters(analytic[0], analytic) for analytic, _ in parts)


def _own_is_left_out(trials: Trials) -> bool:
    """Whether gradients are right where they are not 0, and some are 0 that should not be.

    If all are 0, another step's gradient may have been taken: that is wrong for the last step too.
    """
    trial = trials.at(2, 1, 0)
    compared = [trial.compared(name) for name in trial.parameters]
    if not all(each.shaped for each in compared):
        return False
    off = [
        np.abs(each.block - each.numeric) > 1e-5 * np.abs(each.numeric).max(initial=0.0)
        for each in compared
    ]
    if any(np.any(each.block[wrong]) for each, wrong in zip(compared, off, strict=True)):
        return False
    some_right = any(np.any(each.block) for each in compared)
    return any(map(np.any, off)) and (some_right or not trials.at(2, 1, 1).wrong())


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
    if _only_unused_rows(trials, trial):
        return [
            (
                "activation",
                "wrong where some of the weights' rows first matter, in the second step: look at "
                "the derivative of that gate",
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


def _only_unused_rows(trials: Trials, trial: Trial) -> bool:
    """Whether the last step's dz is wrong in those numbers alone that the first step leaves 0."""
    single = trials.at(1, 1)
    before = vectors(trials, single)
    for name in trial.parameters:
        roles = [role_of(single.compared(name), before)] if single.compared(name).shaped else []
        pairs = _decomposed(trial, [name], vectors(trials, trial))
        if not roles or roles[0] is None or not pairs:
            continue
        role = roles[0]
        first = role.parts(single.compared(name), single.compared(name).numeric)[0][0]
        analytic, numeric = pairs[0][0][-1], pairs[0][1][-1]
        unused = np.abs(first) <= 1e-6 * np.abs(first).max()
        wrong = np.abs(analytic - numeric) > 1e-4 * np.abs(numeric).max()
        if np.any(wrong):
            return bool(np.all(unused[wrong])) and not np.all(unused)
    return False


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
