"""RNN, GRU and LSTM as ONNX's specification writes them, in NumPy.

Source: https://onnx.ai/onnx/operators, versions 7 to 22. This is the form for every dtype; float32
and float64 go to the cells of pyrnn instead (`pyrnn.interop.onnx.operators.recurrent`).
Where the text leaves something open, it is as onnxruntime does: ``clip`` bounds what goes into the
gates, not the cell that goes into the last activation of an LSTM; numbers in ``activation_alpha``
and ``activation_beta`` belong, in order, to those activations that have such a parameter, and
without them Affine, ScaledTanh and ThresholdedRelu have zeros; a sequence of no steps ends in
zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.interop.onnx.graph import AnyArray, GraphError

Activation = Callable[[Array], Array]

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
DEFAULTS: dict[str, tuple[str, ...]] = {
    "RNN": ("Tanh",),
    "GRU": ("Sigmoid", "Tanh"),
    "LSTM": ("Sigmoid", "Tanh", "Tanh"),
}
DIRECTIONS: dict[str, tuple[bool, ...]] = {
    "forward": (False,),
    "reverse": (True,),
    "bidirectional": (False, True),
}
"""Whether each direction runs backwards."""


# --- activations ----------------------------------------------------------------------------


_HALVES = {np.dtype(kind): np.array(0.5, kind) for kind in (np.float32, np.float64)}
"""As arrays, which NumPy multiplies faster than numbers."""


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), through tanh, which does not overflow."""
    half: Any = _HALVES.get(x.dtype)
    if half is None:
        half = x.dtype.type(0.5)
    y: Array = half * np.tanh(half * x) + half
    return y


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, np.zeros((), x.dtype))


def _leaky_relu(x: Array, alpha: Any) -> Array:
    if 0 < alpha <= 1:  # the larger one, also of infinities
        larger: Array = np.maximum(x, alpha * x)
        return larger
    return np.where(x >= 0, x, alpha * x)


def _elu(x: Array, alpha: Any) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


class Kind(NamedTuple):
    """An activation: f(x, alpha, beta) and the defaults of those that it has."""

    function: Callable[[Array, Any, Any], Array]
    alpha: float | None = None
    beta: float | None = None


ACTIVATIONS = {
    "Affine": Kind(lambda x, a, b: a * x + b, 0.0, 0.0),
    "Elu": Kind(lambda x, a, b: _elu(x, a), 1.0),
    "HardSigmoid": Kind(lambda x, a, b: np.clip(a * x + b, 0, 1), 0.2, 0.5),
    "LeakyRelu": Kind(lambda x, a, b: _leaky_relu(x, a), 0.01),
    "Relu": Kind(lambda x, a, b: np.maximum(x, 0)),
    "ScaledTanh": Kind(lambda x, a, b: a * np.tanh(b * x), 0.0, 0.0),
    "Sigmoid": Kind(lambda x, a, b: sigmoid(x)),
    "Softplus": Kind(lambda x, a, b: _softplus(x)),
    "Softsign": Kind(lambda x, a, b: x / (1 + np.abs(x))),
    "Tanh": Kind(lambda x, a, b: np.tanh(x)),
    "ThresholdedRelu": Kind(lambda x, a, b: np.where(x > a, x, 0), 0.0),
}
_BY_LOWER = {name.lower(): name for name in ACTIVATIONS}


class Named(NamedTuple):
    """An activation with its numbers."""

    name: str
    alpha: float | None
    beta: float | None

    def __call__(self, x: Array) -> Array:
        """Apply it; the result has x's dtype."""
        numbers = [None if n is None else x.dtype.type(n) for n in (self.alpha, self.beta)]
        y: Array = ACTIVATIONS[self.name].function(x, *numbers)
        return y.astype(x.dtype, copy=False)


def activations(
    names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]
) -> list[Named]:
    """The activations of all directions, each with its own numbers or the defaults."""
    left_alphas, left_betas = list(alphas), list(betas)
    found = []
    for given in names:
        name = _BY_LOWER.get(given.lower())
        if name is None:
            raise GraphError(
                f"activations: expected some of {', '.join(ACTIVATIONS)}, got {given!r}"
            )
        kind = ACTIVATIONS[name]
        found.append(Named(name, _taken(kind.alpha, left_alphas), _taken(kind.beta, left_betas)))
    return found


def _taken(default: float | None, left: list[float]) -> float | None:
    """The next number for a parameter that the activation has, or its default."""
    if default is None:
        return None
    return left.pop(0) if left else default


# --- settings and weights -------------------------------------------------------------------


class Settings(NamedTuple):
    """The attributes of one node; ``activations`` has one tuple for each direction."""

    kind: str
    hidden_size: int
    backwards: tuple[bool, ...]
    activations: tuple[tuple[Named, ...], ...]
    clip: float | None
    input_forget: bool
    linear_before_reset: bool


class Weights(NamedTuple):
    """The weights of one direction: (G·H, I), (G·H, H), 2 of (G·H,), and (3·H,) or None."""

    W: Array
    R: Array
    Wb: Array
    Rb: Array
    P: Array | None


State = tuple[Array, ...]


def run(
    settings: Settings,
    x: Array,
    weights: Sequence[Weights],
    lengths: AnyArray,
    states: Sequence[State],
) -> tuple[Array, list[State]]:
    """All directions over x (T, N, I): Y (T, directions, N, H) and the last state of each."""
    outputs, lasts = [], []
    for number, one in enumerate(weights):
        step = _STEPS[settings.kind](settings, settings.activations[number], one)
        y, last = _over_time(step, x, lengths, states[number], settings.backwards[number])
        outputs.append(y)
        lasts.append(last)
    return np.stack(outputs, axis=1), lasts


def _over_time(
    step: Callable[[Array, State], State],
    x: Array,
    lengths: AnyArray,
    state: State,
    backwards: bool,
) -> tuple[Array, State]:
    """Row n takes ``lengths[n]`` steps, from its last one on where backwards; then it rests."""
    steps, rows = x.shape[:2]
    y = np.zeros((steps, rows, state[0].shape[1]), x.dtype)
    everyone = np.arange(rows)
    for t in range(steps):
        running = t < lengths
        where = np.maximum(lengths - 1 - t, 0) if backwards else np.full(rows, t)
        new = step(x[where, everyone], state)
        state = tuple(
            np.where(running[:, None], part, old) for part, old in zip(new, state, strict=True)
        )
        y[where[running], everyone[running]] = state[0][running]
    return y, tuple(np.where(lengths[:, None] == 0, 0, part) for part in state)


def _product(x: Array, weight: Array) -> Array:
    """X Wᵀ; a row of it does not depend on the others."""
    x, weight = np.ascontiguousarray(x), np.ascontiguousarray(weight)
    if not x.size or not weight.size or x.dtype not in (np.float32, np.float64):
        return x @ weight.T
    return selection.current().linear(x, weight, None)


def bounded(clip: float | None) -> Callable[[Array], Array]:
    """Clip to both sides of 0; nothing without a bound."""
    if clip is None:
        return lambda x: x
    limit = clip
    return lambda x: np.clip(x, x.dtype.type(-limit), x.dtype.type(limit))


# --- one step -------------------------------------------------------------------------------


def _rnn(
    settings: Settings, functions: Sequence[Named], weights: Weights
) -> Callable[[Array, State], State]:
    (f,) = functions
    clipped = bounded(settings.clip)

    def step(x: Array, state: State) -> State:
        (h,) = state
        z = _product(x, weights.W) + _product(h, weights.R) + weights.Wb + weights.Rb
        return (f(clipped(z)),)

    return step


def _gru(
    settings: Settings, functions: Sequence[Named], weights: Weights
) -> Callable[[Array, State], State]:
    f, g = functions
    clipped = bounded(settings.clip)
    Wz, Wr, Wh = np.split(weights.W, 3)
    Rz, Rr, Rh = np.split(weights.R, 3)
    Wbz, Wbr, Wbh = np.split(weights.Wb, 3)
    Rbz, Rbr, Rbh = np.split(weights.Rb, 3)

    def step(x: Array, state: State) -> State:
        (h,) = state
        z = f(clipped(_product(x, Wz) + _product(h, Rz) + Wbz + Rbz))
        r = f(clipped(_product(x, Wr) + _product(h, Rr) + Wbr + Rbr))
        if settings.linear_before_reset:
            candidate = g(clipped(_product(x, Wh) + r * (_product(h, Rh) + Rbh) + Wbh))
        else:
            candidate = g(clipped(_product(x, Wh) + _product(r * h, Rh) + Rbh + Wbh))
        return ((1 - z) * candidate + z * h,)

    return step


def _lstm(
    settings: Settings, functions: Sequence[Named], weights: Weights
) -> Callable[[Array, State], State]:
    f, g, last = functions
    clipped = bounded(settings.clip)
    peepholes = np.zeros(3 * settings.hidden_size, weights.W.dtype)
    Pi, Po, Pf = np.split(peepholes if weights.P is None else weights.P, 3)

    def step(x: Array, state: State) -> State:
        h, c = state
        z = _product(x, weights.W) + _product(h, weights.R) + weights.Wb + weights.Rb
        zi, zo, zf, zc = np.split(z, 4, axis=1)
        i = f(clipped(zi + Pi * c))
        forget = 1 - i if settings.input_forget else f(clipped(zf + Pf * c))
        c = forget * c + i * g(clipped(zc))
        o = f(clipped(zo + Po * c))
        return o * last(c), c

    return step


_STEPS = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}
