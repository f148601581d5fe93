"""A target at one point: its arrays, their analytic gradients, and the probe for differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pyrnn import _checks
from pyrnn._types import Array
from pyrnn.diagnostics._differences import (
    ROUNDING,
    Positions,
    Probe,
    entry_of,
    norm,
    refuse_infinities,
    resolved,
)
from pyrnn.diagnostics._differentiable import Differentiable, Gradients, Outputs, Point
from pyrnn.diagnostics._report import GradcheckEntry

Weigh = Callable[[list[Array]], list[Array]]
"""Maps outputs to the weights of their sum, whose gradients are compared."""


class Sample(NamedTuple):
    """What is checked at a point: live arrays, analytic gradients, the probe of differences.

    A gradient of a wrong shape is kept where the sample is not strict.
    """

    point: Point
    outputs: Outputs
    arrays: dict[str, Array]
    analytic: dict[str, Array]
    probe: Probe

    def entry(
        self, name: str, picked: Positions, epsilon: float, tolerance: float
    ) -> GradcheckEntry:
        """Compare some elements of one array's gradient."""
        return self.entry_and_numeric(name, picked, epsilon, tolerance)[0]

    def entry_and_numeric(
        self, name: str, picked: Positions, epsilon: float, tolerance: float
    ) -> tuple[GradcheckEntry, Array]:
        """Compare, and return the differences too."""
        array, gradient = self.arrays[name], self.analytic[name]
        if gradient.shape != array.shape:
            nowhere = (math.inf, math.inf, (), math.nan, math.nan)
            return GradcheckEntry(name, array.shape, 0, *nowhere), np.empty(0)
        if not array.size:  # of an empty batch: nothing that could be wrong
            return GradcheckEntry(name, array.shape, 0, 0.0, 0.0, (), 0.0, 0.0), np.empty(0)
        chosen = gradient.reshape(-1)[picked]
        numeric, rounding = resolved(self.probe, array, picked, chosen, epsilon, tolerance)
        entry = entry_of(name, array.shape, picked, chosen, numeric, rounding, tolerance)
        return entry, numeric


def sample(
    differentiable: Differentiable, point: Point, weigh: Weigh, *, strict: bool = True
) -> Sample:
    """Evaluate a target at a point."""
    evaluation = differentiable.at(point)
    outputs = evaluation.outputs()
    if differentiable.returns_state and len(outputs.state) != len(point.state):
        raise ValueError(f"state: expected {len(outputs.state)} arrays, got {len(point.state)}")
    arrays = outputs.arrays()
    for array in arrays:
        refuse_infinities(getattr(differentiable.target, "label", "target"), array, "outputs")
    weights = weigh(arrays)
    rounding = ROUNDING * norm([w * y for w, y in zip(weights, arrays, strict=True)])
    analytic = _by_name(point, evaluation.gradients(outputs, weights), strict)
    probe = Probe(lambda: differentiable.at(point).outputs().arrays(), weights, rounding)
    return Sample(point, outputs, _arrays(point), analytic, probe)


def _arrays(point: Point) -> dict[str, Array]:
    """What is checked, by the names of the report."""
    return {"x": point.x, **_state_names(point.state), **point.parameters}


def _state_names(parts: tuple[Any, ...]) -> dict[str, Any]:
    if len(parts) == 1:
        return {"state": parts[0]}
    return {f"state[{n}]": part for n, part in enumerate(parts)}


def _by_name(point: Point, gradients: Gradients, strict: bool) -> dict[str, Array]:
    """Analytic gradients by the names of the report, each of its array's shape if strict."""
    if set(gradients.grads) != set(point.parameters):
        raise ValueError(
            f"grads: expected the names {sorted(point.parameters)}, got {sorted(gradients.grads)}"
        )
    if len(gradients.dstate) != len(point.state):
        raise ValueError(
            f"dstate0: expected {len(point.state)} arrays, got {len(gradients.dstate)}"
        )
    if gradients.dx is not None and point.x.dtype.kind in "iu":
        raise ValueError("dx: expected None, since x holds indices")
    named = {"x": gradients.dx, **_state_names(gradients.dstate), **gradients.grads}
    return {
        name: _checked(name, named[name], array, strict)
        for name, array in _arrays(point).items()
        if named[name] is not None
    }


def _checked(name: str, given: Any, array: Array, strict: bool) -> Array:
    gradient = _checks.as_array(name, given)
    if gradient.dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected a gradient of floats, got {gradient.dtype}")
    if strict and gradient.shape != array.shape:
        raise ValueError(
            f"{name}: expected a gradient of shape {array.shape}, got {gradient.shape}"
        )
    return gradient
