"""The vanilla cell in the notation U, W, V: ``s' = tanh(U x + W s + ba)``, ``softmax(V s' + by)``.

Arrays hold one example per column, (features, m).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy.typing as npt

from pyrnn._types import Array
from pyrnn.textbook import _elman, _layout, _output
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
        If ``cache`` is not such a tuple, or an array has a wrong dtype or shape.

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
    return {
        "dtanh": (1 - arrays["s_next"] ** 2) * arrays["ds_next"],
        "dx_t": found.dx[:, :, 0],
        "ds_prev": found.da0,
        "dU": found.dw_x,
        "dW": found.dw_a,
        "dba": found.db,
    }


def _weights(arrays: Mapping[str, Array]) -> _elman.Weights:
    return _elman.Weights(arrays["U"], arrays["W"], arrays["ba"])
