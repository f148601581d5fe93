"""Losses: each returns its value and the gradient with respect to the model's output."""

from pyrnn.training.losses.classification import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    softmax_cross_entropy,
)
from pyrnn.training.losses.regression import (
    gaussian_nll_loss,
    huber_loss,
    l1_loss,
    mse_loss,
    quantile_loss,
)

__all__ = [
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "gaussian_nll_loss",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "quantile_loss",
    "softmax_cross_entropy",
]
