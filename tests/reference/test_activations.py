"""The pointwise functions: against exact values, at the ends of the numbers."""

import numpy as np
import pytest

from pyrnn.reference.activations import sigmoid, softmax


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_is_exact_to_a_few_units(dtype):
    mpmath = pytest.importorskip("mpmath")
    x = np.linspace(-80, 80, 641).astype(dtype)
    exact = np.array([float(1 / (1 + mpmath.exp(-mpmath.mpf(float(v))))) for v in x])
    assert sigmoid(x).dtype == x.dtype
    np.testing.assert_allclose(sigmoid(x), exact, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_at_the_ends(dtype):
    x = np.array([-np.inf, -1e30, 0, 1e30, np.inf], dtype)
    assert sigmoid(x).tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_sums_to_one_along_its_axis(axis):
    x = np.random.default_rng(0).standard_normal((4, 5)) * 1e3
    p = softmax(x, axis)
    np.testing.assert_allclose(p.sum(axis=axis), 1, rtol=1e-14)
    assert (p >= 0).all()
    assert np.array_equal(p.argmax(axis=axis), x.argmax(axis=axis))


def test_softmax_by_hand():
    np.testing.assert_allclose(softmax(np.log([[1.0, 2.0, 5.0]])), [[1 / 8, 2 / 8, 5 / 8]])
