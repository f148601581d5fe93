"""The LSTM of "Building your Recurrent Neural Network, step by step": Wf, Wi, Wc, Wo over [a; x].

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

CellCache = tuple[
    Array, Array, Array, Array, Array, Array, Array, Array, Array, Mapping[str, npt.ArrayLike]
]
"""``(a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)``."""

_CACHE = ("a_next", "c_next", "a_prev", "c_prev", "ft", "it", "cct", "ot", "xt", "parameters")
_GATES = ("i", "f", "c", "o")
"""The articles' names of the core's gates, in the core's order."""

_CELL_SHAPES: dict[str, Shape] = {f"W{gate}": ("n_a", "n_a + n_x") for gate in _GATES} | {
    f"b{gate}": ("n_a", 1) for gate in _GATES
}
_SHAPES: dict[str, Shape] = _CELL_SHAPES | {"Wy": ("n_y", "n_a"), "by": ("n_y", 1)}


def lstm_cell_forward(
    xt: npt.ArrayLike,
    a_prev: npt.ArrayLike,
    c_prev: npt.ArrayLike,
    parameters: Mapping[str, npt.ArrayLike],
) -> tuple[Array, Array, Array, CellCache]:
    """Compute one step of the LSTM, and a softmax over its hidden state.

    Parameters
    ----------
    xt : array
        The step's input, (n_x, m), float32 or float64 (integers are converted).
    a_prev, c_prev : array
        The hidden state and the cell state before the step, (n_a, m).
    parameters : dict
        ``Wf``, ``Wi``, ``Wc``, ``Wo`` (n_a, n_a + n_x), ``bf``, ``bi``, ``bc``, ``bo`` (n_a, 1),
        ``Wy`` (n_y, n_a) and ``by`` (n_y, 1).

    Returns
    -------
    a_next, c_next : array
        The hidden state and the cell state after the step, (n_a, m).
    yt_pred : array
        Probabilities, (n_y, m); each column sums to 1.
    cache : tuple
        ``(a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)``.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If an array has a wrong dtype or shape.

    Notes
    -----
    With ``[a_prev; xt]`` the two stacked: ``ft = σ(Wf [a_prev; xt] + bf)``, ``it`` and ``ot``
    alike, ``cct = tanh(Wc [a_prev; xt] + bc)``, ``c_next = ft c_prev + it cct``,
    ``a_next = ot tanh(c_next)``. Source: the notebook "Building your Recurrent Neural Network, step
    by step" of deeplearning.ai; the network is that of Gers, Schmidhuber, Cummins, "Learning to
    forget", Neural Computation 12, 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import lstm_cell_forward
    >>> parameters = {f"W{gate}": np.zeros((2, 2 + 3)) for gate in "fico"}
    >>> parameters |= {f"b{gate}": np.zeros((2, 1)) for gate in "fico"}
    >>> parameters |= {"Wy": np.zeros((4, 2)), "by": np.zeros((4, 1))}
    >>> zero = np.zeros((2, 5))
    >>> a, c, y, cache = lstm_cell_forward(np.ones((3, 5)), zero, zero + 2, parameters)
    >>> float(c[0, 0]), float(y[0, 0]), len(cache)
    (1.0, 0.25, 10)
    """
    column: Shape = ("n_a", "m")
    arrays = _layout.arguments(
        {"xt": (xt, ("n_x", "m")), "a_prev": (a_prev, column), "c_prev": (c_prev, column)},
        parameters,
        _SHAPES,
    )
    a, c, cells = _run(
        arrays["xt"][:, :, None], arrays["a_prev"], arrays["c_prev"], arrays, parameters
    )
    yt_pred = _output.predictions(a, arrays["Wy"], arrays["by"])[:, :, 0]
    return a[0].T, c[0].T, yt_pred, cells[0]


def lstm_forward(
    x: npt.ArrayLike, a0: npt.ArrayLike, parameters: Mapping[str, npt.ArrayLike]
) -> tuple[Array, Array, Array, tuple[list[CellCache], Array]]:
    """Run `lstm_cell_forward` over a sequence. The initial cell state is zero.

    Parameters
    ----------
    x : array
        The inputs, (n_x, m, T).
    a0 : array
        The initial hidden state, (n_a, m).
    parameters : dict
        ``Wf``, ``Wi``, ``Wc``, ``Wo`` (n_a, n_a + n_x), ``bf``, ``bi``, ``bc``, ``bo`` (n_a, 1),
        ``Wy`` (n_y, n_a) and ``by`` (n_y, 1).

    Returns
    -------
    a : array
        The hidden state after every step, (n_a, m, T).
    y : array
        The probabilities of every step, (n_y, m, T).
    c : array
        The cell state after every step, (n_a, m, T).
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
    >>> from pyrnn.textbook import lstm_forward
    >>> parameters = {f"W{gate}": np.zeros((2, 2 + 3)) for gate in "fico"}
    >>> parameters |= {f"b{gate}": np.zeros((2, 1)) for gate in "fico"}
    >>> parameters |= {"Wy": np.zeros((4, 2)), "by": np.zeros((4, 1))}
    >>> a, y, c, caches = lstm_forward(np.ones((3, 5, 7)), np.zeros((2, 5)), parameters)
    >>> a.shape, y.shape, c.shape, len(caches[0])
    ((2, 5, 7), (4, 5, 7), (2, 5, 7), 7)
    """
    arrays = _layout.arguments(
        {"x": (x, ("n_x", "m", "T")), "a0": (a0, ("n_a", "m"))}, parameters, _SHAPES
    )
    a, c, cells = _run(arrays["x"], arrays["a0"], np.zeros_like(arrays["a0"]), arrays, parameters)
    y = _output.predictions(a, arrays["Wy"], arrays["by"])
    return flip(a), y, flip(c), (cells, arrays["x"])


def lstm_cell_backward(
    da_next: npt.ArrayLike, dc_next: npt.ArrayLike, cache: CellCache
) -> dict[str, Array]:
    """Back-propagate one step.

    Parameters
    ----------
    da_next, dc_next : array
        ∂loss/∂a_next, and ∂loss/∂c_next with a_next held fixed, (n_a, m). The path from c_next
        through a_next is added here.
    cache : tuple
        From `lstm_cell_forward`. The step is computed again from a_prev, c_prev, xt and the
        parameters, so do not change these in between. Wy and by are not needed.

    Returns
    -------
    dict
        ``dxt`` (n_x, m), ``da_prev``, ``dc_prev`` (n_a, m), ``dWf``, ``dWi``, ``dWc``, ``dWo``
        (n_a, n_a + n_x) and ``dbf``, ``dbi``, ``dbc``, ``dbo`` (n_a, 1), summed over the m columns.

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
    >>> from pyrnn.textbook import lstm_cell_backward, lstm_cell_forward
    >>> parameters = {f"W{gate}": np.zeros((2, 2 + 3)) for gate in "fico"}
    >>> parameters |= {f"b{gate}": np.zeros((2, 1)) for gate in "fico"}
    >>> parameters |= {"Wy": np.zeros((4, 2)), "by": np.zeros((4, 1))}
    >>> zero = np.zeros((2, 5))
    >>> a, c, y, cache = lstm_cell_forward(np.ones((3, 5)), zero, zero, parameters)
    >>> float(lstm_cell_backward(zero, zero + 1, cache)["dc_prev"][0, 0])
    0.5
    """
    a_next, _, a_prev, c_prev, _, _, _, _, xt, parameters = _layout.unpack("cache", cache, _CACHE)
    column: Shape = ("n_a", "m")
    arrays = _layout.arguments(
        {
            "xt": (xt, ("n_x", "m")),
            "a_prev": (a_prev, column),
            "c_prev": (c_prev, column),
            "da_next": (da_next, column),
            "dc_next": (dc_next, column),
        },
        parameters,
        _CELL_SHAPES,
    )
    states, dx, da_prev, dc_prev, grads = _gradients(
        arrays["da_next"][:, :, None],
        arrays["dc_next"],
        arrays["xt"][:, :, None],
        arrays["a_prev"],
        arrays["c_prev"],
        arrays,
    )
    _layout.check_unchanged("cache's a_next", states, [a_next], "state")
    return {"dxt": dx[:, :, 0], "da_prev": da_prev, "dc_prev": dc_prev, **grads}


def lstm_backward(da: npt.ArrayLike, caches: tuple[list[CellCache], Array]) -> dict[str, Array]:
    """Back-propagate through time, carrying the gradients of both a and c from step to step.

    Parameters
    ----------
    da : array
        Gradient of each step's own loss with respect to that step's hidden state, (n_a, m, T).
        With fewer steps than caches, only the first ``da.shape[2]`` caches are used.
    caches : tuple
        ``(list of cell caches, x)`` from `lstm_forward`, all from one forward pass. The steps are
        computed again from the first cell cache's states and parameters and the xt of each, so do
        not change the parameters in between.

    Returns
    -------
    dict
        ``dx`` (n_x, m, T), ``da0`` (n_a, m), ``dWf``, ``dWi``, ``dWc``, ``dWo`` (n_a, n_a + n_x)
        and ``dbf``, ``dbi``, ``dbc``, ``dbo`` (n_a, 1), summed over columns and steps.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If ``caches`` is not such a tuple, if its cell caches do not come from one forward pass, if
        an array has a wrong dtype or shape, or if the states do not follow from the rest, as after
        a change of the parameters.

    Notes
    -----
    Source: the notebook's formulas 7 to 21; P. J. Werbos, "Backpropagation through time",
    Proceedings of the IEEE 78, 1990.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import lstm_backward, lstm_forward
    >>> parameters = {f"W{gate}": np.zeros((2, 2 + 3)) for gate in "fico"}
    >>> parameters |= {f"b{gate}": np.zeros((2, 1)) for gate in "fico"}
    >>> parameters |= {"Wy": np.zeros((4, 2)), "by": np.zeros((4, 1))}
    >>> a, y, c, caches = lstm_forward(np.ones((3, 5, 7)), np.zeros((2, 5)), parameters)
    >>> gradients = lstm_backward(np.ones((2, 5, 4)), caches)
    >>> gradients["dx"].shape, gradients["dWf"].shape, gradients["dbf"].shape
    ((3, 5, 4), (2, 5), (2, 1))
    """
    steps = _layout.steps_of("da", da)
    cells = _layout.cell_caches(caches, _CACHE, states=2, steps=steps)
    a0, c0, parameters = cells[0][2], cells[0][3], cells[0][-1]
    x = _layout.stacked_inputs(cells, _CACHE.index("xt"))
    arrays = _layout.arguments(
        {
            "x": (x, ("n_x", "m", "T")),
            "a0": (a0, ("n_a", "m")),
            "c0": (c0, ("n_a", "m")),
            "da": (da, ("n_a", "m", "T")),
        },
        parameters,
        _CELL_SHAPES,
    )
    states, dx, da0, _, grads = _gradients(
        arrays["da"], np.zeros_like(arrays["c0"]), arrays["x"], arrays["a0"], arrays["c0"], arrays
    )
    _layout.check_unchanged("caches' a_next", states, [cell[0] for cell in cells], "state")
    return {"dx": dx, "da0": da0, **grads}


def lstm_loss_and_gradients(
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
        The first hidden state, (n_a, m); the first memory is zero.
    y : array
        The right classes: one-hot (n_y, m, T), or indices (m, T).
    parameters : dict
        As `lstm_forward` takes them.

    Returns
    -------
    loss : float
        −ln of the probability of each right class, summed over steps, averaged over the m examples.
    gradients : dict
        ``dx`` (n_x, m, T), ``da0`` (n_a, m), ``dWf``, ``dWi``, ``dWc``, ``dWo``, ``dWy``, ``dbf``,
        ``dbi``, ``dbc``, ``dbo`` and ``dby``, each shaped as its parameter.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If an array has a wrong dtype or shape, or y is neither one-hot nor in range.

    Notes
    -----
    dWy = Σ (ŷ − y) aᵀ and dby = Σ (ŷ − y), as in `rnn_loss_and_gradients`.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import lstm_loss_and_gradients
    >>> parameters = {f"W{gate}": np.zeros((2, 2 + 3)) for gate in "fico"}
    >>> parameters |= {f"b{gate}": np.zeros((2, 1)) for gate in "fico"}
    >>> parameters |= {"Wy": np.zeros((4, 2)), "by": np.zeros((4, 1))}
    >>> y = np.zeros((5, 7), dtype=int)
    >>> loss, gradients = lstm_loss_and_gradients(
    ...     np.ones((3, 5, 7)), np.zeros((2, 5)), y, parameters
    ... )
    >>> gradients["dWy"].shape, gradients["dby"][:, 0]
    ((4, 2), array([-5.25,  1.75,  1.75,  1.75]))
    """
    arrays = _layout.arguments(
        {"x": (x, ("n_x", "m", "T")), "a0": (a0, ("n_a", "m"))}, parameters, _SHAPES
    )
    sequence, first, memory = arrays["x"], arrays["a0"], np.zeros_like(arrays["a0"])
    packed = selection.current().pack("lstm", _core_weights(arrays))
    states, _, _ = selection.current().forward(packed, flip(sequence), (flip(first), flip(memory)))
    loss, output = _output.loss_and_gradients(states, arrays["Wy"], arrays["by"], y)
    _, dx, da0, _, grads = _gradients(output.da, memory, sequence, first, memory, arrays)
    return loss, {"dx": dx, "da0": da0, **grads, "dWy": output.dweight, "dby": output.dbias}


def _run(
    x: Array, a0: Array, c0: Array, arrays: Mapping[str, Array], parameters: Any
) -> tuple[Array, Array, list[CellCache]]:
    """Return the states a and c after every step, as rows (T, m, n_a), and the cell caches.

    It computes step by step, because the caches hold c of every step and a backend returns only the
    last c of a sequence.
    """
    backend = selection.current()
    weights = _core_weights(arrays)
    packed = backend.pack("lstm", weights)
    rows, state = flip(x), (flip(a0), flip(c0))
    a = np.empty((len(rows), *state[0].shape), dtype=rows.dtype)
    c = np.empty_like(a)
    for t in range(len(rows)):
        _, (a_t, c_t), _ = backend.forward(packed, rows[t : t + 1], state)
        state = (a_t, c_t)
        a[t], c[t] = state
    before = np.concatenate([flip(a0)[None], a[:-1]])
    i, f, cc, o = _gates(rows, before, weights)
    cells: list[CellCache] = []
    a_prev, c_prev = a0, c0
    for t in range(len(rows)):
        gates = (f[t].T, i[t].T, cc[t].T, o[t].T)
        cells.append((a[t].T, c[t].T, a_prev, c_prev, *gates, x[:, :, t], parameters))
        a_prev, c_prev = a[t].T, c[t].T
    return a, c, cells


def _gates(rows: Array, a_prev: Array, weights: Mapping[str, Array]) -> list[Array]:
    """Return the gates' values of every step, (T, m, n_a) each, in the core's order."""
    linear = selection.current().linear
    time_steps, batch_size, input_size = rows.shape
    count = time_steps * batch_size
    z = linear(rows.reshape(count, input_size), weights["weight_ih"], weights["bias_ih"])
    z = z + linear(a_prev.reshape(count, a_prev.shape[2]), weights["weight_hh"], None)
    i, f, cc, o = np.split(z.reshape(time_steps, batch_size, z.shape[1]), 4, axis=2)
    return [sigmoid(i), sigmoid(f), np.tanh(cc), sigmoid(o)]


def _gradients(
    da: Array, dc: Array, x: Array, a0: Array, c0: Array, arrays: Mapping[str, Array]
) -> tuple[Array, Array, Array, Array, dict[str, Array]]:
    """The states (T, m, n_a), dx (n_x, m, T), da0, dc0 (n_a, m), and the parameters' gradients."""
    backend = selection.current()
    packed = backend.pack("lstm", _core_weights(arrays))
    states, _, saved = backend.forward(packed, flip(x), (flip(a0), flip(c0)), keep=True)
    dstate = (np.zeros_like(flip(dc)), flip(dc))
    dx, (da0, dc0), grads = backend.backward(saved, flip(da), dstate)
    assert dx is not None
    return states, flip(dx), flip(da0), flip(dc0), _article_gradients(grads)


def _core_weights(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The articles' matrices over [a; x] as the core's two, gates below each other.

    The core has two biases or none; the articles' one bias is the first of them.
    """
    stacked = np.concatenate([arrays[f"W{gate}"] for gate in _GATES])
    bias = np.concatenate([arrays[f"b{gate}"][:, 0] for gate in _GATES])
    hidden_size = len(arrays["Wf"])
    return {
        "weight_ih": np.ascontiguousarray(stacked[:, hidden_size:]),
        "weight_hh": np.ascontiguousarray(stacked[:, :hidden_size]),
        "bias_ih": bias,
        "bias_hh": np.zeros_like(bias),
    }


def _article_gradients(grads: Mapping[str, Array]) -> dict[str, Array]:
    """The core's gradients as the articles': dWf over [a; x], dbf (n_a, 1), and so on."""
    stacked = np.concatenate([grads["weight_hh"], grads["weight_ih"]], axis=1)
    weights = dict(zip(_GATES, np.split(stacked, 4), strict=True))
    biases = dict(zip(_GATES, np.split(grads["bias_ih"][:, None], 4), strict=True))
    found: dict[str, Array] = {}
    for gate in "fico":
        found[f"dW{gate}"] = weights[gate]
        found[f"db{gate}"] = biases[gate]
    return found
