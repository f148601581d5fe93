"""The error function to rounding, and Gelu of both kinds against onnxruntime."""

import math

import numpy as np
import pytest

from pyrnn.interop.onnx.operators.further.special import erf
from tests.interop.onnx import graphs


def test_the_error_function_is_that_of_c():
    r = np.random.default_rng(0)
    x = np.concatenate([r.uniform(-7, 7, 20_000), r.standard_normal(2_000) * 1e-3])
    x = np.append(x, [0.0, 6, -6, 1e-30, -1e-30, 1e30, np.inf, -np.inf])
    exact = np.array([math.erf(one) for one in x])
    np.testing.assert_allclose(erf(x), exact, rtol=3e-15, atol=3e-16)
    single = x.astype(np.float32)
    exact = np.array([math.erf(one) for one in single.astype(np.float64)]).astype(np.float32)
    np.testing.assert_allclose(erf(single), exact, rtol=1.2e-7, atol=0)
    assert np.isnan(erf(np.array([np.nan], np.float32))).all()
    assert np.signbit(erf(np.array(-0.0, np.float32)))


def test_the_error_function_keeps_shape_dtype_and_order():
    x = np.random.default_rng(0).standard_normal((3, 40_000)).astype(np.float32).T
    y = erf(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert np.array_equal(y, erf(np.ascontiguousarray(x)))
    assert erf(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_onnxruntimes(approximate):
    pytest.importorskip("onnxruntime")
    x = np.linspace(-8, 8, 999, dtype=np.float32).reshape(3, 333)
    model, given = graphs.single("Gelu", [x], opset=20, approximate=approximate)
    model.ir_version = 9
    graphs.as_onnxruntime(model, given, atol=1e-6)
