"""The vanilla RNN in the notation U, W, V: ``s' = tanh(U x + W s + ba)``, ``softmax(V s' + by)``.

Arrays hold one example per column: (features, m) for a step, (features, m, T) for a sequence.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy.typing as npt

from pyrnn._types import Array
from pyrnn.textbook import _elman, _layout, _output, rnn
from pyrnn.textbook._layout import Shape

CellCache = tuple[Array, Array, Array, Mapping[str, npt.ArrayLike]]
"""``(s_next, s_prev, x_t, parameters)``."""

_CACHE = ("s_next", "s_prev", "x_t", "parameters")
_CELL_SHAPES: dict[str, Shape] = {"W": ("n_s", "n_s"), "U": ("n_s", "n_x"), "ba": ("n_s", 1)}
_SHAPES: dict[str, Shape] = _CELL_SHAPES | {"V": ("n_y", "n_s"), "by": ("n_y", 1)}


def rnn_cell_forward(
    x_t: npt.ArrayLike, s_prev: npt.ArrayLike, parameters: Mapping[str, npt.ArrayLike]
) -> tuple[Array, Array, CellCache]:
    """Compute one step of the cell, and a softmax over its hidden state.

    ``s_next = tanh(U x_t + W s_prev + ba)`` and ``out_pred = softmax(V s_next + by)``.

    Parameters
    ----------
    x_t : array
        The step's input, (n_x, m), float32 or float64 (integers are converted).
    s_prev : array
        The hidden state before the step, (n_s, m).
    parameters : dict
        ``U`` (n_s, n_x), ``W`` (n_s, n_s), ``V`` (n_y, n_s), ``ba`` (n_s, 1) and ``by`` (n_y, 1).

    Returns
    -------
    s_next : array
        The hidden state after the step, (n_s, m).
    out_pred : array
        Probabilities, (n_y, m); each column sums to 1.
    cache : tuple
        ``(s_next, s_prev, x_t, parameters)``.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If an array has a wrong dtype or shape.

    Notes
    -----
    Source: J. L. Elman, "Finding structure in time", Cognitive Science 14, 1990; the letters are
    those of the articles that draw the unrolled network with U, W and V on its arrows.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import uwv
    >>> parameters = {
    ...     "U": np.ones((2, 3)), "W": np.zeros((2, 2)), "V": np.zeros((4, 2)),
    ...     "ba": np.zeros((2, 1)), "by": np.zeros((4, 1)),
    ... }
    >>> s_next, out_pred, cache = uwv.rnn_cell_forward(
    ...     np.ones((3, 1)), np.zeros((2, 1)), parameters
    ... )
    >>> s_next.shape, out_pred[:, 0]
    ((2, 1), array([0.25, 0.25, 0.25, 0.25]))
    """
    arrays = _layout.arguments(
        {"x_t": (x_t, ("n_x", "m")), "s_prev": (s_prev, ("n_s", "m"))}, parameters, _SHAPES
    )
    states = _elman.states(arrays["x_t"][:, :, None], arrays["s_prev"], _weights(arrays))
    out_pred = _output.predictions(states, arrays["V"], arrays["by"])[:, :, 0]
    s_next = _layout.flip(states[0])
    return s_next, out_pred, (s_next, arrays["s_prev"], arrays["x_t"], parameters)


def rnn_cell_backward(ds_next: npt.ArrayLike, cache: CellCache) -> dict[str, Array]:
    """Back-propagate one step.

    Parameters
    ----------
    ds_next : array
        Gradient of the loss with respect to s_next, (n_s, m).
    cache : tuple
        ``(s_next, s_prev, x_t, parameters)`` from `rnn_cell_forward`. The step is computed again
        from s_prev, x_t and the parameters, so do not change these in between; dtanh is computed
        from s_next. V and by are not needed.

    Returns
    -------
    dict
        ``dtanh`` (n_s, m), which is ∂loss/∂z where s_next = tanh(z), often called dz; ``dx_t``
        (n_x, m), ``ds_prev`` (n_s, m), and, summed over the m columns, ``dU`` (n_s, n_x), ``dW``
        (n_s, n_s) and ``dba`` (n_s, 1).

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If ``cache`` is not such a tuple, an array has a wrong dtype or shape, or s_next does not
        follow from the rest, as after a change of the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import uwv
    >>> parameters = {"U": np.ones((2, 3)), "W": np.zeros((2, 2)), "ba": np.zeros((2, 1))}
    >>> cache = (np.zeros((2, 5)), np.zeros((2, 5)), np.zeros((3, 5)), parameters)
    >>> uwv.rnn_cell_backward(np.ones((2, 5)), cache)["dx_t"][:, 0]
    array([2., 2., 2.])
    """
    s_next, s_prev, x_t, parameters = _layout.unpack("cache", cache, _CACHE)
    column: Shape = ("n_s", "m")
    arrays = _layout.arguments(
        {
            "x_t": (x_t, ("n_x", "m")),
            "s_prev": (s_prev, column),
            "s_next": (s_next, column),
            "ds_next": (ds_next, column),
        },
        parameters,
        _CELL_SHAPES,
    )
    found = _elman.gradients(
        arrays["ds_next"][:, :, None], arrays["x_t"][:, :, None], arrays["s_prev"], _weights(arrays)
    )
    _layout.check_unchanged("cache's s_next", found.states, [s_next], "state")
    return {
        "dtanh": (1 - arrays["s_next"] ** 2) * arrays["ds_next"],
        "dx_t": found.dx[:, :, 0],
        "ds_prev": found.da0,
        "dU": found.dw_x,
        "dW": found.dw_a,
        "dba": found.db,
    }


def rnn_forward(
    x: npt.ArrayLike, s0: npt.ArrayLike, parameters: Mapping[str, npt.ArrayLike]
) -> tuple[Array, Array, tuple[list[CellCache], Array]]:
    """Run `rnn_cell_forward` over a sequence.

    Parameters
    ----------
    x : array
        The inputs, (n_x, m, T).
    s0 : array
        The first hidden state, (n_s, m).
    parameters : dict
        ``U`` (n_s, n_x), ``W`` (n_s, n_s), ``V`` (n_y, n_s), ``ba`` (n_s, 1) and ``by`` (n_y, 1).

    Returns
    -------
    s : array
        The hidden state after every step, (n_s, m, T).
    out_pred : array
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
    >>> from pyrnn.textbook import uwv
    >>> parameters = {
    ...     "U": np.ones((2, 3)), "W": np.zeros((2, 2)), "V": np.zeros((4, 2)),
    ...     "ba": np.zeros((2, 1)), "by": np.zeros((4, 1)),
    ... }
    >>> s, out_pred, caches = uwv.rnn_forward(np.ones((3, 5, 7)), np.zeros((2, 5)), parameters)
    >>> s.shape, out_pred.shape, len(caches[0])
    ((2, 5, 7), (4, 5, 7), 7)
    """
    s, out_pred, (cells, inputs) = rnn.rnn_forward(x, s0, _as_article_a(parameters))
    return s, out_pred, ([(*cell[:3], parameters) for cell in cells], inputs)


def rnn_backward(ds: npt.ArrayLike, caches: tuple[list[CellCache], Array]) -> dict[str, Array]:
    """Back-propagate through time.

    Parameters
    ----------
    ds : array
        Gradient of each step's own loss with respect to that step's hidden state, (n_s, m, T). With
        fewer steps than ``caches``, only the first of them are used.
    caches : tuple
        ``(list of cell caches, x)`` from `rnn_forward`.

    Returns
    -------
    dict
        ``dx`` (n_x, m, T), ``ds0`` (n_s, m), ``dU`` (n_s, n_x), ``dW`` (n_s, n_s) and ``dba`` (n_s,
        1), the last three summed over columns and steps.

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
    >>> from pyrnn.textbook import uwv
    >>> parameters = {
    ...     "U": np.ones((2, 3)), "W": np.zeros((2, 2)), "V": np.zeros((4, 2)),
    ...     "ba": np.zeros((2, 1)), "by": np.zeros((4, 1)),
    ... }
    >>> s, out_pred, caches = uwv.rnn_forward(np.ones((3, 5, 7)), np.zeros((2, 5)), parameters)
    >>> {name: grad.shape for name, grad in uwv.rnn_backward(np.ones_like(s), caches).items()}
    {'dx': (3, 5, 7), 'ds0': (2, 5), 'dU': (2, 3), 'dW': (2, 2), 'dba': (2, 1)}
    """
    cells, inputs = _layout.unpack("caches", caches, ("list of cell caches", "x"))
    if not isinstance(cells, (tuple, list)):
        raise TypeError(f"caches[0]: expected a list of cell caches, got {type(cells).__name__}")
    renamed = []
    for t, cell in enumerate(cells):
        *parts, parameters = _layout.unpack(f"caches[0][{t}]", cell, _CACHE)
        renamed.append((*parts, _as_article_a(parameters)))
    found = rnn.rnn_backward(ds, (renamed, inputs))
    return {_LETTERS.get(name, name): gradient for name, gradient in found.items()}


def loss_and_gradients(
    x: npt.ArrayLike,
    s0: npt.ArrayLike,
    y: npt.ArrayLike,
    parameters: Mapping[str, npt.ArrayLike],
) -> tuple[float, dict[str, Array]]:
    """Cross-entropy of the predictions, and its gradients, those of the output layer included.

    Parameters
    ----------
    x : array
        The inputs, (n_x, m, T).
    s0 : array
        The first hidden state, (n_s, m).
    y : array
        The right classes: one-hot (n_y, m, T), or indices (m, T).
    parameters : dict
        As `rnn_forward` takes them.

    Returns
    -------
    loss : float
        −ln of the probability of each right class, summed over steps, averaged over the m examples.
    gradients : dict
        ``dx`` (n_x, m, T), ``ds0`` (n_s, m), ``dU``, ``dW``, ``dV``, ``dba`` and ``dby``, each
        shaped as its parameter.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If an array has a wrong dtype or shape, or y is neither one-hot nor in range.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import uwv
    >>> parameters = {
    ...     "U": np.ones((2, 3)), "W": np.zeros((2, 2)), "V": np.zeros((4, 2)),
    ...     "ba": np.zeros((2, 1)), "by": np.zeros((4, 1)),
    ... }
    >>> y = np.zeros((5, 7), dtype=int)
    >>> loss, gradients = uwv.loss_and_gradients(
    ...     np.ones((3, 5, 7)), np.zeros((2, 5)), y, parameters
    ... )
    >>> gradients["dV"].shape, gradients["dby"][:, 0]
    ((4, 2), array([-5.25,  1.75,  1.75,  1.75]))
    """
    loss, found = rnn.rnn_loss_and_gradients(x, s0, y, _as_article_a(parameters))
    return loss, {_LETTERS.get(name, name): gradient for name, gradient in found.items()}


_LETTERS = {"da0": "ds0", "dWax": "dU", "dWaa": "dW", "dWya": "dV"}
"""From the names of the other notation to those of this one."""


def _as_article_a(parameters: Mapping[str, npt.ArrayLike]) -> dict[str, npt.ArrayLike]:
    """U, W, V by the names Wax, Waa, Wya; those that are missing are named here."""
    known = _layout.parameter_arrays(parameters, ("U", "W", "ba"))
    renamed = {"Wax": known["U"], "Waa": known["W"], "ba": known["ba"]}
    return renamed | {
        other: parameters[name]
        for name, other in (("V", "Wya"), ("by", "by"))
        if name in parameters
    }


def _weights(arrays: Mapping[str, Array]) -> _elman.Weights:
    return _elman.Weights(arrays["U"], arrays["W"], arrays["ba"])
