"""One cycle: up to a highest rate, then down to a very low one; momentum goes the other way."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn.layers._options import Setting, rate, strings
from pyrnn.training._optimizer import Optimizer
from pyrnn.training.functions import raised_cosine
from pyrnn.training.schedules._base import LRScheduler, above_zero, rates


@public("pyrnn.optim.lr_scheduler")
class OneCycleLR(LRScheduler):
    """Raise the rates to ``max_lr`` and lower them to next to nothing, once.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates are set. Its own rates are replaced.
    max_lr : float or list of float
        The highest rate, for all groups or for each.
    total_steps : int, optional
        The number of steps of the cycle; by default ``epochs * steps_per_epoch``.
    epochs, steps_per_epoch : int, optional
        Both are needed if ``total_steps`` is not given.
    pct_start : float
        The share of steps in which the rate rises, in (0, 1).
    anneal_strategy : {"cos", "linear"}
        The form of the rise and the fall.
    cycle_momentum : bool
        Whether momentum, or β₁ of Adam, falls while the rate rises, and rises while it falls.
    base_momentum, max_momentum : float
        The bounds of momentum.
    div_factor : float
        The first rate is ``max_lr / div_factor``.
    final_div_factor : float
        The last rate is the first one divided by it.
    three_phase : bool
        Whether the rate falls to the first one in as many steps as it rose, and then to the last.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value, or the optimiser has neither momentum nor betas
        and ``cycle_momentum`` is true; from `step`, if there are no steps left.

    Notes
    -----
    A `Trainer` steps it after each batch. Source: Smith, Topin, "Super-convergence: very fast
    training of neural networks using large learning rates", 2018, in the form of
    `torch.optim.lr_scheduler.OneCycleLR`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> optimizer = pyrnn.Adam({"w": np.ones(2)})
    >>> schedule = pyrnn.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
    >>> round(optimizer.lr, 6)
    0.004
    >>> for _ in range(2):
    ...     schedule.step()
    >>> round(optimizer.lr, 6), round(optimizer.betas[0], 6)
    (0.1, 0.85)
    """

    each_batch: ClassVar[bool] = True

    total_steps: Setting[int] = Setting(partial(_checks.size, least=2, most=_checks.MAX_STEPS))
    pct_start: Setting[float] = Setting(rate)
    anneal_strategy: Setting[str] = Setting(strings(("cos", "linear")))
    cycle_momentum: Setting[bool] = Setting(_checks.flag)
    base_momentum: Setting[float] = Setting(rate)
    max_momentum: Setting[float] = Setting(rate)
    div_factor: Setting[float] = Setting(above_zero)
    final_div_factor: Setting[float] = Setting(above_zero)
    three_phase: Setting[bool] = Setting(_checks.flag)
    max_lrs: Setting[list[float]] = Setting(rates)

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Any,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        if total_steps is not None:
            self.total_steps = total_steps
        elif epochs is not None and steps_per_epoch is not None:
            product = _checks.size("epochs", epochs) * _checks.size(
                "steps_per_epoch", steps_per_epoch
            )
            self.total_steps = _checks.size(
                "epochs * steps_per_epoch", product, 2, _checks.MAX_STEPS
            )
        else:
            raise ValueError(
                "total_steps: expected a number, or epochs and steps_per_epoch, got neither"
            )
        self.pct_start = pct_start
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self.base_momentum = base_momentum
        self.max_momentum = max_momentum
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.three_phase = three_phase
        if isinstance(optimizer, Optimizer):
            self.max_lrs = _rates(max_lr, len(optimizer.param_groups))
            _check_momentum(optimizer, self.cycle_momentum)
        super().__init__(optimizer)

    def _check_together(self, options: Mapping[str, Any]) -> None:
        """Refuse momentum that the optimiser does not have."""
        super()._check_together(options)
        _check_momentum(options["optimizer"], options["cycle_momentum"])

    def get_lr(self) -> list[float]:
        """Return the rate of each group, on the line or cosine of the present phase."""
        low, top = 1 / self.div_factor, 1 / self.div_factor / self.final_div_factor
        levels = [low, 1.0, low, top] if self.three_phase else [low, 1.0, top]
        share = self._between(levels)
        return [rate * share for rate in self.max_lrs]

    def step(self) -> None:
        """Advance by one step, after a step of the optimiser.

        Raises
        ------
        ValueError
            If no steps are left.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> optimizer = pyrnn.Adam({"w": np.ones(2)})
        >>> schedule = pyrnn.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10)
        >>> schedule.step()
        >>> optimizer.lr > 0.004
        True
        """
        if self.last_epoch + 1 >= self.total_steps:
            raise ValueError(
                f"total_steps: expected more than {self.last_epoch + 1} for another step, got "
                f"{self.total_steps}"
            )
        super().step()

    def _apply(self) -> None:
        super()._apply()
        if not self.cycle_momentum:
            return
        high, low = self.max_momentum, self.base_momentum
        momentum = self._between([high, low, high, high] if self.three_phase else [high, low, high])
        for group in self.optimizer.param_groups:
            if "betas" in group.options:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum

    def _ends(self) -> list[float]:
        """The step at which each phase ends; the first begins at 0."""
        rise = self.pct_start * self.total_steps - 1
        if self.three_phase:
            return [rise, 2 * self.pct_start * self.total_steps - 2, self.total_steps - 1]
        return [rise, self.total_steps - 1]

    def _between(self, levels: list[float]) -> float:
        """The value of this step, where phases go from each level to the next."""
        begin = 0.0
        ends = self._ends()
        for number, end in enumerate(ends):
            if self.last_epoch <= end or number == len(ends) - 1:
                share = (self.last_epoch - begin) / (end - begin) if end > begin else 1.0
                first, last = levels[number], levels[number + 1]
                if self.anneal_strategy == "linear":
                    return first + (last - first) * share
                return last + (first - last) * raised_cosine(share / 2)
            begin = end
        raise AssertionError("the last phase takes whatever is left")


def _rates(max_lr: Any, groups: int) -> list[float]:
    """The highest rate of each group."""
    given = max_lr if isinstance(max_lr, (list, tuple)) else [max_lr] * groups
    if len(given) != groups:
        raise ValueError(f"max_lr: expected a number or {groups} of them, got {len(given)}")
    return [_checks.finite_number("max_lr", rate, 0.0) for rate in given]


def _check_momentum(optimizer: Optimizer, cycle_momentum: bool) -> None:
    has_momentum = all(
        "betas" in group.options or group.options.get("momentum")
        for group in optimizer.param_groups
    )
    if cycle_momentum and not has_momentum:
        raise ValueError(
            "cycle_momentum: expected False, since the optimiser has neither momentum nor betas, "
            "got True"
        )
