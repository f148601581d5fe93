"""Lower rates when something that is measured stops getting better."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn.training._optimizer import Optimizer
from pyrnn.training.schedules._base import LRScheduler


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
        self.mode: str = _checks.choice("mode", mode, ("min", "max"))
        self.factor: float = _checks.finite_number("factor", factor, 0.0, 1.0)
        if self.factor == 1:
            raise ValueError("factor: expected a number below 1, got 1")
        self.patience: int = _checks.size("patience", patience, 0)
        self.threshold: float = _checks.finite_number("threshold", threshold, 0.0)
        self.threshold_mode: str = _checks.choice("threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown: int = _checks.size("cooldown", cooldown, 0)
        self.eps: float = _checks.finite_number("eps", eps, 0.0)
        self.best: float = math.inf if self.mode == "min" else -math.inf
        self.num_bad_epochs: int = 0
        self.cooldown_counter: int = 0
        super().__init__(optimizer)
        given = min_lr if isinstance(min_lr, (list, tuple)) else [min_lr] * len(self.base_lrs)
        if len(given) != len(self.base_lrs):
            raise ValueError(
                f"min_lr: expected a number or {len(self.base_lrs)} of them, got {len(given)}"
            )
        self.min_lrs: list[float] = [_checks.finite_number("min_lr", rate, 0.0) for rate in given]
        self.last_lrs: list[float] = self.get_last_lr()

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
        if isinstance(metrics, bool) or not isinstance(
            metrics, (int, float, np.integer, np.floating)
        ):
            raise TypeError(f"metrics: expected a number, got {_checks.shown(metrics)}")
        try:
            value = float(metrics)
        except OverflowError:  # of a whole number
            value = math.inf if metrics > 0 else -math.inf
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
