"""Layers between others, and several as one: any shapes, lengths, states, streams."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np

import pyrnn
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw

Arguments = dict[str, Any]


def _methods(kind: str, *more: str) -> list[str]:
    names = ("forward", "backward", "__call__", "eval", "train", "parameters", "state_dict")
    return [kind, *(f"{kind}.{name}" for name in (*names, "load_state_dict", *more))]


def _lead(draw: Draw) -> tuple[int, ...]:
    return tuple(draw.choice((1, 2, 3, 5)) for _ in range(draw.integer(0, 2)))


# --- one step at a time ---------------------------------------------------------------------


def _pointwise(draw: Draw, kind: str, training: bool, a: Arguments) -> dict[str, Any]:
    layer = getattr(pyrnn, kind)(**a["options"])
    for array in layer.parameters.values():
        array[...] = np.linspace(-1, 1.5, len(array))
    if not training:
        layer.eval()
    twin = copy.deepcopy(layer)
    y, _, cache = layer.forward(a["x"])
    dx, _, grads = layer.backward(cache, a["dy"])
    return {"y": y, "dx": dx, "grads": grads, "called": twin(a["x"])}


def _called(run: Any, a: Arguments) -> tuple[Any, Any]:
    result = run(a)
    return result["called"], result["y"]


def pointwise_case(draw: Draw, kind: str) -> Case:
    """A layer over any axes."""
    features = draw.size()
    shape = (*_lead(draw), features)
    if kind == "Dropout":
        options: Arguments = {"p": draw.choice((0.0, 0.3, 1.0)), "seed": draw.integer(0, 99)}
    elif kind == "Activation":
        plain = ("tanh", "relu", "sigmoid", "softplus", "softsign", "identity", "elu")
        numbered = (("leaky_relu", 0.2), ("hard_sigmoid", 0.3, 0.4), ("scaled_tanh", 1.5, 0.7))
        options = {"function": draw.choice((*plain, *numbered))}
    elif kind == "Softmax":
        options = {}
    else:
        options = {"normalized_shape": features, "dtype": draw.dtype_argument()}
        options |= {"eps": draw.choice((1e-5, 0.1)), "elementwise_affine": draw.chance(0.7)}
    arguments = {"options": options, "x": draw.array(*shape), "dy": draw.array(*shape)}
    run = partial(_pointwise, draw, kind, draw.chance(0.7))
    relations = [Relation("call", partial(_called, run))]
    return Case(arguments, run, relations, in_numpy=True, names={"cache"})


for _kind in ("Dropout", "Activation", "Softmax", "LayerNorm"):
    _more = ("p",) if _kind == "Dropout" else ()
    entry(_kind, *_methods(_kind, *_more), weight=0.5)(partial(pointwise_case, kind=_kind))


# --- a batch at a time ----------------------------------------------------------------------


def _batch_norm(train: bool, a: Arguments) -> dict[str, Any]:
    layer = pyrnn.BatchNorm1d(**a["options"])
    for number, array in enumerate(layer.parameters.values()):
        array[...] = np.linspace(-1, 1.5 + number, len(array))
    if layer.buffers:
        layer.buffers.update({name: a[name] for name in ("running_mean", "running_var")})
    if not train:
        layer.eval()
    twin = copy.deepcopy(layer)
    y, _, cache = layer.forward(a["x"], mask=a["mask"])
    dx, _, grads = layer.backward(cache, a["dy"])
    kept = {n: np.array(b) for n, b in layer.buffers.items() if n != "num_batches_tracked"}
    return {
        "y": y,
        "dx": dx,
        "grads": grads,
        "buffers": kept,
        "called": twin(a["x"], mask=a["mask"]),
    }


def _each_row(a: Arguments) -> tuple[Any, Any]:
    """In eval mode, and a row at a time."""
    layer = pyrnn.BatchNorm1d(**a["options"]).eval()
    return layer(a["x"])[:1], layer(np.asarray(a["x"])[:1])


def batch_norm_case(draw: Draw) -> Case:
    """Rows of channels, with and without what is kept of them."""
    channels, tracked, train = draw.size(), draw.chance(0.8), draw.chance(0.6)
    shape = (*(draw.choice((2, 3, 5)) for _ in range(draw.integer(1, 2))), channels)
    options: Arguments = {"num_features": channels, "eps": draw.choice((1e-5, 0.1))}
    options |= {"momentum": draw.choice((0.1, 0.5, None)), "affine": draw.chance(0.7)}
    options |= {"track_running_stats": tracked, "dtype": draw.dtype_argument()}
    arguments = {
        "options": options,
        "running_mean": draw.array(channels),
        "running_var": np.abs(draw.array(channels)),
        "x": draw.array(*shape),
        "dy": draw.array(*shape),
        "mask": None,
    }
    if draw.chance(0.4):
        counted = np.asarray(draw.integers(*shape[:-1], below=2)) == 0
        counted.reshape(-1)[:2] = True
        arguments["mask"] = counted
    run = partial(_batch_norm, train)
    relations = [Relation("call", partial(_called, run))]
    if tracked:
        relations.append(Relation("each row", _each_row))
    return Case(arguments, run, relations, in_numpy=True, names={"cache", *options})


entry("BatchNorm1d", *_methods("BatchNorm1d"), weight=0.5)(batch_norm_case)


# --- over time ------------------------------------------------------------------------------


def _pooling(kind: str, a: Arguments) -> dict[str, Any]:
    layer = getattr(pyrnn, kind)(**a["options"])
    y, _, cache = layer.forward(a["x"], lengths=a["lengths"], mask=a["mask"])
    dx, _, _ = layer.backward(cache, a["dy"])
    return {"y": y, "dx": dx, "called": layer(a["x"], lengths=a["lengths"], mask=a["mask"])}


def pooling_case(draw: Draw, kind: str) -> Case:
    """A batch of sequences, or one."""
    steps, rows, features = draw.steps(), draw.rows(), draw.size()
    options: Arguments = {"batch_first": draw.choice((True, False))}
    if kind == "LastStep" and draw.chance(0.3):
        options["bidirectional"], features = True, 2 * features
    elif kind == "LastStep":
        options["reverse"] = draw.choice((True, False))
    lead = (rows, steps) if options["batch_first"] else (steps, rows)
    lengths = None
    if draw.chance(0.5):
        lengths = np.array([draw.integer(1, steps) for _ in range(rows)])
    mask = None
    if draw.chance(0.3):
        mask = np.asarray(draw.integers(*lead, below=2)) == 0
        mask[(slice(None), 0) if options["batch_first"] else 0] = True
    arguments: Arguments = {
        "options": options,
        "x": draw.array(*lead, features),
        "lengths": lengths,
        "mask": mask,
        "dy": draw.array(rows, features),
    }
    run = partial(_pooling, kind)
    relations = [Relation("call", partial(_called, run))]
    return Case(arguments, run, relations, in_numpy=True, names={"cache"})


for _kind in ("LastStep", "MeanOverTime"):
    entry(_kind, *_methods(_kind), weight=0.5)(partial(pooling_case, kind=_kind))


# --- several as one -------------------------------------------------------------------------


def _build(draw: Draw, plan: Arguments) -> Any:
    kind = {"GRU": pyrnn.GRU, "LSTM": pyrnn.LSTM, "RNN": pyrnn.RNN}[plan["cell"]]
    rnn = kind(plan["input"], plan["hidden"], dtype=draw.dtype, seed=plan["seed"])
    layers: Arguments = {"rnn": rnn}
    if plan["norm"]:
        layers["norm"] = pyrnn.LayerNorm(plan["hidden"], dtype=draw.dtype)
    if plan["nested"]:
        inner = pyrnn.GRU(plan["hidden"], plan["hidden"], dtype=draw.dtype, seed=plan["seed"] + 1)
        layers["inner"] = pyrnn.Sequential(inner, pyrnn.Activation("tanh"))
    if plan["last"]:
        layers["last"] = pyrnn.LastStep()
    layers["out"] = pyrnn.Linear(plan["hidden"], 2, dtype=draw.dtype, seed=plan["seed"] + 2)
    model = pyrnn.Sequential(**layers)
    draw.settle(model.parameters)
    return model


def _sequential(draw: Draw, plan: Arguments, a: Arguments) -> dict[str, Any]:
    model = _build(draw, plan)
    model.load_state_dict(model.state_dict())
    given = {"lengths": a["lengths"], "mask": a["mask"], "reset": a["reset"]}
    y, state, cache = model.forward(a["x"], a["state"], **given)
    dx, dstate0, grads = model.backward(cache, a["dy"], state)
    called, _ = model.eval()(a["x"], a["state"], **given)
    model.train()
    result = {"y": y, "state": state, "dx": dx, "dstate0": dstate0, "grads": grads}
    return result | {"called": called}


def _streamed(draw: Draw, plan: Arguments, a: Arguments) -> tuple[Any, Any]:
    """Step by step, the bits of the whole."""
    model = _build(draw, plan)
    x = np.asarray(a["x"])
    stream = model.stream(x.shape[1])
    if a["state"] is not None:
        stream.state = a["state"]
    steps = [stream.step(x_t) for x_t in x]
    whole, final = model.eval()(x, a["state"])
    state, client = stream.state, stream.get(0)
    stream.reset()
    stream.put(0, client)
    last = whole if plan["last"] else whole[-1]
    return (steps[-1], state, stream.get(0)), (last, final, client)


_OF_STREAMS = ("step", "state", "reset", "get", "put")


@entry("Sequential", *_methods("Sequential", "stream", "check_backward"), "SequentialStream",
       *(f"SequentialStream.{name}" for name in _OF_STREAMS))  # fmt: skip
def sequential_case(draw: Draw) -> Case:
    """A recurrent layer and what may stand around it."""
    steps, rows = draw.steps(), draw.rows()
    plan: Arguments = {"cell": draw.choice(("GRU", "LSTM", "RNN")), "seed": draw.integer(0, 2**30)}
    plan |= {"input": draw.size(), "hidden": draw.size()}
    plan |= {name: draw.chance(0.4) for name in ("norm", "nested", "last")}
    state = None
    if draw.chance(0.5):
        parts = (2 if plan["cell"] == "LSTM" else 1) + plan["nested"]
        arrays = tuple(draw.array(1, rows, plan["hidden"]) for _ in range(parts))
        state = arrays[0] if parts == 1 else arrays
    lengths = None
    if draw.chance(0.4):
        lengths = np.array([draw.integer(1, steps) for _ in range(rows)])
    mask = reset = None
    if lengths is None and draw.chance(0.3):
        mask = np.asarray(draw.integers(steps, rows, below=2)) == 0
        mask[0] = True
        reset = np.asarray(draw.integers(steps, rows, below=3)) == 0
    arguments: Arguments = {
        "x": draw.array(steps, rows, plan["input"]),
        "state": state,
        "lengths": lengths,
        "mask": mask,
        "reset": reset,
        "dy": draw.array(*(() if plan["last"] else (steps,)), rows, 2),
    }
    run = partial(_sequential, draw, plan)
    relations = [Relation("call", partial(_called, run))]
    if lengths is None and mask is None:
        relations.append(Relation("stream", partial(_streamed, draw, plan)))
    names = {"cache", "dstate", "h", "c", "rnn", "state's rnn.h", "inner"}
    return Case(arguments, run, relations, in_numpy=True, names=names)


# --- parameters of any layer ----------------------------------------------------------------

KINDS = ("RNN", "LSTM", "GRU", "MinGRU", "RNNCell", "LSTMCell", "GRUCell", "Linear", "Embedding",
         "Conv1d")  # fmt: skip


def _small(kind: str, options: Arguments) -> Any:
    own = {"kernel_size": 2} if kind == "Conv1d" else {}
    return getattr(pyrnn, kind)(2, 3, **own, **options)


def _state_dict(kind: str, options: Arguments, a: Arguments) -> Any:
    layer = _small(kind, options)
    layer.load_state_dict(a["state_dict"])
    return layer.state_dict()


@entry("state_dict", *(f"{k}.{m}" for k in KINDS for m in ("state_dict", "load_state_dict")))
def state_dict_case(draw: Draw) -> Case:
    """Values for all parameters, which come out as they went in."""
    kind = draw.choice(KINDS)
    options: Arguments = {"dtype": draw.dtype, "seed": draw.integer(0, 99)}
    shapes = {n: p.shape for n, p in _small(kind, options).parameters.items()}
    arguments = {"state_dict": {name: draw.array(*shape) for name, shape in shapes.items()}}
    return Case(
        arguments,
        partial(_state_dict, kind, options),
        expected=lambda a: {n: np.array(a["state_dict"][n], draw.dtype) for n in shapes},
        names=set(shapes),
    )
