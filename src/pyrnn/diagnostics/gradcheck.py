"""Check analytic gradients against central differences: for any layer, cell or model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import Array
from pyrnn.diagnostics._diagnosis.findings import diagnosis
from pyrnn.diagnostics._differences import pick, refuse_infinities
from pyrnn.diagnostics._differentiable import Differentiable
from pyrnn.diagnostics._report import GradcheckEntry as GradcheckEntry
from pyrnn.diagnostics._report import GradcheckReport as GradcheckReport
from pyrnn.diagnostics._sample import sample
from pyrnn.diagnostics._targets import adapted


@public("pyrnn")
def gradcheck(
    target: Any,
    x: Any,
    state: Any = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    lengths: Any = None,
    diagnose: bool = False,
    epsilon: float = 1e-6,
    tolerance: float = 1e-6,
    samples: int | None = None,
    seed: int = 0,
) -> GradcheckReport:
    """Compare analytic gradients with central differences (f(a + h) − f(a − h)) / 2h.

    f is a sum of all outputs and final states with random weights, so that errors do not cancel. x,
    the initial state and every parameter are checked, with h = ε max(1, |a|) for each element a.

    Parameters
    ----------
    target : layer, cell, model, pair of functions or stateful cell
        The target, in float64. It is not modified. Your own layer has a dict ``parameters`` of live
        arrays, ``forward(x, state=None) -> (y, state, cache)`` and ``backward(cache, dy,
        dstate=None) -> (dx, dstate0, grads)``, and can be copied with `copy.deepcopy`. If it has
        no state, it returns None for both states and need not take ``state`` and ``dstate``. If
        ``dx`` is None, x is not checked. A pair of functions is ``(forward, backward)`` in the
        form of `pyrnn.textbook`: ``rnn_forward(x, a0, parameters) -> (a, ..., caches)`` and
        ``rnn_backward(da, caches) -> dict``, for sequences or for one step. A stateful cell is one
        like `pyrnn.textbook.cells.RNNCell`.
    x : array
        The input, as the target takes it: float64, or indices, which have no gradient.
    state : array or pair of arrays, optional
        The initial state; drawn from N(0, 1) if not given, since with zeros a wrong gradient of the
        recurrent weights would not show in one step.
    parameters : dict of arrays, optional
        The last argument of a pair of functions; layers have their own parameters.
    lengths : array of int, optional
        The lengths, for a target whose forward takes them, as recurrent layers do.
    diagnose : bool
        Whether to look for the place of a fault, by further checks at few steps and sequences:
        ``report.diagnosis`` then has up to two pairs of a region and a sentence. The regions are
        "activation", "carry", "transpose", "batch sum", "softmax axis", "truncation",
        "accumulation", "time index", "output layer" and "not live". A gradient of a wrong shape is
        part of the report then, not an error.
    epsilon : float, default 1e-6
        The relative step h of the differences.
    tolerance : float
        Largest relative difference that passes; relative to the largest magnitude in the array's
        gradient. A difference that rounding explains passes as well (see Notes).
    samples : int, optional
        How many elements of each array are tried, drawn at random; all if not given.
    seed : int
        Seed of the weights of f, the samples and the initial state.

    Returns
    -------
    GradcheckReport
        True if every gradient is right; ``print`` shows the largest difference of each array and
        its place.

    Raises
    ------
    TypeError
        If x, the state or a parameter is not float64 (in float32 the difference of two outputs has
        too few digits), or if forward or backward does not return three values.
    ValueError
        If the shape or name of a gradient is not that of its array, or indices have a gradient; or
        if x, the state, a parameter or an output is not finite. A gradient that is not finite is
        no error: the report shows it as wrong.

    Notes
    -----
    An output y is rounded by up to about 4u |y|, u = 2.2e-16, so a difference is no finer than
    r = 4u √(Σ (w y)²) / h, with the weights w of f. If an element differs by no more than r allows,
    it is compared again with larger steps, 0.001 and 0.0005 max(1, |a|), for which r is smaller. It
    may then differ by this r plus the difference between these two. So gradients of 1e-9 can be
    checked with outputs near 1, but not gradients of 1e-13.

    Where a ReLU's input is near 0, the numeric difference is unreliable. Source: Goodfellow,
    Bengio, Courville, "Deep Learning", 2016, section 11.5.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.GRU(3, 4, dtype="float64", seed=0)
    >>> x = np.random.default_rng(0).standard_normal((5, 2, 3))
    >>> report = pyrnn.gradcheck(layer, x)
    >>> report.ok
    True
    >>> list(report.entries)
    ['x', 'state', 'weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']

    A pair of functions whose backward pass forgets the derivative of tanh:

    >>> def forward(x, a_prev, p):
    ...     a = np.tanh(p["W"] @ x + p["U"] @ a_prev)
    ...     return a, (a_prev, x, p)
    >>> def backward(da, cache):
    ...     a_prev, x, p = cache
    ...     return {"dW": da @ x.T, "dU": da @ a_prev.T, "dx": p["W"].T @ da}
    >>> p = {"W": np.ones((2, 3)) / 3, "U": np.eye(2)}
    >>> report = pyrnn.gradcheck(
    ...     (forward, backward), np.ones((3, 1)), np.ones((2, 1)), parameters=p, diagnose=True
    ... )
    >>> print(*report.diagnosis[0], sep=": ")
    activation: wrong from T=1, N=1 on, in W, U: look at the derivative of the activation
    """
    epsilon = _checks.finite_number("epsilon", epsilon, 1e-12, 1.0)
    tolerance = _checks.finite_number("tolerance", tolerance, 0.0)
    if samples is not None:
        samples = _checks.size("samples", samples)
    _checks.flag("diagnose", diagnose)
    generator = np.random.default_rng(_checks.size("seed", seed, least=0))
    target = adapted(target, x, state, parameters)
    differentiable = Differentiable(target, lengths)
    x, state = _check_doubles(target, x, state)

    def weigh(outputs: list[Array]) -> list[Array]:
        return [generator.standard_normal(output.shape) for output in outputs]

    found = sample(
        differentiable, differentiable.point(x, state, generator), weigh, strict=not diagnose
    )
    entries = {
        name: found.entry(name, pick(array.size, samples, generator), epsilon, tolerance)
        for name, array in found.arrays.items()
        if name in found.analytic
    }
    report = GradcheckReport(entries, tolerance)
    if not diagnose:
        return report
    return replace(report, diagnosis=diagnosis(differentiable, found, epsilon, tolerance, seed))


def _check_doubles(target: Any, x: Any, state: Any) -> tuple[Any, Any]:
    """A copy of x and the state's arrays, if everything is float64."""
    for name, array in target.parameters.items():
        if array.dtype != np.float64:
            raise TypeError(
                f"target: expected float64 parameters, got {array.dtype} in {name!r}; build it "
                "with dtype='float64'"
            )
        refuse_infinities("target", array, f"parameters in {name!r}")
    double = np.dtype(np.float64)
    values = np.array(_checks.as_array("x", x), order="C")
    if values.dtype.kind not in "iu":
        values = _checks.float_array("x", values, double)
        refuse_infinities("x", values)
    if state is not None:
        parts = state if isinstance(state, (tuple, list)) else (state,)
        state = tuple(_checks.float_array("state", part, double) for part in parts)
        for part in state:
            refuse_infinities("state", part)
    return values, state
