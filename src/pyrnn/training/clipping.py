"""Gradient clipping by norm and by value, in place."""

from __future__ import annotations

from collections.abc import Mapping

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import Array
from pyrnn.backend import selection

EPSILON = 1e-6
"""What torch adds to the norm before it divides."""


@public("pyrnn")
def clip_grad_norm(grads: Mapping[str, Array], max_norm: float) -> float:
    """Scale all gradients so that their common Euclidean norm is at most ``max_norm``.

    Parameters
    ----------
    grads : dict of arrays
        The gradients, float32 or float64. They are changed in place if the norm is larger.
    max_norm : float
        The bound, 0 or more.

    Returns
    -------
    float
        The norm before clipping, over the elements of all arrays, accumulated in float64.

    Raises
    ------
    TypeError, ValueError
        If ``grads`` does not hold writeable contiguous float arrays, each with memory of its own,
        or ``max_norm`` is negative or not a number. Nothing has changed then.

    Notes
    -----
    The factor is max_norm / (norm + 1e-6), at most 1, as in `torch.nn.utils.clip_grad_norm_`; a
    norm that is NaN or infinite is returned and makes every gradient NaN or 0, as it does there.
    Source: Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks",
    ICML 2013.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> grads = {"a": np.array([3.0]), "b": np.array([4.0])}
    >>> pyrnn.clip_grad_norm(grads, 1.0)
    5.0
    >>> grads["a"].round(6), grads["b"].round(6)
    (array([0.6]), array([0.8]))
    """
    arrays = _check_grads(grads)
    limit = _checks.finite_number("max_norm", max_norm, 0.0)
    backend = selection.current()
    norm = backend.norm(arrays)
    factor = limit / (norm + EPSILON)
    if not factor >= 1:
        backend.scale(arrays, factor)
    return norm


@public("pyrnn")
def clip_grad_value(grads: Mapping[str, Array], limit: float) -> None:
    """Clip each element of all gradients to [-limit, limit].

    Parameters
    ----------
    grads : dict of arrays
        The gradients, float32 or float64. They are changed in place; NaN stays NaN.
    limit : float
        The bound, 0 or more.

    Raises
    ------
    TypeError, ValueError
        If ``grads`` does not hold writeable contiguous float arrays, each with memory of its own,
        or ``limit`` is negative or not a number. Nothing has changed then.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> grads = {"a": np.array([-3.0, 0.5])}
    >>> pyrnn.clip_grad_value(grads, 1.0)
    >>> grads["a"]
    array([-1. ,  0.5])
    """
    arrays = _check_grads(grads)
    bound = _checks.finite_number("limit", limit, 0.0)
    selection.current().clip(arrays, bound)


clip_grad_norm_ = clip_grad_norm
"""Torch's name of it: it changes the gradients in place."""

clip_grad_value_ = clip_grad_value
"""Torch's name of it."""


def _check_grads(grads: Mapping[str, Array]) -> list[Array]:
    if not isinstance(grads, Mapping):
        raise TypeError(f"grads: expected a dict of arrays, got {type(grads).__name__}")
    arrays = list(grads.values())
    if not _checks.fit(arrays, arrays):
        arrays = list(_checks.live_float_arrays("grads", grads).values())
        for name, array in grads.items():
            if not array.flags.writeable:
                raise ValueError(
                    f"grads[{name!r}]: expected a writeable array, got a read-only one"
                )
    return arrays
