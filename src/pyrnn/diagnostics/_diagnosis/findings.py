"""The likely place of a fault in a backward pass: rules over small trials.

Different faults show at different sizes. A wrong derivative shows with one step of one sequence;
a gradient that is not carried from step to step is right for T = 1 and wrong from T = 2; a sum over
the batch that is missing is wrong from N = 2; a gradient that is truncated after k steps is wrong
from T = k + 1. Each rule looks at the smallest trial that is wrong.
"""

from __future__ import annotations

from pyrnn.diagnostics._diagnosis import rules_batch, rules_step, rules_time
from pyrnn.diagnostics._diagnosis.rules_step import Finding
from pyrnn.diagnostics._diagnosis.trials import Trials
from pyrnn.diagnostics._differentiable import Differentiable
from pyrnn.diagnostics._sample import Sample

_RULES = (
    rules_step.not_live,
    rules_step.one_step,
    rules_batch.several_sequences,
    rules_time.several_steps,
    rules_batch.both,
)


def diagnosis(
    differentiable: Differentiable, first: Sample, epsilon: float, tolerance: float, seed: int
) -> tuple[Finding, ...]:
    """The findings of the first rule that applies: at most two pairs (region, sentence)."""
    trials = Trials(differentiable, first, epsilon, tolerance, seed)
    for rule in _RULES:
        found = rule(trials)
        if found:
            return tuple(found[:2])
    return ()
