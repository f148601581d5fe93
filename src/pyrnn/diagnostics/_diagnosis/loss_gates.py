"""Rules for loss functions of networks with gates, where several matrices carry the state.

Without its recurrent weights such a network still carries gradients through its gates, and its
states are not just the activation of a bias. So the rules for plain networks do not work here.
"""

from __future__ import annotations

import numpy as np

from pyrnn.diagnostics._diagnosis.loss_output import is_vector
from pyrnn.diagnostics._diagnosis.loss_target import SYMMETRIC, LossTrials
from pyrnn.diagnostics._diagnosis.rules_step import Finding

READS = (
    "time index",
    "the gradients of the biases are right, and so is dz: look at what dz multiplies with",
)


def has_gates(trials: LossTrials, outputs: list[str]) -> bool:
    """Whether there is more below the output layer than one product of x and one of the state."""
    below = [name for name in trials.parameters if name not in outputs]
    matrices = [name for name in below if not is_vector(trials, name)]
    sizes = {size for name in outputs for size in trials.parameters[name].shape}
    biases = [trials.parameters[name].size for name in below if is_vector(trials, name)]
    stacked = bool(outputs) and any(size not in sizes for size in biases)
    return len(matrices) > 2 or stacked


def only_what_is_read(trials: LossTrials, size: tuple[int, int], outputs: list[str]) -> bool:
    """Whether biases below the output layer are right, all of them, and matrices are wrong."""
    trial = trials.at(*size)
    below = [name for name in trial.parameters if name not in outputs]
    biases = [name for name in below if is_vector(trials, name)]
    wrong = trial.wrong()
    return bool(biases) and not any(name in wrong for name in [*biases, *outputs])


def transposed(trials: LossTrials, size: tuple[int, int], outputs: list[str]) -> list[Finding]:
    """A product with W instead of Wᵀ: right if the weights of the state are symmetric."""
    names = [n for n in trials.parameters if n not in outputs and not is_vector(trials, n)]
    for side in (SYMMETRIC, -SYMMETRIC):
        if not trials.at(*size, dict.fromkeys(names, side)).wrong():
            return [
                (
                    "transpose",
                    "right where the weights of the state are symmetric: W dz is handed on, where "
                    "it should be Wᵀ dz",
                )
            ]
    return []


def in_two_steps(trials: LossTrials, outputs: list[str]) -> list[Finding]:
    """What is right for T = 1 and wrong for T = 2.

    A parameter without a gradient in one step, such as that of a forget gate, has only the gradient
    of the last step in two.
    """
    single, two = trials.at(1, 1), trials.at(2, 1)
    unused = [n for n in two.parameters if not np.any(single.compared(n).numeric)]
    gate = [name for name in two.wrong() if name in unused]
    if gate:
        return [
            (
                "activation",
                f"wrong in {', '.join(gate[:4])}, which first matter in the second step: look at "
                "the derivative of that gate",
            )
        ]
    return [("carry", "right for T=1, wrong from T=2: look at what is carried from step to step")]
