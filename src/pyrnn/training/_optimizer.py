"""What all optimisers share: the parameter arrays, checks before any change, saved state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import Portable, pickled_all
from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.parameters import owners


def _check_betas(name: str, betas: Any) -> tuple[float, float]:
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"{name}: expected a pair of numbers, got {_checks.shown(betas)}")
    beta1, beta2 = (_checks.finite_number(name, beta, 0.0, 1.0) for beta in betas)
    if beta1 == 1 or beta2 == 1:
        raise ValueError(f"{name}: expected numbers below 1, got {betas!r}")
    return beta1, beta2


_at_least_zero = partial(_checks.finite_number, low=0.0)

OPTIONS: Mapping[str, Callable[[str, Any], Any]] = {
    "lr": _at_least_zero,
    "momentum": _at_least_zero,
    "weight_decay": _at_least_zero,
    "eps": _at_least_zero,
    "alpha": partial(_checks.finite_number, low=0.0, high=1.0),
    "betas": _check_betas,
    "nesterov": _checks.flag,
}
"""The check of each option, made whenever it is set."""


class Optimizer(Portable):
    """Base class of all optimisers: it checks arguments and keeps the moments of each parameter.

    A subclass passes the names of its moments on, and computes one step in ``_step``.

    Parameters
    ----------
    parameters : dict of arrays
        The live arrays to change: ``layer.parameters``, or those of several layers from
        `pyrnn.merge_parameters`.
    lr : float
        Learning rate.
    moments : tuple of str, optional
        Names of the arrays that are kept for each parameter, such as ``("velocity",)``. They start
        at zero.

    Raises
    ------
    TypeError, ValueError
        If ``parameters`` does not hold contiguous float arrays, or an option is out of range.

    Examples
    --------
    >>> import pyrnn
    >>> adam = pyrnn.Adam(pyrnn.Linear(2, 3).parameters, lr=0.1)
    >>> isinstance(adam, pyrnn.Optimizer)
    True
    >>> adam.lr /= 2  # as any optimiser's, it can be set between steps
    """

    def __init__(
        self, parameters: Mapping[str, Array], lr: float, moments: tuple[str, ...] = ()
    ) -> None:
        self.lr = lr
        self._parameters = _check_parameters(parameters)
        self._families = owners.families_of(self._parameters.values())
        self._steps = 0
        self._state = {
            moment: {name: np.zeros_like(p, subok=False) for name, p in self._parameters.items()}
            for moment in moments
        }

    def __setattr__(self, name: str, value: Any) -> None:
        """Check options, which may be set between steps and count from the next one on."""
        super().__setattr__(name, self._check_option(name, value) if name in OPTIONS else value)

    def _check_option(self, name: str, value: Any) -> Any:
        """Return the value that the option gets, or raise."""
        return OPTIONS[name](name, value)

    def step(self, grads: Mapping[str, Array]) -> None:
        """Change every parameter by one step.

        A signal such as Ctrl-C takes effect before or after a step, never within it.

        Parameters
        ----------
        grads : dict
            The gradient of every parameter, by the same names, with the same shapes and dtypes.
            It is not changed.

        Raises
        ------
        KeyError
            If a name is missing or unknown.
        TypeError, ValueError
            If a gradient has another dtype or shape than its parameter, or a parameter is
            read-only, or the gradients are another layer's. Nothing has changed then.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> linear = pyrnn.Linear(2, 1, seed=0)
        >>> optimizer = pyrnn.SGD(linear.parameters, lr=0.1)
        >>> y, _, cache = linear.forward(np.ones((4, 2), np.float32))
        >>> dx, _, grads = linear.backward(cache, np.ones_like(y))
        >>> before = linear.parameters["bias"].copy()
        >>> optimizer.step(grads)
        >>> (linear.parameters["bias"] - before).round(6)
        array([-0.4], dtype=float32)
        """
        parameters, gradients = self._check_grads(grads)
        moments = [list(arrays.values()) for arrays in self._state.values()]
        self._step(selection.current(), parameters, gradients, moments)
        self._steps += 1

    def _step(
        self, backend: selection.Backend, p: list[Array], g: list[Array], moments: list[list[Array]]
    ) -> None:
        """Change all parameters by one step; ``moments`` holds one list for each kind of moment."""
        raise NotImplementedError

    def _check_grads(self, grads: Mapping[str, Array]) -> tuple[list[Array], list[Array]]:
        """Return the parameters and their gradients as a backend takes them, or raise."""
        if not isinstance(grads, Mapping):
            raise TypeError(f"grads: expected a dict of arrays, got {type(grads).__name__}")
        _check_names("grads", grads, self._parameters)
        if isinstance(grads, owners.Gradients) and not self._families <= grads.families:
            raise ValueError(
                "grads: expected the gradients of the optimiser's parameters, got those of another "
                "layer. For several layers use pyrnn.merge_parameters(a=..., b=...), since "
                "{**a.parameters, **b.parameters} loses what has the same name"
            )
        parameters = list(self._parameters.values())
        gradients = [grads[name] for name in self._parameters]
        if _checks.fit(parameters, gradients):
            return parameters, gradients
        live = [_checks.as_array(name, p) for name, p in self._parameters.items()]
        checked = []
        for (name, p), gradient in zip(self._parameters.items(), gradients, strict=True):
            if not p.flags.writeable:
                raise ValueError(
                    f"{name}: the parameter is read-only; if its layer is in eval mode, call "
                    "train() before step"
                )
            label = f"grads[{name!r}]"
            array = _checks.dense(_checks.float_array(label, gradient, p.dtype, p.shape))
            checked.append(array.copy() if _checks.shares(array, live) else array)
        return live, checked

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of what a later run needs to continue: options, count of steps, moments.

        Returns
        -------
        dict
            ``{"optimizer": name, "options": {...}, "steps": int, "state": {moment: {parameter
            name: array}}}``.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> sgd = pyrnn.SGD({"w": np.zeros(2)}, lr=0.1, momentum=0.9)
        >>> sgd.step({"w": np.ones(2)})
        >>> sgd.state_dict()["state"]
        {'velocity': {'w': array([1., 1.])}}
        """
        return {
            "optimizer": type(self).__name__,
            "options": self._options(),
            "steps": self._steps,
            "state": {
                moment: {name: array.copy() for name, array in arrays.items()}
                for moment, arrays in self._state.items()
            },
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned, options included.

        Parameters
        ----------
        state_dict : dict
            From an optimiser of the same class, for parameters of the same names and shapes. It is
            copied.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is another optimiser's, or for other parameters. Nothing has changed then.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> first = pyrnn.Adam({"w": np.zeros(2)}, lr=0.1)
        >>> first.step({"w": np.ones(2)})
        >>> second = pyrnn.Adam({"w": np.zeros(2)})
        >>> second.load_state_dict(first.state_dict())
        >>> second
        Adam(1 parameters, lr=0.1, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"state_dict: expected a dict, got {type(state_dict).__name__}")
        _check_names("state_dict", state_dict, ("optimizer", "options", "steps", "state"))
        kind = type(self).__name__
        if state_dict["optimizer"] != kind:
            got = _checks.shown(state_dict["optimizer"])
            raise ValueError(f"state_dict: expected one of {kind}, got {got}")
        steps = _checks.size("state_dict['steps']", state_dict["steps"], 0, _checks.MAX_STEPS)
        options = state_dict["options"]
        _check_names("state_dict['options']", options, self._options())
        loaded = type(self)(self._parameters, **options)
        _check_names("state_dict['state']", state_dict["state"], loaded._state)
        for moment, arrays in loaded._state.items():
            where = f"state_dict['state'][{moment!r}]"
            given = state_dict["state"][moment]
            _check_names(where, given, arrays)
            for name, array in arrays.items():
                label = f"{where}[{name!r}]"
                array[...] = _checks.float_array(label, given[name], array.dtype, array.shape)
        loaded._steps = steps
        self.__dict__.update(loaded.__dict__)

    def _options(self) -> dict[str, Any]:
        """The keyword arguments of the constructor."""
        return {"lr": self.lr}

    def __getstate__(self) -> dict[str, Any]:
        moments = {moment: pickled_all(arrays) for moment, arrays in self._state.items()}
        parameters = pickled_all(self._parameters)
        return super().__getstate__() | {"_parameters": parameters, "_state": moments}

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self._options().items())
        return f"{type(self).__name__}({len(self._parameters)} parameters, {options})"


def _check_parameters(parameters: Mapping[str, Array]) -> dict[str, Array]:
    if not isinstance(parameters, Mapping):
        raise TypeError(f"parameters: expected a dict of arrays, got {type(parameters).__name__}")
    if not parameters:
        raise ValueError("parameters: expected one array or more, got an empty dict")
    _checks.live_float_arrays("parameters", parameters)
    return dict(parameters)


def _check_names(where: str, given: object, expected: Iterable[str]) -> None:
    """Refuse a mapping whose keys are not exactly the expected ones."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{where}: expected a dict, got {type(given).__name__}")
    names = list(expected)
    if names == list(given):
        return
    missing = [name for name in names if name not in given]
    unknown = [name for name in given if name not in names]
    if missing or unknown:
        raise KeyError(f"{where}: missing {missing}, unknown {unknown}; expected {names}")
