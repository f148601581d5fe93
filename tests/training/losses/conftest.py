"""How every loss is called in the tests, and what torch calls it with."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from pyrnn import losses


class Example(NamedTuple):
    """A loss, a way to draw (y, targets) with any leading axes, and how many axes are its own."""

    loss: Callable[..., Any]
    draw: Callable[..., Any]
    torch: Callable[..., Any] | None = None


def numbers(generator, lead, dtype):
    return (generator.standard_normal((*lead, 3)).astype(dtype) for _ in range(2))


def gaussian(generator, lead, dtype):
    y = generator.standard_normal((*lead, 6)).astype(dtype)
    return y, generator.standard_normal((*lead, 3)).astype(dtype)


def quantiles(generator, lead, dtype):
    y = generator.standard_normal((*lead, 3)).astype(dtype)
    return y, generator.standard_normal(lead).astype(dtype)


def classes(generator, lead, dtype):
    y = generator.standard_normal((*lead, 5)).astype(dtype)
    return y, generator.integers(0, 5, lead)


def chances(generator, lead, dtype):
    y = 3 * generator.standard_normal((*lead, 3)).astype(dtype)
    return y, generator.random((*lead, 3))


def of_torch(name, **options):
    def call(y, targets, reduction):
        import torch

        function = getattr(torch.nn.functional, name)
        tensors = {k: torch.tensor(v) if np.ndim(v) else v for k, v in options.items()}
        if name == "cross_entropy":
            y, targets = y.reshape(-1, y.shape[-1]), targets.reshape(-1)
        if name == "gaussian_nll_loss":
            mean, log_variance = y.chunk(2, dim=-1)
            return function(
                mean, targets, log_variance.exp(), reduction=reduction, eps=1e-30, **options
            )
        return function(y, targets, reduction=reduction, **tensors)

    return call


WEIGHT = np.array([1.0, 0.5, 2.0, 0.0, 3.0])
POSITIVE = np.array([1.0, 0.25, 4.0])
LEVELS = np.array([0.1, 0.5, 0.9])


def both(name, draw, **options):
    return Example(partial(getattr(losses, name), **options), draw, of_torch(name, **options))


EXAMPLES = {
    "cross-entropy": both("cross_entropy", classes),
    "cross-entropy-weight": both("cross_entropy", classes, weight=WEIGHT),
    "cross-entropy-smooth": both("cross_entropy", classes, label_smoothing=0.1),
    "cross-entropy-all": both("cross_entropy", classes, weight=WEIGHT, label_smoothing=0.3),
    "cross-entropy-ignore": both("cross_entropy", classes, ignore_index=2),
    "bce": both("binary_cross_entropy_with_logits", chances),
    "bce-weight": both("binary_cross_entropy_with_logits", chances, pos_weight=POSITIVE),
    "mse": both("mse_loss", numbers),
    "l1": both("l1_loss", numbers),
    "huber": both("huber_loss", numbers, delta=0.7),
    "gaussian": both("gaussian_nll_loss", gaussian),
    "gaussian-full": both("gaussian_nll_loss", gaussian, full=True),
    "quantile": Example(partial(losses.quantile_loss, quantiles=0.3), numbers),
    "quantiles": Example(partial(losses.quantile_loss, quantiles=LEVELS), quantiles),
}


@pytest.fixture(params=EXAMPLES.values(), ids=EXAMPLES)
def example(request):
    """Each loss, with its options."""
    return request.param
