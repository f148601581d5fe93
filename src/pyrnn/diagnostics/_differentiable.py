"""Layers, cells and models behind one face for `gradcheck`: outputs and gradients at a point."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np

from pyrnn import _checks
from pyrnn._types import Array
from pyrnn.layers._recurrent import Recurrent
from pyrnn.layers.cells import Cell
from pyrnn.layers.dense import Embedding, Linear


class Point(NamedTuple):
    """Where a target is evaluated: its input, first state and parameters."""

    x: Any
    state: tuple[Array, ...]
    parameters: dict[str, Array]


class Outputs(NamedTuple):
    """What a forward gave: y (None for a cell), the arrays of the state after, the cache."""

    y: Array | None
    state: tuple[Array, ...]
    cache: Any

    def arrays(self) -> list[Array]:
        """All outputs, as arrays of the base class: others may multiply otherwise."""
        parts = [*([] if self.y is None else [self.y]), *self.state]
        return [_checks.as_array("outputs", part) for part in parts]


class Gradients(NamedTuple):
    """What a backward gave; dx is None where x has no gradient."""

    dx: Array | None
    dstate: tuple[Array, ...]
    grads: dict[str, Array]


class Differentiable:
    """A target with the way it is called."""

    def __init__(self, target: Any, lengths: Any = None) -> None:
        if not all(hasattr(target, name) for name in ("parameters", "forward", "backward")):
            raise TypeError(
                f"target: expected a layer, a cell or a model, got {type(target).__name__}"
            )
        if lengths is not None and not isinstance(target, Recurrent):
            raise TypeError(f"lengths: expected None, since {type(target).__name__} takes none")
        self._target = target
        self._options = {} if lengths is None else {"lengths": lengths}

    @property
    def has_state(self) -> bool:
        """Whether the target takes a state."""
        return not isinstance(self._target, (Linear, Embedding))

    def point(self, x: Any, state: Any, generator: np.random.Generator) -> Point:
        """A point of copies: x, the state (drawn if None), the parameters as they are."""
        parameters = {name: array.copy() for name, array in self._target.parameters.items()}
        if state is None:
            after = self.at(Point(x, (), parameters)).outputs().state
            parts: tuple[Array, ...] = tuple(generator.standard_normal(a.shape) for a in after)
        else:
            parts = tuple(part.copy() for part in _parts(state))
        return Point(x, parts, parameters)

    def at(self, point: Point) -> Evaluation:
        """Put a point's parameters into a copy of the target.

        A copy for each evaluation, so that the target stays as it is and so that dropout draws
        the same masks every time.
        """
        target = copy.deepcopy(self._target)
        for name, live in target.parameters.items():
            live.flags.writeable = True
            live[...] = point.parameters[name]
        return Evaluation(target, point, self._options)


class Evaluation:
    """One copy of a target at one point."""

    def __init__(self, target: Any, point: Point, options: dict[str, Any]) -> None:
        self._target = target
        self._point = point
        self._options = options

    def outputs(self) -> Outputs:
        """Run forward."""
        target, x = self._target, self._point.x
        if isinstance(target, (Linear, Embedding)):
            y, cache = target.forward(x)
            return Outputs(y, (), cache)
        state = _whole(self._point.state)
        if isinstance(target, Cell):
            after, cache = target.forward(x, state)
            return Outputs(None, _parts(after), cache)
        y, after, cache = target.forward(x, state, **self._options)
        return Outputs(y, _parts(after), cache)

    def gradients(self, outputs: Outputs, weights: list[Array]) -> Gradients:
        """Run backward: the gradients of the sum of outputs, each weighted with an array."""
        target, cache = self._target, outputs.cache
        if isinstance(target, (Linear, Embedding)):
            dx, grads = target.backward(cache, weights[0])
            return Gradients(dx, (), grads)
        if isinstance(target, Cell):
            dx, dbefore, grads = target.backward(cache, _whole(tuple(weights)))
            return Gradients(dx, _parts(dbefore), grads)
        dy, dstate = weights[0], _whole(tuple(weights[1:]))
        if isinstance(target, Recurrent):
            dx, dbefore, grads = target.backward(cache, dy, dstate)
            return Gradients(dx, _parts(dbefore), grads)
        grads, dbefore = target.backward(cache, dy, dstate)
        return Gradients(None, _parts(dbefore), grads)


def _parts(state: Any) -> tuple[Array, ...]:
    if state is None:
        return ()
    return tuple(state) if isinstance(state, (tuple, list)) else (state,)


def _whole(parts: tuple[Array, ...]) -> Any:
    """The inverse of `_parts`, as layers take a state."""
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else parts
