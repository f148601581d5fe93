"""softmax and sigmoid: right, column by column, and safe for large values."""

import numpy as np
import pytest

from pyrnn.textbook import sigmoid, softmax


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 2)])
def test_softmax_sums_to_one_in_each_column(shape):
    x = np.random.default_rng(0).normal(size=shape)
    probabilities = softmax(x)
    np.testing.assert_allclose(probabilities.sum(axis=0), np.ones(shape[1:]), rtol=1e-15)
    np.testing.assert_allclose(probabilities, np.exp(x) / np.exp(x).sum(axis=0), rtol=1e-14)


def test_columns_of_softmax_do_not_touch_each_other():
    x = np.array([[0.0, 700.0], [1.0, -700.0]])
    np.testing.assert_array_equal(softmax(x)[:, 0], softmax(x[:, :1])[:, 0])


def test_softmax_of_large_values_stays_finite():
    x = np.array([[1e300, -1e300, 1000.0], [0.0, 0.0, 999.0]])
    expected = np.array([[1.0, 0.0, 1 / (1 + np.exp(-1))], [0.0, 1.0, 1 / (1 + np.exp(1))]])
    np.testing.assert_allclose(softmax(x), expected, rtol=1e-15)


def test_sigmoid():
    x = np.linspace(-20, 20, 41)
    np.testing.assert_allclose(sigmoid(x), 1 / (1 + np.exp(-x)), rtol=1e-15)
    np.testing.assert_array_equal(sigmoid(np.array([-1e308, 0.0, 1e308])), [0, 0.5, 1])
    np.testing.assert_allclose(sigmoid(x) + sigmoid(-x), np.ones(41), rtol=1e-15)


@pytest.mark.parametrize("function", [softmax, sigmoid])
def test_dtypes(function):
    assert function(np.ones((2, 2), dtype=np.float32)).dtype == np.float32
    assert function(np.ones((2, 2), dtype=np.int64)).dtype == np.float64
    assert function([[1, 2], [3, 4]]).dtype == np.float64
    with pytest.raises(TypeError, match="x: expected an array of float32 or float64, got complex"):
        function(np.ones((2, 2), dtype=complex))


@pytest.mark.parametrize("x", [np.float64(1.0), np.zeros((0, 3)), np.zeros((3, 0))])
def test_softmax_needs_a_column(x):
    with pytest.raises(ValueError, match="x: expected at least one row and one column"):
        softmax(x)
