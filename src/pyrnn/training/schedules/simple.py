"""Schedules that are one formula of the number of steps."""

from __future__ import annotations

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn.training._optimizer import Optimizer
from pyrnn.training.functions import power, raised_cosine
from pyrnn.training.schedules._base import LRScheduler


@public("pyrnn.optim.lr_scheduler")
class StepLR(LRScheduler):
    """Multiply the rates with ``gamma`` every ``step_size`` steps.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates are set.
    step_size : int
        The number of steps between two changes.
    gamma : float, default 0.1
        The factor, 0 or more.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> optimizer = pyrnn.SGD({"w": np.ones(2)}, lr=1.0)
    >>> schedule = pyrnn.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for _ in range(4):
    ...     optimizer.step({"w": np.ones(2)})
    ...     schedule.step()
    >>> optimizer.lr
    0.25
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size: int = _checks.size("step_size", step_size)
        self.gamma: float = _checks.finite_number("gamma", gamma, 0.0)
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        """Return γ^⌊steps / step_size⌋ times the initial rates."""
        factor = power(self.gamma, self.last_epoch // self.step_size)
        return [rate * factor for rate in self.base_lrs]


@public("pyrnn.optim.lr_scheduler")
class CosineAnnealingLR(LRScheduler):
    """Lower the rates to ``eta_min`` along half a cosine; beyond ``T_max`` they rise again.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates are set.
    T_max : int
        Steps until the lowest rate.
    eta_min : float
        The lowest rate.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    Source: Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
    without the restarts, as in torch.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> optimizer = pyrnn.SGD({"w": np.ones(2)}, lr=1.0)
    >>> schedule = pyrnn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    >>> for _ in range(5):
    ...     schedule.step()
    >>> round(optimizer.lr, 6)
    0.5
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max: int = _checks.size("T_max", T_max)
        self.eta_min: float = _checks.finite_number("eta_min", eta_min, 0.0)
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        """Return η_min + (initial rate − η_min) (1 + cos(π steps / T_max)) / 2."""
        share = raised_cosine(self.last_epoch / (2 * self.T_max))
        return [self.eta_min + (rate - self.eta_min) * share for rate in self.base_lrs]


@public("pyrnn.optim.lr_scheduler")
class LinearLR(LRScheduler):
    """Change a factor of the rates in a straight line, for instance to warm up.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates are set.
    start_factor : float
        At the start, above 0 and at most 1.
    end_factor : float
        In [0, 1], after ``total_iters`` steps and from then on.
    total_iters : int
        How many steps it takes.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> optimizer = pyrnn.SGD({"w": np.ones(2)}, lr=1.0)
    >>> schedule = pyrnn.optim.lr_scheduler.LinearLR(optimizer, 0.5, total_iters=10)
    >>> optimizer.lr
    0.5
    >>> for _ in range(5):
    ...     schedule.step()
    >>> optimizer.lr
    0.75
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        self.start_factor: float = _checks.finite_number("start_factor", start_factor, 0.0, 1.0)
        if self.start_factor == 0:
            raise ValueError("start_factor: expected a number above 0, got 0")
        self.end_factor: float = _checks.finite_number("end_factor", end_factor, 0.0, 1.0)
        self.total_iters: int = _checks.size("total_iters", total_iters)
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        """Return the initial rates times the factor on the line."""
        done = min(self.last_epoch, self.total_iters) / self.total_iters
        factor = self.start_factor + (self.end_factor - self.start_factor) * done
        return [rate * factor for rate in self.base_lrs]
