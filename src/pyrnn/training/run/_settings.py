"""What of a trainer can be set between calls of `fit`, checked as its constructor checks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyrnn import _checks
from pyrnn.layers._options import Closed, Setting
from pyrnn.training._optimizer import Optimizer
from pyrnn.training.run._arguments import (
    Precision,
    check_model,
    check_scheduler,
    compute_of,
    find_loss,
    instance_of,
)
from pyrnn.training.run._progress import Progress
from pyrnn.training.run.callbacks.base import Callback, all_callbacks
from pyrnn.training.run.history import History
from pyrnn.training.schedules._base import LRScheduler, check_optimizer


def _norm_or_none(name: str, value: Any) -> float | None:
    return None if value is None else _checks.finite_number(name, value, 0.0)


class TrainerSettings(Closed):
    """Base class of `Trainer`."""

    model: Setting[Any] = Setting(check_model)
    loss: Setting[Any] = Setting(lambda name, value: find_loss(value))
    optimizer: Setting[Optimizer] = Setting(check_optimizer)
    clip_grad_norm: Setting[float | None] = Setting(_norm_or_none)
    stop_training: Setting[bool] = Setting(_checks.flag)
    callbacks: Setting[list[Callback]] = Setting(all_callbacks)
    history: Setting[History] = Setting(instance_of(History))
    progress: Setting[Progress] = Setting(instance_of(Progress))

    def _check_together(self, options: Mapping[str, Any]) -> None:
        """Refuse another model or optimiser that does not go with the rest."""
        compute_of(options.get("_precision"), options["model"])
        scheduler = options.get("_scheduler")
        if scheduler is not None and scheduler.optimizer is not options["optimizer"]:
            raise ValueError("optimizer: expected that of the scheduler, got another")

    @property
    def scheduler(self) -> LRScheduler | None:
        """The schedule, if there is one; it can be set to what the constructor takes."""
        return self._scheduler

    @scheduler.setter
    def scheduler(self, value: LRScheduler | tuple[LRScheduler, str] | None) -> None:
        self._scheduler, self._each_step = check_scheduler(value, self.optimizer)

    @property
    def precision(self) -> Precision | None:
        """The type of the model's products; None for the model's own."""
        return self._precision

    @precision.setter
    def precision(self, value: Precision | None) -> None:
        self._compute: dict[str, str] = compute_of(value, self.model)
        self._precision = value
