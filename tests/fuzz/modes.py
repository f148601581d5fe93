"""The reference in other modes, which tell how much rounding and overflow make of a case."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

from pyrnn import _checks
from pyrnn.reference import losses
from pyrnn.reference.layer_norm import Normalised
from tests.fuzz import compare
from tests.fuzz.draw import Mode


@contextlib.contextmanager
def rerun(mode: Mode) -> Iterator[None]:
    """Let the reference compute as the mode says; long double counts as a dtype meanwhile."""
    floats = _checks.FLOATS | {np.dtype(np.longdouble)}
    changed = _summed_in_chains() if mode.chains else _changed_values(mode)
    with mock.patch.object(_checks, "FLOATS", floats), changed:
        yield


FUNCTIONS = {
    "exp": True,
    "tanh": True,
    "sigmoid": True,
    "input_product": False,
    "hidden_product": False,
    "times_back": False,
    "normalise": False,
    "normalise_backward": False,
    "sum_of_rows": False,
    "sum_of_products": False,
}
"""What is off within the reference, and whether in its results or in what it takes."""

ALL_ARGUMENTS = {"normalise_backward"}
"""Others have one argument changed: two in a product may cancel each other."""


@contextlib.contextmanager
def _changed_values(mode: Mode) -> Iterator[None]:
    """Let values within the reference be off by a unit in the last place, or flushed to zero.

    They are what exp, tanh and sigmoid give, since the derivative of a shut gate, 1 minus nearly 1,
    is all rounding; what products with weights take (a subnormal state, read as zero, is NaN beside
    an infinite weight) and their backward passes (the gradients of two classes may cancel); what
    layer norm takes, which may be all equal up to rounding; what its backward pass takes, where of
    two units nothing but 1 − n² is left; what gradients are sums of, which may be zero up to
    rounding, while Adam divides by their size. Two modes take all up, all down, the others each by
    chance.
    """
    if not (mode.nudge or mode.flush):
        yield
        return
    generator = np.random.default_rng(mode.nudge)

    def changed(x: Any) -> Any:
        if isinstance(x, Normalised):
            return x._replace(value=changed(x.value))
        if not isinstance(x, (np.ndarray, np.floating)) or x.dtype.kind != "f":
            return x  # indices, parameters by name, options
        y = np.asarray(x)
        if mode.flush:  # what these are multiplied with is mostly less than 1
            return np.where(np.abs(y) < compare.least(y.dtype), y * 0, y)
        ways = {1: (1,), 2: (-1,)}.get(mode.nudge, (-1, 0, 1))
        return y * (1 + np.finfo(y.dtype).eps * generator.choice(ways, y.shape)).astype(y.dtype)

    modules = [m for name, m in sorted(sys.modules.items()) if name.startswith("pyrnn.")]
    with contextlib.ExitStack() as stack:
        for place in (np, *modules):
            for name, of_result in FUNCTIONS.items():
                function = getattr(place, name, None)
                if isinstance(function, np.ufunc) or inspect.isfunction(function):
                    around = _around(function, changed, of_result, name in ALL_ARGUMENTS)
                    stack.enter_context(mock.patch.object(place, name, around))
        for place, name in enumerate(losses.Functions._fields):  # held, not looked up by name
            held = property(lambda of, place=place: _around(of[place], changed, True, False))
            stack.enter_context(mock.patch.object(losses.Functions, name, held))
        yield


def _around(
    function: Callable[..., Any], change: Callable[[Any], Any], of_result: bool, all_arguments: bool
) -> Callable[..., Any]:
    """The function of changed arguments, or its changed result."""
    if of_result:
        return lambda *given, **options: change(function(*given, **options))
    if all_arguments:
        return lambda *given: function(*map(change, given))
    return lambda x, *given, **options: function(change(x), *given, **options)


# --- products as the core sums them -----------------------------------------------------------


@contextlib.contextmanager
def _summed_in_chains() -> Iterator[None]:
    """Each number of a product is a chain of fused multiply-adds in the order of k, the bias last.

    NumPy's order is another, which matters where numbers overflow: to the infinity that is first;
    and where huge numbers are equal, of which NumPy's mean differs.
    """
    modules = [m for name, m in sorted(sys.modules.items()) if name.startswith("pyrnn.")]
    with contextlib.ExitStack() as stack:
        for place in modules:
            for name, around in CHAINS.items():
                function = getattr(place, name, None)
                if inspect.isfunction(function):
                    stack.enter_context(mock.patch.object(place, name, around(function)))
        yield


def chain(x: Any, weight: Any, bias: Any) -> Any:
    """x Wᵀ + b, (M, K), (N, K), (N,) -> (M, N)."""
    dtype = np.result_type(x, weight)
    total = np.zeros((len(x), len(weight)), dtype)
    with np.errstate(all="ignore"):
        for k in range(x.shape[1]):
            product = np.multiply.outer(x[:, k].astype(np.longdouble), weight[:, k])
            total = (total + product).astype(dtype)
        return total if bias is None else total + bias


def _input_product(function: Any) -> Any:
    def product(x: Any, parameters: Any) -> Any:
        if x.ndim != 2:  # indices choose columns
            return function(x, parameters)
        return chain(x, parameters["weight_ih"], parameters.get("bias_ih"))

    return product


def _hidden_product(function: Any) -> Any:
    def product(h: Any, parameters: Any, mask: Any = None) -> Any:
        masked = h if mask is None else mask * h
        return chain(masked, parameters["weight_hh"], parameters.get("bias_hh"))

    return product


def _linear(function: Any) -> Any:
    def product(x: Any, weight: Any, bias: Any, out: Any = None) -> Any:
        y = chain(x, weight, bias)
        if out is None:
            return y
        out[...] = y
        return out

    return product


def _normalise(function: Any) -> Any:
    """Of what is less by the first number, so that equal numbers are exactly their mean."""

    def normalise(a: Any, *eps: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(a - a[:, :1], *eps)

    return normalise


CHAINS = {
    "normalise": _normalise,
    "input_product": _input_product,
    "hidden_product": _hidden_product,
    "linear": _linear,
}
"""The reference's functions, by their names, and what takes their place."""
