"""Products of bfloat16: those of linear layers to the bit, recurrent layers beside themselves."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import pyrnn
from pyrnn import _warnings
from pyrnn.backend import native
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw
from tests.fuzz.entries.common import KINDS, build, draw_input, draw_weights, layer_options

Arguments = dict[str, Any]


def _told(layer: Any, compute: Any) -> Any:
    """In the type of products that was drawn; the reference with more digits has none."""
    if layer.dtype == np.float32 or not isinstance(compute, str):
        layer.train(compute=compute)
        assert compute is None or layer.compute_format == compute
    return layer


# What is said once in a process is no finding.
_warnings._said.add(native.IN_SOFTWARE)


@entry("compute of Linear", "Linear.train", "Linear.compute_format", weight=0.7)
def linear_case(draw: Draw) -> Case:
    """A linear layer: the core has the reference's bits."""
    options = {"in_features": draw.size(), "out_features": draw.size()}
    options |= {"dtype": draw.dtype_argument(), "seed": draw.integer(0, 2**32)}
    layer, rows = pyrnn.Linear(**options), draw.rows()
    arguments = {
        "options": options,
        "compute": _draw_compute(draw, layer),
        "weights": draw_weights(draw, layer),
        "x": draw.array(rows, options["in_features"]),
        "dy": draw.array(rows, options["out_features"]),
    }
    return Case(arguments, partial(_linear, draw), names={"weights", *layer.parameters})


def _draw_compute(draw: Draw, layer: Any) -> str:
    return "bfloat16" if layer.dtype == np.float32 and draw.chance(0.9) else layer.dtype.name


def _linear(draw: Draw, a: Arguments) -> Any:
    layer = pyrnn.Linear(**a["options"])
    draw.settle(layer.parameters)
    if a["weights"] is not None:
        layer.parameters.update(a["weights"])
    y, _, cache = _told(layer, a["compute"]).forward(a["x"])
    dx, _, grads = layer.backward(cache, a["dy"])
    if layer.compute_format == "bfloat16":  # sums of what is rounded elsewhere, and in float32
        grads = {"weight": grads["weight"]}
    return {"y": y, "dx": dx, "grads": grads}


@entry("compute of recurrent layers", "GRU.train", "GRU.compute_format", weight=0.7)
def recurrent_case(draw: Draw) -> Case:
    """A recurrent layer, whose h may round to other bfloat16 numbers than the reference's."""
    kind = draw.choice(tuple(KINDS))
    options = layer_options(draw, kind)
    for noise in ("dropout", "input_dropout", "recurrent_dropout", "zoneout", "batch_first"):
        options.pop(noise, None)
    layer = KINDS[kind](**options)
    arguments = {
        "options": options,
        "compute": _draw_compute(draw, layer),
        "weights": draw_weights(draw, layer),
        "x": draw_input(draw, (draw.steps(), 1 + draw.rows()), options["input_size"]),
    }
    run = partial(_recurrent, draw, kind)
    chosen = draw.integer(0, 99)
    return Case(
        arguments,
        lambda a: {"shape": np.asarray(run(a).shape)},
        [Relation("row alone", partial(_row_alone, run, chosen))],
        names={"weights", *layer.parameters, *options},
    )


def _recurrent(draw: Draw, kind: str, a: Arguments) -> Any:
    layer = _told(build(draw, kind, a), a["compute"])
    y, _, cache = layer.forward(a["x"])
    layer.backward(cache, np.zeros_like(y))
    return y


def _row_alone(run: Any, chosen: int, a: Arguments) -> tuple[Any, Any]:
    x = np.asarray(a["x"])
    row = chosen % x.shape[1]
    return run(a | {"x": x[:, row : row + 1]}), run(a)[:, row : row + 1]
