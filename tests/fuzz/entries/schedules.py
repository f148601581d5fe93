"""Schedules of learning rates: any options, some steps, with a state dict in between."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import pyrnn
from pyrnn.optim import lr_scheduler
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw

Arguments = dict[str, Any]
STEPS = 6


def _options(draw: Draw, name: str) -> Arguments:
    share = draw.choice((0.1, 0.5, 0.9, 1.0))
    if name == "StepLR":
        return {"step_size": draw.integer(1, 4), "gamma": share}
    if name == "CosineAnnealingLR":
        return {"T_max": draw.integer(1, 8), "eta_min": draw.choice((0.0, 0.01))}
    if name == "LinearLR":
        return {"start_factor": share, "end_factor": draw.choice((0.0, 1.0)), "total_iters": 3}
    if name == "OneCycleLR":
        options: Arguments = {"max_lr": share, "total_steps": draw.integer(5, 12)}
        options["anneal_strategy"] = draw.choice(("cos", "linear"))
        options["three_phase"] = draw.choice((True, False))
        options["cycle_momentum"] = draw.choice((True, False))
        return options | {"pct_start": draw.choice((0.0, 0.3, 0.6))}
    options = {"patience": draw.integer(0, 2), "factor": draw.choice((0.0, 0.5))}
    options["mode"] = draw.choice(("min", "max"))
    return options | {"cooldown": draw.integer(0, 2), "threshold": draw.choice((1e-4, 0.1))}


def _rates(name: str, metrics: list[Any], saved: bool, a: Arguments) -> Any:
    optimizer = pyrnn.Adam({"w": np.ones(2)}, lr=a["lr"])
    schedule = getattr(lr_scheduler, name)(optimizer, **a["options"])
    rates = []
    for step in range(min(STEPS, a["options"].get("total_steps", STEPS + 1) - 1)):
        metric = (metrics[step],) if name == "ReduceLROnPlateau" else ()
        schedule.step(*metric)
        rates.append((*schedule.get_last_lr(), *optimizer.betas))
        if saved and step == 2:
            state = schedule.state_dict()
            schedule = getattr(lr_scheduler, name)(optimizer, **a["options"])
            schedule.load_state_dict(state)
    return rates


def schedule_case(draw: Draw, name: str) -> Case:
    """Six steps."""
    arguments: Arguments = {"lr": draw.choice((0.1, 1.0, 0)), "options": _options(draw, name)}
    metrics = [draw.choice((1.0, 0.5, 0.2, 3, np.float32(0.1), np.nan)) for _ in range(STEPS)]
    plain, saved = partial(_rates, name, metrics, False), partial(_rates, name, metrics, True)
    return Case(
        arguments, plain, [Relation("going on", lambda a: (saved(a), plain(a)))], in_numpy=True
    )


for _name in ("StepLR", "CosineAnnealingLR", "LinearLR", "OneCycleLR", "ReduceLROnPlateau"):
    entry(_name, f"optim.lr_scheduler.{_name}", weight=0.3)(partial(schedule_case, name=_name))
