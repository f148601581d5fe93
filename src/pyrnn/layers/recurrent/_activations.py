"""The activations of gates and candidates that a layer is made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from pyrnn import _checks
from pyrnn.backend import cells
from pyrnn.layers import _options

ActivationName = Literal[
    "sigmoid",
    "tanh",
    "relu",
    "hard_sigmoid",
    "identity",
    "softsign",
    "leaky_relu",
    "elu",
    "affine",
    "scaled_tanh",
    "thresholded_relu",
    "softplus",
]

ActivationLike = ActivationName | tuple[ActivationName, float] | tuple[ActivationName, float, float]
"""A name, or a name with its numbers: ``("hard_sigmoid", 1 / 6, 0.5)``."""


def activation(name: str, value: Any) -> ActivationLike:
    """A check for one of the activations, with all of its numbers or none."""
    function, numbers = _parted(value)
    known = cells.activations()
    if not isinstance(function, str) or function not in known:
        listed = ", ".join(map(repr, known))
        raise ValueError(
            f"{name}: expected one of {listed}, or one with its numbers in a tuple, got "
            f"{_checks.shown(value)}"
        )
    defaults = known[function].defaults
    if not numbers and None not in defaults:
        found: Any = function
        return found  # type: ignore[no-any-return]
    if len(numbers) != len(defaults):
        form = ", ".join([repr(function), *("alpha", "beta")[: len(defaults)]])
        raise ValueError(
            f"{name}: expected {f'({form})' if defaults else form}, got {_checks.shown(value)}"
        )
    checked = [_checks.finite_number(name, number, -np.inf) for number in numbers]
    kept: Any = _options.same_tuple(value, (function, *checked))
    return kept  # type: ignore[no-any-return]


def optional_activation(name: str, value: Any) -> ActivationLike | None:
    """`activation`, or None."""
    return None if value is None else activation(name, value)


def clip(name: str, value: Any) -> float | None:
    """A check for a bound above 0, or None."""
    if value is None:
        return None
    number = _checks.finite_number(name, value, 0.0)
    if number == 0:
        raise ValueError(f"{name}: expected a number above 0, or None, got {value!r}")
    return number


def check_layer_norm(options: Mapping[str, Any]) -> None:
    """Refuse other activations with layer norm, whose cells have none, and its options without."""
    for name, usual_one in (("eps", 1e-5), ("normalised_state", False)):
        if not options["layer_norm"] and options.get(name, usual_one) != usual_one:
            raise ValueError(
                f"{name}: expected {usual_one!r} without layer_norm, got {options[name]!r}"
            )
    usual = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    for name in ("activation", "recurrent_activation", "output_activation", "clip"):
        if options["layer_norm"] and options.get(name) != usual.get(name):
            raise ValueError(
                f"layer_norm, {name}: expected at most one of them, got layer_norm=True and "
                f"{name}={options[name]!r}"
            )


def cell(
    plain: str,
    gate: ActivationLike,
    candidate: ActivationLike,
    output: ActivationLike | None,
    bound: float | None,
) -> str:
    """The name of a cell with these activations: ``plain`` itself with the usual ones."""
    return cells.activated_cell(
        plain,
        [_parted(one) for one in (gate, candidate, candidate if output is None else output)],
        np.inf if bound is None else bound,
    )


def named_numbers(value: ActivationLike) -> tuple[str, float, float]:
    """The name of an activation, alpha and beta; 0 for a number that it does not have."""
    function, numbers = _parted(value)
    alpha, beta = (*(numbers or cells.activations()[function].defaults), 0.0, 0.0)[:2]
    return function, alpha, beta


def _parted(value: Any) -> tuple[Any, tuple[Any, ...]]:
    """The name and the numbers. A file has a list for a tuple."""
    if (isinstance(value, tuple) and value) or (isinstance(value, list) and len(value) > 1):
        return value[0], tuple(value[1:])
    return value, ()
