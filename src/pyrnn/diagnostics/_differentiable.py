"""One interface for all targets of `gradcheck`: outputs and gradients at a point."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from pyrnn import _checks
from pyrnn._types import Array
from pyrnn.layers import _arguments


class Point(NamedTuple):
    """A point at which a target is evaluated: its input, initial state and parameters."""

    x: Any
    state: tuple[Array, ...]
    parameters: dict[str, Array]


class Outputs(NamedTuple):
    """The results of a forward pass: y, the arrays of the final state, the cache."""

    y: Array
    state: tuple[Array, ...]
    cache: Any

    def arrays(self) -> list[Array]:
        """All outputs as base class arrays, since subclasses may define other arithmetic."""
        return [_checks.as_array("outputs", part) for part in (self.y, *self.state)]


class Gradients(NamedTuple):
    """The results of a backward pass; dx is None if x has no gradient."""

    dx: Array | None
    dstate: tuple[Array | None, ...]
    grads: Mapping[str, Array]


class Differentiable:
    """A target that follows the convention; state, lengths and dstate are optional."""

    def __init__(self, target: Any, lengths: Any = None) -> None:
        if not all(hasattr(target, name) for name in ("parameters", "forward", "backward")):
            raise TypeError(
                f"target: expected a layer, a cell or a model, got {type(target).__name__}"
            )
        if lengths is not None and not _takes(target.forward, None, lengths=lengths):
            _arguments.not_taken(target, lengths=lengths)
        self.target = target
        self.returns_state = getattr(target, "returns_state", True)
        self._options = {} if lengths is None else {"lengths": lengths}

    def without_options(self) -> Differentiable:
        """The same target with no lengths."""
        return Differentiable(self.target)

    def point(self, x: Any, state: Any, generator: np.random.Generator) -> Point:
        """A point of copies: x, the state (drawn if None), the parameters as they are."""
        parameters = {name: array.copy() for name, array in self.target.parameters.items()}
        if state is not None and not _takes(self.target.forward, x, state):
            _arguments.not_taken(self.target, state=state)
        if state is None:
            after = self.at(Point(x, (), parameters)).outputs().state
            parts: tuple[Array, ...] = tuple(generator.standard_normal(a.shape) for a in after)
        else:
            parts = tuple(part.copy() for part in parts_of(state))
        return Point(x, parts, parameters)

    def at(self, point: Point) -> Evaluation:
        """Put a point's parameters into a copy of the target.

        A copy for each evaluation, so that the target stays as it is and so that dropout draws
        the same masks every time.
        """
        target = copy.deepcopy(self.target)
        for name, live in target.parameters.items():
            live.flags.writeable = True
            live[...] = point.parameters[name]
        return Evaluation(target, point, self._options)


class Evaluation:
    """One copy of a target at one point; it gets copies of arrays, which it may change."""

    def __init__(self, target: Any, point: Point, options: dict[str, Any]) -> None:
        self._target = target
        self._point = point
        self._options = options

    def outputs(self) -> Outputs:
        """Run forward."""
        forward, arguments = self._target.forward, [self._point.x.copy()]
        if self._point.state or _takes(forward, None, None):
            arguments.append(whole_of(tuple(part.copy() for part in self._point.state)))
        y, state, cache = _three(
            "forward", "(y, state, cache)", forward(*arguments, **self._options)
        )
        return Outputs(y, parts_of(state), cache)

    def gradients(self, outputs: Outputs, weights: list[Array]) -> Gradients:
        """Run backward: the gradients of the sum of outputs, each weighted with an array."""
        dy, *dstate = [array.copy() for array in weights]
        backward, arguments = self._target.backward, [outputs.cache, dy]
        if outputs.state or _takes(backward, None, None, None):
            arguments.append(whole_of(tuple(dstate)))
        dx, dstate0, grads = _three("backward", "(dx, dstate0, grads)", backward(*arguments))
        if not isinstance(grads, Mapping):
            raise TypeError(
                "backward: expected (dx, dstate0, grads) with a dict of gradients, got "
                f"{type(grads).__name__}"
            )
        return Gradients(dx, parts_of(dstate0), grads)


def _takes(function: Callable[..., Any], *arguments: Any, **options: Any) -> bool:
    """Whether a function can be called with that many arguments, and options of these names."""
    try:
        inspect.signature(function).bind(*arguments, **options)
    except TypeError:
        return False
    except ValueError:  # a compiled function that does not say what it takes
        return True
    return True


def _three(name: str, expected: str, returned: Any) -> tuple[Any, Any, Any]:
    """The three results that a method has by the convention."""
    if not isinstance(returned, (tuple, list)) or len(returned) != 3:
        pair = isinstance(returned, (tuple, list))
        got = f"{len(returned)} values" if pair else type(returned).__name__
        raise TypeError(f"{name}: expected {expected}, got {got}")
    first, second, third = returned
    return first, second, third


def parts_of(state: Any) -> tuple[Array, ...]:
    """The arrays of a state: none, one or several."""
    if state is None:
        return ()
    return tuple(state) if isinstance(state, (tuple, list)) else (state,)


def whole_of(parts: tuple[Array, ...]) -> Any:
    """The inverse of `_parts`, as layers take a state."""
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else parts
