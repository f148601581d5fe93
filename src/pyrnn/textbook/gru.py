"""The GRU in the notation of the LSTM: Wu, Wr, Wc over [a; x], the reset before the product.

Arrays hold one example per column: (features, m) for a step, (features, m, T) for a sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.textbook import _layout, _output
from pyrnn.textbook._layout import Shape, flip
from pyrnn.textbook.activations import sigmoid

CellCache = tuple[Array, Array, Array, Array, Array, Array, Mapping[str, npt.ArrayLike]]
"""``(a_next, a_prev, ut, rt, cct, xt, parameters)``."""

_CACHE = ("a_next", "a_prev", "ut", "rt", "cct", "xt", "parameters")
_GATES = ("r", "u", "c")
"""The article's names of the core's gates, in the core's order."""

_CELL_SHAPES: dict[str, Shape] = {f"W{gate}": ("n_a", "n_a + n_x") for gate in _GATES} | {
    f"b{gate}": ("n_a", 1) for gate in _GATES
}
_SHAPES: dict[str, Shape] = _CELL_SHAPES | {"Wy": ("n_y", "n_a"), "by": ("n_y", 1)}


def gru_cell_forward(
    xt: npt.ArrayLike, a_prev: npt.ArrayLike, parameters: Mapping[str, npt.ArrayLike]
) -> tuple[Array, Array, CellCache]:
    """One step of the GRU, and a softmax over its hidden state.

    Parameters
    ----------
    xt : array
        The step's input, (n_x, m), float32 or float64 (integers count as numbers).
    a_prev : array
        The hidden state before, (n_a, m).
    parameters : dict
        ``Wu``, ``Wr``, ``Wc`` (n_a, n_a + n_x), ``bu``, ``br``, ``bc`` (n_a, 1), ``Wy`` (n_y, n_a)
        and ``by`` (n_y, 1).

    Returns
    -------
    a_next : array
        The hidden state after, (n_a, m).
    yt_pred : array
        Probabilities, (n_y, m); each column sums to 1.
    cache : tuple
        ``(a_next, a_prev, ut, rt, cct, xt, parameters)``.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If an array has a wrong dtype or shape.

    Notes
    -----
    ``ut = σ(Wu [a_prev; xt] + bu)``, ``rt`` likewise, ``cct = tanh(Wc [rt a_prev; xt] + bc)``,
    ``a_next = ut cct + (1 - ut) a_prev``. So ut is 1 − z of `pyrnn.GRU` with
    ``reset_after=False``. Source: K. Cho et al., "Learning phrase representations using RNN
    encoder-decoder for statistical machine translation", EMNLP 2014; the letters are those of
    deeplearning.ai's lectures.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import gru_cell_forward
    >>> parameters = {f"W{gate}": np.zeros((2, 2 + 3)) for gate in "urc"}
    >>> parameters |= {f"b{gate}": np.zeros((2, 1)) for gate in "urc"}
    >>> parameters |= {"Wy": np.zeros((4, 2)), "by": np.zeros((4, 1))}
    >>> a_next, yt_pred, cache = gru_cell_forward(np.ones((3, 5)), np.ones((2, 5)), parameters)
    >>> float(a_next[0, 0]), float(yt_pred[0, 0]), len(cache)
    (0.5, 0.25, 7)
    """
    arrays = _layout.arguments(
        {"xt": (xt, ("n_x", "m")), "a_prev": (a_prev, ("n_a", "m"))}, parameters, _SHAPES
    )
    states, cells = _run(arrays["xt"][:, :, None], arrays["a_prev"], arrays, parameters)
    yt_pred = _output.predictions(states, arrays["Wy"], arrays["by"])[:, :, 0]
    return states[0].T, yt_pred, cells[0]


def gru_forward(
    x: npt.ArrayLike, a0: npt.ArrayLike, parameters: Mapping[str, npt.ArrayLike]
) -> tuple[Array, Array, tuple[list[CellCache], Array]]:
    """Run `gru_cell_forward` over a sequence.

    Parameters
    ----------
    x : array
        The inputs, (n_x, m, T).
    a0 : array
        The first hidden state, (n_a, m).
    parameters : dict
        ``Wu``, ``Wr``, ``Wc`` (n_a, n_a + n_x), ``bu``, ``br``, ``bc`` (n_a, 1), ``Wy`` (n_y, n_a)
        and ``by`` (n_y, 1).

    Returns
    -------
    a : array
        The hidden state after every step, (n_a, m, T).
    y_pred : array
        The probabilities of every step, (n_y, m, T).
    caches : tuple
        ``(list of the T cell caches, x)``.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If an array has a wrong dtype or shape.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import gru_forward
    >>> parameters = {f"W{gate}": np.zeros((2, 2 + 3)) for gate in "urc"}
    >>> parameters |= {f"b{gate}": np.zeros((2, 1)) for gate in "urc"}
    >>> parameters |= {"Wy": np.zeros((4, 2)), "by": np.zeros((4, 1))}
    >>> a, y_pred, caches = gru_forward(np.ones((3, 5, 7)), np.ones((2, 5)), parameters)
    >>> a[0, 0, :3], y_pred.shape, len(caches[0])
    (array([0.5  , 0.25 , 0.125]), (4, 5, 7), 7)
    """
    arrays = _layout.arguments(
        {"x": (x, ("n_x", "m", "T")), "a0": (a0, ("n_a", "m"))}, parameters, _SHAPES
    )
    states, cells = _run(arrays["x"], arrays["a0"], arrays, parameters)
    y_pred = _output.predictions(states, arrays["Wy"], arrays["by"])
    return flip(states), y_pred, (cells, arrays["x"])


def gru_cell_backward(da_next: npt.ArrayLike, cache: CellCache) -> dict[str, Array]:
    """Back-propagate one step.

    Parameters
    ----------
    da_next : array
        Gradient of the loss with respect to a_next, (n_a, m).
    cache : tuple
        From `gru_cell_forward`. The step is computed again from a_prev, xt and the parameters; Wy
        and by are not needed.

    Returns
    -------
    dict
        ``dxt`` (n_x, m), ``da_prev`` (n_a, m), ``dWu``, ``dWr``, ``dWc`` (n_a, n_a + n_x) and
        ``dbu``, ``dbr``, ``dbc`` (n_a, 1), summed over the m columns.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If ``cache`` is not such a tuple, an array has a wrong dtype or shape, or a_next does not
        follow from the rest, as after a change of the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import gru_cell_backward, gru_cell_forward
    >>> parameters = {f"W{gate}": np.zeros((2, 2 + 3)) for gate in "urc"}
    >>> parameters |= {f"b{gate}": np.zeros((2, 1)) for gate in "urc"}
    >>> parameters |= {"Wy": np.zeros((4, 2)), "by": np.zeros((4, 1))}
    >>> a_next, yt_pred, cache = gru_cell_forward(np.ones((3, 5)), np.ones((2, 5)), parameters)
    >>> float(gru_cell_backward(np.ones((2, 5)), cache)["da_prev"][0, 0])
    0.5
    """
    a_next, a_prev, _, _, _, xt, parameters = _layout.unpack("cache", cache, _CACHE)
    column: Shape = ("n_a", "m")
    arrays = _layout.arguments(
        {"xt": (xt, ("n_x", "m")), "a_prev": (a_prev, column), "da_next": (da_next, column)},
        parameters,
        _CELL_SHAPES,
    )
    states, dx, da_prev, grads = _gradients(
        arrays["da_next"][:, :, None], arrays["xt"][:, :, None], arrays["a_prev"], arrays
    )
    _layout.check_unchanged("cache's a_next", states, [a_next], "state")
    return {"dxt": dx[:, :, 0], "da_prev": da_prev, **grads}


def gru_backward(da: npt.ArrayLike, caches: tuple[list[CellCache], Array]) -> dict[str, Array]:
    """Back-propagate through time.

    Parameters
    ----------
    da : array
        Gradient of each step's own loss with respect to that step's hidden state, (n_a, m, T). With
        fewer steps than ``caches``, only the first of them are used.
    caches : tuple
        ``(list of cell caches, x)`` from `gru_forward`.

    Returns
    -------
    dict
        ``dx`` (n_x, m, T), ``da0`` (n_a, m), ``dWu``, ``dWr``, ``dWc`` (n_a, n_a + n_x) and
        ``dbu``, ``dbr``, ``dbc`` (n_a, 1), summed over columns and steps.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If ``caches`` is not such a tuple, if its cell caches do not come from one forward pass, if
        an array has a wrong dtype or shape, or if the states do not follow from the rest, as after
        a change of the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import gru_backward, gru_forward
    >>> parameters = {f"W{gate}": np.zeros((2, 2 + 3)) for gate in "urc"}
    >>> parameters |= {f"b{gate}": np.zeros((2, 1)) for gate in "urc"}
    >>> parameters |= {"Wy": np.zeros((4, 2)), "by": np.zeros((4, 1))}
    >>> a, y_pred, caches = gru_forward(np.ones((3, 5, 7)), np.ones((2, 5)), parameters)
    >>> gradients = gru_backward(np.ones_like(a), caches)
    >>> gradients["dx"].shape, gradients["dWu"].shape, float(gradients["da0"][0, 0])
    ((3, 5, 7), (2, 5), 0.9921875)
    """
    steps = _layout.steps_of("da", da)
    cells = _layout.cell_caches(caches, _CACHE, states=1, steps=steps)
    a0, parameters = cells[0][1], cells[0][-1]
    x = _layout.stacked_inputs(cells, _CACHE.index("xt"))
    arrays = _layout.arguments(
        {"x": (x, ("n_x", "m", "T")), "a0": (a0, ("n_a", "m")), "da": (da, ("n_a", "m", "T"))},
        parameters,
        _CELL_SHAPES,
    )
    states, dx, da0, grads = _gradients(arrays["da"], arrays["x"], arrays["a0"], arrays)
    _layout.check_unchanged("caches' a_next", states, [cell[0] for cell in cells], "state")
    return {"dx": dx, "da0": da0, **grads}


def gru_loss_and_gradients(
    x: npt.ArrayLike,
    a0: npt.ArrayLike,
    y: npt.ArrayLike,
    parameters: Mapping[str, npt.ArrayLike],
) -> tuple[float, dict[str, Array]]:
    """Cross-entropy of the predictions, and its gradients, those of the output layer included.

    Parameters
    ----------
    x : array
        The inputs, (n_x, m, T).
    a0 : array
        The first hidden state, (n_a, m).
    y : array
        The right classes: one-hot (n_y, m, T), or indices (m, T).
    parameters : dict
        As `gru_forward` takes them.

    Returns
    -------
    loss : float
        −ln of the probability of each right class, summed over steps, averaged over the m examples.
    gradients : dict
        ``dx`` (n_x, m, T), ``da0`` (n_a, m), ``dWu``, ``dWr``, ``dWc``, ``dWy``, ``dbu``, ``dbr``,
        ``dbc`` and ``dby``, each shaped as its parameter.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If an array has a wrong dtype or shape, or y is neither one-hot nor in range.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import gru_loss_and_gradients
    >>> parameters = {f"W{gate}": np.zeros((2, 2 + 3)) for gate in "urc"}
    >>> parameters |= {f"b{gate}": np.zeros((2, 1)) for gate in "urc"}
    >>> parameters |= {"Wy": np.zeros((4, 2)), "by": np.zeros((4, 1))}
    >>> y = np.zeros((5, 7), dtype=int)
    >>> loss, gradients = gru_loss_and_gradients(
    ...     np.ones((3, 5, 7)), np.ones((2, 5)), y, parameters
    ... )
    >>> gradients["dWy"].shape, gradients["dby"][:, 0]
    ((4, 2), array([-5.25,  1.75,  1.75,  1.75]))
    """
    arrays = _layout.arguments(
        {"x": (x, ("n_x", "m", "T")), "a0": (a0, ("n_a", "m"))}, parameters, _SHAPES
    )
    states, _ = _forward(arrays["x"], arrays["a0"], arrays, keep=False)
    loss, output = _output.loss_and_gradients(states, arrays["Wy"], arrays["by"], y)
    _, dx, da0, grads = _gradients(output.da, arrays["x"], arrays["a0"], arrays)
    return loss, {"dx": dx, "da0": da0, **grads, "dWy": output.dweight, "dby": output.dbias}


def _forward(x: Array, a0: Array, arrays: Mapping[str, Array], keep: bool) -> tuple[Array, Any]:
    """The state after every step as rows (T, m, n_a), and what the backward pass needs."""
    backend = selection.current()
    packed = backend.pack("gru_reset_before", _core_weights(arrays))
    states, _, saved = backend.forward(packed, flip(x), (flip(a0),), keep=keep)
    return states, saved


def _run(
    x: Array, a0: Array, arrays: Mapping[str, Array], parameters: Any
) -> tuple[Array, list[CellCache]]:
    """The states as rows (T, m, n_a), and the cell caches with the gates' values."""
    states, _ = _forward(x, a0, arrays, keep=False)
    cells: list[CellCache] = []
    a_prev = a0
    for t, state in enumerate(states):
        xt = x[:, :, t]
        joint = np.concatenate([a_prev, xt])
        ut = sigmoid(arrays["Wu"] @ joint + arrays["bu"])
        rt = sigmoid(arrays["Wr"] @ joint + arrays["br"])
        cct = np.tanh(arrays["Wc"] @ np.concatenate([rt * a_prev, xt]) + arrays["bc"])
        cells.append((state.T, a_prev, ut, rt, cct, xt, parameters))
        a_prev = state.T
    return states, cells


def _gradients(
    da: Array, x: Array, a0: Array, arrays: Mapping[str, Array]
) -> tuple[Array, Array, Array, dict[str, Array]]:
    """The states (T, m, n_a), dx (n_x, m, T), da0 (n_a, m), and those of the parameters by name."""
    states, saved = _forward(x, a0, arrays, keep=True)
    dx, (da0,), grads = selection.current().backward(saved, flip(da), None)
    assert dx is not None
    joint = np.concatenate([grads["weight_hh"], grads["weight_ih"]], axis=1)
    found = {f"dW{n}": part for n, part in zip(_GATES, np.split(joint, 3), strict=True)}
    biases = np.split(grads["bias_ih"][:, None], 3)
    found |= {f"db{n}": part for n, part in zip(_GATES, biases, strict=True)}
    found["dWu"], found["dbu"] = -found["dWu"], -found["dbu"]
    return states, flip(dx), flip(da0), {f"d{n}": found[f"d{n}"] for n in _CELL_SHAPES}


def _core_weights(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The article's matrices over [a; x] as the core's two, gates below each other.

    The core's z is 1 − u, and σ(−s) = 1 − σ(s), so u's weights change their sign.
    """
    signs = {"r": 1, "u": -1, "c": 1}
    stacked = np.concatenate([signs[gate] * arrays[f"W{gate}"] for gate in _GATES])
    bias = np.concatenate([signs[gate] * arrays[f"b{gate}"][:, 0] for gate in _GATES])
    hidden_size = len(arrays["Wu"])
    return {
        "weight_ih": np.ascontiguousarray(stacked[:, hidden_size:]),
        "weight_hh": np.ascontiguousarray(stacked[:, :hidden_size]),
        "bias_ih": bias,
        "bias_hh": np.zeros_like(bias),
    }
