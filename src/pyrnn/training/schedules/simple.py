"""Schedules that are one formula of the number of steps."""

from __future__ import annotations

from functools import partial

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn.layers._options import Setting, rate
from pyrnn.training._optimizer import Optimizer
from pyrnn.training.functions import power, raised_cosine
from pyrnn.training.schedules._base import LRScheduler, above_zero


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

    step_size: Setting[int] = Setting(_checks.size)
    gamma: Setting[float] = Setting(partial(_checks.finite_number, low=0.0))

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = step_size
        self.gamma = gamma
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

    T_max: Setting[int] = Setting(_checks.size)
    eta_min: Setting[float] = Setting(partial(_checks.finite_number, low=0.0))

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
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

    start_factor: Setting[float] = Setting(partial(above_zero, most=1.0))
    end_factor: Setting[float] = Setting(rate)
    total_iters: Setting[int] = Setting(_checks.size)

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        """Return the initial rates times the factor on the line."""
        done = min(self.last_epoch, self.total_iters) / self.total_iters
        factor = self.start_factor + (self.end_factor - self.start_factor) * done
        return [rate * factor for rate in self.base_lrs]
