"""Cells: one step forward and backward."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np

import pyrnn
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw
from tests.fuzz.entries.common import (
    caches_refused,
    draw_gradient,
    draw_input,
    draw_mode,
    draw_state,
    draw_weights,
    switched,
)

Arguments = dict[str, Any]
STATES = ("state", "dstate", "dbefore")
"""What is a pair in an LSTM; other lists are arrays."""
KINDS = {"RNNCell": pyrnn.RNNCell, "LSTMCell": pyrnn.LSTMCell, "GRUCell": pyrnn.GRUCell}


def cell_case(draw: Draw, kind: str) -> Case:
    """One step, forward and backward."""
    options = cell_options(draw, kind)
    hidden, parts = options["hidden_size"], 2 if kind == "LSTMCell" else 1
    cell = KINDS[kind](**options)
    batched = draw.chance(0.85)
    lead = (draw.rows(),) if batched else ()
    output = options.get("proj_size") or hidden
    sizes = (output, hidden)[:parts]
    dstate = [draw.array(*lead, size) for size in sizes]
    x = draw_input(draw, lead, options["input_size"]) if batched else (
        draw.array(*lead, options["input_size"])
    )  # fmt: skip
    arguments: Arguments = {
        "options": options,
        "weights": draw_weights(draw, cell),
        "x": x,
        "state": draw_state(draw, sizes, lead),
        "dy": draw_gradient(draw, *lead, output),
        "dstate": None if draw.chance(0.1) else tuple(dstate) if parts == 2 else dstate[0],
    }
    mode = draw_mode(draw, cell)
    run = partial(_forward_backward, draw, kind, mode)
    ways = [Relation("call", partial(_call, draw, kind, mode))]
    if batched:
        ways.append(Relation("row alone", partial(_alone, run, draw.integer(0, lead[0] - 1))))
    ways.append(Relation("layer", partial(_layer, draw, kind, batched)))
    ways.append(Relation("caches", partial(_caches, draw, kind, mode)))
    names = {"cache", *cell.parameters, *options, "initialization", "forget_bias"}
    return Case(arguments, run, [draw.choice(ways)], names=names)


def cell_options(draw: Draw, kind: str) -> dict[str, Any]:
    """Arguments of a cell's constructor that fit each other."""
    options: dict[str, Any] = {"input_size": draw.size(), "hidden_size": draw.size()}
    options |= {"dtype": draw.dtype_argument(), "seed": draw.integer(0, 2**32)}
    if draw.chance(0.3):
        options["bias"] = draw.choice((True, False))
    if kind == "RNNCell" and draw.chance(0.5):
        options["nonlinearity"] = draw.choice(("tanh", "relu"))
    options |= _variant(draw, kind, options["hidden_size"])
    if draw.chance(0.2):
        options["initialization"] = draw.choice(("torch", "glorot", "orthogonal"))
    has_forget_gate = kind == "LSTMCell" and not options.get("coupled")
    if has_forget_gate and options.get("bias", True) and draw.chance(0.2):
        options["forget_bias"] = draw.choice((0.0, 1.0, -1.5))
    return options


def _variant(draw: Draw, kind: str, hidden: int) -> dict[str, Any]:
    """Options that make another cell of it, now and then."""
    if kind == "RNNCell" or draw.chance(0.5):
        return {}
    if draw.chance(0.3):
        return {"layer_norm": True}
    if kind == "GRUCell":
        return {"reset_after": draw.choice((True, False))}
    options: dict[str, Any] = {name: draw.choice((True, False)) for name in ("peephole", "coupled")}
    if hidden > 1 and draw.chance(0.5):
        options["proj_size"] = draw.integer(1, hidden - 1)
    return options


def _cell(draw: Draw, kind: str, a: Arguments) -> Any:
    cell = KINDS[kind](**a["options"])
    draw.settle(cell.parameters)
    if a["weights"] is not None:
        cell.parameters.update(a["weights"])
    return cell


def _forward_backward(draw: Draw, kind: str, mode: str, a: Arguments) -> dict[str, Any]:
    cell = _cell(draw, kind, a)
    switched(cell, mode)
    h, state, cache = cell.forward(a["x"], a["state"])
    dx, dbefore, grads = cell.backward(cache, a["dy"], a["dstate"])
    return {"h": h, "state": state, "dx": dx, "dbefore": dbefore, "grads": grads}


def _call(draw: Draw, kind: str, mode: str, a: Arguments) -> tuple[Any, Any]:
    cell = _cell(draw, kind, a)
    switched(cell, mode)
    expected = cell.forward(a["x"], a["state"])[1]
    return copy.deepcopy(cell)(a["x"], a["state"]), expected


def _caches(draw: Draw, kind: str, mode: str, a: Arguments) -> tuple[Any, Any]:
    """Backward beside calls with the cache of another cell, none, and a used one."""

    def make() -> Any:
        cell = _cell(draw, kind, a)
        return switched(cell, mode)

    return caches_refused(make, (a["x"], a["state"]), (a["dy"], a["dstate"]))


def _alone(run: Any, row: int, a: Arguments) -> tuple[Any, Any]:
    def cut(name: str, value: Any) -> Any:
        if value is None:
            return None
        if name in STATES and isinstance(value, (tuple, list)):
            return tuple(np.asarray(part)[row : row + 1] for part in value)
        return np.asarray(value)[row : row + 1]

    whole = run(a)
    one = run(a | {name: cut(name, a[name]) for name in ("x", "state", "dy", "dstate")})
    keys = [key for key in ("h", "state", "dx", "dbefore") if whole[key] is not None]
    return {key: one[key] for key in keys}, {key: cut(key, whole[key]) for key in keys}


def _layer(draw: Draw, kind: str, batched: bool, a: Arguments) -> tuple[Any, Any]:
    """A layer with the same parameters, over one step."""
    cell = _cell(draw, kind, a)
    options = {k: v for k, v in a["options"].items() if k not in ("initialization", "forget_bias")}
    layer = getattr(pyrnn, kind.removesuffix("Cell"))(**options)
    layer.parameters.update({f"{name}_l0": array for name, array in cell.parameters.items()})

    def stack(value: Any) -> Any:
        return None if value is None else np.asarray(value)[None]

    state = a["state"]
    batched = batched or np.asarray(a["x"]).dtype.kind in "iu"
    whole = tuple(map(stack, state)) if isinstance(state, (tuple, list)) else stack(state)
    after = layer(stack(a["x"]), whole)[1]
    cut = tuple(part[0] for part in after) if isinstance(after, tuple) else after[0]
    return cut, cell(a["x"], state)


for _kind in KINDS:
    entry(
        _kind, _kind, f"{_kind}.forward", f"{_kind}.backward", f"{_kind}.__call__",
        f"{_kind}.eval", f"{_kind}.train", f"{_kind}.parameters", weight=1.5,
    )(partial(cell_case, kind=_kind))  # fmt: skip
