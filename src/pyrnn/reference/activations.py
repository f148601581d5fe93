"""The pointwise functions of the cells, safe for every finite input.

`sigmoid` and `softmax` are used by name. `FUNCTIONS` are those that a layer may choose for its
gates and candidates, each with its slope; a `Choice` says which a cell uses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from pyrnn._types import Array


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), written with e^-|x| so that nothing overflows."""
    e = np.exp(-np.abs(x))
    value: Array = np.where(x >= 0, 1, e) / (1 + e)
    return value


def softmax(x: Array, axis: int = -1) -> Array:
    """e^x / sum(e^x) along an axis; the maximum is subtracted first, so nothing overflows."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    value: Array = e / e.sum(axis=axis, keepdims=True)
    return value


def softplus(x: Array) -> Array:
    """ln(1 + e^x), written with e^-|x| so that nothing overflows."""
    value: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return value


# --- functions that a layer may choose --------------------------------------------------------


class Function(NamedTuple):
    """f(x, alpha, beta), its slope at x, and the defaults of alpha and beta where it has these.

    None in the place of a default: the number has to be given.
    """

    value: Callable[[Array, Any, Any], Array]
    slope: Callable[[Array, Any, Any], Array]
    defaults: tuple[float | None, ...] = ()


def _steps(x: Array, above: Any, below: Any) -> Array:
    """``above`` where x > 0, else ``below``."""
    value: Array = np.where(x > 0, x.dtype.type(above), below)
    return value


def _hard_slope(x: Array, a: Any, b: Any) -> Array:
    y = a * x + b
    return np.where((y > 0) & (y < 1), a, x.dtype.type(0))


# In the order of `Function` in the core's kernel_table/activations.hpp.
def _expm1(x: Array) -> Array:
    """e^x - 1, of a NaN too, at which older NumPy warns."""
    with np.errstate(invalid="ignore"):
        value: Array = np.expm1(x)
    return value


FUNCTIONS: dict[str, Function] = {
    "sigmoid": Function(lambda x, a, b: sigmoid(x), lambda x, a, b: sigmoid(x) * (1 - sigmoid(x))),
    "tanh": Function(lambda x, a, b: np.tanh(x), lambda x, a, b: 1 - np.tanh(x) ** 2),
    "relu": Function(lambda x, a, b: np.maximum(x, 0), lambda x, a, b: _steps(x, 1, 0)),
    "hard_sigmoid": Function(
        lambda x, a, b: np.clip(a * x + b, 0, 1),
        _hard_slope,
        (0.2, 0.5),
    ),
    "identity": Function(lambda x, a, b: np.positive(x), lambda x, a, b: np.ones_like(x)),
    "softsign": Function(
        lambda x, a, b: x / (1 + np.abs(x)), lambda x, a, b: (1 + np.abs(x)) ** -2
    ),
    "leaky_relu": Function(
        lambda x, a, b: np.where(x > 0, x, a * x), lambda x, a, b: _steps(x, 1, a), (0.01,)
    ),
    "elu": Function(
        lambda x, a, b: np.where(x > 0, x, a * _expm1(np.minimum(x, 0))),
        lambda x, a, b: _steps(x, 1, a * np.exp(np.minimum(x, 0))),
        (1.0,),
    ),
    "affine": Function(lambda x, a, b: a * x + b, lambda x, a, b: np.full_like(x, a), (None, None)),
    "scaled_tanh": Function(
        lambda x, a, b: a * np.tanh(b * x),
        lambda x, a, b: a * b * (1 - np.tanh(b * x) ** 2),
        (None, None),
    ),
    "thresholded_relu": Function(
        lambda x, a, b: np.where(x > a, x, x.dtype.type(0)),
        lambda x, a, b: np.where(x > a, x.dtype.type(1), x.dtype.type(0)),
        (1.0,),
    ),
    "softplus": Function(lambda x, a, b: softplus(x), lambda x, a, b: sigmoid(x)),
}

NAMES = tuple(FUNCTIONS)


class Activation(NamedTuple):
    """One of the functions, with its numbers; 0 where it has none."""

    name: str
    alpha: float = 0.0
    beta: float = 0.0

    def __call__(self, x: Array) -> Array:
        """f(x), of x's dtype."""
        return FUNCTIONS[self.name].value(x, *self._numbers(x)).astype(x.dtype, copy=False)

    def slope(self, x: Array) -> Array:
        """f'(x); where it jumps, the value from the left."""
        return FUNCTIONS[self.name].slope(x, *self._numbers(x)).astype(x.dtype, copy=False)

    def _numbers(self, x: Array) -> tuple[Any, Any]:
        return x.dtype.type(self.alpha), x.dtype.type(self.beta)


class Choice(NamedTuple):
    """What a cell uses: for its gates, its candidate, and an LSTM for what c passes through.

    What goes into gates and candidate is bounded to [-clip, clip] first, as ONNX's ``clip``. For
    layer norm: ``eps`` is added to variances, and with ``normalised_state`` an LSTM carries the
    cell state that is normalised.
    """

    gate: Activation = Activation("sigmoid")
    candidate: Activation = Activation("tanh")
    output: Activation = Activation("tanh")
    clip: float = np.inf
    eps: float = 1e-5
    normalised_state: bool = False

    def bounded(self, z: Array) -> Array:
        """Return z within the bounds."""
        if self.clip == np.inf:
            return z
        limit = z.dtype.type(self.clip)
        bounded: Array = np.clip(z, -limit, limit)
        return bounded

    def of_gate(self, z: Array) -> Array:
        """The gate of a pre-activation."""
        return self.gate(self.bounded(z))

    def of_candidate(self, z: Array) -> Array:
        """The candidate of a pre-activation."""
        return self.candidate(self.bounded(z))

    def gate_slope(self, z: Array) -> Array:
        """How the gate changes with its pre-activation: 0 past the bounds."""
        return self._inside(z, self.gate.slope(self.bounded(z)))

    def candidate_slope(self, z: Array) -> Array:
        """How the candidate changes with its pre-activation: 0 past the bounds."""
        return self._inside(z, self.candidate.slope(self.bounded(z)))

    def _inside(self, z: Array, slope: Array) -> Array:
        zero, limit = z.dtype.type(0), z.dtype.type(self.clip)
        chosen: Array = np.where(np.abs(z) > limit, zero, slope)
        return chosen

    def numbers(self) -> list[float]:
        """As the core takes them: functions by place in the list, alpha, beta; then the rest."""
        each = [(NAMES.index(f.name), f.alpha, f.beta) for f in self[:3]]
        return [float(n) for three in each for n in three] + [
            self.clip,
            self.eps,
            self.normalised_state,
        ]


USUAL = Choice()


def cell_name(base: str, choice: Choice) -> str:
    """The name of a cell with its activations: "gru_activated(hard_sigmoid:0.2:0.5,...)"."""
    functions = (f"{f.name}:{f.alpha!r}:{f.beta!r}" for f in choice[:3])
    rest = (repr(choice.clip), repr(choice.eps), str(int(choice.normalised_state)))
    return f"{base}({','.join([*functions, *rest])})"


@lru_cache(maxsize=256)
def parse_cell_name(name: str) -> tuple[str, Choice]:
    """The base of a cell's name and its activations; the usual ones where it names none."""
    base, _, inner = name.partition("(")
    if not inner:
        return base, Choice()
    *functions, clip, eps, normalised = inner.removesuffix(")").split(",")
    gate, candidate, output = map(_parsed, functions)
    return base, Choice(gate, candidate, output, float(clip), float(eps), bool(int(normalised)))


def _parsed(text: str) -> Activation:
    name, alpha, beta = text.split(":")
    return Activation(name, float(alpha), float(beta))
