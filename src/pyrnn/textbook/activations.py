"""softmax and sigmoid, without overflow for large values."""

from __future__ import annotations

import numpy.typing as npt

from pyrnn._types import Array
from pyrnn.reference import activations
from pyrnn.textbook import _layout


def softmax(x: npt.ArrayLike) -> Array:
    """Turn each column into probabilities: ``e^x / sum(e^x)`` along the first axis.

    Parameters
    ----------
    x : array
        (features, m), (features, m, T) or (features,), float32 or float64 (integers are converted
        to float64).

    Returns
    -------
    array
        The probabilities, of the same shape; each column sums to 1.

    Raises
    ------
    TypeError
        If ``x`` does not hold real numbers.
    ValueError
        If ``x`` has no axis or no element.

    Notes
    -----
    The maximum of the column is subtracted before the exponential: the result is the same, and
    nothing overflows. Source: J. S. Bridle, "Probabilistic interpretation of feedforward
    classification network outputs", 1990.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import softmax
    >>> softmax(np.array([[0.0, 1000.0], [0.0, 0.0]]))
    array([[0.5, 1. ],
           [0.5, 0. ]])
    """
    array = _layout.float_array("x", x)
    if not array.ndim or not array.size:
        raise ValueError(f"x: expected at least one row and one column, got shape {array.shape}")
    return activations.softmax(array, axis=0)


def sigmoid(x: npt.ArrayLike) -> Array:
    """Map each element into (0, 1): ``1 / (1 + e^-x)``.

    Parameters
    ----------
    x : array
        Of any shape, float32 or float64 (integers are converted to float64).

    Returns
    -------
    array
        The values, of the same shape.

    Raises
    ------
    TypeError
        If ``x`` does not hold real numbers.

    Notes
    -----
    It is computed with ``e^-|x|``, so that nothing overflows. Source: P.-F. Verhulst, 1838.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import sigmoid
    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    return activations.sigmoid(_layout.float_array("x", x))
