"""Adapts a loss function to the convention of layers, and evaluates it at small sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pyrnn._types import Array
from pyrnn.diagnostics._diagnosis.trials import Axes, Trial, made_symmetric, reads_nan
from pyrnn.diagnostics._differentiable import Differentiable, Point
from pyrnn.diagnostics._sample import sample
from pyrnn.diagnostics._targets import as_double

Data = Callable[[int, int], tuple[Any, ...]]
SYMMETRIC = math.inf
"""In place of a factor: the matrix is made symmetric; -SYMMETRIC for its last square block."""
Scale = float | Array
"""What a parameter is multiplied with, SYMMETRIC, or an array to take its place."""
SIZES = (3, 2)
"""Steps and sequences at which a loss function with data is first compared."""


class LossTarget:
    """``f(parameters, *arguments) -> (loss, gradients)`` as a target without input and state."""

    returns_state = False
    label = "f"

    def __init__(self, f: Callable[..., Any], parameters: Mapping[str, Any]) -> None:
        if not isinstance(parameters, Mapping) or not parameters:
            raise TypeError(
                f"parameters: expected a dict of arrays, got {type(parameters).__name__}"
            )
        self._f = f
        self.arguments: tuple[Any, ...] = ()
        self.parameters = {name: as_double(name, value) for name, value in parameters.items()}

    def __deepcopy__(self, memo: dict[int, Any]) -> LossTarget:
        return self.having(self.parameters, self.arguments)

    def having(self, parameters: Mapping[str, Array], arguments: tuple[Any, ...]) -> LossTarget:
        """The same function at other parameters, with other arguments."""
        other = LossTarget(self._f, parameters)
        other.arguments = arguments
        return other

    def forward(self, x: Array) -> tuple[Array, None, dict[str, Any]]:
        """The loss, as an array of one element; the gradients are kept."""
        arguments = tuple(_copied(each) for each in self.arguments)
        returned = self._f({n: a.copy() for n, a in self.parameters.items()}, *arguments)
        loss, gradients = _unpacked(returned, list(self.parameters))
        value = np.asarray(loss, dtype=np.float64)
        if value.size != 1:
            raise ValueError(f"f: expected a loss of one number, got shape {value.shape}")
        return value.reshape(1), None, gradients

    def backward(self, gradients: dict[str, Any], dy: Array) -> tuple[None, None, dict[str, Any]]:
        """The gradients, times that of the loss."""
        return None, None, {name: dy[0] * np.asarray(g) for name, g in gradients.items()}


class LossTrials:
    """Evaluations of a loss function: by steps and sequences, with parameters scaled."""

    def __init__(
        self, target: LossTarget, data: Data | None, epsilon: float, tolerance: float
    ) -> None:
        self._target, self._data = target, data
        self._epsilon, self._tolerance = epsilon, tolerance
        self._known: dict[Any, Trial] = {}
        self.has_sizes = data is not None
        self.first = self.at(*SIZES)

    @property
    def parameters(self) -> dict[str, Array]:
        """The user's parameters."""
        return self._target.parameters

    def at(self, steps: int, batch: int, scaled: Mapping[str, Scale] | None = None) -> Trial:
        """Evaluate with T steps and N sequences; some parameters are scaled or replaced."""
        sizes = (steps, batch) if self._data is not None else SIZES
        changes = sorted((scaled or {}).items(), key=lambda item: item[0])
        key = sizes, tuple((n, s if isinstance(s, float) else s.tobytes()) for n, s in changes)
        if key not in self._known:
            self._known[key] = self._evaluate(sizes, scaled or {})
        return self._known[key]

    def loss(self, steps: int, batch: int, moved: Mapping[str, Array] | None = None) -> float:
        """The loss alone, with something added to some parameters."""
        sizes = (steps, batch) if self._data is not None else SIZES
        arrays = {n: a + (moved or {}).get(n, 0.0) for n, a in self.parameters.items()}
        target = self._target.having(arrays, self._arguments(sizes))
        return float(target.forward(np.zeros(0))[0][0])

    def reads(self, name: str) -> bool:
        """Whether the loss becomes NaN where a parameter is NaN: then f reads it."""
        target = self._target.having(self.parameters, self._arguments(SIZES))
        point = Point(np.zeros(0), (), target.parameters)
        return reads_nan(Differentiable(target), point, name)

    def _arguments(self, sizes: tuple[int, int]) -> tuple[Any, ...]:
        arguments = () if self._data is None else self._data(*sizes)
        if not isinstance(arguments, (tuple, list)):
            raise TypeError(
                f"data: expected a function that returns a tuple, got {type(arguments).__name__}"
            )
        return tuple(arguments)

    def _evaluate(self, sizes: tuple[int, int], scaled: Mapping[str, Scale]) -> Trial:
        arrays = {n: _scaled(a, scaled.get(n, 1.0)) for n, a in self.parameters.items()}
        target = self._target.having(arrays, self._arguments(sizes))
        point = Point(np.zeros(0), (), target.parameters)
        found = sample(Differentiable(target), point, lambda outputs: [np.ones(1)])
        return Trial(found, Axes(None, None, None), self._epsilon, self._tolerance)


def _unpacked(returned: Any, names: list[str]) -> tuple[Any, dict[str, Any]]:
    """The loss and the gradients by the parameters' names."""
    expected = f"(loss, gradients) with gradients of {', '.join(names)}"
    if not isinstance(returned, (tuple, list)) or len(returned) < 2:
        raise TypeError(f"f: expected {expected}, got {type(returned).__name__}")
    loss, *gradients = returned
    if len(gradients) == 1 and isinstance(gradients[0], Mapping):
        found = gradients[0]
        named = {name: found.get(name, found.get(f"d{name}")) for name in names}
        missing = [name for name, value in named.items() if value is None]
        if missing:
            raise ValueError(
                f"f: expected {expected}; missing: {', '.join(missing)}; got {sorted(found)}"
            )
        return loss, named
    if len(gradients) == 1 and isinstance(gradients[0], (tuple, list)):
        gradients = list(gradients[0])
    if len(gradients) < len(names):
        raise ValueError(f"f: expected {expected}, got {len(gradients)} arrays")
    return loss, dict(zip(names, gradients[: len(names)], strict=True))


def _scaled(array: Array, factor: Scale) -> Array:
    if not isinstance(factor, float):
        return factor
    if math.isinf(factor):
        return made_symmetric(array, last=factor < 0)
    return array * factor


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value
