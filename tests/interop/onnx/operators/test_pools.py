"""Pools of one axis or more against onnxruntime, whatever the layout in memory."""

import numpy as np
import pytest

from pyrnn.interop import onnx as backend
from tests.interop.onnx import graphs
from tests.interop.onnx.graphs import helper


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("seed", range(12))
def test_a_pool_is_onnxruntimes(seed, op):
    pytest.importorskip("onnxruntime")
    r = np.random.default_rng(seed)
    axes = 1 + seed % 3
    kernel, strides, dilations = (r.integers(1, top, axes).tolist() for top in (4, 4, 3))
    pads = [int(r.integers(0, k)) for k in kernel] * 2
    sizes = [
        (k - 1) * d + 1 + int(r.integers(0, 7)) for k, d in zip(kernel, dilations, strict=True)
    ]
    x = r.standard_normal((2, 3, *sizes)).astype(np.float32)
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads}
    if op == "MaxPool":
        attributes |= {"dilations": dilations, "ceil_mode": seed % 2}
    else:
        attributes["count_include_pad"] = seed % 2
    node = helper.make_node(op, ["x"], ["y"], **attributes)
    made = graphs.model_of([node], {"x": x}, [graphs.value("y", x, None)])
    made.graph.output[0].type.tensor_type.ClearField("shape")
    (theirs,) = graphs.session(made).run(None, {"x": x})
    model = backend.prepare(made)
    np.testing.assert_allclose(model.run(x)[0], theirs, rtol=1e-5, atol=1e-6)
    turned = np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)
    np.testing.assert_allclose(model.run(turned)[0], theirs, rtol=1e-5, atol=1e-6)


def test_a_pool_leaves_its_input_and_passes_nan_on():
    x = np.array([[[1, np.nan, 3, 2]]], np.float32)
    before = x.copy()
    made = graphs.model_of(
        [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[1])], {"x": x}, ["y"]
    )
    (y,) = backend.run_model(made, x)
    y += 1
    assert np.array_equal(x, before, equal_nan=True)
    assert np.array_equal(y, before + 1, equal_nan=True)
