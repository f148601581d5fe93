"""Groups of parameters: each with options of its own, which can be set between steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from pyrnn import _checks
from pyrnn._pickling import Portable, pickled_all, public
from pyrnn._types import Array
from pyrnn.layers._options import Closed, Part


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
"""What each option of an optimiser may be, whenever it is set."""


@public("pyrnn", "_ParamGroup")
class ParamGroup(Closed, Portable):
    """Parameters by name, and the options that hold for them.

    It is read and set as a dict is: ``optimizer.param_groups[0]["lr"] = 0.1``. "params" gives the
    names of the parameters.
    """

    parameters: Part[dict[str, Array]] = Part()
    options: Part[dict[str, Any]] = Part()

    def __init__(self, parameters: Mapping[str, Array], options: Mapping[str, Any]) -> None:
        checked = {name: OPTIONS[name](name, value) for name, value in options.items()}
        check_together(checked, None)
        Part.keep(self, parameters=dict(parameters), options=checked)

    def __getitem__(self, name: str) -> Any:
        if name == "params":
            return list(self.parameters)
        return self.options[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.options[name] = self.checked(name, value)

    def __iter__(self) -> Iterator[str]:
        return iter(["params", *self.options])

    def keys(self) -> list[str]:
        """List ``"params"`` and the names of the options."""
        return list(self)

    def checked(self, name: str, value: Any) -> Any:
        """What an option is set to, if it may be."""
        if name not in self.options:
            raise KeyError(f"unknown option {name!r}; there are {', '.join(self.options)}")
        checked = OPTIONS[name](name, value)
        check_together(self.options | {name: checked}, self.options)
        return checked

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"parameters": pickled_all(self.parameters)}

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"ParamGroup({len(self.parameters)} parameters, {options})"


def check_together(options: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
    """Refuse options that do not go together, or not with those at construction."""
    if options.get("nesterov") and not options["momentum"]:
        raise ValueError("nesterov: expected a momentum above 0 with it, got 0")
    if before is None or "momentum" not in options:
        return
    if bool(options["momentum"]) != bool(before["momentum"]):
        kind = "above 0" if before["momentum"] else "of 0"
        raise ValueError(
            f"momentum: expected one {kind}, as at construction, got {options['momentum']}"
        )


def make_groups(parameters: Any, options: Mapping[str, Any]) -> list[ParamGroup]:
    """The groups of an optimiser: one of all parameters, or those of a list.

    All arrays can be changed in place and share no memory; all names differ.
    """
    if isinstance(parameters, Mapping):
        _check_arrays("parameters", parameters)
        return [ParamGroup(parameters, options)]
    if not isinstance(parameters, (list, tuple)) or not parameters:
        got = type(parameters).__name__ if not isinstance(parameters, (list, tuple)) else "none"
        raise TypeError(f"parameters: expected a dict of arrays or groups of them, got {got}")
    groups: list[ParamGroup] = []
    seen: dict[str, Array] = {}
    for number, given in enumerate(parameters):
        where = f"parameters[{number}]"
        own = _check_group(where, given, options)
        arrays = own.pop("params")
        _check_arrays(where, arrays)
        shared = [name for name in arrays if name in seen]
        if shared:
            raise ValueError(
                f"{where}: expected names that no other group has, got {', '.join(shared)}; "
                "pyrnn.merge_parameters(a=..., b=...) puts names before them"
            )
        seen |= arrays
        groups.append(ParamGroup(arrays, {**options, **own}))
    _checks.live_float_arrays("parameters", seen)
    return groups


def _check_group(where: str, given: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(given, Mapping) or "params" not in given:
        raise TypeError(
            f"{where}: expected a dict with 'params' and options, got {_checks.shown(given)}"
        )
    unknown = [name for name in given if name not in options and name != "params"]
    if unknown:
        raise KeyError(f"{where}: unknown {unknown}; expected 'params', {', '.join(options)}")
    return dict(given)


def _check_arrays(where: str, arrays: Any) -> None:
    if not isinstance(arrays, Mapping):
        raise TypeError(f"{where}: expected a dict of arrays, got {type(arrays).__name__}")
    if not arrays:
        raise ValueError(f"{where}: expected one array or more, got an empty dict")
    _checks.live_float_arrays(where, arrays)
