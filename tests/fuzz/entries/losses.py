"""The losses of `pyrnn.losses`: any rows, options and masks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from pyrnn import losses
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw

Arguments = dict[str, Any]


def _lead(draw: Draw) -> tuple[int, ...]:
    return tuple(draw.choice((1, 2, 3, 5)) for _ in range(draw.integer(0, 3)))


def _common(draw: Draw, shape: tuple[int, ...]) -> Arguments:
    """Which elements count, and what is made of them."""
    options: Arguments = {"reduction": draw.choice(("mean", "sum", "none"))}
    if shape and draw.chance(0.3):
        depth = draw.integer(1, len(shape))
        options["mask"] = np.array(
            [draw.chance(0.7) for _ in range(int(np.prod(shape[:depth])))]
        ).reshape(shape[:depth])
    if len(shape) > 1 and draw.chance(0.3):
        options["batch_first"] = draw.choice((True, False))
        rows, steps = shape[:2] if options["batch_first"] else (shape[1], shape[0])
        options["lengths"] = np.array([draw.integer(1, steps) for _ in range(rows)])
    return options


def _case(name: str, arguments: Arguments) -> Case:
    function: Callable[..., Any] = getattr(losses, name)

    def run(a: Arguments) -> Any:
        return function(**a)

    relations = []
    if arguments["reduction"] == "none":
        relations.append(Relation("sum", partial(_summed, function)))
    return Case(arguments, run, relations, in_numpy=True, names={"y", "reduction", "targets"})


def _summed(function: Callable[..., Any], a: Arguments) -> tuple[Any, Any]:
    """The gradient of the sum is that of each element."""
    if a.get("reduction") != "none":
        return None, None
    return function(**(a | {"reduction": "sum"}))[1], function(**a)[1]


@entry("cross_entropy", "losses.cross_entropy", "losses.softmax_cross_entropy")
def cross_entropy_case(draw: Draw) -> Case:
    """Rows of classes with weights, smoothing and what is ignored."""
    lead, classes = _lead(draw), draw.size()
    a: Arguments = {
        "logits": draw.array(*lead, classes, scale=draw.choice((1.0, 1.0, 30.0, 200.0))),
        "targets": draw.integers(*lead, below=classes),
        **_common(draw, lead),
    }
    if draw.chance(0.3):
        a["weight"] = np.array([draw.choice((0.0, 0.5, 1.0, 3.0)) for _ in range(classes)])
    if draw.chance(0.3):
        a["label_smoothing"] = draw.choice((0.0, 0.1, 1.0))
    if draw.chance(0.3):
        a["ignore_index"] = draw.integer(0, classes - 1)
    case = _case("cross_entropy", a)
    if "weight" not in a and not a.get("label_smoothing"):
        case.relations.clear()  # the core's sum and NumPy's rows
    return case


@entry("binary_cross_entropy_with_logits", "losses.binary_cross_entropy_with_logits")
def binary_case(draw: Draw) -> Case:
    """Logits of any shape against chances."""
    shape = (*_lead(draw), draw.size())
    chances = [draw.choice((0.0, 1.0, 0.25)) for _ in range(int(np.prod(shape)))]
    a: Arguments = {
        "logits": draw.array(*shape, scale=draw.choice((1.0, 30.0))),
        "targets": np.array(chances).reshape(shape),
        **_common(draw, shape),
    }
    if draw.chance(0.3):
        a["pos_weight"] = draw.choice((0.0, 2.0, np.full(shape[-1], 0.5)))
    return _case("binary_cross_entropy_with_logits", a)


def _number_case(draw: Draw, name: str) -> Case:
    shape = (*_lead(draw), draw.size())
    a: Arguments = {"y": draw.array(*shape), "targets": draw.array(*shape), **_common(draw, shape)}
    if name == "huber_loss" and draw.chance(0.5):
        a["delta"] = draw.choice((0.1, 1.0, 10))
    if name == "quantile_loss" and draw.chance(0.7):
        a["quantiles"] = draw.choice((0.1, 0.5, np.float32(0.9)))
    return _case(name, a)


for _name in ("mse_loss", "l1_loss", "huber_loss", "quantile_loss"):
    entry(_name, f"losses.{_name}")(partial(_number_case, name=_name))


@entry("gaussian_nll_loss", "losses.gaussian_nll_loss")
def gaussian_case(draw: Draw) -> Case:
    """Means and logarithms of variances, side by side."""
    lead, features = _lead(draw), draw.size()
    a: Arguments = {
        "y": draw.array(*lead, 2 * features),
        "targets": draw.array(*lead, features),
        "full": draw.choice((True, False)),
        **_common(draw, (*lead, features)),
    }
    return _case("gaussian_nll_loss", a)
