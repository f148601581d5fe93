"""Schedules: torch's rates over 100 steps, states to go on from, and what is refused."""

import copy
import json
import math
import pickle

import numpy as np
import pytest

import pyrnn
from pyrnn.optim import lr_scheduler

STEPS = 100
SCHEDULES = {
    "step": ("StepLR", {"step_size": 7, "gamma": 0.5}),
    "cosine": ("CosineAnnealingLR", {"T_max": 30, "eta_min": 0.01}),
    "cosine-once": ("CosineAnnealingLR", {"T_max": STEPS}),
    "linear": ("LinearLR", {}),
    "linear-down": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 60}),
    "one-cycle": ("OneCycleLR", {"max_lr": 0.3, "total_steps": STEPS + 1}),
    "one-cycle-linear": (
        "OneCycleLR",
        {"max_lr": [0.3, 0.2], "epochs": 3, "steps_per_epoch": 40, "anneal_strategy": "linear"},
    ),
    "one-cycle-three": (
        "OneCycleLR",
        {"max_lr": 0.3, "total_steps": 101, "three_phase": True, "pct_start": 0.37},
    ),
    "one-cycle-rates-alone": (
        "OneCycleLR",
        {"max_lr": 0.3, "total_steps": 101, "cycle_momentum": False, "div_factor": 3.0},
    ),
    "plateau": ("ReduceLROnPlateau", {"patience": 2}),
    "plateau-worse-at-once": ("ReduceLROnPlateau", {"mode": "max", "patience": 0, "factor": 0.9}),
    "plateau-max": ("ReduceLROnPlateau", {"mode": "max", "factor": 0.7, "cooldown": 3}),
    "plateau-max-far": ("ReduceLROnPlateau", {"mode": "max", "patience": 1, "threshold": 0.3}),
    "plateau-abs": (
        "ReduceLROnPlateau",
        {"patience": 1, "threshold": 0.3, "threshold_mode": "abs", "min_lr": [0.02, 0.0]},
    ),
}
EACH = pytest.mark.parametrize(("name", "options"), SCHEDULES.values(), ids=SCHEDULES)
METRICS = np.abs(np.random.default_rng(0).standard_normal(STEPS)) + np.linspace(3, 0, STEPS)


def make(name, options, kind="Adam"):
    extra = {"momentum": 0.5} if kind == "SGD" else {}
    groups = [{"params": {"a": np.ones(1)}, "lr": 0.1}, {"params": {"b": np.ones(1)}, "lr": 0.5}]
    optimizer = getattr(pyrnn, kind)(groups, **extra)
    return optimizer, getattr(lr_scheduler, name)(optimizer, **options)


def advance(scheduler, step):
    if "Plateau" in type(scheduler).__name__:
        scheduler.step(METRICS[step])
    else:
        scheduler.step()


@EACH
@pytest.mark.parametrize("kind", ["Adam", "SGD"])
def test_rates_are_torchs(name, options, kind):
    torch = pytest.importorskip("torch")
    optimizer, scheduler = make(name, options, kind)
    groups = [{"params": [torch.ones(1, requires_grad=True)], "lr": rate} for rate in (0.1, 0.5)]
    extra = {"momentum": 0.5} if kind == "SGD" else {"lr": 1e-3}
    theirs = getattr(torch.optim, kind)(groups, **extra)
    other = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    for step in range(STEPS + 1):
        for mine, group in zip(optimizer.param_groups, theirs.param_groups, strict=True):
            assert mine["lr"] == pytest.approx(float(group["lr"]), rel=1e-11, abs=1e-17), step
            if kind == "SGD":
                assert mine["momentum"] == pytest.approx(group["momentum"], rel=1e-12)
            else:
                assert mine["betas"] == pytest.approx(group["betas"], rel=1e-12)
        if step < STEPS:
            theirs.step()
            advance(scheduler, step)
            advance(other, step)


@EACH
def test_a_state_dict_goes_on_where_it_was(name, options):
    optimizer, scheduler = make(name, options)
    rates = []
    for step in range(60):
        if step == 25:
            saved = json.loads(json.dumps(scheduler.state_dict()))
        advance(scheduler, step)
        rates.append(scheduler.get_last_lr())
    other, fresh = make(name, options)
    fresh.load_state_dict(saved)
    for step in range(25, 60):
        advance(fresh, step)
        assert fresh.get_last_lr() == rates[step]
    assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


@EACH
@pytest.mark.parametrize("way", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_go_on_alone(name, options, way):
    _, scheduler = make(name, options)
    for step in range(5):
        advance(scheduler, step)
    twin = way(scheduler)
    for step in range(5, 40):
        advance(twin, step)
    assert scheduler.last_epoch == 5
    for step in range(5, 40):
        advance(scheduler, step)
    assert twin.get_last_lr() == scheduler.get_last_lr()
    assert twin.optimizer is not scheduler.optimizer


@EACH
def test_wrong_states_change_nothing(name, options):
    _, scheduler = make(name, options)
    advance(scheduler, 0)
    before = scheduler.state_dict(), scheduler.get_last_lr()
    for change, error in (
        (lambda s: s.update(scheduler="Other"), ValueError),
        (lambda s: s.update(scheduler="Zero"), ValueError),
        (lambda s: s.update(base_lrs=[0.1, -0.1]), ValueError),
        (lambda s: s.update(last_epoch="5"), TypeError),
        (lambda s: s.update(base_lrs=[0.1]), ValueError),
        (lambda s: s.pop("base_lrs"), KeyError),
    ):
        state = copy.deepcopy(before[0])
        change(state)
        with pytest.raises(error, match="state_dict"):
            scheduler.load_state_dict(state)
        assert (scheduler.state_dict(), scheduler.get_last_lr()) == before
    with pytest.raises(TypeError, match="state_dict: expected a dict, got list"):
        scheduler.load_state_dict([])


def test_no_steps_are_left():
    _, scheduler = make("OneCycleLR", {"max_lr": 0.1, "total_steps": 3})
    scheduler.step()
    scheduler.step()
    with pytest.raises(ValueError, match="total_steps: expected more than 3 for another step"):
        scheduler.step()
    assert scheduler.last_epoch == 2


@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("StepLR", {"step_size": 0}, ValueError, "step_size: expected a whole number of at least"),
        ("StepLR", {"step_size": 2, "gamma": -1}, ValueError, "gamma: expected a number in"),
        ("CosineAnnealingLR", {"T_max": 2.5}, TypeError, "T_max: expected a whole number, got 2.5"),
        ("LinearLR", {"start_factor": 0}, ValueError, "start_factor: expected a number above 0"),
        (
            "LinearLR",
            {"start_factor": -0.5},
            ValueError,
            r"start_factor: .*number in \[0.0",
        ),
        ("LinearLR", {"end_factor": 2}, ValueError, r"end_factor: expected a number in \[0.0, 1.0"),
        ("OneCycleLR", {"max_lr": 1}, ValueError, "total_steps: expected a number, or epochs and"),
        (
            "OneCycleLR",
            {"max_lr": [1], "total_steps": 9},
            ValueError,
            "max_lr: .* 2 of them, got",
        ),
        (
            "OneCycleLR",
            {"max_lr": 1, "total_steps": 9, "div_factor": 0},
            ValueError,
            "div_factor: expected a number above 0, got 0",
        ),
        ("ReduceLROnPlateau", {"factor": 1.0}, ValueError, "factor: expected a number below 1"),
        ("ReduceLROnPlateau", {"mode": "least"}, ValueError, "mode: expected 'min' or 'max', got"),
        ("ReduceLROnPlateau", {"min_lr": [0.1]}, ValueError, "min_lr: .* 2 of them, got 1"),
        ("ReduceLROnPlateau", {"cooldown": 2**63}, ValueError, "cooldown: expected .* at most"),
        ("ReduceLROnPlateau", {"patience": 2**63}, ValueError, "patience: expected .* at most"),
    ],
)
def test_wrong_arguments(name, options, error, words):
    with pytest.raises(error, match=words):
        make(name, options)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_whole_numbers_beyond_floats_are_infinite(mode):
    _, scheduler = make("ReduceLROnPlateau", {"mode": mode})
    better = -(10**400) if mode == "min" else 10**400
    scheduler.step(better)
    scheduler.step(-better)
    assert scheduler.best == (-math.inf if mode == "min" else math.inf)
    assert scheduler.num_bad_epochs == 1


def test_momentum_that_an_optimiser_does_not_have():
    optimizer = pyrnn.SGD({"w": np.ones(1)})
    with pytest.raises(ValueError, match="cycle_momentum: expected False, since the optimiser has"):
        lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10)
    lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10, cycle_momentum=False)


def test_what_is_no_optimiser_or_no_metric():
    with pytest.raises(TypeError, match=r"optimizer: expected one of pyrnn\.optim, got 3"):
        lr_scheduler.StepLR(3, 1)
    _, scheduler = make("ReduceLROnPlateau", {})
    with pytest.raises(TypeError, match="metrics: expected a number, got 'low'"):
        scheduler.step("low")
    scheduler.step(10**400)
    assert scheduler.best == np.inf


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("step_size", 0)]
    + [
        (n, w)
        for n in ("step_size", "last_epoch")
        for w in (-1, -(2**40), 2.5, 2**70, "1", None, True)
    ],
)
def test_counts_that_are_none_are_refused_at_once(name, wrong):
    """A negative one once never ended."""
    optimizer = pyrnn.SGD({"w": np.ones(2)}, lr=1.0)
    schedule = lr_scheduler.StepLR(optimizer, 2)
    before = schedule.state_dict()
    with pytest.raises((TypeError, ValueError), match="state_dict"):
        schedule.load_state_dict({**before, name: wrong})
    assert schedule.state_dict() == before
    assert optimizer.lr == 1.0
