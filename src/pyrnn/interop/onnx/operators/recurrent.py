"""The operators RNN, GRU and LSTM: the cells of the core, and equations for other dtypes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.interop.onnx import equations
from pyrnn.interop.onnx.equations import DEFAULTS, DIRECTIONS, GATES, Settings, Weights
from pyrnn.interop.onnx.graph import AnyArray, GraphError
from pyrnn.interop.onnx.operators._build import Build, Builder, Function, widened
from pyrnn.interop.onnx.operators.dense import FLOATS
from pyrnn.interop.onnx.weights import cells_of, plain_cell_of, to_cell


def settings_of(build: Build) -> Settings:
    """The attributes of a node, checked."""
    kind = build.node.op
    direction = build.text("direction", "forward")
    if direction not in DIRECTIONS:
        raise GraphError(
            f"{build.node}: direction: expected one of {', '.join(DIRECTIONS)}, got {direction!r}"
        )
    backwards = DIRECTIONS[direction]
    count = len(DEFAULTS[kind])
    names = build.texts("activations") or DEFAULTS[kind] * len(backwards)
    if len(names) != count * len(backwards):
        raise GraphError(
            f"{build.node}: activations: expected {count * len(backwards)}, got {len(names)}"
        )
    try:
        found = equations.activations(
            names,
            build.numbers("activation_alpha") or (),
            build.numbers("activation_beta") or (),
        )
    except GraphError as error:
        raise GraphError(f"{build.node}: {error}") from error
    clip = build.number("clip", 0.0) if "clip" in build.node.attributes else None
    if clip is not None and not clip > 0:
        clip = None
    hidden = build.integer("hidden_size", 0)
    return Settings(
        kind,
        hidden,
        backwards,
        tuple(tuple(found[n * count : (n + 1) * count]) for n in range(len(backwards))),
        clip,
        build.flag("input_forget"),
        build.flag("linear_before_reset"),
    )


def _recurrent(build: Build) -> Function:
    layout = build.integer("layout", 0)
    if layout not in (0, 1):
        raise GraphError(f"{build.node}: layout: expected 0 or 1, got {layout}")
    operator = _Operator(build, settings_of(build))
    return batch_first(operator) if layout else operator


def batch_first(operator: Function) -> Function:
    """With layout=1: x (N, T, I), states (N, directions, H), Y (N, T, directions, H)."""

    def run(x: AnyArray, *rest: AnyArray | None) -> tuple[AnyArray, ...]:
        turned: list[Any] = [
            array.swapaxes(0, 1) if array is not None and index in (5, 6) else array
            for index, array in enumerate(rest, start=1)
        ]
        y, *states = operator(x.swapaxes(0, 1), *turned)
        return y.transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in states)

    return run


class _Operator:
    """One node. Weights that never change are brought into the cell's form once."""

    def __init__(self, build: Build, settings: Settings) -> None:
        self.settings = settings
        self.weights: list[Weights] | None = None
        self.packed: dict[str, list[Any]] = {}
        self.one_steps: dict[str, Callable[[Any, Any], Any]] = {}
        self.cells: list[str] | None = None
        fixed = [build.constant(index) for index in (1, 2, 3, 7)]
        places = [1, 2, *(index for index in (3, 7) if build.given(index))]
        if all(build.constant(index) is not None for index in places):
            try:
                self.settings, self.weights = weights_of(settings, *fixed)
            except ValueError as error:
                raise GraphError(f"{build.node}: {error}") from error
            self.cells = self._cells(self.weights)

    def __call__(
        self,
        x: AnyArray,
        W: AnyArray,
        R: AnyArray,
        B: AnyArray | None = None,
        lengths: AnyArray | None = None,
        h: AnyArray | None = None,
        c: AnyArray | None = None,
        P: AnyArray | None = None,
    ) -> tuple[AnyArray, ...]:
        """Y (T, directions, N, H), Y_h (directions, N, H) and, of an LSTM, Y_c."""
        settings, weights, cells = self.settings, self.weights, self.cells
        if weights is not None and len(weights) == 1 and cells is not None and lengths is None:
            state: Any = h if settings.kind != "LSTM" or h is c is None else (h, c)
            found = self._by_one_step(cells, x, weights, state)
            if found is not None:
                return found
        if weights is None:
            settings, weights = weights_of(settings, W, R, B, P)
            cells = self._cells(weights)
        check_input(x, weights[0].W.shape[1], weights[0].W.dtype)
        steps, rows, _ = x.shape
        counts = None if lengths is None else checked_lengths(lengths, steps, rows)
        given = (("initial_h", h), ("initial_c", c))[: 2 if settings.kind == "LSTM" else 1]
        states = checked_states(settings, given, rows, x.dtype)
        if cells is None or not x.size:
            return _by_equations(settings, x, weights, counts, states)
        return self._by_core(cells, x, weights, counts, states)

    def _cells(self, weights: Sequence[Weights]) -> list[str] | None:
        """The cell of each direction; None for numbers that no cell computes with."""
        if weights[0].W.dtype not in FLOATS or not weights[0].W.size:
            return None
        return cells_of(self.settings, weights[0].P is not None)

    def _packed(
        self, backend: selection.Backend, cells: Sequence[str], weights: Sequence[Weights]
    ) -> list[Any]:
        packed = self.packed.get(backend.name)
        if packed is None:
            plain = plain_cell_of(self.settings, weights[0].P is not None)
            sides = zip(cells, weights, strict=True)
            packed = [backend.pack(cell, to_cell(plain, one)) for cell, one in sides]
            if self.weights is not None:
                self.packed[backend.name] = packed
        return packed

    def _by_one_step(
        self, cells: Sequence[str], x: AnyArray, weights: Sequence[Weights], state: Any
    ) -> tuple[AnyArray, ...] | None:
        """A single time step, if the backend takes these arguments as they are."""
        backend = selection.current()
        step = self.one_steps.get(backend.name)
        if step is None:
            step = backend.one_step(self._packed(backend, cells, weights), "time_first", ())
            self.one_steps[backend.name] = step
        found = step(x, state)
        if found is None:
            return None
        y, last = found
        return y[:, None], *(last if type(last) is tuple else (last,))

    def _by_core(
        self,
        cells: Sequence[str],
        x: AnyArray,
        weights: Sequence[Weights],
        counts: Any,
        states: Sequence[AnyArray] | None,
    ) -> tuple[AnyArray, ...]:
        """The sequences that have steps; those of none end in zeros."""
        if counts is None or counts.all():
            return self._all_steps(cells, x, weights, counts, states)
        rows = np.flatnonzero(counts)
        directions, hidden = len(weights), weights[0].R.shape[1]
        y = np.zeros((len(x), directions, x.shape[1], hidden), x.dtype)
        parts = 2 if self.settings.kind == "LSTM" else 1
        lasts = [np.zeros(y.shape[1:], x.dtype) for _ in range(parts)]
        if rows.size:
            some = None if states is None else [np.ascontiguousarray(s[:, rows]) for s in states]
            found = self._all_steps(cells, x[:, rows], weights, counts[rows], some)
            y[:, :, rows] = found[0]
            for last, part in zip(lasts, found[1:], strict=True):
                last[:, rows] = part
        return y, *lasts

    def _all_steps(
        self,
        cells: Sequence[str],
        x: AnyArray,
        weights: Sequence[Weights],
        counts: Any,
        states: Sequence[AnyArray] | None,
    ) -> tuple[AnyArray, ...]:
        backend = selection.current()
        packed = self._packed(backend, cells, weights)
        x = np.ascontiguousarray(x)
        if len(packed) == 1:
            first = None if states is None else tuple([part[0] for part in states])
            y, last, _ = backend.forward(packed[0], x, first, counts, self.settings.backwards[0])
            return y[:, None], *[part[None] for part in last]
        firsts: list[Any] = [
            None if states is None else tuple(part[n] for part in states)
            for n in range(len(packed))
        ]
        if cells[0] == cells[1]:
            both = backend.forward_both(packed, x, firsts, counts, False, 0, [None, None])
        else:
            sides = zip(packed, firsts, self.settings.backwards, strict=True)
            both = [backend.forward(side, x, first, counts, back) for side, first, back in sides]
        y = np.stack([one[0] for one in both], axis=1)
        return y, *(np.stack(parts) for parts in zip(*(one[1] for one in both), strict=True))


def _by_equations(
    settings: Settings,
    x: AnyArray,
    weights: Sequence[Weights],
    counts: Any,
    states: Sequence[AnyArray] | None,
) -> tuple[AnyArray, ...]:
    steps, rows = x.shape[:2]
    if counts is None:
        counts = np.full(rows, steps)
    if states is None:
        parts = 2 if settings.kind == "LSTM" else 1
        shape = (len(weights), rows, settings.hidden_size)
        states = [np.zeros(shape, x.dtype) for _ in range(parts)]
    firsts = [tuple(part[n] for part in states) for n in range(len(weights))]
    y, lasts = equations.run(settings, x, weights, counts, firsts)
    return y, *(np.stack(parts) for parts in zip(*lasts, strict=True))


# --- what comes in --------------------------------------------------------------------------


def weights_of(
    settings: Settings,
    W: AnyArray | None,
    R: AnyArray | None,
    B: AnyArray | None,
    P: AnyArray | None,
) -> tuple[Settings, list[Weights]]:
    """The weights of each direction, checked; and the settings with the size that they have."""
    if W is None or R is None:
        raise ValueError("W, R: expected weights, got none")
    gates, directions = GATES[settings.kind], len(settings.backwards)
    hidden = settings.hidden_size or R.shape[-1]
    rows = gates * hidden
    inputs = W.shape[-1] if W.ndim == 3 else 0
    expected = {
        "W": (W, (directions, rows, inputs)),
        "R": (R, (directions, rows, hidden)),
        "B": (B, (directions, 2 * rows)),
        "P": (P, (directions, 3 * hidden)),
    }
    for name, (array, shape) in expected.items():
        if array is None:
            continue
        if array.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
        if array.dtype != W.dtype or W.dtype.kind != "f":
            raise ValueError(f"{name}: expected floats of one dtype, got {array.dtype}")
    if B is None:
        B = np.zeros((directions, 2 * rows), W.dtype)
    found = [
        Weights(W[n], R[n], B[n, :rows], B[n, rows:], None if P is None else P[n])
        for n in range(directions)
    ]
    return settings._replace(hidden_size=hidden), found


def check_input(x: AnyArray, features: int, dtype: np.dtype[Any]) -> None:
    """Refuse an X that does not fit the weights."""
    if x.ndim != 3 or x.shape[2] != features or x.dtype != dtype:
        raise ValueError(
            f"X: expected {dtype} of 3 axes, the last of {features}, "
            f"got {x.dtype} of shape {x.shape}"
        )


def checked_lengths(lengths: AnyArray, steps: int, rows: int) -> Any:
    """None if every sequence has all steps."""
    if lengths.shape != (rows,) or lengths.dtype.kind not in "iu":
        raise ValueError(
            f"sequence_lens: expected integers of shape ({rows},), "
            f"got {lengths.dtype} of shape {lengths.shape}"
        )
    if ((lengths < 0) | (lengths > steps)).any():
        raise ValueError(f"sequence_lens: expected lengths in [0, {steps}], got {lengths}")
    counts = lengths.astype(np.intp)
    return None if (counts == steps).all() else counts


def checked_states(
    settings: Settings,
    given: Sequence[tuple[str, AnyArray | None]],
    rows: int,
    dtype: Any,
) -> list[Array] | None:
    """The first states by name, (directions, N, H) each; None if there are none."""
    shape = (len(settings.backwards), rows, settings.hidden_size)
    found, some = [], False
    for name, part in given:
        if part is None:
            part = np.zeros(shape, dtype)
        else:
            some = True
        if part.shape != shape or part.dtype != dtype:
            raise ValueError(
                f"{name}: expected {dtype} of shape {shape}, got {part.dtype} of {part.shape}"
            )
        found.append(np.ascontiguousarray(part))
    return found if some else None


TABLE: Mapping[str, Builder] = {name: widened(_recurrent) for name in ("GRU", "LSTM", "RNN")}
