"""Lower rates when something that is measured stops getting better."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn.layers._options import Setting, strings
from pyrnn.training._optimizer import Optimizer
from pyrnn.training.schedules._base import LRScheduler, count, rates

_at_least_zero = partial(_checks.finite_number, low=0.0)


def _check_factor(name: str, value: Any) -> float:
    factor = _checks.finite_number(name, value, 0.0, 1.0)
    if factor == 1:
        raise ValueError(f"{name}: expected a number below 1, got 1")
    return factor


def _any_number(name: str, value: Any) -> float:
    """A number, also an infinity or NaN."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: expected a number, got {_checks.shown(value)}")
    try:
        return float(value)
    except OverflowError:  # of a whole number
        return math.inf if value > 0 else -math.inf


@public("pyrnn.optim.lr_scheduler")
class ReduceLROnPlateau(LRScheduler):
    """Multiply the rates with ``factor`` once a metric has not improved for a while.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates are set.
    mode : {"min", "max"}
        Whether smaller or larger is better.
    factor : float
        The factor, in [0, 1).
    patience : int
        The number of steps without an improvement that are tolerated.
    threshold : float
        The least change that counts as an improvement.
    threshold_mode : {"rel", "abs"}
        Whether the threshold is a share of the best value so far, or a difference.
    cooldown : int
        The number of steps after a reduction that are not counted.
    min_lr : float or list of float
        The lowest rate, for all groups or for each.
    eps : float
        Smaller changes of a rate are not made.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    A `Trainer` gives it the validation's loss after each epoch, or the training's if there is no
    validation. Source: `torch.optim.lr_scheduler.ReduceLROnPlateau`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> optimizer = pyrnn.SGD({"w": np.ones(2)}, lr=1.0)
    >>> schedule = pyrnn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     schedule.step(loss)
    >>> optimizer.lr
    0.5
    """

    mode: Setting[str] = Setting(strings(("min", "max")))
    factor: Setting[float] = Setting(_check_factor)
    patience: Setting[int] = Setting(count)
    threshold: Setting[float] = Setting(_at_least_zero)
    threshold_mode: Setting[str] = Setting(strings(("rel", "abs")))
    cooldown: Setting[int] = Setting(count)
    eps: Setting[float] = Setting(_at_least_zero)
    best: Setting[float] = Setting(_any_number)
    num_bad_epochs: Setting[int] = Setting(count)
    cooldown_counter: Setting[int] = Setting(count)
    min_lrs: Setting[list[float]] = Setting(rates)
    last_lrs: Setting[list[float]] = Setting(rates)

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: Any = 0.0,
        eps: float = 1e-8,
    ) -> None:
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.eps = eps
        self.best = math.inf if self.mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)
        given = min_lr if isinstance(min_lr, (list, tuple)) else [min_lr] * len(self.base_lrs)
        if len(given) != len(self.base_lrs):
            raise ValueError(
                f"min_lr: expected a number or {len(self.base_lrs)} of them, got {len(given)}"
            )
        self.min_lrs = [_checks.finite_number("min_lr", rate, 0.0) for rate in given]
        self.last_lrs = self.get_last_lr()

    def get_lr(self) -> list[float]:
        """The rates as they are: only `step` changes them."""
        return self.get_last_lr()

    def step(self, metrics: float = math.nan) -> None:
        """Take a value of the metric, and lower the rates if it has not improved for long enough.

        Parameters
        ----------
        metrics : float
            The value; NaN is no improvement.

        Raises
        ------
        TypeError
            If ``metrics`` is not a number.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> optimizer = pyrnn.SGD({"w": np.ones(2)}, lr=1.0)
        >>> schedule = pyrnn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        >>> schedule.step(2.0)
        >>> schedule.step(2.0)
        >>> optimizer.lr
        0.1
        """
        value = _any_number("metrics", metrics)
        self.last_epoch += 1
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self.last_lrs = self.get_last_lr()

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "abs":
            return sign * value < sign * self.best - self.threshold
        return sign * value < sign * self.best * (1 - sign * self.threshold)

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            rate = max(group["lr"] * self.factor, least)
            if group["lr"] - rate > self.eps:
                group["lr"] = rate

    def _restore(self) -> None:
        for group, rate in zip(self.optimizer.param_groups, self.last_lrs, strict=True):
            group["lr"] = rate
