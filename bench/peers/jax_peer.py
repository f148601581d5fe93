"""JAX: `lax.scan` over a cell, compiled and warm, its gradients from `jax.vjp`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from bench.contest.contender import Contender, Outputs
from bench.contest.problem import Problem
from bench.contest.shapes import Case

UNROLL = 8
"""Steps in one turn of the compiled loop, where single rows make the loop itself costly."""


def version() -> str:
    """JAX's."""
    return str(jax.__version__)


def contenders(case: Case, problem: Problem, threads: int) -> list[Contender]:
    """The input's product before the loop or within it, the loop unrolled or not.

    JAX takes as many threads as the process has cores.
    """
    settings = {"": (False, 1)}
    if not case.is_step:
        settings = {"product before the loop": (True, 1), "product in the loop": (False, 1)}
        if case.batch_size == 1:
            settings[f"product in the loop, unrolled by {UNROLL}"] = (False, UNROLL)
    weights = {name: jnp.asarray(w) for name, w in problem.weights.items()}
    make = _training if case.training else _inference
    return [
        make(case.cell, weights, problem, setting, *choice) for setting, choice in settings.items()
    ]


def _training(
    cell: str, weights: Any, problem: Problem, setting: str, hoist: bool, unroll: int
) -> Contender:
    @jax.jit
    def gradients(weights: Any, x: Any, dy: Any) -> Any:
        zeros = tuple(jnp.zeros_like(part) for part in problem.state)
        y, back = jax.vjp(lambda w, x: _layer(cell, w, x, zeros, hoist, unroll)[0], weights, x)
        return y, back(dy)

    x, dy = jnp.asarray(problem.x), jnp.asarray(problem.dy)

    def outputs(result: Any) -> Outputs:
        y, (dweights, dx) = result
        return {"y": y, "dx": dx, **dweights}

    return Contender("jax", setting, lambda: _wait(gradients(weights, x, dy)), outputs)


def _inference(
    cell: str, weights: Any, problem: Problem, setting: str, hoist: bool, unroll: int
) -> Contender:
    @jax.jit
    def layer(weights: Any, x: Any, state: Any) -> Any:
        return _layer(cell, weights, x, state, hoist, unroll)

    x = jnp.asarray(problem.x)
    state = tuple(jnp.asarray(part) for part in problem.state)
    if len(problem.x) > 1:
        state = tuple(jnp.zeros_like(part) for part in state)
    return Contender(
        "jax", setting, lambda: _wait(layer(weights, x, state)), lambda result: {"y": result[0]}
    )


def _wait(result: Any) -> Any:
    return jax.block_until_ready(result)


def _layer(cell: str, weights: Any, x: Any, state: Any, hoist: bool, unroll: int) -> Any:
    """Outputs (T, N, H) and the state after them; ``state`` holds parts of (1, N, H)."""
    step = _STEPS[cell]
    start = tuple(part[0] for part in state)
    if len(x) == 1:
        after = step(weights, _input_product(weights, x[0]), start)
        return after[0][None], after

    def body(parts: Any, row: Any) -> Any:
        after = step(weights, row if hoist else _input_product(weights, row), parts)
        return after, after[0]

    rows = _input_product(weights, x) if hoist else x
    last, y = lax.scan(body, start, rows, unroll=unroll)
    return y, last


def _input_product(weights: Any, x: Any) -> Any:
    return x @ weights["weight_ih"].T + weights["bias_ih"]


def _state_product(weights: Any, h: Any) -> Any:
    return h @ weights["weight_hh"].T + weights["bias_hh"]


def _rnn(weights: Any, a: Any, state: Any) -> Any:
    (h,) = state
    return (jnp.tanh(a + _state_product(weights, h)),)


def _lstm(weights: Any, a: Any, state: Any) -> Any:
    h, c = state
    i, f, g, o = jnp.split(a + _state_product(weights, h), 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def _gru(weights: Any, a: Any, state: Any) -> Any:
    (h,) = state
    x_r, x_z, x_n = jnp.split(a, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(_state_product(weights, h), 3, axis=-1)
    z = jax.nn.sigmoid(x_z + h_z)
    n = jnp.tanh(x_n + jax.nn.sigmoid(x_r + h_r) * h_n)
    return ((1 - z) * n + z * h,)


_STEPS: dict[str, Callable[[Any, Any, Any], Any]] = {"RNN": _rnn, "LSTM": _lstm, "GRU": _gru}
