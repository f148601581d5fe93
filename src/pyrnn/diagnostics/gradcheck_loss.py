"""Check a function that returns a loss and its gradients, as articles write training steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn.diagnostics._diagnosis.loss_target import LossTarget, LossTrials
from pyrnn.diagnostics._diagnosis.rules_loss import loss_diagnosis
from pyrnn.diagnostics._differences import pick
from pyrnn.diagnostics._report import GradcheckReport


@public("pyrnn")
def gradcheck_loss(
    f: Callable[..., Any],
    parameters: Mapping[str, Any],
    data: Callable[[int, int], tuple[Any, ...]] | None = None,
    *,
    diagnose: bool = False,
    epsilon: float = 1e-6,
    tolerance: float = 1e-6,
    samples: int | None = None,
    seed: int = 0,
) -> GradcheckReport:
    """Compare the gradients that a loss function returns with central differences of its loss.

    Parameters
    ----------
    f : callable
        ``f(parameters) -> (loss, gradients)``, or ``f(parameters, *data(T, N))`` with ``data``.
        The gradients are a dict with the parameters' names, with or without a "d" before each, or
        arrays in the order of the parameters: ``(loss, dWxh, dWhh, ...)`` is taken as well.
    parameters : dict of arrays
        The arrays with respect to which f is differentiated. They are copied, in float64; f must
        read them from its argument.
    data : callable, optional
        ``data(T, N)`` returns the other arguments of f for T time steps of N sequences, the same
        ones each time. With it the diagnosis can distinguish more faults, since it tries small T
        and N; the gradients themselves are compared at T = 3, N = 2.
    diagnose : bool
        Whether to look for the place of a fault: see `gradcheck`.
    epsilon : float
        Step of the differences, for elements of size 1.
    tolerance : float
        Largest relative difference that passes.
    samples : int, optional
        How many elements of each array are tried, drawn at random; all if not given.
    seed : int
        Seed of the samples.

    Returns
    -------
    GradcheckReport
        True if every gradient is right.

    Raises
    ------
    TypeError
        If f does not return a loss and gradients, or ``parameters`` does not hold numbers.
    ValueError
        If the loss is not a single finite number, or a gradient is missing or has a wrong shape.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> x, target = np.eye(3), np.array([1.0, 2.0, 3.0])
    >>> def squared(parameters):
    ...     error = x @ parameters["w"] - target
    ...     return (error**2).sum(), {"dw": x.T @ error}
    >>> report = pyrnn.gradcheck_loss(squared, {"w": np.ones(3)}, diagnose=True)
    >>> report.ok
    False
    >>> print(report.diagnosis[0][1])
    every gradient is 0.5 times the right one: the loss and its gradient are not scaled alike
    """
    epsilon = _checks.finite_number("epsilon", epsilon, 1e-12, 1.0)
    tolerance = _checks.finite_number("tolerance", tolerance, 0.0)
    if samples is not None:
        samples = _checks.size("samples", samples)
    _checks.flag("diagnose", diagnose)
    generator = np.random.default_rng(_checks.size("seed", seed, least=0))
    if not callable(f):
        raise TypeError(f"f: expected a function, got {type(f).__name__}")
    trials = LossTrials(LossTarget(f, parameters), data, epsilon, tolerance)
    found = trials.first.found
    entries = {
        name: found.entry(name, pick(array.size, samples, generator), epsilon, tolerance)
        for name, array in found.arrays.items()
        if name in found.analytic
    }
    report = GradcheckReport(entries, tolerance)
    return replace(report, diagnosis=loss_diagnosis(trials)) if diagnose else report
