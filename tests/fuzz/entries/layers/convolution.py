"""Convolutions along time: any shapes, layouts, streams."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np

import pyrnn
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw
from tests.fuzz.entries.common import caches_refused, draw_weights

Arguments = dict[str, Any]


def options_of(draw: Draw) -> Arguments:
    """Options that fit each other."""
    groups = draw.choice((1, 1, 1, 2, 3))
    padding = draw.choice((0, 1, 3, "valid", "same", "causal"))
    options: Arguments = {
        "in_channels": groups * draw.choice((1, 2, 3, 9)),
        "out_channels": groups * draw.choice((1, 2, 5, 18)),
        "kernel_size": draw.choice((1, 2, 3, 5)),
        "padding": padding,
        "stride": 1 if padding == "same" else draw.choice((1, 1, 2, 3)),
        "dilation": draw.choice((1, 1, 2)),
        "groups": groups,
        "batch_first": draw.choice((True, False)),
    }
    if draw.chance(0.3):
        options["bias"] = draw.choice((True, False))
    return options | {"dtype": draw.dtype_argument(), "seed": draw.integer(0, 2**32)}


def _layer(draw: Draw, training: bool, a: Arguments) -> Any:
    layer = pyrnn.Conv1d(**a["options"])
    draw.settle(layer.parameters)
    if a["weights"] is not None:
        layer.parameters.update(a["weights"])
    return layer if training else layer.eval()


def _run(draw: Draw, training: bool, a: Arguments) -> Arguments:
    layer = _layer(draw, training, a)
    y, _, cache = layer.forward(a["x"])
    dx, _, grads = layer.backward(cache, a["dy"])
    return {"y": y, "dx": dx, "grads": grads, "called": copy.deepcopy(layer)(a["x"])}


def _caches(draw: Draw, training: bool, a: Arguments) -> tuple[Any, Any]:
    return caches_refused(partial(_layer, draw, training, a), (a["x"],), (a["dy"],))


def _called(run: Any, a: Arguments) -> tuple[Any, Any]:
    result = run(a)
    return result["called"], result["y"]


def _row_alone(draw: Draw, training: bool, row: int, a: Arguments) -> tuple[Any, Any]:
    layer, x = _layer(draw, training, a), np.asarray(a["x"])
    axis = 0 if layer.batch_first else 1
    index = [slice(None)] * 3
    index[axis] = slice(row % x.shape[axis], row % x.shape[axis] + 1)
    return layer(x[tuple(index)]), layer(x)[tuple(index)]


def _streamed(draw: Draw, a: Arguments) -> tuple[Any, Any]:
    layer, x = _layer(draw, False, a), np.asarray(a["x"])
    x_first = x.swapaxes(0, 1) if layer.batch_first else x
    stream = layer.stream(x_first.shape[1])
    stream.reset([0])
    steps = np.stack([stream.step(x_t) for x_t in x_first])
    y = steps.swapaxes(0, 1) if layer.batch_first else steps
    other = layer.stream(2)  # where the first stream goes on
    other.put(1, stream.get(0))
    other.state = other.state
    stream.reset()
    stream.put(0, other.get(1))
    moved = other.step(x_first[-1, [0, 0]])[1]
    return (y, moved), (layer(x), stream.step(x_first[-1, :1], rows=[0])[0])


_METHODS = ("forward", "backward", "__call__", "eval", "train", "parameters", "stream", "reach")
_OF_STREAMS = ("step", "state", "reset", "get", "put")


@entry("Conv1d", "Conv1d", *(f"Conv1d.{name}" for name in _METHODS), "Conv1dStream",
       *(f"Conv1dStream.{name}" for name in _OF_STREAMS), weight=1.5)  # fmt: skip
def conv_case(draw: Draw) -> Case:
    """A convolution of a batch of sequences."""
    options = options_of(draw)
    layer = pyrnn.Conv1d(**options)
    steps, rows = layer.reach + draw.steps(), draw.rows()
    padding = options["padding"]
    pads = 2 * padding if isinstance(padding, int) else 0 if padding == "valid" else layer.reach
    count = (steps + pads - layer.reach - 1) // layer.stride + 1
    axes = (1, 0) if options["batch_first"] else (0, 1)
    lead, given = ([(n, rows)[axis] for axis in axes] for n in (steps, count))
    arguments = {
        "options": options,
        "weights": draw_weights(draw, layer),
        "x": draw.array(*lead, options["in_channels"]),
        "dy": draw.array(*given, options["out_channels"]),
    }
    training = draw.chance(0.7)
    relations = [
        Relation("call", partial(_called, partial(_run, draw, training))),
        Relation("caches", partial(_caches, draw, training)),
        Relation("row alone", partial(_row_alone, draw, training, draw.integer(0, 99))),
    ]
    if options["padding"] == "causal" and options["stride"] == 1:
        relations.append(Relation("stream", partial(_streamed, draw)))
    names = {"cache", "stream", *options, *layer.parameters}
    return Case(arguments, partial(_run, draw, training), relations, in_numpy=True, names=names)


# --- layers that see several steps of each channel ------------------------------------------


def _over_time(kind: str, training: bool, a: Arguments) -> Arguments:
    layer = getattr(pyrnn, kind)(**a["options"])
    for array in layer.parameters.values():
        array[...] = np.linspace(-1, 1.5, len(array))
    if not training:
        layer.eval()
    y, _, cache = layer.forward(a["x"])
    dx, _, grads = layer.backward(cache, a["dy"])
    return {"y": y, "dx": dx, "grads": grads, "called": layer(a["x"])}


def over_time_case(draw: Draw, kind: str) -> Case:
    """A batch of sequences."""
    steps, rows, channels = draw.steps(), draw.rows(), draw.size()
    options: Arguments = {"batch_first": draw.choice((True, False))}
    count = steps
    if kind == "MaxPool1d":
        kernel, dilation = draw.choice((1, 2, 3)), draw.choice((1, 1, 2))
        padding, stride = draw.choice((0, kernel // 2)), draw.choice((None, 1, 2))
        steps += (kernel - 1) * dilation
        options |= {"kernel_size": kernel, "stride": stride}
        options |= {"padding": padding, "dilation": dilation}
        left = steps + 2 * padding - (kernel - 1) * dilation - 1
        count = left // (stride or kernel) + 1
    else:
        options |= {"num_features": channels, "affine": draw.chance(0.7)}
        options |= {"eps": draw.choice((1e-5, 0.1)), "dtype": draw.dtype_argument()}
    axes = (1, 0) if options["batch_first"] else (0, 1)
    lead, given = ([(n, rows)[axis] for axis in axes] for n in (steps, count))
    arguments = {
        "options": options,
        "x": draw.array(*lead, channels),
        "dy": draw.array(*given, channels),
    }
    run = partial(_over_time, kind, draw.chance(0.7))
    relations = [Relation("call", partial(_called, run))]
    return Case(arguments, run, relations, in_numpy=True, names={"cache", *options})


for _kind in ("MaxPool1d", "InstanceNorm1d"):
    _names = ("forward", "backward", "__call__", "eval", "train", "parameters", "state_dict",
              "load_state_dict")  # fmt: skip
    entry(_kind, _kind, *(f"{_kind}.{n}" for n in _names), weight=0.5)(
        partial(over_time_case, kind=_kind)
    )
