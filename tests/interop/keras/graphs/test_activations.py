"""Each activation of Keras against its definition."""

import math

import numpy as np
import pytest

from tests.interop.keras.graphs import models
from tests.interop.keras.graphs.models import X, layer

pytestmark = pytest.mark.usefixtures("in_place")

CASES = {
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2,
    "celu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "soft_shrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "tanh_shrink": lambda x: x - np.tanh(x),
    "squareplus": lambda x: (x + np.sqrt(x**2 + 4)) / 2,
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)),
    "sparse_sigmoid": lambda x: np.clip((x + 1) / 2, 0, 1),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_activations(name, tmp_path):
    row = layer("Activation", activation=name)
    x = 3 * X
    y = models.sequential(tmp_path / "m.keras", [row]).run(x)[0]
    np.testing.assert_allclose(y, CASES[name](x.astype(np.float64)), rtol=2e-6, atol=2e-6)


def test_logarithms_of_sigmoids_far_from_zero(tmp_path):
    """Where the sigmoid itself is 0 in float32."""
    row = layer("Activation", activation="log_sigmoid")
    y = models.sequential(tmp_path / "m.keras", [row]).run(np.full((1, 6, 4), -200, np.float32))[0]
    assert np.array_equal(y, np.full((1, 6, 4), -200, np.float32))


def test_shares_along_several_axes(tmp_path):
    row = layer("Softmax", axis=[1, 2])
    e = np.exp(X.astype(np.float64))
    y = models.sequential(tmp_path / "m.keras", [row]).run(X)[0]
    np.testing.assert_allclose(y, e / e.sum((1, 2), keepdims=True), atol=1e-7)
