"""Losses, under the names of `torch.nn.functional`."""

from pyrnn.training.losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_nll_loss,
    huber_loss,
    l1_loss,
    mse_loss,
    quantile_loss,
    softmax_cross_entropy,
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
