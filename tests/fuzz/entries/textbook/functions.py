"""The articles' functions: softmax and sigmoid, RNN and LSTM cells and sequences, Adam."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from pyrnn import textbook
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw

Arguments = dict[str, Any]


def _activation_case(draw: Draw, name: str) -> Case:
    shape = [draw.choice((1, 2, 3, 7)) for _ in range(draw.integer(1, 3))]
    scale = draw.choice((1.0, 10.0, 1000.0))
    x = draw.integers(*shape, below=9) if draw.chance(0.15) else draw.array(*shape, scale=scale)
    return Case({"x": x}, lambda a: getattr(textbook, name)(a["x"]))


for _name in ("softmax", "sigmoid"):
    entry(f"textbook.{_name}", f"textbook.{_name}", weight=0.5)(
        partial(_activation_case, name=_name)
    )


# --- parameters -----------------------------------------------------------------------------


def _matrix(draw: Draw, rows: int, columns: int) -> Any:
    return draw.array(rows, columns, scale=0.7 / np.sqrt(columns))


def _rnn_parameters(draw: Draw, names: tuple[str, ...], n_x: int, n_a: int, n_y: int) -> Arguments:
    """By the names of W_x, W_a, W_y, b_a, b_y."""
    shapes = ((n_a, n_x), (n_a, n_a), (n_y, n_a), (n_a, 1), (n_y, 1))
    return {name: _matrix(draw, *shape) for name, shape in zip(names, shapes, strict=True)}


def _gate_parameters(draw: Draw, gates: str, n_x: int, n_a: int, n_y: int) -> Arguments:
    parameters = {f"W{gate}": _matrix(draw, n_a, n_a + n_x) for gate in gates}
    parameters |= {f"b{gate}": _matrix(draw, n_a, 1) for gate in gates}
    return parameters | {"Wy": _matrix(draw, n_y, n_a), "by": _matrix(draw, n_y, 1)}


def _parameters(draw: Draw, kind: str, n_x: int, n_a: int, n_y: int) -> Arguments:
    if kind in ("rnn", "uwv"):
        return _rnn_parameters(draw, ARTICLE if kind == "rnn" else LETTERS, n_x, n_a, n_y)
    return _gate_parameters(draw, {"lstm": "fico", "gru": "urc"}[kind], n_x, n_a, n_y)


# --- one step -------------------------------------------------------------------------------

ARTICLE = ("Wax", "Waa", "Wya", "ba", "by")
LETTERS = ("U", "W", "V", "ba", "by")


def _step_case(draw: Draw, module: Any, names: tuple[str, ...], x: str, state: str) -> Case:
    n_x, n_a, n_y, m = draw.size(), draw.size(), draw.size(), draw.rows()
    arguments = {
        x: draw.integers(n_x, m, below=2) if draw.chance(0.1) else draw.array(n_x, m),
        state: draw.array(n_a, m),
        "parameters": _rnn_parameters(draw, names, n_x, n_a, n_y),
        "dnext": draw.array(n_a, m),
    }

    def run(a: Arguments) -> Any:
        after, predicted, cache = module.rnn_cell_forward(a[x], a[state], a["parameters"])
        gradients = module.rnn_cell_backward(a["dnext"], cache)
        return {"state": after.copy(), "predicted": predicted, "gradients": gradients}

    return Case(arguments, run, names={"da_next", "ds_next", "xt", "a_prev"})


entry("textbook.rnn_cell", "textbook.rnn_cell_forward", "textbook.rnn_cell_backward")(
    partial(_step_case, module=textbook, names=ARTICLE, x="xt", state="a_prev")
)
entry("textbook.uwv", "textbook.uwv.rnn_cell_forward", "textbook.uwv.rnn_cell_backward")(
    partial(_step_case, module=textbook.uwv, names=LETTERS, x="x_t", state="s_prev")
)


@entry("textbook.lstm_cell", "textbook.lstm_cell_forward", "textbook.lstm_cell_backward")
def lstm_cell_case(draw: Draw) -> Case:
    """One step of the articles' LSTM, forward and backward."""
    n_x, n_a, n_y, m = draw.size(), draw.size(), draw.size(), draw.rows()
    arguments = {
        "xt": draw.array(n_x, m),
        "a_prev": draw.array(n_a, m),
        "c_prev": draw.array(n_a, m),
        "parameters": _parameters(draw, "lstm", n_x, n_a, n_y),
        "da_next": draw.array(n_a, m),
        "dc_next": draw.array(n_a, m),
    }

    def run(a: Arguments) -> Any:
        a_next, c_next, predicted, cache = textbook.lstm_cell_forward(
            a["xt"], a["a_prev"], a["c_prev"], a["parameters"]
        )
        gradients = textbook.lstm_cell_backward(a["da_next"], a["dc_next"], cache)
        gates = cache[4:8]
        return a_next.copy(), c_next.copy(), predicted, gradients, gates

    return Case(arguments, run)


# --- sequences ------------------------------------------------------------------------------


def _sequence_case(draw: Draw, kind: str) -> Case:
    n_x, n_a, n_y, m, steps = draw.size(), draw.size(), draw.size(), draw.rows(), draw.steps()
    parameters = _parameters(draw, kind, n_x, n_a, n_y)
    covered = draw.integer(1, steps) if draw.chance(0.3) else steps
    arguments = {
        "x": draw.array(n_x, m, steps),
        "a0": draw.array(n_a, m),
        "parameters": parameters,
        "da": draw.array(n_a, m, covered),
    }
    cell = partial(_cell_by_cell, kind)
    return Case(
        arguments, partial(_sequence, kind), [Relation("cell by cell", cell)],
        names={"caches", "cache"},
    )  # fmt: skip


def _sequence(kind: str, a: Arguments) -> Any:
    *outputs, caches = getattr(textbook, f"{kind}_forward")(a["x"], a["a0"], a["parameters"])
    gradients = getattr(textbook, f"{kind}_backward")(a["da"], caches)
    return {"outputs": outputs, "gradients": gradients, "steps": len(caches[0])}


def _cell_by_cell(kind: str, a: Arguments) -> tuple[Any, Any]:
    """The cell's function step after step."""
    whole = getattr(textbook, f"{kind}_forward")(a["x"], a["a0"], a["parameters"])[0]
    x, state = np.asarray(a["x"]), [np.asarray(a["a0"])]
    if kind == "lstm":
        state.append(np.zeros_like(state[0]))
    steps = []
    for t in range(x.shape[2]):
        after = getattr(textbook, f"{kind}_cell_forward")(x[:, :, t], *state, a["parameters"])
        state = list(after[: len(state)])
        steps.append(state[0])
    return np.stack(steps, axis=-1), whole


for _kind in ("rnn", "lstm", "gru"):
    entry(f"textbook.{_kind}", f"textbook.{_kind}_forward", f"textbook.{_kind}_backward")(
        partial(_sequence_case, kind=_kind)
    )


@entry("textbook.uwv_sequence", "textbook.uwv.rnn_forward", "textbook.uwv.rnn_backward")
def uwv_sequence_case(draw: Draw) -> Case:
    """A sequence in the notation U, W, V, beside the same one in the other letters."""
    n_x, n_a, n_y, m, steps = draw.size(), draw.size(), draw.size(), draw.rows(), draw.steps()
    arguments = {
        "x": draw.array(n_x, m, steps),
        "s0": draw.array(n_a, m),
        "parameters": _rnn_parameters(draw, LETTERS, n_x, n_a, n_y),
        "ds": draw.array(n_a, m, steps),
    }

    def run(a: Arguments) -> Any:
        s, predicted, caches = textbook.uwv.rnn_forward(a["x"], a["s0"], a["parameters"])
        return s, predicted, textbook.uwv.rnn_backward(a["ds"], caches)

    return Case(arguments, run, names={"caches", "cache", "a0", "da", "Wax", "Waa", "Wya"})


def _loss_case(draw: Draw, kind: str) -> Case:
    """A whole network's loss and gradients; the classes as indices and as one-hot columns."""
    n_x, n_a, n_y, m, steps = draw.size(), draw.size(), draw.size(), draw.rows(), draw.steps()
    state = "s0" if kind == "uwv" else "a0"
    arguments = {
        "x": draw.array(n_x, m, steps),
        state: draw.array(n_a, m),
        "y": draw.integers(m, steps, below=n_y),
        "parameters": _parameters(draw, kind, n_x, n_a, n_y),
    }

    def run(a: Arguments) -> Any:
        if kind == "uwv":
            return textbook.uwv.loss_and_gradients(a["x"], a["s0"], a["y"], a["parameters"])
        function = getattr(textbook, f"{kind}_loss_and_gradients")
        return function(a["x"], a["a0"], a["y"], a["parameters"])

    def one_hot(a: Arguments) -> tuple[Any, Any]:
        columns = np.eye(n_y)[np.asarray(a["y"]) % n_y].transpose(2, 0, 1)
        return run(a | {"y": columns}), run(a)

    names = {"a0", "Wax", "Waa", "Wya"}
    return Case(arguments, run, [Relation("one-hot columns", one_hot)], names=names)


for _kind in ("rnn", "lstm", "gru"):
    entry(f"textbook.{_kind}_loss", f"textbook.{_kind}_loss_and_gradients")(
        partial(_loss_case, kind=_kind)
    )
entry("textbook.uwv_loss", "textbook.uwv.loss_and_gradients")(partial(_loss_case, kind="uwv"))


@entry("textbook.gru_cell", "textbook.gru_cell_forward", "textbook.gru_cell_backward")
def gru_cell_case(draw: Draw) -> Case:
    """One step of the GRU over Wu, Wr, Wc, forward and backward."""
    n_x, n_a, n_y, m = draw.size(), draw.size(), draw.size(), draw.rows()
    arguments = {
        "xt": draw.array(n_x, m),
        "a_prev": draw.array(n_a, m),
        "parameters": _parameters(draw, "gru", n_x, n_a, n_y),
        "da_next": draw.array(n_a, m),
    }

    def run(a: Arguments) -> Any:
        a_next, predicted, cache = textbook.gru_cell_forward(a["xt"], a["a_prev"], a["parameters"])
        return a_next.copy(), predicted, textbook.gru_cell_backward(a["da_next"], cache)

    return Case(arguments, run)


# --- Adam -----------------------------------------------------------------------------------


@entry("textbook.adam", "textbook.initialize_adam", "textbook.update_parameters_with_adam")
def adam_case(draw: Draw) -> Case:
    """The articles' Adam; it puts new arrays into the dicts and leaves the old ones alone."""
    shapes = {"W1": (draw.size(), draw.size()), "b1": (draw.size(), 1)}
    arguments: Arguments = {
        "parameters": {name: draw.array(*shape) for name, shape in shapes.items()},
        "grads": {f"d{name}": draw.array(*shape) for name, shape in shapes.items()},
        "t": draw.choice((1, 2, 10, 1000)),
        "learning_rate": draw.choice((0.0, 0.01, 1.0)),
        "beta1": draw.choice((0.0, 0.9)),
        "beta2": draw.choice((0.0, 0.999)),
        "epsilon": draw.choice((0.0, 1e-8, 1e-2)),
        "epsilon_inside_root": draw.chance(0.5),
    }

    def run(a: Arguments) -> Any:
        v, s = textbook.initialize_adam(a["parameters"])
        parameters = dict(a["parameters"]) if isinstance(a["parameters"], dict) else a["parameters"]
        rest = {name: value for name, value in a.items() if name != "parameters"}
        results = textbook.update_parameters_with_adam(parameters, v=v, s=s, **rest)
        changed = [name for name in shapes if f"d{name}" in a["grads"]]
        return [{key: of[key] for key in of if key.removeprefix("d") in changed} for of in results]

    return Case(arguments, run, names={"v", "s"})
