"""The minimal GRU's parallel form equals its steps."""

import numpy as np
import pytest

from pyrnn.reference.cells import min_gru
from pyrnn.reference.recurrence import sequence


def parameters_of(generator, bias=True, size=1.0):
    shapes = {"weight_ih": (10, 3)} | ({"bias_ih": (10,)} if bias else {})
    return {name: size * generator.standard_normal(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("time_steps", [1, 2, 3, 7, 8, 9, 100])
@pytest.mark.parametrize("bias", [True, False])
def test_parallel_equals_steps(time_steps, bias):
    generator = np.random.default_rng(time_steps)
    parameters = parameters_of(generator, bias)
    x, h = generator.standard_normal((time_steps, 4, 3)), generator.standard_normal((4, 5))
    expected, _, _ = sequence.forward(sequence.Run("min_gru", parameters, x), (h,))
    np.testing.assert_allclose(min_gru.parallel(x, h, parameters), expected, rtol=0, atol=1e-13)


def test_parallel_takes_indices():
    generator = np.random.default_rng(0)
    parameters = parameters_of(generator)
    indices, h = generator.integers(0, 3, (6, 4)), generator.standard_normal((4, 5))
    got = min_gru.parallel(indices, h, parameters)
    expected = min_gru.parallel(np.eye(3)[indices], h, parameters)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)


def test_parallel_where_shares_of_the_old_vanish():
    """Gates that let nothing of h pass: a quotient of cumulative products would be 0 / 0."""
    generator = np.random.default_rng(0)
    parameters = parameters_of(generator, size=300.0)
    x, h = generator.standard_normal((50, 4, 3)), generator.standard_normal((4, 5))
    expected, _, _ = sequence.forward(sequence.Run("min_gru", parameters, x), (h,))
    got = min_gru.parallel(x, h, parameters)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-9)


def test_z_is_the_share_of_the_new():
    """With z near 1, h is the candidate W_in x + b_in; with z near 0, h stays."""
    x, h = np.array([[2.0]]), np.array([[7.0]])
    for z, expected in ((50.0, 6.0), (-50.0, 7.0)):
        parameters = {"weight_ih": np.array([[0.0], [3.0]]), "bias_ih": np.array([z, 0.0])}
        (state,), _ = min_gru.forward(x, (h,), parameters)
        np.testing.assert_allclose(state, [[expected]], rtol=1e-14)
