"""Streams: steps, states, resets and copies in any order."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from typing import Any

import numpy as np

from tests.fuzz import compare
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw
from tests.fuzz.entries.common import (
    KINDS,
    build,
    draw_input,
    draw_weights,
    layer_options,
    state_sizes,
)

Arguments = dict[str, Any]
ACTIONS = (
    "step", "step", "step", "out", "step some", "state", "reset", "reset some", "pickle", "copy",
)  # fmt: skip


def stream_case(draw: Draw) -> Case:
    """Up to eight actions on one stream."""
    kind = draw.choice(tuple(KINDS))
    options = layer_options(draw, kind, directions=draw.chance(0.03))
    rows = draw.rows()
    sizes = state_sizes(kind, options)
    arguments: Arguments = {
        "options": options,
        "weights": draw_weights(draw, KINDS[kind](**options)),
        "batch_size": rows,
    }
    actions = [draw.choice(ACTIONS) for _ in range(draw.integer(1, 8))]
    lead = (options.get("num_layers", 1), rows)
    for number, action in enumerate(actions):
        given = _arguments_of(draw, action, rows, options["input_size"], sizes, lead)
        arguments |= {f"{name}_{number}": value for name, value in given.items()}
    run = partial(_run, draw, kind, actions)
    names = {
        "x_t",
        "out",
        "rows",
        "state",
        "streams",
        "stream",
        "bidirectional",
        *_parameter_names(kind),
    }
    outs = frozenset(name for name in arguments if name.startswith("out_"))
    relations = []
    if outs or {"pickle", "copy"} & set(actions):
        relations.append(Relation("plain steps", partial(_plain, draw, kind, actions)))
    if rows > 1 and not any("some" in action for action in actions):
        row = draw.integer(0, rows - 1)
        relations.append(Relation("row alone", partial(_alone, draw, kind, actions, row)))
    return Case(arguments, run, relations, changes=outs, late=True, names=names)


def _parameter_names(kind: str) -> set[str]:
    return set(KINDS[kind](1, 2, 3, bidirectional=True).parameters) | {
        "weight_hr_l0",
        "weight_hr_l1",
    }


def _arguments_of(
    draw: Draw, action: str, rows: int, features: int, sizes: tuple[int, ...], lead: tuple[int, ...]
) -> Arguments:
    given: Arguments = {}
    if action in ("step", "out"):
        given["x_t"] = draw_input(draw, (rows,), features)
    if action == "out":
        in_place = draw.chance(0.9)
        given["out"] = draw.array(rows, sizes[0], in_place=in_place)
    elif action == "step some":
        chosen = draw.random.sample(range(rows), draw.integer(0, rows))
        given["x_t"] = draw_input(draw, (len(chosen),), features)
        given["rows"] = draw.choice((chosen, np.asarray(chosen, np.int64)))
    elif action == "state":
        parts = [draw.array(*lead, size) for size in sizes]
        given["state"] = tuple(parts) if len(parts) > 1 else parts[0]
    elif action == "reset some":
        mask = np.array([draw.chance(0.5) for _ in range(rows)])
        chosen = np.flatnonzero(mask)
        given["streams"] = draw.choice(
            (mask, chosen, chosen.tolist(), int(draw.integer(0, rows - 1)))
        )
    return given


def _run(draw: Draw, kind: str, actions: list[str], a: Arguments, plain: bool = False) -> list[Any]:
    stream = build(draw, kind, a).stream(a["batch_size"])
    results: list[Any] = []
    for number, action in enumerate(actions):
        before = _parts(stream.state)
        try:
            stream = _act(stream, action, number, a, plain, results)
        except Exception as error:
            if compare.bit_difference(_parts(stream.state), before):
                raise AssertionError(f"{action} was refused and changed the state") from error
            raise
        results.append(stream.state)
    return results


def _parts(state: Any) -> list[Any]:
    return list(state) if isinstance(state, tuple) else [state]


def _act(
    stream: Any, action: str, number: int, a: Arguments, plain: bool, results: list[Any]
) -> Any:
    """One action; returns the stream that goes on."""
    if action == "step" or (action == "out" and plain):
        results.append(stream.step(a[f"x_t_{number}"]))
    elif action == "out":
        filled = stream.step(a[f"x_t_{number}"], a[f"out_{number}"])
        if a[f"out_{number}"] is not None and filled is not a[f"out_{number}"]:
            raise AssertionError("another array came back than out")
        results.append(np.array(filled, filled.dtype.newbyteorder("=")))
    elif action == "step some":
        results.append(stream.step(a[f"x_t_{number}"], rows=a[f"rows_{number}"]))
    elif action == "state":
        stream.state = a[f"state_{number}"]
    elif action == "reset":
        stream.reset()
    elif action == "reset some":
        stream.reset(a[f"streams_{number}"])
    elif not plain:
        return copy.deepcopy(stream) if action == "copy" else pickle.loads(pickle.dumps(stream))
    return stream


def _plain(draw: Draw, kind: str, actions: list[str], a: Arguments) -> tuple[Any, Any]:
    """Without ``out`` and without copies in between."""
    return _run(draw, kind, actions, a), _run(draw, kind, actions, a, plain=True)


def _alone(draw: Draw, kind: str, actions: list[str], row: int, a: Arguments) -> tuple[Any, Any]:
    """One stream by itself, beside the same one among others."""

    def of_batch(value: Any) -> Any:
        return np.asarray(value)[row : row + 1]

    def of_state(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(of_state, value))
        return np.asarray(value)[:, row : row + 1]

    one = dict(a) | {"batch_size": 1}
    for name, value in a.items():
        if name.startswith("state_"):
            one[name] = of_state(value)
        elif name.startswith(("x_t_", "out_")):
            one[name] = of_batch(value).copy()
    whole = _run(draw, kind, actions, a)
    cut = [
        of_batch(value) if getattr(value, "ndim", 3) == 2 else of_state(value) for value in whole
    ]
    return _run(draw, kind, actions, one), cut


entry(
    "stream", "Stream", "Stream.step", "Stream.state", "Stream.reset",
    *(f"{kind}.stream" for kind in KINDS), weight=4,
)(stream_case)  # fmt: skip


@entry("stream clients", "Stream.get", "Stream.put", weight=0.5)
def client_case(draw: Draw) -> Case:
    """One stream moves to another place, and goes on there to the same bits."""
    kind = draw.choice(tuple(KINDS))
    options = layer_options(draw, kind, directions=False)
    rows = draw.integer(1, 5)
    arguments: Arguments = {
        "options": options,
        "x_t": draw.array(rows, options["input_size"]),
        "stream": draw.integer(0, rows - 1),
    }

    def moved(a: Arguments) -> tuple[Any, Any]:
        layer = build(draw, kind, a)
        streams, alone = layer.stream(rows), layer.stream()
        streams.step(a["x_t"])
        x_t = np.asarray(a["x_t"])
        alone.put(0, streams.get(a["stream"]))
        one = alone.step(x_t[a["stream"]][None])[0]
        return (one, alone.get(0)), (streams.step(x_t)[a["stream"]], streams.get(a["stream"]))

    names = {"state", "stream", *_parameter_names(kind)}
    return Case(arguments, lambda a: moved(a)[0], [Relation("moved", moved)], names=names)
