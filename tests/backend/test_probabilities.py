"""Softmax and its logarithm of rows of scores."""

import numpy as np
import pytest

from pyrnn.backend.probabilities import log_softmax, softmax


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5,), (4, 7), (2, 3, 11)])
def test_probabilities_are_those_of_the_definition(shape, dtype, backend):
    scores = (50 * np.random.default_rng(0).standard_normal(shape)).astype(dtype)
    kept = scores.copy()
    wide = scores.astype(np.longdouble)
    expected = wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(log_softmax(scores), expected.astype(float), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(softmax(scores), np.exp(expected).astype(float), rtol=1e-12)
    np.testing.assert_allclose(softmax(scores).sum(axis=-1), 1, rtol=1e-15)
    assert np.array_equal(scores, kept)


def test_scores_far_apart_and_impossible_ones(backend):
    scores = np.array([[1e30, 0.0, -np.inf], [-1000.0, -1000.0, -1000.0]])
    assert np.array_equal(softmax(scores)[0], [1, 0, 0])
    assert log_softmax(scores)[0, 2] == -np.inf
    np.testing.assert_allclose(softmax(scores)[1], 1 / 3, rtol=1e-15)
