"""Recurrent layers: forward, backward, truncated backward, and what has to give equal bits."""

from __future__ import annotations

import contextlib
import copy
import pickle
from functools import partial
from typing import Any

import numpy as np

import pyrnn
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw
from tests.fuzz.entries.common import (
    KINDS,
    build,
    caches_refused,
    draw_gradient,
    draw_input,
    draw_mode,
    draw_state,
    draw_weights,
    is_noisy,
    layer_options,
    state_sizes,
    switched,
)

Arguments = dict[str, Any]


class Setup:
    """One call of a layer: its sizes, and where time and batch are in its arrays."""

    def __init__(self, draw: Draw, kind: str, options: dict[str, Any]) -> None:
        self.kind, self.options = kind, options
        self.steps, self.rows = draw.steps(), draw.rows()
        self.batched = draw.chance(0.85)
        self.first = bool(options.get("batch_first"))
        self.directions = 2 if options.get("bidirectional") else 1
        self.forward = self.directions == 1 and not options.get("reverse")
        self.stacked = self.directions * options.get("num_layers", 1)
        self.sizes = state_sizes(kind, options)
        merged = options.get("merge_mode", "concat") != "concat"
        self.features = self.sizes[0] * (1 if merged else self.directions)
        if self.batched and draw.chance(0.02):
            self.rows = 0

    def lead(self) -> tuple[int, ...]:
        """The axes of x but the last."""
        if not self.batched:
            return (self.steps,)
        return (self.rows, self.steps) if self.first else (self.steps, self.rows)

    def state_lead(self) -> tuple[int, ...]:
        """The axes of a state but the last."""
        return (self.stacked, self.rows) if self.batched else (self.stacked,)

    def cut(self, array: Any, steps: slice) -> Any:
        """Some of the steps of x, y or their gradients."""
        return np.asarray(array)[(slice(None), steps) if self.batched and self.first else steps]

    def row(self, array: Any, row: int) -> Any:
        """One sequence of x, y or their gradients, as a batch of one."""
        if array is None:
            return None
        rows = slice(row, row + 1)
        return np.asarray(array)[rows] if self.first else np.asarray(array)[:, rows]

    def state_row(self, state: Any, row: int) -> Any:
        """One sequence of a state."""
        if state is None:
            return None
        parts = state if isinstance(state, (tuple, list)) else (state,)
        cut = tuple(np.asarray(part)[:, row : row + 1] for part in parts)
        return cut if isinstance(state, (tuple, list)) else cut[0]


def layer_case(draw: Draw, kind: str) -> Case:
    """Forward and backward in train or eval mode, with weights in any format."""
    options = layer_options(draw, kind)
    setup = Setup(draw, kind, options)
    layer = KINDS[kind](**options)
    arguments: Arguments = {
        "options": options,
        "weights": draw_weights(draw, layer),
        "x": draw_input(draw, setup.lead(), options["input_size"]),
        "state": draw_state(draw, setup.sizes, setup.state_lead()),
        "dy": draw_gradient(draw, *setup.lead(), setup.features),
        "dstate": draw_state(draw, setup.sizes, setup.state_lead()),
    }
    if setup.batched and draw.chance(0.35):
        arguments["lengths"] = draw.integers(setup.rows, below=setup.steps + 1, least=0)
    if draw.chance(0.25):
        names = draw.choice((("mask",), ("reset",), ("mask", "reset")))
        arguments |= {name: _flags(draw, *setup.lead()) for name in names}
        arguments["zero_output_for_mask"] = draw.choice((False, True))
    if draw.chance(0.2):
        arguments["checkpoint"] = draw.choice((1, 2, 3, 5, 100, 2**70))
    mode = draw_mode(draw, layer)
    return Case(
        arguments,
        partial(_forward_backward, draw, kind, mode),
        _relations(draw, setup, layer, arguments, mode),
        names={
            "cache",
            "checkpoint",
            "lengths",
            "weights",
            *STEPS,
            *layer.parameters,
            *_option_names(kind),
        },
    )


STEPS = ("mask", "reset", "zero_output_for_mask")


def _flags(draw: Draw, *shape: int) -> Any:
    """True or False for each time step, often the same for a while."""
    share = draw.choice((0.1, 0.5, 0.9, 1.0))
    return np.asarray(draw.integers(*shape, below=1000)) < 1000 * share


def _steps(a: Arguments) -> dict[str, Any]:
    """What a case says of single time steps."""
    return {name: a[name] for name in STEPS if name in a}


def _option_names(kind: str) -> set[str]:
    code = KINDS[kind].__init__.__code__
    return set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]) - {"self"}


def _forward_backward(draw: Draw, kind: str, mode: str, a: Arguments) -> dict[str, Any]:
    layer = build(draw, kind, a)
    switched(layer, mode)
    y, state, cache = layer.forward(
        a["x"], a["state"], a.get("lengths"), checkpoint=a.get("checkpoint"), **_steps(a)
    )
    y = y.copy()  # it is read-only, and the cache looks into it
    dx, dstate0, grads = layer.backward(cache, a["dy"], a["dstate"])
    return {"y": y, "state": state, "dx": dx, "dstate0": dstate0, "grads": grads}


def _relations(
    draw: Draw, setup: Setup, layer: Any, arguments: Arguments, mode: str
) -> list[Relation]:
    """Two of those ways that this case allows."""
    run = partial(_forward_backward, draw, setup.kind, mode)
    lengths = arguments.get("lengths")
    noisy = is_noisy(setup.options) and mode == "train"
    ways = [
        Relation("call", partial(_call, draw, setup, mode)),
        Relation("copy", partial(_copied, draw, setup, mode)),
        Relation("no checkpoint", lambda a: (run(a | {"checkpoint": None}), run(a))),
    ]
    if setup.batched and setup.rows and not noisy:
        ways.append(Relation("row alone", partial(_alone, run, setup, draw.integer(0, 1000))))
    parted = lengths is not None or "mask" in arguments or "reset" in arguments
    if setup.forward and not parted and not noisy and setup.steps > 1:
        cut = draw.integer(1, setup.steps - 1)
        ways.append(Relation("chunks", partial(_chunked, draw, setup, mode, cut)))
    if setup.forward and not parted and setup.rows:
        ways.append(Relation("stream", partial(_streamed, draw, setup)))
    if lengths is not None:
        ways.append(Relation("padding", partial(_padded, run, setup)))
    if arguments["dy"] is not None:
        ways.append(Relation("retry", partial(_retried, draw, setup, mode)))
    ways.append(Relation("gates", partial(_gates, draw, setup, mode)))
    ways.append(Relation("caches", partial(_caches, draw, setup, mode)))
    return draw.random.sample(ways, 2)


def _layer(draw: Draw, setup: Setup, mode: str, a: Arguments) -> Any:
    layer = build(draw, setup.kind, a)
    return switched(layer, mode)


def _call(draw: Draw, setup: Setup, mode: str, a: Arguments) -> tuple[Any, Any]:
    """What ``layer(x)`` and ``layer.forward(x)`` give."""
    given = a["x"], a["state"], a.get("lengths")
    called = _layer(draw, setup, mode, a)(*given, **_steps(a))
    return called, _layer(draw, setup, mode, a).forward(*given, **_steps(a))[:2]


def _gates(draw: Draw, setup: Setup, mode: str, a: Arguments) -> tuple[Any, Any]:
    """The gates in either mode, which are those of inference."""
    given = a["x"], a["state"], a.get("lengths")
    layer = _layer(draw, setup, mode, a)
    return layer.gates(*given), layer.eval().gates(*given)


def _copied(draw: Draw, setup: Setup, mode: str, a: Arguments) -> tuple[Any, Any]:
    """What a copy gives, deep, shallow or through pickle, beside the original."""
    layer = _layer(draw, setup, mode, a)
    ways = (copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one)))
    other = draw.choice(ways)(layer)
    given = a["x"], a["state"], a.get("lengths")
    return other(*given), layer(*given)


def _retried(draw: Draw, setup: Setup, mode: str, a: Arguments) -> tuple[Any, Any]:
    """Backward after refused ones, which must not have used up the cache."""

    def compute(wrong: list[dict[str, Any]]) -> Any:
        layer = _layer(draw, setup, mode, a)
        *outputs, cache = layer.forward(a["x"], a["state"], a.get("lengths"))
        for change in wrong:
            with contextlib.suppress(TypeError, ValueError):
                layer.backward(**{"cache": cache, "dy": a["dy"], "dstate": a["dstate"]} | change)
                raise AssertionError(f"accepted {change}")
        return [array.copy() for array in outputs[:1]], layer.backward(cache, a["dy"], a["dstate"])

    dy = np.asarray(a["dy"])
    wrong = [{"dy": dy[..., :-1]}, {"dy": dy[None]}, {"dy": dy.astype(np.int8)}, {"dstate": dy[:0]}]
    return compute(wrong), compute([])


def _caches(draw: Draw, setup: Setup, mode: str, a: Arguments) -> tuple[Any, Any]:
    """Backward beside calls with the cache of another layer, none, and a used one."""
    given, gradients = (a["x"], a["state"], a.get("lengths")), (a["dy"], a["dstate"])
    return caches_refused(partial(_layer, draw, setup, mode, a), given, gradients)


def _alone(run: Any, setup: Setup, chosen: int, a: Arguments) -> tuple[Any, Any]:
    """One sequence by itself, beside the same one in its batch."""
    row = chosen % setup.rows
    one = a | {name: setup.row(a[name], row) for name in ("x", "dy")}
    one |= {name: setup.state_row(a[name], row) for name in ("state", "dstate")}
    one |= {name: setup.row(a[name], row) for name in ("mask", "reset") if name in a}
    if a.get("lengths") is not None:
        one["lengths"] = np.asarray(a["lengths"])[row : row + 1]
    got, whole = run(one), run(a)
    keys = ("y", "dx") if whole["dx"] is not None else ("y",)
    expected = {key: setup.row(whole[key], row) for key in keys}
    expected |= {key: setup.state_row(whole[key], row) for key in ("state", "dstate0")}
    return {key: got[key] for key in expected}, expected


def _chunked(draw: Draw, setup: Setup, mode: str, cut: int, a: Arguments) -> tuple[Any, Any]:
    """Two chunks with the state carried over, beside the whole."""
    layer = _layer(draw, setup, mode, a)
    y, state = layer(a["x"], a["state"])
    first, middle = layer(setup.cut(a["x"], slice(0, cut)), a["state"])
    second, final = layer(setup.cut(a["x"], slice(cut, None)), middle)
    axis = 1 if setup.batched and setup.first else 0
    return (np.concatenate([first, second], axis), final), (y, state)


def _streamed(draw: Draw, setup: Setup, a: Arguments) -> tuple[Any, Any]:
    """Step after step, beside eval mode's sequence."""
    layer = build(draw, setup.kind, a).eval()
    y, state = layer(a["x"], a["state"])
    rows = setup.rows if setup.batched else 1
    stream = layer.stream(rows)
    x, y = np.asarray(a["x"]), np.asarray(y)
    x, y = (array if setup.batched else array[:, None] for array in (x, y))
    if a["state"] is not None:
        parts = a["state"] if isinstance(a["state"], (tuple, list)) else (a["state"],)
        parts = tuple(np.asarray(p) if setup.batched else np.asarray(p)[:, None] for p in parts)
        stream.state = parts if len(parts) > 1 else parts[0]
    by_time = (lambda v: v.swapaxes(0, 1)) if setup.batched and setup.first else (lambda v: v)
    outputs = np.stack([stream.step(x_t) for x_t in by_time(x)])
    whole = state if setup.batched else None
    return (outputs, stream.state if setup.batched else None), (by_time(y).copy(), whole)


def _padded(run: Any, setup: Setup, a: Arguments) -> tuple[Any, Any]:
    """Something else past the lengths, in x and dy."""
    x, dy = np.array(a["x"]), np.array(np.zeros(1) if a["dy"] is None else a["dy"])
    by_row = (lambda v: v) if setup.first else (lambda v: v.swapaxes(0, 1))
    for row, length in enumerate(np.asarray(a["lengths"])):
        by_row(x)[row, int(length) :] = 0 if x.dtype.kind in "iu" else np.nan
        if a["dy"] is not None:
            by_row(dy)[row, int(length) :] = np.inf
    return run(a | {"x": x, "dy": None if a["dy"] is None else dy}), run(a)


def truncated_case(draw: Draw) -> Case:
    """Truncated BPTT of any layer that allows it, now and then of one that does not."""
    kind = draw.choice(tuple(KINDS))
    options = layer_options(draw, kind, directions=draw.chance(0.1))
    setup = Setup(draw, kind, options)
    layer = KINDS[kind](**options)
    k1 = draw.choice((1, 1, 2, 3, 5, 8, 1000))
    arguments: Arguments = {
        "options": options,
        "weights": draw_weights(draw, layer),
        "x": draw_input(draw, setup.lead(), options["input_size"]),
        "state": draw_state(draw, setup.sizes, setup.state_lead()),
        "dy": draw.array(*setup.lead(), setup.features),
        "k1": k1,
        "k2": k1 + draw.choice((0, 0, 1, 2, 4, 9, 2**40)),
    }
    if draw.chance(0.3) and setup.batched:
        arguments["lengths"] = draw.integers(setup.rows, below=setup.steps + 1, least=0)
    if draw.chance(0.2):
        arguments["checkpoint"] = draw.choice((1, 2, 3, 5, 100))
    run = partial(_truncated, draw, kind)
    relations = []
    if setup.forward and "lengths" not in arguments:
        relations.append(
            Relation("no checkpoint", lambda a: (run(a | {"checkpoint": None}), run(a)))
        )
    names = {"cache", "lengths", *layer.parameters, *_option_names(kind)}
    # The core multiplies the sum over overlapping windows with an infinite x or weight once.
    return Case(
        arguments, run, relations, names=names,
        nan_or_infinity=lambda a: not np.array_equal(a["k1"], a["k2"]),
    )  # fmt: skip


def _truncated(draw: Draw, kind: str, a: Arguments) -> dict[str, Any]:
    layer = build(draw, kind, a)
    y, state, cache = layer.forward(
        a["x"], a["state"], a.get("lengths"), checkpoint=a.get("checkpoint")
    )
    dx, grads = layer.backward_truncated(cache, a["dy"], a["k1"], a["k2"])
    return {"y": y.copy(), "state": state, "dx": dx, "grads": grads}


for _kind in KINDS:
    entry(
        _kind, _kind, f"{_kind}.forward", f"{_kind}.backward", f"{_kind}.__call__",
        f"{_kind}.gates", f"{_kind}.eval", f"{_kind}.train", f"{_kind}.parameters", weight=3,
    )(partial(layer_case, kind=_kind))  # fmt: skip
entry("truncated", *(f"{kind}.backward_truncated" for kind in KINDS), weight=3)(truncated_case)


@entry("fold_embedding", "fold_embedding", weight=0.3)
def fold_case(draw: Draw) -> Case:
    """An embedding folded into a layer: what the two give, up to rounding."""
    kind = draw.choice(tuple(KINDS))
    options = layer_options(draw, kind) | {"dropout": 0.0}
    draw.wild, draw.large = "", False
    words = draw.integer(1, 9)
    arguments: Arguments = {"options": options, "indices": draw.integers(4, 2, below=words)}

    def run(a: Arguments) -> Any:
        layer = KINDS[kind](**a["options"]).eval()
        embedding = pyrnn.Embedding(words, layer.input_size, dtype=layer.dtype, seed=0)
        folded = pyrnn.fold_embedding(embedding, layer)
        return folded(a["indices"])[0]

    names = {"initialization", "forget_bias", "x", *_option_names(kind)}
    return Case(arguments, run, names=names | set(KINDS[kind](**options).parameters))
