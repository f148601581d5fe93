"""PyTorch: `torch.nn.RNN`, `LSTM` and `GRU`, and their cells for a single step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from bench.contest.contender import Contender, Outputs
from bench.contest.problem import Problem
from bench.contest.shapes import Case
from bench.peers import thread_settings, threads_text


def version() -> str:
    """PyTorch's."""
    return str(torch.__version__)


def contenders(case: Case, problem: Problem, threads: int) -> list[Contender]:
    """Layers, and cells where there is one step; each with all threads or one."""
    layer = _load(getattr(torch.nn, case.cell)(case.input_size, case.hidden_size), problem, "_l0")
    layers = [_training(layer, problem)] if case.training else [_inference(layer, problem)]
    if case.is_step:
        cell = getattr(torch.nn, f"{case.cell}Cell")(case.input_size, case.hidden_size)
        layers.append(_step(_load(cell, problem, ""), problem))
    return [
        Contender(
            "torch",
            f"{kind}, {threads_text(count)}",
            run,
            outputs,
            partial(_context, case.training, count),
        )
        for kind, run, outputs in layers
        for count in thread_settings(case, threads)
    ]


@contextlib.contextmanager
def with_threads(threads: int) -> Iterator[None]:
    """So many threads inside a ``with`` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _context(training: bool, threads: int) -> Iterator[None]:
    with with_threads(threads), torch.inference_mode(not training):
        yield


def _load(module: Any, problem: Problem, suffix: str) -> Any:
    module.load_state_dict(
        {f"{name}{suffix}": torch.from_numpy(w) for name, w in problem.weights.items()}
    )
    return module


def _training(layer: Any, problem: Problem) -> tuple[str, Any, Any]:
    x = torch.from_numpy(problem.x).requires_grad_()
    dy = torch.from_numpy(problem.dy)
    names = ["dx", *problem.weights]
    inputs = [x, *(getattr(layer, f"{name}_l0") for name in problem.weights)]

    def run() -> Any:
        y, _ = layer(x)
        return y, torch.autograd.grad(y, inputs, dy)

    def outputs(result: Any) -> Outputs:
        y, grads = result
        return {"y": y.detach().numpy()} | {
            name: grad.numpy() for name, grad in zip(names, grads, strict=True)
        }

    return "layer", run, outputs


def _inference(layer: Any, problem: Problem) -> tuple[str, Any, Any]:
    layer.eval()
    x = torch.from_numpy(problem.x)
    state = None
    if len(problem.x) == 1:
        state = _state([torch.from_numpy(part) for part in problem.state])
    return "layer", lambda: layer(x, state), lambda result: {"y": result[0].numpy()}


def _step(cell: Any, problem: Problem) -> tuple[str, Any, Any]:
    cell.eval()
    x_t = torch.from_numpy(problem.x[0])
    state = _state([torch.from_numpy(part[0]) for part in problem.state])

    def outputs(result: Any) -> Outputs:
        h = result[0] if len(problem.state) == 2 else result
        return {"y": h.numpy()[None]}

    return "cell", lambda: cell(x_t, state), outputs


def _state(parts: list[Any]) -> Any:
    return tuple(parts) if len(parts) == 2 else parts[0]
