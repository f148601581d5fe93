"""Adapters from what learners write (pairs of functions, stateful cells) to layers' convention."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from pyrnn import _checks
from pyrnn._types import Array
from pyrnn.diagnostics._differences import refuse_infinities
from pyrnn.diagnostics._differentiable import parts_of

INPUT_GRADIENTS = ("dx", "dxt", "dx_t")
STATE_GRADIENTS = (
    ("da_prev", "da0", "ds_prev", "ds0", "dh_prev", "dh0", "dhprev", "dprev_h"),
    ("dc_prev", "dc0"),
)


class FunctionPair:
    """``forward`` and ``backward`` in the form of `pyrnn.textbook`.

    Arrays hold a column for each example, (features, m, T), or a row, (T, N, features): the shape
    of a tells which.

    For a sequence ``forward(x, a0, parameters) -> (a, ..., caches)`` and ``backward(da, caches) ->
    dict``; for one step ``forward(xt, a_prev, parameters)`` or ``forward(xt, a_prev, c_prev,
    parameters)``. The outputs that count are those that ``backward`` takes gradients of: a, and
    c for one step of an LSTM.
    """

    returns_state = False

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        x: Any,
        state: Any,
        parameters: Mapping[str, Any],
    ) -> None:
        self._forward, self._backward = forward, backward
        if state is None:
            raise TypeError(
                "state: expected the first state, which forward takes after x; got None"
            )
        arrays = {name: as_double(name, value) for name, value in parameters.items()}
        self.parameters, self.others = arrays, dict[str, Array]()
        point = _checks.as_array("x", x), state
        dy, cache = self._run(*point)
        self._columns = self._takes_columns(*point, dy[0])
        self.batch_axis = 1 if self._columns else np.ndim(parts_of(state)[0]) - 2
        found = self._gradients(cache, [np.zeros_like(part) for part in dy])
        self.parameters = {name: array for name, array in arrays.items() if f"d{name}" in found}
        self.others = {name: array for name, array in arrays.items() if f"d{name}" not in found}
        if not self.parameters:
            raise ValueError(
                f"backward: expected a dict with names such as d{next(iter(arrays), 'W')}, got "
                f"the names {sorted(found)}"
            )
        for name in self.others:
            self._refuse_missing(name, *point, dy)

    def _takes_columns(self, x: Array, state: Any, a: Array) -> bool:
        """Whether arrays are (features, examples): by the shape of a, or by one step alone."""
        states = parts_of(state)
        first = np.shape(states[0])
        rows = a.shape[0] == x.shape[0] and a.shape[x.ndim - 2 :] == first
        if not _has_columns(x, a, first) or not rows:
            return _has_columns(x, a, first)
        with contextlib.suppress(Exception):  # whatever the functions raise for another shape
            if x.ndim == 3:
                return bool(np.shape(self._run(x[:, :, :1], state)[0][0]) == (*first, 1))
            one = tuple(part[:, :1] for part in states)
            short = self._run(x[:, :1], one[0] if len(one) == 1 else one)[0][0]
            return bool(np.shape(short) == (first[0], 1))
        return False

    def _refuse_missing(self, name: str, x: Array, state: Any, outputs: list[Array]) -> None:
        """Raise ValueError if outputs depend on a parameter that backward has no gradient of."""
        before = self.others[name]
        self.others[name] = before + 1.0
        changed, _ = self._run(x, state)
        self.others[name] = before
        if not all(map(np.array_equal, changed, outputs)):
            raise ValueError(
                f"backward: expected d{name} in the dict that it returns, since the output depends "
                f"on {name}"
            )

    def axes(self, dimensions: int) -> tuple[int | None, int | None, int | None]:
        """The axes of time, batch and features of an array of that many dimensions."""
        if self._columns:
            return (2, 1, 0) if dimensions == 3 else (None, 1, 0)
        return (0, 1, 2) if dimensions == 3 else (None, 0, 1)

    def forward(self, x: Array, state: Any) -> tuple[Array, Any, Any]:
        """Run the user's forward; for one step of an LSTM the state after is (c,)."""
        outputs, cache = self._run(x, state)
        return outputs[0], tuple(outputs[1:]) or None, (cache, len(parts_of(state)))

    def predictions(self, x: Array, state: Any) -> list[Array]:
        """What forward returns between the states and the cache: arrays of numbers."""
        returned = self._forward(x, *parts_of(state), {**self.others, **self.parameters})
        return [np.asarray(part) for part in returned[1:-1] if np.ndim(part) == x.ndim]

    def backward(self, kept: Any, dy: Array, dstate: Any = None) -> tuple[Any, Any, dict[str, Any]]:
        """Run the user's backward; a gradient that it does not return is None."""
        cache, states = kept
        given = [dy, *parts_of(dstate)]
        found = self._gradients(cache, given)
        dx = next((found[name] for name in INPUT_GRADIENTS if name in found), None)
        dstate0 = tuple(
            next((found[name] for name in names if name in found), None)
            for names in STATE_GRADIENTS[:states]
        )
        return dx, dstate0, {name: found[f"d{name}"] for name in self.parameters}

    def _run(self, x: Array, state: Any) -> tuple[list[Array], Any]:
        returned = self._forward(x, *parts_of(state), {**self.others, **self.parameters})
        if not isinstance(returned, (tuple, list)) or len(returned) < 2:
            raise TypeError(
                "forward: expected a tuple (a, ..., cache), got "
                f"{type(returned).__name__}; a is first, the cache last"
            )
        step_of_pair = x.ndim == 2 and len(parts_of(state)) == 2
        outputs = returned[:2] if step_of_pair else returned[:1]
        return [_checks.as_array("a", part) for part in outputs], returned[-1]

    def _gradients(self, cache: Any, given: list[Array]) -> dict[str, Any]:
        found = self._backward(*given, cache)
        if not isinstance(found, Mapping):
            raise TypeError(
                "backward: expected a dict of gradients such as {'dx': ..., 'dWax': ...}, got "
                f"{type(found).__name__}"
            )
        return {name: value for name, value in found.items() if value is not None}


class StatefulCell:
    """A cell called once per step, and backward in reverse order, as `textbook.cells.RNNCell`.

    ``cell(x, hidden) -> hidden``, then ``cell.backward(dh)``; afterwards ``dx_list`` and a list
    ``dw_ih_stack``, ``db_hh_stack``, ... for each of the parameters.
    """

    returns_state = False
    batch_axis = 0
    STACKS: ClassVar = {
        "weight_ih": "dw_ih_stack",
        "weight_hh": "dw_hh_stack",
        "bias_ih": "db_ih_stack",
        "bias_hh": "db_hh_stack",
    }

    def __init__(self, cell: Any) -> None:
        self._cell = cell
        names = [name for name in self.STACKS if getattr(cell, name, None) is not None]
        if not names:
            raise TypeError(
                f"target: expected a cell with the arrays {', '.join(self.STACKS)}, got "
                f"{type(cell).__name__}"
            )
        self.parameters = {name: np.asarray(getattr(cell, name)) for name in names}

    @staticmethod
    def axes(dimensions: int) -> tuple[int | None, int | None, int | None]:
        """The axes of time, batch and features of an array of that many dimensions."""
        return (0, 1, 2)

    def __deepcopy__(self, memo: dict[int, Any]) -> StatefulCell:
        return StatefulCell(copy.deepcopy(self._cell, memo))

    def forward(self, x: Array, state: Any) -> tuple[Array, None, int]:
        """All steps of x (T, N, I) from a hidden state (N, H)."""
        hidden, outputs = state, []
        for step in x:
            hidden = self._cell(step, hidden)
            outputs.append(np.asarray(hidden))
        return np.array(outputs), None, len(outputs)

    def backward(self, steps: int, dy: Array) -> tuple[Any, Any, dict[str, Any]]:
        """All steps back; the gradients are the sums of the stacks."""
        for dh in dy[::-1]:
            self._cell.backward(dh)
        grads = {}
        for name, array in self.parameters.items():
            stack = np.array(getattr(self._cell, self.STACKS[name]))
            grads[name] = stack.sum(axis=tuple(range(stack.ndim - array.ndim)))
        return np.array(self._cell.dx_list), getattr(self._cell, "prev_dh", None), grads


def adapted(target: Any, x: Any, state: Any, parameters: Any) -> Any:
    """The target, or an adapter if it is a pair of functions or a stateful cell."""
    if isinstance(target, (tuple, list)) and len(target) == 2 and all(map(callable, target)):
        if parameters is None:
            raise TypeError("parameters: expected the dict that the functions take, got None")
        forward, backward = target
        return FunctionPair(forward, backward, x, state, parameters)
    if parameters is not None:
        raise TypeError(
            "parameters: expected None, since a layer has its own parameters, got a value; only a "
            "pair of functions takes this argument"
        )
    if callable(target) and hasattr(target, "backward") and not hasattr(target, "forward"):
        return StatefulCell(target)
    return target


def _has_columns(x: Array, a: Array, state: tuple[int, ...]) -> bool:
    """Whether arrays are (features, examples), by the shape of the states a."""
    if x.ndim == 3:
        return bool(a.shape[-1] == x.shape[-1] and a.shape[:2] == state)
    return bool(a.shape[-1] == x.shape[-1])


def as_double(name: str, value: Any) -> Array:
    """A copy of a parameter in float64."""
    array = _checks.as_array(f"parameters[{name!r}]", value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"parameters[{name!r}]: expected numbers, got {array.dtype}")
    if not array.size:
        raise ValueError(f"parameters[{name!r}]: expected numbers, got shape {array.shape}")
    doubles = np.array(array, dtype=np.float64, order="C")
    refuse_infinities(f"parameters[{name!r}]", doubles)
    return doubles
