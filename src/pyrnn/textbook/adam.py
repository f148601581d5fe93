"""Adam as the articles write it, over dicts of parameters and gradients."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._types import Array
from pyrnn.textbook import _layout

NOT_PARAMETERS = {"dx", "dxt", "dx_t", "da0", "da_prev", "dc_prev", "ds0", "ds_prev", "dtanh"}
"""Gradients that the backward passes of this package return besides those of parameters."""


def initialize_adam(
    parameters: Mapping[str, npt.ArrayLike],
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return zeros for Adam's two moving averages.

    Parameters
    ----------
    parameters : dict
        ``W1``, ``b1``, ``W2``, ... or any other names.

    Returns
    -------
    v, s : dict
        Averages of the gradients, and of their squares: zeros of each parameter's shape, under its
        name with the prefix "d" (``dW1``, ``db1``, ...).

    Raises
    ------
    TypeError
        If ``parameters`` is not a dict of real arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import initialize_adam
    >>> v, s = initialize_adam({"W1": np.ones((2, 3)), "b1": np.ones((2, 1))})
    >>> list(v), s["db1"].shape
    (['dW1', 'db1'], (2, 1))
    """
    named = _layout.parameter_arrays(parameters, _names(parameters))
    zeros = {f"d{n}": np.zeros_like(_layout.float_array(n, value)) for n, value in named.items()}
    return zeros, {name: array.copy() for name, array in zeros.items()}


def update_parameters_with_adam(
    parameters: MutableMapping[str, Array],
    grads: Mapping[str, npt.ArrayLike],
    v: MutableMapping[str, Array],
    s: MutableMapping[str, Array],
    t: int,
    learning_rate: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    epsilon_inside_root: bool = True,
) -> tuple[MutableMapping[str, Array], MutableMapping[str, Array], MutableMapping[str, Array]]:
    """Make one step of Adam.

    Parameters
    ----------
    parameters : dict
        ``W1``, ``b1``, ``W2``, ... or any other names.
    grads : dict
        The gradient of a parameter under its name with the prefix "d". A parameter without one, as
        Wya beside what `rnn_backward` returns, is not changed; nor are its averages. Gradients of
        inputs and states (dx, da0, ...) are ignored, any other name is refused.
    v, s : dict
        From `initialize_adam` or the step before.
    t : int
        The number of this step, starting from 1.
    learning_rate, beta1, beta2, epsilon : float
        The article's constants; beta1 and beta2 lie in [0, 1).
    epsilon_inside_root : bool
        True: the article's ``v / sqrt(s + epsilon)``. False: the paper's
        ``v / (sqrt(s) + epsilon)``, as in `pyrnn.optim`.

    Returns
    -------
    parameters, v, s : dict
        The given dicts. Each entry is replaced by a new array, as in the article; the arrays that
        were there are not modified.

    Raises
    ------
    KeyError
        If no parameter has a gradient, a gradient belongs to no parameter, or an average is
        missing.
    TypeError, ValueError
        If an array has a wrong dtype or shape, or a constant is out of range. Nothing has changed
        then.

    Notes
    -----
    ``v = beta1 v + (1 - beta1) g`` and ``s = beta2 s + (1 - beta2) g²`` are corrected for their
    start at zero, ``v / (1 - beta1^t)`` and ``s / (1 - beta2^t)``. Source: Kingma, Ba, "Adam: a
    method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import initialize_adam, update_parameters_with_adam
    >>> parameters = {"W1": np.ones((1, 2)), "b1": np.ones((1, 1))}
    >>> v, s = initialize_adam(parameters)
    >>> grads = {"dW1": np.array([[3.0, -3.0]]), "db1": np.zeros((1, 1))}
    >>> parameters, v, s = update_parameters_with_adam(parameters, grads, v, s, t=1)
    >>> parameters["W1"].round(6)
    array([[0.99, 1.01]])
    """
    t = _checks.size("t", t, most=_checks.MAX_STEPS)
    learning_rate = _checks.finite_number("learning_rate", learning_rate, 0.0)
    epsilon = _checks.finite_number("epsilon", epsilon, 0.0)
    beta1, beta2 = _fraction("beta1", beta1), _fraction("beta2", beta2)
    epsilon_inside_root = _checks.flag("epsilon_inside_root", epsilon_inside_root)
    updated: dict[str, tuple[Array, Array, Array]] = {}
    for name in _with_gradient(_names(parameters), grads):
        p, g, v_old, s_old = _matching(name, parameters, grads, v, s)
        v_new = beta1 * v_old + (1 - beta1) * g
        s_new = beta2 * s_old + (1 - beta2) * g**2
        s_corrected = s_new / (1 - beta2**t)
        root = (
            np.sqrt(s_corrected + epsilon)
            if epsilon_inside_root
            else np.sqrt(s_corrected) + epsilon
        )
        updated[name] = (p - learning_rate * (v_new / (1 - beta1**t)) / root, v_new, s_new)
    for name, (p, v_new, s_new) in updated.items():
        parameters[name], v[f"d{name}"], s[f"d{name}"] = p, v_new, s_new
    return parameters, v, s


def _names(parameters: object) -> tuple[str, ...]:
    if not isinstance(parameters, Mapping):
        raise TypeError(f"parameters: expected a dict of arrays, got {type(parameters).__name__}")
    return tuple(parameters)


def _with_gradient(names: tuple[str, ...], grads: object) -> list[str]:
    """The parameters that have a gradient."""
    if not isinstance(grads, Mapping):
        raise TypeError(f"grads: expected a dict of arrays, got {type(grads).__name__}")
    wanted = [f"d{name}" for name in names]
    unknown = [name for name in grads if name not in wanted and name not in NOT_PARAMETERS]
    found = [name for name in names if f"d{name}" in grads]
    if unknown or not found:
        got = ", ".join(map(str, unknown or grads)) or "none"
        raise KeyError(f"grads: expected names among {', '.join(wanted)}, got {got}")
    return found


def _matching(
    name: str, parameters: Mapping[str, npt.ArrayLike], *others: Mapping[str, npt.ArrayLike]
) -> list[Array]:
    """Return a parameter, its gradient and its averages, in the parameter's shape and dtype."""
    parameter = _layout.float_array(name, parameters[name])
    arrays = [parameter]
    for label, other in zip(("grads", "v", "s"), others, strict=True):
        if not isinstance(other, Mapping):
            raise TypeError(f"{label}: expected a dict of arrays, got {type(other).__name__}")
        if f"d{name}" not in other:
            got = ", ".join(map(str, other)) or "none"
            raise KeyError(f"{label}: d{name} is missing; got {got}")
        array = _layout.float_array(f"{label}['d{name}']", other[f"d{name}"])
        if array.shape != parameter.shape:
            raise ValueError(
                f"{label}['d{name}']: expected shape {parameter.shape}, got {array.shape}"
            )
        arrays.append(array.astype(parameter.dtype, copy=False))
    return arrays


def _fraction(name: str, value: float) -> float:
    number = _checks.finite_number(name, value, 0.0, 1.0)
    if number == 1:
        raise ValueError(f"{name}: expected a number in [0, 1), got {value!r}")
    return number
