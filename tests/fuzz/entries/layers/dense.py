"""Linear layers, embeddings and the loss."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np

import pyrnn
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw
from tests.fuzz.entries.common import caches_refused, draw_mode, draw_weights, switched

Arguments = dict[str, Any]


def _lead(draw: Draw) -> tuple[int, ...]:
    """Axes before the features: none to three, of which one may be empty."""
    lead = tuple(draw.choice((1, 2, 3, 5)) for _ in range(draw.integer(0, 3)))
    if lead and draw.chance(0.08):
        return (*lead[:-1], 0)
    return (*lead, draw.choice(range(30, 90))) if draw.large else lead


def _layer(draw: Draw, make: Any, mode: str, a: Arguments) -> Any:
    layer = make(**a["options"])
    draw.settle(layer.parameters)
    if a["weights"] is not None:
        layer.parameters.update(a["weights"])
    return switched(layer, mode)


def _run_layer(draw: Draw, make: Any, mode: str, a: Arguments) -> dict[str, Any]:
    layer = _layer(draw, make, mode, a)
    y, _, cache = layer.forward(a["x"])
    dx, _, grads = layer.backward(cache, a["dy"])
    called = np.asarray(copy.deepcopy(layer)(a["x"], **_out(a)))  # which may be a subclass
    return {"y": y, "dx": dx, "grads": grads, "called": called}


def _out(a: Arguments) -> Arguments:
    return {"out": a["out"]} if "out" in a else {}


def _caches(draw: Draw, make: Any, mode: str, a: Arguments) -> tuple[Any, Any]:
    """Backward beside calls with the cache of another layer, none, and a used one."""
    return caches_refused(partial(_layer, draw, make, mode, a), (a["x"],), (a["dy"],))


def _called(run: Any, a: Arguments) -> tuple[Any, Any]:
    result = run(a)
    return result["called"], result["y"]


@entry("Linear", "Linear", "Linear.forward", "Linear.backward", "Linear.__call__", "Linear.eval",
       "Linear.train", "Linear.parameters", weight=1.5)  # fmt: skip
def linear_case(draw: Draw) -> Case:
    """A linear layer over any axes."""
    options = {"in_features": draw.size(), "out_features": draw.size()}
    options |= {"dtype": draw.dtype_argument(), "seed": draw.integer(0, 2**32)}
    if draw.chance(0.3):
        options["bias"] = draw.choice((True, False))
    lead = _lead(draw)
    layer = pyrnn.Linear(**options)
    arguments = {
        "options": options,
        "weights": draw_weights(draw, layer),
        "x": draw.array(*lead, options["in_features"]),
        "dy": draw.array(*lead, options["out_features"]),
    }
    if draw.chance(0.3):
        arguments["out"] = draw.array(*lead, options["out_features"], in_place=True)
    mode = draw_mode(draw, layer)
    run = partial(_run_layer, draw, pyrnn.Linear, mode)
    relations = [
        Relation("call", partial(_called, run)),
        Relation("caches", partial(_caches, draw, pyrnn.Linear, mode)),
    ]
    if lead and lead[0]:
        relations.append(Relation("row alone", partial(_row_alone, run, draw.integer(0, 99))))
    return Case(
        arguments,
        run,
        relations,
        changes=frozenset({"out"} & set(arguments)),
        shares=frozenset({"out"} & set(arguments)),
        names={"cache", "bias", "weights", *layer.parameters},
    )


def _row_alone(run: Any, chosen: int, a: Arguments) -> tuple[Any, Any]:
    row = chosen % len(np.asarray(a["x"]))
    rows = slice(row, row + 1)
    alone = {name: given for name, given in a.items() if name != "out"}
    one = run(alone | {"x": np.asarray(a["x"])[rows], "dy": np.asarray(a["dy"])[rows]})
    whole = run(a)
    return (one["y"], one["dx"]), (whole["y"][rows], whole["dx"][rows])


@entry("Embedding", "Embedding", "Embedding.forward", "Embedding.backward", "Embedding.__call__",
       "Embedding.eval", "Embedding.train", "Embedding.parameters")  # fmt: skip
def embedding_case(draw: Draw) -> Case:
    """A look-up of any shape."""
    options = {"num_embeddings": draw.size(), "embedding_dim": draw.size()}
    options |= {"dtype": draw.dtype_argument(), "seed": draw.integer(0, 2**32)}
    lead = _lead(draw)
    layer = pyrnn.Embedding(**options)
    arguments = {
        "options": options,
        "weights": draw_weights(draw, layer),
        "x": draw.integers(*lead, below=options["num_embeddings"]),
        "dy": draw.array(*lead, options["embedding_dim"]),
    }
    mode = draw_mode(draw, layer)
    run = partial(_run_layer, draw, pyrnn.Embedding, mode)
    relations = [
        Relation("call", partial(_called, run)),
        Relation("caches", partial(_caches, draw, pyrnn.Embedding, mode)),
    ]
    return Case(arguments, run, relations, names={"cache", "weights", *layer.parameters})


@entry("softmax_cross_entropy", "softmax_cross_entropy", weight=1.5)
def loss_case(draw: Draw) -> Case:
    """The loss of any rows."""
    lead, classes = _lead(draw), draw.size()
    arguments = {
        "logits": draw.array(*lead, classes, scale=draw.choice((1.0, 1.0, 30.0, 200.0))),
        "targets": draw.integers(*lead, below=classes),
        "reduction": draw.choice(("mean", "sum")),
    }
    return Case(arguments, lambda a: pyrnn.softmax_cross_entropy(**a))
