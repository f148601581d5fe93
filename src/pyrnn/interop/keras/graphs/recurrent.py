"""Recurrent layers of Keras in ONNX's operators, with their states and masks.

ONNX has lengths of sequences, not masks. A mask with holes keeps the state at a masked step: so the
steps that count are moved to the front, in their order, and what comes out is moved back. A masked
step has the output of the last step before it that counts, or zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pyrnn.interop._parts import plain_cell
from pyrnn.interop.keras.graphs.builder import Builder, Tensor, known
from pyrnn.interop.keras.hdf5 import ContentError
from pyrnn.interop.onnx.weights import activation_attributes, from_cell
from pyrnn.layers.recurrent._stack import Recurrent

_DIRECTIONS = {(False,): "forward", (True,): "reverse", (False, True): "bidirectional"}


class Options(NamedTuple):
    """What Keras returns of a recurrent layer.

    ``apart``: both directions as two arrays. ``zeros``: zero as the output of masked steps.
    """

    sequences: bool = False
    states: bool = False
    apart: bool = False
    zeros: bool = False


class _Packed(NamedTuple):
    """Steps that count before the others: how many they are, and where each output comes from."""

    lengths: str
    mask: str
    counted: str


def recurrent(
    builder: Builder, layer: Recurrent, x: Tensor, states: Sequence[Tensor], options: Options
) -> list[Tensor]:
    """The outputs of one call: y, or that of each direction, and then the states if asked for."""
    if len(x.shape) != 3 or x.features not in (None, layer.input_size):
        raise ContentError(f"expected sequences of {layer.input_size} features, got {x.shape}")
    value, packed = x.name, None
    if x.mask is not None:
        value, packed = _packed(builder, x.name, x.mask)
    value = builder.transposed(value, 1, 0, 2)
    made = _node(builder, layer, value, states, packed)
    rows, steps = x.shape[:2]
    sides = layer.num_directions
    hidden = layer.hidden_size
    parts: list[str] = []
    for side in range(sides):
        back = layer.reverse or side == 1
        if not options.sequences:
            last = _one(builder, made[1], side, 0)
            masked = options.zeros and x.mask is not None
            parts.append(_or_zero(builder, last, x.mask or "", back) if masked else last)
            continue
        parts.append(_steps(builder, _one(builder, made[0], side, 1), back, packed, options.zeros))
    if layer.reverse and options.sequences:  # Keras gives these in the order of computation
        parts = [_turned(builder, part) for part in parts]
    shape = (rows, steps, hidden) if options.sequences else (rows, hidden)
    mask = x.mask if options.sequences else None  # in x's order, as in Keras, if y is turned too
    outputs = [Tensor(part, shape, mask) for part in parts]
    if sides == 2 and not options.apart:
        outputs = [_merged(builder, layer.merge_mode, outputs)]
    if options.states:
        for side in range(sides):
            for state in made[1:]:
                outputs.append(Tensor(_one(builder, state, side, 0), (rows, hidden)))
    return outputs


def _node(
    builder: Builder, layer: Recurrent, x: str, states: Sequence[Tensor], packed: _Packed | None
) -> list[str]:
    """The node of a layer; returns the names of Y, Y_h and, of an LSTM, Y_c."""
    cell = plain_cell(layer)
    kind = cell.partition("_")[0].upper()
    backwards = (False, True) if layer.bidirectional else (layer.reverse,)
    weights = [from_cell(cell, one) for one in layer._cells.values()]
    inputs = [
        x,
        builder.weight(np.stack([one.W for one in weights]), "W"),
        builder.weight(np.stack([one.R for one in weights]), "R"),
        "",
        "" if packed is None else packed.lengths,
    ]
    if layer.bias:
        both = np.stack([np.concatenate([one.Wb, one.Rb]) for one in weights])
        inputs[3] = builder.weight(both, "B")
    inputs += _first_states(builder, layer, states, 2 if kind == "LSTM" else 1)
    while inputs[-1] == "":
        inputs.pop()
    attributes: dict[str, Any] = {
        "hidden_size": layer.hidden_size,
        "direction": _DIRECTIONS[backwards],
    }
    for name, value in activation_attributes(layer, kind, len(backwards)).items():
        attributes[name] = tuple(value) if isinstance(value, list) else value
    if kind == "GRU":
        attributes["linear_before_reset"] = int(cell == "gru")
    return builder.ops(kind, inputs, 3 if kind == "LSTM" else 2, **attributes)


def _first_states(
    builder: Builder, layer: Recurrent, states: Sequence[Tensor], parts: int
) -> list[str]:
    """The initial states as ONNX has them, (directions, N, H), of Keras' for each direction."""
    if not states:
        return []
    sides = layer.num_directions
    if len(states) != sides * parts:
        raise ContentError(f"expected {sides * parts} initial states, got {len(states)}")
    found = []
    for part in range(parts):
        of_sides = [states[side * parts + part] for side in range(sides)]
        axis = builder.integers(0)
        raised = [builder.op("Unsqueeze", state.name, axis) for state in of_sides]
        found.append(raised[0] if sides == 1 else builder.op("Concat", *raised, axis=0))
    return found


def _one(builder: Builder, name: str, side: int, axis: int) -> str:
    """One direction of an array that has an axis for them."""
    return builder.op("Gather", name, builder.constant(np.array(side), "side"), axis=axis)


def _turned(builder: Builder, name: str) -> str:
    """The steps, the second axis, from the last on."""
    least = np.iinfo(np.int64).min
    places = [builder.integers(one) for one in (-1, least, 1, -1)]
    return builder.op("Slice", name, *places)


def _merged(builder: Builder, mode: str | None, parts: Sequence[Tensor]) -> Tensor:
    """Both directions as one."""
    first, second = parts
    names = [part.name for part in parts]
    if mode == "concat":
        size = known(first.features, "features") + known(second.features, "features")
        return first._replace(name=builder.op("Concat", *names, axis=-1),
                              shape=(*first.shape[:-1], size))  # fmt: skip
    if mode not in ("sum", "mul", "ave") or first.features != second.features:
        raise ContentError(f"no graph joins {first.features} and {second.features} features by "
                           f"{str(mode)[:50]!r}")  # fmt: skip
    merged = builder.op({"sum": "Add", "mul": "Mul", "ave": "Add"}[mode], *names)
    if mode == "ave":
        merged = builder.op("Mul", merged, builder.number(0.5))
    return first._replace(name=merged)


# --- several cells --------------------------------------------------------------------------


def several(
    builder: Builder,
    sides: Sequence[Sequence[tuple[str, Recurrent]]],
    mode: str | None,
    x: Tensor,
    states: Sequence[Tensor],
    options: Options,
) -> list[Tensor]:
    """The outputs of layers one behind the other, in one direction or in two, and their states.

    ``sides`` are for each direction the scopes and the layers of its cells; ``mode`` joins both.
    """
    outputs: list[Tensor] = []
    found: list[Tensor] = []
    wanted = sum(_states_of(layer) for side in sides for _, layer in side)
    if states and len(states) != wanted:
        raise ContentError(f"expected {wanted} initial states, got {len(states)}")
    scope, left = builder.scope, list(states)
    for number, side in enumerate(sides):
        y = x
        for place, (name, layer) in enumerate(side):
            own = [left.pop(0) for _ in range(_states_of(layer))] if states else []
            last = place == len(side) - 1
            builder.scope = name
            y, *more = recurrent(builder, layer, y, own, options._replace(
                sequences=options.sequences or not last, zeros=options.zeros and last))  # fmt: skip
            found += more
            if layer.reverse and not last and y.mask is not None:  # as the steps are turned
                y = y._replace(mask=_turned_flags(builder, y.mask))
        if options.sequences:
            y = y._replace(mask=x.mask)
            if number:  # both in the order of x
                y = y._replace(name=_turned(builder, y.name))
        outputs.append(y)
    builder.scope = scope
    if len(sides) == 2 and not options.apart:
        outputs = [_merged(builder, mode, outputs)]
    return outputs + found


def _states_of(layer: Recurrent) -> int:
    return 2 if plain_cell(layer) == "lstm" else 1


def _turned_flags(builder: Builder, mask: str) -> str:
    """A mask from its last step on."""
    return builder.cast(_turned(builder, builder.cast(mask, np.int64)), np.bool_)


# --- masks ----------------------------------------------------------------------------------


def _packed(builder: Builder, x: str, mask: str) -> tuple[str, _Packed]:
    """Sequences with the steps that count at their front, and how that was done."""
    ones = builder.cast(mask, np.int64)
    axis = builder.integers(1)
    counted = builder.op("CumSum", ones, builder.constant(np.array(1), "axis"))
    lengths = builder.cast(builder.op("ReduceSum", ones, axis, keepdims=0), np.int32)
    # Steps that count by their number; the others behind them, in any order.
    steps = builder.op("Slice", builder.op("Shape", mask), axis, builder.integers(2))
    places = builder.op("CumSum", builder.op("Add", builder.op("Mul", ones, builder.integers(0)),
                        builder.integers(1)), builder.constant(np.array(1), "axis"))  # fmt: skip
    behind = builder.op("Mul", builder.op("Sub", builder.integers(1), ones), steps)
    key = builder.op("Add", places, behind)
    order = builder.ops("TopK", [key, steps], 2, axis=1, largest=0, sorted=1)[1]
    index = builder.op("Unsqueeze", order, builder.integers(2))
    moved = builder.op("GatherND", x, index, batch_dims=1)
    return moved, _Packed(lengths, mask, counted)


def _steps(builder: Builder, y: str, back: bool, packed: _Packed | None, zeros: bool) -> str:
    """The outputs (T, N, H) of one direction as (N, T, H), each at its own step."""
    y = builder.transposed(y, 1, 0, 2)
    if packed is None:
        return y
    # Where nothing was computed yet, zero: before the first step, or behind the last one.
    pads = builder.integers(*((0, 0, 0, 0, 1, 0) if back else (0, 1, 0, 0, 0, 0)))
    y = builder.op("Pad", y, pads)
    places = packed.counted
    if back:
        places = builder.op("Sub", places, builder.cast(packed.mask, np.int64))
    index = builder.op("Unsqueeze", places, builder.integers(2))
    y = builder.op("GatherND", y, index, batch_dims=1)
    if not zeros:
        return y
    flags = builder.op("Unsqueeze", packed.mask, builder.integers(2))
    return builder.op("Where", flags, y, builder.number(0.0))


def _or_zero(builder: Builder, y: str, mask: str, back: bool) -> str:
    """The last output, or zero where the step that is computed last does not count."""
    end = builder.constant(np.array(0 if back else -1), "end")
    counts = builder.op("Gather", mask, end, axis=1)
    flags = builder.op("Unsqueeze", counts, builder.integers(1))
    return builder.op("Where", flags, y, builder.number(0.0))
