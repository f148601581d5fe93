"""Normalisations over groups, in both of their forms."""

import numpy as np
import pytest

from pyrnn.interop import onnx as backend
from tests.interop.onnx import graphs


@pytest.mark.parametrize("opset", [18, 21])
def test_groups_of_channels(opset):
    """The factors are of each group, or of each channel."""
    r = np.random.default_rng(0)
    x = r.standard_normal((2, 6, 5)).astype(np.float32)
    count = 3 if opset < 21 else 6
    scale, bias = (r.standard_normal(count).astype(np.float32) for _ in range(2))
    model, given = graphs.single(
        "GroupNormalization", [x, scale, bias], (1, 2), opset, num_groups=3, epsilon=1e-3
    )
    parts = x.reshape(2, 3, 10)
    centred = parts - parts.mean(axis=2, keepdims=True)
    y = centred / np.sqrt(np.square(centred).mean(axis=2, keepdims=True) + 1e-3)
    factors = [np.repeat(a, 6 // count)[:, None] for a in (scale, bias)]
    (mine,) = backend.run_model(model, given)
    np.testing.assert_allclose(mine, y.reshape(x.shape) * factors[0] + factors[1], rtol=1e-4)


def test_groups_that_do_not_divide_the_channels():
    arrays = [np.zeros((2, 6, 5), np.float32), *[np.ones(4, np.float32)] * 2]
    model, given = graphs.single("GroupNormalization", arrays, (), 18, num_groups=4)
    with pytest.raises(ValueError, match="num_groups: expected a divisor of 6, got 4"):
        backend.run_model(model, given)


def test_a_norm_of_zero_leaves_zeros():
    x = np.array([[0, 0, 0], [3, 0, 4]], np.float32)
    (y,) = backend.run_model(*graphs.single("LpNormalization", [x], axis=1))
    np.testing.assert_allclose(y, [[0, 0, 0], [0.6, 0, 0.8]], rtol=1e-6)
