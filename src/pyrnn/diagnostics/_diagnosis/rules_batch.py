"""Rules for faults that show with several sequences only."""

from __future__ import annotations

import numpy as np

from pyrnn._types import Array
from pyrnn.diagnostics._diagnosis.roles import close
from pyrnn.diagnostics._diagnosis.rules_step import Finding
from pyrnn.diagnostics._diagnosis.trials import Trial, Trials


def several_sequences(trials: Trials) -> list[Finding]:
    """Faults that are absent with N = 1 and present with N = 2, in one step."""
    if not trials.batched:
        return []
    two = trials.at(1, 2)
    wrong = two.wrong()
    if not wrong:
        return softmax_axis(trials, two)
    return softmax_axis(trials, two) or _of_batch(trials, two, wrong)


def both(trials: Trials) -> list[Finding]:
    """Faults that need several steps and several sequences."""
    if not trials.batched or trials.axes.time is None:
        return []
    trial = trials.at(3, 2)
    wrong = trial.wrong()
    return _of_batch(trials, trial, wrong) if wrong else []


def softmax_axis(trials: Trials, trial: Trial) -> list[Finding]:
    """Probabilities that sum to 1 over the wrong axis."""
    alone, several = (_probabilities(trials, each) for each in (trials.at(1, 1), trial))
    feature = -1 if trials.axes.feature is None else trials.axes.feature
    for one, many in zip(alone, several, strict=True):
        sums = many.sum(axis=feature)
        if np.allclose(one.sum(axis=feature), 1) and not np.allclose(sums, 1):
            scope = "the whole array" if np.isclose(many.sum(), 1) else "another axis"
            return [("softmax axis", f"probabilities sum to 1 over {scope}, not for each sequence")]
        if one.shape[feature] > 1 and np.allclose(one, 1):
            return [("softmax axis", "every probability is 1: the softmax is over an axis of 1")]
    return []


def _of_batch(trials: Trials, trial: Trial, wrong: list[str]) -> list[Finding]:
    comparisons = [trial.compared(name) for name in wrong]
    parameters = [found for found in comparisons if found.name in trial.parameters]
    for found in comparisons:
        exchanged = [
            n for n, size in enumerate(found.shape) if found.analytic.shape[n : n + 1] != (size,)
        ]
        if not found.shaped and sorted(found.analytic.shape) == sorted(found.shape) and exchanged:
            return [
                (
                    "transpose",
                    f"the gradient of {found.name} has shape {found.analytic.shape}, "
                    f"{found.name} itself {found.shape}: its axes are in another order",
                )
            ]
    for found in parameters:
        if not found.shaped:
            return [
                (
                    "batch sum",
                    f"the gradient of {found.name} has shape {found.analytic.shape}: sum it over "
                    "the sequences",
                )
            ]
    for factor, words in (
        (1 / trial_batch(trial), "1/N: a mean where a sum is meant"),
        (trial_batch(trial), "N: the batch is counted twice"),
    ):
        if parameters and all(close(p.block, factor * p.numeric) for p in parameters):
            names = " and ".join(found.name for found in parameters)
            return [("batch sum", f"the gradient of {names} is the right one times {words}")]
    names = ", ".join(wrong[:4])
    return [
        ("batch sum", f"right for N=1, wrong from N=2, in {names}: look at sums over the batch")
    ]


def trial_batch(trial: Trial) -> int:
    """How many sequences a trial has."""
    assert trial.axes.batch is not None
    return int(trial.found.point.x.shape[trial.axes.batch])


def _probabilities(trials: Trials, trial: Trial) -> list[Array]:
    """Further outputs of a pair of functions; y of a layer or a model."""
    if hasattr(trials.target, "others"):
        return list(trials.target.predictions(trial.found.point.x, trial.found.point.state))
    y = trial.found.outputs.y
    return [y] if y.ndim == trial.found.point.x.ndim else []
