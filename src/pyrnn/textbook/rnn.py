"""The vanilla RNN of "Building your Recurrent Neural Network, step by step": Wax, Waa, Wya, ba, by.

Arrays hold one example per column: (features, m) for a step, (features, m, T) for a sequence.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy.typing as npt

from pyrnn._types import Array
from pyrnn.textbook import _elman, _layout, _output
from pyrnn.textbook._layout import Shape

CellCache = tuple[Array, Array, Array, Mapping[str, npt.ArrayLike]]
"""``(a_next, a_prev, xt, parameters)``."""

_CACHE = ("a_next", "a_prev", "xt", "parameters")
_CELL_SHAPES: dict[str, Shape] = {
    "Waa": ("n_a", "n_a"),
    "Wax": ("n_a", "n_x"),
    "ba": ("n_a", 1),
}
_SHAPES: dict[str, Shape] = _CELL_SHAPES | {"Wya": ("n_y", "n_a"), "by": ("n_y", 1)}


def rnn_cell_forward(
    xt: npt.ArrayLike, a_prev: npt.ArrayLike, parameters: Mapping[str, npt.ArrayLike]
) -> tuple[Array, Array, CellCache]:
    """Compute one step: ``tanh(Wax xt + Waa a_prev + ba)``, and ``softmax(Wya a_next + by)``.

    Parameters
    ----------
    xt : array
        The step's input, (n_x, m), float32 or float64 (integers are converted).
    a_prev : array
        The hidden state before the step, (n_a, m).
    parameters : dict
        ``Wax`` (n_a, n_x), ``Waa`` (n_a, n_a), ``Wya`` (n_y, n_a), ``ba`` (n_a, 1) and ``by``
        (n_y, 1).

    Returns
    -------
    a_next : array
        The hidden state after the step, (n_a, m).
    yt_pred : array
        Probabilities, (n_y, m); each column sums to 1.
    cache : tuple
        ``(a_next, a_prev, xt, parameters)``.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If an array has a wrong dtype or shape.

    Notes
    -----
    Source: the notebook "Building your Recurrent Neural Network, step by step" of deeplearning.ai;
    the network is J. L. Elman's, "Finding structure in time", Cognitive Science 14, 1990.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import rnn_cell_forward
    >>> parameters = {
    ...     "Wax": np.ones((2, 3)), "Waa": np.zeros((2, 2)), "ba": np.zeros((2, 1)),
    ...     "Wya": np.zeros((4, 2)), "by": np.zeros((4, 1)),
    ... }
    >>> a_next, yt_pred, cache = rnn_cell_forward(np.ones((3, 5)), np.zeros((2, 5)), parameters)
    >>> a_next.shape, yt_pred[:, 0]
    ((2, 5), array([0.25, 0.25, 0.25, 0.25]))
    """
    arrays = _layout.arguments(
        {"xt": (xt, ("n_x", "m")), "a_prev": (a_prev, ("n_a", "m"))}, parameters, _SHAPES
    )
    states = _elman.states(arrays["xt"][:, :, None], arrays["a_prev"], _weights(arrays))
    yt_pred = _output.predictions(states, arrays["Wya"], arrays["by"])[:, :, 0]
    a_next = _layout.flip(states[0])
    return a_next, yt_pred, (a_next, arrays["a_prev"], arrays["xt"], parameters)


def rnn_forward(
    x: npt.ArrayLike, a0: npt.ArrayLike, parameters: Mapping[str, npt.ArrayLike]
) -> tuple[Array, Array, tuple[list[CellCache], Array]]:
    """Run `rnn_cell_forward` over a sequence.

    Parameters
    ----------
    x : array
        The inputs, (n_x, m, T).
    a0 : array
        The initial hidden state, (n_a, m).
    parameters : dict
        ``Wax`` (n_a, n_x), ``Waa`` (n_a, n_a), ``Wya`` (n_y, n_a), ``ba`` (n_a, 1) and ``by``
        (n_y, 1).

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
    >>> from pyrnn.textbook import rnn_forward
    >>> parameters = {
    ...     "Wax": np.ones((2, 3)), "Waa": np.zeros((2, 2)), "ba": np.zeros((2, 1)),
    ...     "Wya": np.zeros((4, 2)), "by": np.zeros((4, 1)),
    ... }
    >>> a, y_pred, caches = rnn_forward(np.ones((3, 5, 7)), np.zeros((2, 5)), parameters)
    >>> a.shape, y_pred.shape, len(caches[0])
    ((2, 5, 7), (4, 5, 7), 7)
    """
    arrays = _layout.arguments(
        {"x": (x, ("n_x", "m", "T")), "a0": (a0, ("n_a", "m"))}, parameters, _SHAPES
    )
    states = _elman.states(arrays["x"], arrays["a0"], _weights(arrays))
    y_pred = _output.predictions(states, arrays["Wya"], arrays["by"])
    cells: list[CellCache] = []
    a_prev = arrays["a0"]
    for t, state in enumerate(states):
        cells.append((state.T, a_prev, arrays["x"][:, :, t], parameters))
        a_prev = state.T
    return _layout.flip(states), y_pred, (cells, arrays["x"])


def rnn_cell_backward(da_next: npt.ArrayLike, cache: CellCache) -> dict[str, Array]:
    """Back-propagate one step.

    Parameters
    ----------
    da_next : array
        Gradient of the loss with respect to a_next, (n_a, m).
    cache : tuple
        ``(a_next, a_prev, xt, parameters)`` from `rnn_cell_forward`. The step is computed again
        from a_prev, xt and the parameters, so do not change these in between. Wya and by are not
        needed.

    Returns
    -------
    dict
        ``dxt`` (n_x, m), ``da_prev`` (n_a, m), ``dWax`` (n_a, n_x), ``dWaa`` (n_a, n_a) and ``dba``
        (n_a, 1), the last three summed over the m columns.

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
    >>> from pyrnn.textbook import rnn_cell_backward
    >>> parameters = {"Wax": np.ones((2, 3)), "Waa": np.zeros((2, 2)), "ba": np.zeros((2, 1))}
    >>> cache = (np.zeros((2, 5)), np.zeros((2, 5)), np.zeros((3, 5)), parameters)
    >>> rnn_cell_backward(np.ones((2, 5)), cache)["dba"]
    array([[5.],
           [5.]])
    """
    a_next, a_prev, xt, parameters = _layout.unpack("cache", cache, _CACHE)
    column = ("n_a", "m")
    arrays = _layout.arguments(
        {"xt": (xt, ("n_x", "m")), "a_prev": (a_prev, column), "da_next": (da_next, column)},
        parameters,
        _CELL_SHAPES,
    )
    found = _elman.gradients(
        arrays["da_next"][:, :, None],
        arrays["xt"][:, :, None],
        arrays["a_prev"],
        _weights(arrays),
    )
    _layout.check_unchanged("cache's a_next", found.states, [a_next], "state")
    return {"dxt": found.dx[:, :, 0], "da_prev": found.da0, **_named(found)}


def rnn_backward(da: npt.ArrayLike, caches: tuple[list[CellCache], Array]) -> dict[str, Array]:
    """Back-propagate through time.

    Parameters
    ----------
    da : array
        Gradient of each step's own loss with respect to that step's hidden state, (n_a, m, T).
        With fewer steps than caches, only the first ``da.shape[2]`` caches are used.
    caches : tuple
        ``(list of cell caches, x)`` from `rnn_forward`, all from one forward pass. The steps are
        computed again from the first cell cache's a_prev and parameters and the xt of each, so do
        not change the parameters in between.

    Returns
    -------
    dict
        ``dx`` (n_x, m, T), ``da0`` (n_a, m), ``dWax`` (n_a, n_x), ``dWaa`` (n_a, n_a) and ``dba``
        (n_a, 1), the last three summed over columns and steps.

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
    Source: P. J. Werbos, "Backpropagation through time", Proceedings of the IEEE 78, 1990.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import rnn_backward, rnn_forward
    >>> parameters = {
    ...     "Wax": np.ones((2, 3)), "Waa": np.zeros((2, 2)), "ba": np.zeros((2, 1)),
    ...     "Wya": np.zeros((4, 2)), "by": np.zeros((4, 1)),
    ... }
    >>> a, y_pred, caches = rnn_forward(np.ones((3, 5, 7)), np.zeros((2, 5)), parameters)
    >>> {name: grad.shape for name, grad in rnn_backward(np.ones_like(a), caches).items()}
    {'dx': (3, 5, 7), 'da0': (2, 5), 'dWax': (2, 3), 'dWaa': (2, 2), 'dba': (2, 1)}
    """
    steps = _layout.steps_of("da", da)
    cells = _layout.cell_caches(caches, _CACHE, states=1, steps=steps)
    _, a0, _, parameters = cells[0]
    x = _layout.stacked_inputs(cells, _CACHE.index("xt"))
    arrays = _layout.arguments(
        {"x": (x, ("n_x", "m", "T")), "a0": (a0, ("n_a", "m")), "da": (da, ("n_a", "m", "T"))},
        parameters,
        _CELL_SHAPES,
    )
    found = _elman.gradients(arrays["da"], arrays["x"], arrays["a0"], _weights(arrays))
    _layout.check_unchanged("caches' a_next", found.states, [cell[0] for cell in cells], "state")
    return {"dx": found.dx, "da0": found.da0, **_named(found)}


def rnn_loss_and_gradients(
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
        As `rnn_forward` takes them.

    Returns
    -------
    loss : float
        −ln of the probability of each right class, summed over steps, averaged over the m examples.
    gradients : dict
        ``dx`` (n_x, m, T), ``da0`` (n_a, m), ``dWax``, ``dWaa``, ``dWya``, ``dba`` and ``dby``,
        each shaped as its parameter.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If an array has a wrong dtype or shape, or y is neither one-hot nor in range.

    Notes
    -----
    The gradient of the logits z = Wya a + by is ŷ − y, so dWya = Σ (ŷ − y) aᵀ, dby = Σ (ŷ − y), and
    what goes into `rnn_backward` is da = Wyaᵀ (ŷ − y), each over m. Source: I. Goodfellow et al.,
    "Deep Learning", 2016, section 10.2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import rnn_loss_and_gradients
    >>> parameters = {
    ...     "Wax": np.ones((2, 3)), "Waa": np.zeros((2, 2)), "ba": np.zeros((2, 1)),
    ...     "Wya": np.zeros((4, 2)), "by": np.zeros((4, 1)),
    ... }
    >>> y = np.zeros((5, 7), dtype=int)
    >>> loss, gradients = rnn_loss_and_gradients(
    ...     np.ones((3, 5, 7)), np.zeros((2, 5)), y, parameters
    ... )
    >>> bool(np.isclose(loss, 7 * np.log(4))), gradients["dby"][:, 0]
    (True, array([-5.25,  1.75,  1.75,  1.75]))
    """
    arrays = _layout.arguments(
        {"x": (x, ("n_x", "m", "T")), "a0": (a0, ("n_a", "m"))}, parameters, _SHAPES
    )
    weights = _weights(arrays)
    states = _elman.states(arrays["x"], arrays["a0"], weights)
    loss, output = _output.loss_and_gradients(states, arrays["Wya"], arrays["by"], y)
    found = _elman.gradients(output.da, arrays["x"], arrays["a0"], weights)
    of_output = {"dWya": output.dweight, "dby": output.dbias}
    return loss, {"dx": found.dx, "da0": found.da0, **_named(found), **of_output}


def _weights(arrays: Mapping[str, Array]) -> _elman.Weights:
    return _elman.Weights(arrays["Wax"], arrays["Waa"], arrays["ba"])


def _named(found: _elman.Gradients) -> dict[str, Array]:
    return {"dWax": found.dw_x, "dWaa": found.dw_a, "dba": found.db}
