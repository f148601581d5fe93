"""Losses of numbers: by hand, at their kinks, and what they refuse."""

import math

import numpy as np
import pytest

from pyrnn import losses


def test_huber_is_half_the_square_up_to_delta_and_a_line_beyond():
    y = np.array([0.5, 2.0, 4.0])
    value, gradient = losses.huber_loss(y, np.zeros(3), delta=2.0, reduction="none")
    assert value.tolist() == [0.125, 2.0, 6.0]
    assert gradient.tolist() == [0.5, 2.0, 2.0]


def test_a_gaussian_by_hand():
    y = np.array([[1.0, math.log(4.0)]])  # mean 1, deviation 2
    value, _ = losses.gaussian_nll_loss(y, np.array([[5.0]]), full=True)
    density = math.exp(-0.5 * (4 / 2) ** 2) / (2 * math.sqrt(2 * math.pi))
    assert value == pytest.approx(-math.log(density), rel=1e-14)


@pytest.mark.parametrize("level", [0.05, 0.5, 0.8])
def test_the_best_constant_under_the_pinball_loss_is_the_quantile(level):
    values = np.random.default_rng(0).standard_normal(10_001)
    best = np.quantile(values, level)

    def loss(constant):
        return losses.quantile_loss(np.full_like(values, constant), values, quantiles=level)[0]

    assert loss(best) < min(loss(best - 0.02), loss(best + 0.02))


def test_kinks_have_no_slope():
    for loss in (losses.l1_loss, losses.quantile_loss):
        value, gradient = loss(np.array([2.0]), np.array([2.0]))
        assert (value, gradient.tolist()) == (0, [0])


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_numbers_without_axes_have_arrays_as_gradients(name, backend):
    y, targets = np.array(0.5, np.float32), np.array(2.0, np.float32)
    loss = getattr(losses, name)
    value, gradient = loss(y, targets)
    each, own = loss(y, targets, reduction="none")
    assert isinstance(value, float)
    for array in (gradient, each, own):
        assert isinstance(array, np.ndarray)
        assert array.shape == ()
    assert (each.dtype, own.dtype, gradient.dtype) == ("float64", "float32", "float32")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: losses.huber_loss(np.ones(2), np.ones(2), delta=0.0), ValueError, "delta: expect"),
        (lambda: losses.mse_loss(np.ones(2), np.ones(2, "f")), TypeError, "targets: expected dtyp"),
        (lambda: losses.mse_loss(np.ones(2, int), np.ones(2)), TypeError, "y: expected float32 or"),
        (
            lambda: losses.gaussian_nll_loss(np.ones((2, 3)), np.ones((2, 1))),
            ValueError,
            r"y: expected shape \(..., 2 F\), not empty, got \(2, 3\)",
        ),
        (
            lambda: losses.quantile_loss(np.ones(2), np.ones(2), quantiles=1.0),
            ValueError,
            "quantiles: expected numbers above 0 and below 1, got 1.0",
        ),
        (
            lambda: losses.quantile_loss(np.ones(2), np.ones(2), quantiles="median"),
            TypeError,
            "quantiles: expected a number or an array of shape",
        ),
        (
            lambda: losses.quantile_loss(np.ones((2, 2)), np.ones(2), quantiles=[0.1, 0.5, 0.9]),
            ValueError,
            r"y: expected shape \(..., 3\), got \(2, 2\)",
        ),
    ],
)
def test_what_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
