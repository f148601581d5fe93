"""How gradients flow back through time: their norm over the lag, the Jacobian of a step, gates."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import Array
from pyrnn.diagnostics._differences import refuse_infinities
from pyrnn.diagnostics._differentiable import parts_of, whole_of
from pyrnn.layers.recurrent._cell import Cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@public("pyrnn.diagnostics")
@dataclass(frozen=True)
class GradientFlow:
    """The result of `gradient_flow`.

    Parameters
    ----------
    norms : dict of array
        For each part of the state ("h", and "c" of an LSTM) an array (T + 1, layers): row k is the
        norm of ∂L/∂h at k steps before the end, L = u · h_T with a random u of norm 1 for the last
        layer's h, averaged over the sequences as √(mean of squares). With two parts the other one
        is held fixed.
    singular_values : array
        (T, S), largest first: those of the Jacobian of each step's state with respect to the state
        before, S numbers in all layers and parts, of the first sequence. Empty if not asked for.
    gates : dict of array
        What ``layer.gates`` returns; empty where the target has no gates.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> from pyrnn.diagnostics import gradient_flow
    >>> flow = gradient_flow(pyrnn.GRU(2, 3, seed=0), np.zeros((9, 1, 2), np.float32))
    >>> flow.norms["h"].shape, flow.singular_values.shape, sorted(flow.gates)
    ((10, 1), (9, 3), ['n_l0', 'r_l0', 'z_l0'])
    """

    norms: dict[str, Array]
    singular_values: Array
    gates: dict[str, Array] = field(default_factory=dict)

    def half_life(self) -> float:
        """Return the average number of time steps in which the norm of h's gradient halves.

        Returns
        -------
        float
            The number of steps: negative if the norm grows, infinite if it does not change, NaN if
            it is 0 or not finite at the end.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> from pyrnn.diagnostics import gradient_flow
        >>> layer = pyrnn.GRU(2, 8, seed=0)
        >>> 0 < gradient_flow(layer, np.zeros((20, 1, 2), np.float32)).half_life() < 20
        True
        """
        norm = np.sqrt(np.square(self.norms["h"]).sum(axis=1))
        with np.errstate(all="ignore"):
            lost = np.log2(norm[0] / norm[-1])
            return float((len(norm) - 1) / lost) if lost else float("inf")

    def plot(self) -> Figure:
        """Draw the norms, the singular values and the gates.

        Returns
        -------
        matplotlib.figure.Figure
            A notebook shows it; ``figure.savefig("flow.png")`` saves it.

        Raises
        ------
        ImportError
            If matplotlib is missing: ``pip install 'pyrnn[cli]'``.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> from pyrnn.diagnostics import gradient_flow
        >>> flow = gradient_flow(pyrnn.GRU(2, 3, seed=0), np.zeros((9, 1, 2), np.float32))
        >>> flow.plot().savefig("flow.png")  # doctest: +SKIP
        """
        from pyrnn.diagnostics._flow_picture import draw

        return draw(self.norms, self.singular_values, self.gates)


@public("pyrnn.diagnostics")
def gradient_flow(
    target: Any, x: Any, state: Any = None, *, jacobians: bool = True, seed: int = 0
) -> GradientFlow:
    """Measure how a gradient shrinks or grows in back-propagation through time.

    Parameters
    ----------
    target : layer, cell or model
        A recurrent one, of pyrnn or of your own, as `gradcheck` takes it. A copy in eval mode is
        measured, so there is no dropout. Bidirectional layers are refused, since they have no
        single direction of time.
    x : array
        The sequence, as the target's ``forward`` takes it, with its own layout; of a cell (T, N,
        input_size).
    state : array or pair of arrays, optional
        The first state; zero if not given.
    jacobians : bool
        Whether the singular values are computed: for each step they take one backward pass of as
        many sequences as the state has numbers.
    seed : int
        Seed of u.

    Returns
    -------
    GradientFlow
        Norms over the lag, singular values, gates.

    Raises
    ------
    TypeError, ValueError
        If the target is bidirectional or has no state, an argument does not fit it, or a state
        is not finite.

    Notes
    -----
    ∂L/∂h_{t−k} is the product of k transposed Jacobians with ∂L/∂h_t: with the largest singular
    value below 1 everywhere it vanishes, and it can explode only where one is above 1. Source: R.
    Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", ICML
    2013.

    Examples
    --------
    A linear recurrence by the identity neither shrinks nor grows:

    >>> import numpy as np, pyrnn
    >>> from pyrnn.diagnostics import gradient_flow
    >>> layer = pyrnn.RNN(2, 3, nonlinearity="relu", initialization="identity", seed=0)
    >>> x = np.zeros((50, 1, 2), np.float32)
    >>> flow = gradient_flow(layer, x, np.ones((1, 1, 3), np.float32))
    >>> flow.norms["h"].shape, bool(np.allclose(flow.norms["h"], 1)), flow.singular_values[0]
    ((51, 1), True, array([1., 1., 1.]))
    """
    _checks.flag("jacobians", jacobians)
    generator = np.random.default_rng(_checks.size("seed", seed, least=0))
    if not all(hasattr(target, name) for name in ("forward", "backward")):
        raise TypeError(
            f"target: expected a recurrent layer, cell or model, got {type(target).__name__}"
        )
    if getattr(target, "bidirectional", False):
        raise ValueError(
            "target: expected a layer of one direction, since in a bidirectional one each step "
            "depends on both sides"
        )
    target = copy.deepcopy(target)
    if hasattr(target, "eval"):
        target.eval()
    one_step = _OneStep(target)
    steps, first = one_step.steps(x, state)
    caches, states = [], [first]
    for step in steps:
        cache, following = one_step.forward(step, states[-1])
        caches.append(cache)
        states.append(following)
    for part in one_step.parts(states[-1]):
        refuse_infinities("target", part, "states")
    u = _direction(one_step.parts(states[-1]), generator)
    norms = [_norms(u)]
    for cache in reversed(caches):
        u = one_step.backward(cache, u)
        norms.append(_norms(u))
    pairs = zip(steps, states, strict=False) if jacobians else ()
    values = [_singular_values(one_step, *pair) for pair in pairs]
    return GradientFlow(
        {name: np.array([row[n] for row in norms]) for n, name in enumerate("hc"[: len(u)])},
        np.array(values),
        target.gates(x, state) if hasattr(target, "gates") else {},
    )


class _Cache(NamedTuple):
    """A step's cache, and zeros for the gradient of its output."""

    cache: Any
    dy: Array


class _OneStep:
    """A target one step at a time; parts of states are (layers, N, H) here."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._is_cell = isinstance(target, Cell)
        self._batch_first = getattr(target, "batch_first", False)
        self._flat = False  # whether the target's states have no axis of layers

    def steps(self, x: Any, state: Any) -> tuple[list[Array], Any]:
        """Each step of x as forward takes it, and the first state, of a batch."""
        array = _checks.as_array("x", x)
        features = array.dtype.kind not in "iu"
        if not self._is_cell and array.ndim == 1 + features:
            array = array[None] if self._batch_first else array[:, None]
            state = (
                None
                if state is None
                else whole_of(tuple(part[:, None] for part in parts_of(state)))
            )
        if array.ndim != 2 + features or 0 in array.shape:
            raise ValueError(f"x: expected at least one step and one row, got {np.shape(x)}")
        if self._is_cell:
            return list(array), state
        axis = int(self._batch_first)
        return [np.take(array, [t], axis=axis) for t in range(array.shape[axis])], state

    def forward(self, step: Array, state: Any) -> tuple[_Cache, Any]:
        """Run one step; the state is as the target has it."""
        y, following, cache = self._target.forward(step, state)
        if following is None:
            kind = type(self._target).__name__
            raise ValueError(f"target: expected one with a state, but {kind} has none")
        self._flat = parts_of(following)[0].ndim == 2
        return _Cache(cache, np.zeros_like(y)), following

    def backward(self, kept: _Cache, dstate: tuple[Array, ...]) -> tuple[Array, ...]:
        """The gradient of the state before, from that of the state after."""
        return self.parts(self._target.backward(kept.cache, kept.dy, self._as_state(dstate))[1])

    def parts(self, state: Any) -> tuple[Array, ...]:
        """A state as (layers, N, H) arrays."""
        return tuple(part[None] if self._flat else part for part in parts_of(state))

    def repeated(self, step: Array, state: Any, count: int, like: Any) -> tuple[Array, Any]:
        """The first sequence's step and state, so many times."""
        axis = 0 if self._is_cell or self._batch_first else 1
        parts = [np.zeros_like(part) for part in like] if state is None else self.parts(state)
        copies = [np.repeat(part[:, :1], count, axis=1) for part in parts]
        return np.repeat(np.take(step, [0], axis), count, axis), self._as_state(tuple(copies))

    def _as_state(self, parts: tuple[Array, ...]) -> Any:
        return whole_of(tuple(part[0] if self._flat else part for part in parts))


def _direction(state: tuple[Array, ...], generator: np.random.Generator) -> tuple[Array, ...]:
    """The gradient of u · h of the last layer, for each sequence a u of norm 1."""
    gradients = tuple(np.zeros_like(part) for part in state)
    u = generator.standard_normal(gradients[0].shape[1:])
    gradients[0][-1] = u / np.linalg.norm(u, axis=-1, keepdims=True)
    return gradients


def _norms(gradients: tuple[Array, ...]) -> list[Array]:
    """For each part and layer the root of the mean over sequences of squared norms."""
    squares = [np.square(part.astype(np.float64)).sum(axis=-1) for part in gradients]
    return [np.sqrt(each.mean(axis=-1)) for each in squares]


def _singular_values(one_step: _OneStep, step: Array, state: Any) -> Array:
    """Those of ∂state'/∂state of the first sequence: one backward pass, a row for each number."""
    like = one_step.parts(one_step.forward(step, state)[1])
    sizes = [len(part) * part.shape[2] for part in like]
    count = sum(sizes)
    cache, _ = one_step.forward(*one_step.repeated(step, state, count, like))
    rows = np.split(np.eye(count, dtype=like[0].dtype), np.cumsum(sizes)[:-1], axis=1)
    units = [
        np.ascontiguousarray(each.reshape(count, len(part), -1).swapaxes(0, 1))
        for each, part in zip(rows, like, strict=True)
    ]
    found = one_step.backward(cache, tuple(units))
    jacobian = np.concatenate([part.swapaxes(0, 1).reshape(count, -1) for part in found], axis=1)
    values: Array = np.linalg.svd(jacobian.astype(np.float64), compute_uv=False)
    return values
