"""pyrnn itself: forward and backward in train mode, a call in eval mode, a step of a stream."""

from __future__ import annotations

from typing import Any

import numpy as np

import pyrnn
from bench.contest.contender import Contender, Outputs
from bench.contest.problem import Problem
from bench.contest.shapes import Case


def version() -> str:
    """Its own, and the instruction set in use."""
    info = pyrnn.build_info()
    return f"{info['version']} ({info['backend']}, {info['isa']})"


def contenders(case: Case, problem: Problem, threads: int) -> list[Contender]:
    """One: pyrnn sets itself up."""
    pyrnn.set_num_threads(threads)
    layer = getattr(pyrnn, case.cell)(case.input_size, case.hidden_size)
    for name, weight in problem.weights.items():
        layer.parameters[f"{name}_l0"] = weight
    if case.training:
        return [_training(layer, problem)]
    layer.eval()
    return [_step(layer, problem) if case.is_step else _sequence(layer, problem)]


def _training(layer: Any, problem: Problem) -> Contender:
    def run() -> Any:
        y, _, cache = layer.forward(problem.x)
        dx, _, grads = layer.backward(cache, problem.dy)
        return y, dx, grads

    def outputs(result: Any) -> Outputs:
        y, dx, grads = result
        return {"y": y, "dx": dx} | {name.removesuffix("_l0"): g for name, g in grads.items()}

    return Contender("pyrnn", "", run, outputs)


def _sequence(layer: Any, problem: Problem) -> Contender:
    return Contender("pyrnn", "", lambda: layer(problem.x), lambda result: {"y": result[0]})


def _step(layer: Any, problem: Problem) -> Contender:
    stream = layer.stream()
    x_t = problem.x[0]
    out = np.empty((1, layer.hidden_size), np.float32)
    stream.state = problem.state if len(problem.state) == 2 else problem.state[0]
    # Taken now, because the state moves on with every call.
    first = stream.step(x_t).copy()[None]
    return Contender("pyrnn", "", lambda: stream.step(x_t, out), lambda result: {"y": first})
