"""What all schedules share: the initial rates, the count of steps, saved state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from pyrnn import _checks
from pyrnn._pickling import Portable, public
from pyrnn.layers._options import Closed, Setting
from pyrnn.training._optimizer import Optimizer


def rates(name: str, value: Any) -> list[float]:
    """A check for the learning rates of all groups."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name}: expected a list of numbers, got {_checks.shown(value)}")
    return [_checks.finite_number(name, rate, 0.0) for rate in value]


def above_zero(name: str, value: Any, most: float = math.inf) -> float:
    """A check for a number above 0."""
    number = _checks.finite_number(name, value, 0.0, most)
    if number == 0:
        raise ValueError(f"{name}: expected a number above 0, got 0")
    return number


def check_optimizer(name: str, value: Any) -> Optimizer:
    """A check for an optimiser."""
    if not isinstance(value, Optimizer):
        raise TypeError(f"{name}: expected one of pyrnn.optim, got {_checks.shown(value)}")
    return value


count = partial(_checks.size, least=0, most=_checks.MAX_STEPS)
"""A check for a number of steps that are done."""


@public("pyrnn.optim.lr_scheduler")
class LRScheduler(Closed, Portable):
    """Base class of all schedules: each `step` sets the learning rate of every group.

    A schedule of your own defines `get_lr`.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser. Its present learning rates are the initial ones.

    Raises
    ------
    TypeError
        If ``optimizer`` is not an optimiser.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> class Halved(pyrnn.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [rate / 2**self.last_epoch for rate in self.base_lrs]
    >>> optimizer = pyrnn.SGD({"w": np.ones(2)}, lr=1.0)
    >>> schedule = Halved(optimizer)
    >>> schedule.step()
    >>> optimizer.lr
    0.5
    """

    each_batch: ClassVar[bool] = False
    """Whether a `Trainer` steps it after each batch; otherwise after each epoch."""

    optimizer: Setting[Optimizer] = Setting(check_optimizer)
    base_lrs: Setting[list[float]] = Setting(rates)
    last_epoch: Setting[int] = Setting(count)

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.last_epoch = 0
        self._apply()

    def _check_together(self, options: Mapping[str, Any]) -> None:
        """Refuse another number of rates than the optimiser has groups."""
        groups = len(options["optimizer"].param_groups)
        for name in ("base_lrs", "max_lrs", "min_lrs", "last_lrs"):
            if len(options.get(name, range(groups))) != groups:
                raise ValueError(
                    f"{name}: expected as many rates as the optimiser has groups, {groups}, got "
                    f"{len(options[name])}"
                )

    def get_lr(self) -> list[float]:
        """Return the learning rate of each group after ``last_epoch`` steps."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """Return the present learning rate of each group.

        Returns
        -------
        list of float
            The rates, in the order of the optimiser's groups.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> optimizer = pyrnn.SGD({"w": np.ones(2)}, lr=0.1)
        >>> pyrnn.optim.lr_scheduler.StepLR(optimizer, step_size=1).get_last_lr()
        [0.1]
        """
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:
        """Advance by one step, after a step or an epoch of the optimiser.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> optimizer = pyrnn.SGD({"w": np.ones(2)}, lr=1.0)
        >>> schedule = pyrnn.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        >>> schedule.step()
        >>> optimizer.lr
        0.5
        """
        self.last_epoch += 1
        self._apply()

    def _apply(self) -> None:
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Return what a later run needs to continue, except the constructor's arguments.

        Returns
        -------
        dict
            The schedule's kind, counts and numbers.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> optimizer = pyrnn.SGD({"w": np.ones(2)}, lr=1.0)
        >>> pyrnn.optim.lr_scheduler.StepLR(optimizer, step_size=2).state_dict()["last_epoch"]
        0
        """
        own = {n: v for n, v in self.__dict__.items() if n != "optimizer"}
        return {"scheduler": type(self).__name__, **own}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned, and set the rates accordingly.

        Parameters
        ----------
        state_dict : dict
            From a schedule of the same class.

        Raises
        ------
        TypeError, KeyError, ValueError
            If it is another schedule's. Nothing has changed then.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> optimizer = pyrnn.SGD({"w": np.ones(2)}, lr=1.0)
        >>> schedule = pyrnn.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        >>> schedule.load_state_dict({**schedule.state_dict(), "last_epoch": 2})
        >>> optimizer.lr
        0.25
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"state_dict: expected a dict, got {type(state_dict).__name__}")
        mine = self.state_dict()
        if set(state_dict) != set(mine):
            raise KeyError(
                f"state_dict: expected {sorted(mine)}, got {sorted(map(str, state_dict))}"
            )
        if state_dict["scheduler"] != mine["scheduler"]:
            got = _checks.shown(state_dict["scheduler"])
            raise ValueError(f"state_dict: expected one of {mine['scheduler']}, got {got}")
        own: dict[str, Any] = {}
        for name, value in mine.items():
            where = f"state_dict[{name!r}]"
            _check_like(where, state_dict[name], value)
            option = getattr(type(self), name, None)
            given = state_dict[name]
            own[name] = option.check(where, given) if isinstance(option, Setting) else given
        del own["scheduler"]
        before = dict(self.__dict__)
        self.__dict__.update(own)
        try:
            self._restore()
        except Exception as error:
            self.__dict__.update(before)
            if isinstance(error, ArithmeticError):  # a step size of 0
                raise ValueError(
                    f"state_dict: expected numbers that give learning rates, got {error}"
                ) from error
            raise

    def _restore(self) -> None:
        """Apply the state that `load_state_dict` has set."""
        self._apply()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(last_epoch={self.last_epoch}, lr={self.get_last_lr()})"


def _check_like(where: str, value: Any, mine: Any) -> None:
    """Refuse a value of another kind; numbers are of one kind, and None may have become one."""
    if isinstance(mine, list):
        if not isinstance(value, (list, tuple)) or len(value) != len(mine):
            raise ValueError(f"{where}: expected {len(mine)} numbers, got {_checks.shown(value)}")
        for one in value:
            _checks.finite_number(where, one, 0.0)
    elif isinstance(mine, bool):
        _checks.flag(where, value)
    elif isinstance(mine, int):
        _checks.size(where, value, 0, _checks.MAX_STEPS)
    elif isinstance(mine, float):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{where}: expected a number, got {_checks.shown(value)}")
    elif isinstance(mine, str) and value != mine:
        raise ValueError(f"{where}: expected {mine!r}, got {_checks.shown(value)}")
