"""The losses of a forecaster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyrnn.training.losses import huber_loss, l1_loss, mse_loss, quantile_loss

LOSSES: dict[str, Callable[..., tuple[Any, Any]]] = {
    "absolute_error": l1_loss,
    "squared_error": mse_loss,
    "huber": huber_loss,
}


class QuantileLoss:
    """The mean quantile loss of outputs (..., K·Q) for targets (..., K)."""

    def __init__(self, quantiles: tuple[float, ...]) -> None:
        self._quantiles = quantiles

    def __call__(self, y: Any, targets: Any) -> tuple[float, Any]:
        """The loss and its gradient."""
        split = y.reshape(*targets.shape, len(self._quantiles))
        value, gradient = quantile_loss(split, targets, quantiles=self._quantiles)
        return value, gradient.reshape(y.shape)
