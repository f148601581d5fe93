"""Optimisers and clipping: what they change in place, and that a refusal changes nothing."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from typing import Any

import numpy as np

import pyrnn
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw
from tests.fuzz.entries.common import unchanged_if_refused

Arguments = dict[str, Any]
KINDS: dict[str, Any] = {
    "SGD": pyrnn.SGD,
    "Adagrad": pyrnn.Adagrad,
    "RMSprop": pyrnn.RMSprop,
    "Adam": pyrnn.Adam,
    "AdamW": pyrnn.AdamW,
}
STEPS = 3


def _shape(draw: Draw) -> tuple[int, ...]:
    if draw.large:
        return (draw.integer(50, 400), draw.integer(50, 200))
    return tuple(draw.choice((1, 2, 3, 5, 17)) for _ in range(draw.choice((0, 1, 1, 2, 2, 3))))


def optimiser_case(draw: Draw, kind: str) -> Case:
    """Three steps, with a copy or a state dict in between."""
    shapes = {name: _shape(draw) for name in ("weight", "bias", "empty")[: draw.integer(1, 3)]}
    if "empty" in shapes and draw.chance(0.3):
        shapes["empty"] = (0, 3)
    parameters = {name: draw.array(*shape, in_place=True) for name, shape in shapes.items()}
    if draw.chance(0.1):
        parameters["weight"] = draw.array(*shapes["weight"])  # perhaps one that is refused
    arguments: Arguments = {
        "parameters": parameters,
        "options": _options(draw, kind),
        **{
            f"grads_{n}": {name: draw.array(*shape) for name, shape in shapes.items()}
            for n in range(STEPS)
        },
    }
    plan: Arguments = {}
    if len(shapes) > 1 and draw.chance(0.3):
        plan["split"] = draw.choice(({"lr": 0.01}, {"weight_decay": 0.5}, {}))
    if draw.chance(0.2):
        plan["frozen"] = draw.choice(list(shapes))
    way = draw.choice(("go on", "go on", "state_dict", "pickle", "deepcopy"))
    names = {"lr", "grads", "parameters", "parameter", "state_dict", "momentum", "betas", *shapes}
    relations = []
    if way != "go on":
        relations.append(Relation("going on", partial(_both_ways, kind, way, plan)))
    return Case(
        arguments, partial(_steps, kind, way, plan), relations,
        changes=frozenset({"parameters"}), late=True, names=names,
        nan_or_infinity=partial(_has_subnormal_options, draw.drawn_dtype),
    )  # fmt: skip


def _options(draw: Draw, kind: str) -> dict[str, Any]:
    options: dict[str, Any] = {"lr": draw.choice((0.0, 1e-3, 0.1, 1.0))}
    if draw.chance(0.4):
        options["weight_decay"] = draw.choice((0.0, 0.01, 0.5))
    if kind == "SGD" and draw.chance(0.6):
        options["momentum"] = draw.choice((0.5, 0.9, 1.0))
        options["nesterov"] = draw.chance(0.4)
    if kind != "SGD" and draw.chance(0.3):
        options["eps"] = draw.choice((1e-8, 1e-3, 1.0))
    if kind == "RMSprop" and draw.chance(0.4):
        options["alpha"] = draw.choice((0.0, 0.5, 0.99, 1.0))
    if kind.startswith("Adam") and draw.chance(0.4):
        options["betas"] = draw.choice(((0.0, 0.0), (0.9, 0.999), [0.5, 0.9]))
    return options


def _has_subnormal_options(dtype: str, a: Arguments) -> bool:
    """Whether the core reads an option as zero: infinity times zero is NaN (docs/numerics.md)."""
    least = np.finfo(dtype).tiny
    numbers = [n for n in a["options"].values() if isinstance(n, (float, np.floating))]
    return any(0 < abs(number) < least for number in numbers)


def _steps(kind: str, way: str, plan: Arguments, a: Arguments) -> dict[str, Any]:
    parameters = a["parameters"]
    optimiser = KINDS[kind](_groups(parameters, plan), **a["options"])
    if "frozen" in plan:
        optimiser.freeze(plan["frozen"])
    for number in range(STEPS):
        with unchanged_if_refused(parameters):
            optimiser.step(a[f"grads_{number}"])
        if number == 0 and way == "state_dict":
            state = optimiser.state_dict()
            momentum = {"momentum": 0.5} if a["options"].get("momentum") else {}
            optimiser = KINDS[kind](_groups(parameters, plan), lr=0.5, **momentum)
            optimiser.load_state_dict(state)
        elif number == 0 and way != "go on":
            optimiser = _replica(optimiser, way)
            parameters = optimiser._parameters
    state = optimiser.state_dict()
    kept = {name: np.array(array) for name, array in parameters.items()}
    return {"parameters": kept, "state": state["state"], "steps": state["steps"]}


def _groups(parameters: Any, plan: Arguments) -> Any:
    """The parameters in two groups, if the case has them so."""
    if "split" not in plan or not isinstance(parameters, dict) or "weight" not in parameters:
        return parameters
    first = {"weight": parameters["weight"]}
    others = {name: p for name, p in parameters.items() if name != "weight"}
    return [{"params": first, **plan["split"]}, {"params": others}]


def _replica(optimiser: Any, way: str) -> Any:
    return pickle.loads(pickle.dumps(optimiser)) if way == "pickle" else copy.deepcopy(optimiser)


def _both_ways(kind: str, way: str, plan: Arguments, a: Arguments) -> tuple[Any, Any]:
    kept = copy.deepcopy(a)
    return _steps(kind, way, plan, a), _steps(kind, "go on", plan, kept)


for _kind in KINDS:
    _methods = ("step", "state_dict", "load_state_dict", "freeze", "unfreeze", "frozen")
    entry(_kind, _kind, *(f"{_kind}.{method}" for method in _methods))(
        partial(optimiser_case, kind=_kind)
    )


def _clip_case(draw: Draw, name: str, limit: str) -> Case:
    shapes = {key: _shape(draw) for key in "abc"[: draw.integer(0, 3)]}
    arguments: Arguments = {
        "grads": {key: draw.array(*shape, in_place=True) for key, shape in shapes.items()},
        limit: draw.choice((0.0, 0.1, 1.0, 1e3, 1)),
    }
    if shapes and draw.chance(0.1):
        arguments["grads"]["a"] = draw.array(*shapes["a"])

    def run(a: Arguments) -> Any:
        norm = getattr(pyrnn, name)(a["grads"], a[limit])
        return {"norm": norm, "grads": {key: np.array(g) for key, g in a["grads"].items()}}

    return Case(arguments, run, changes=frozenset({"grads"}))


entry("clip_grad_norm", "clip_grad_norm", "clip_grad_norm_")(
    partial(_clip_case, name="clip_grad_norm", limit="max_norm")
)
entry("clip_grad_value", "clip_grad_value", "clip_grad_value_")(
    partial(_clip_case, name="clip_grad_value", limit="limit")
)


def merge_case(draw: Draw) -> Case:
    """Dicts of several layers in one: the same arrays under longer names."""
    names = draw.random.sample(("weight", "bias", "weight_ih_l0", "x"), draw.integer(1, 4))
    groups = draw.random.sample(("a", "b", "encoder"), draw.integer(1, 3))
    arguments: Arguments = {
        group: {name: draw.array(*_shape(draw)) for name in names} for group in groups
    }

    def run(a: Arguments) -> Any:
        merged = pyrnn.merge_parameters(**a)
        given = {f"{group}.{name}": v for group in a for name, v in a[group].items()}
        return {name: value is given[name] for name, value in merged.items()}

    return Case(arguments, run, expected=lambda a: {f"{g}.{n}": True for g in a for n in a[g]})


entry("merge_parameters", "merge_parameters", weight=0.3)(merge_case)
