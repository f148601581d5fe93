"""What onnxruntime makes of graphs when it optimises them, against itself."""

import numpy as np
import pytest

from pyrnn.interop import onnx as backend
from tests.interop.onnx import graphs

R = np.random.default_rng(0)


def floats(*shape):
    return R.standard_normal(shape).astype(np.float32)


CASES = {
    "FusedConv": ([floats(2, 3, 9), floats(4, 3, 3), floats(4)], {"activation": "Tanh"}),
    "FusedConv of images": (
        [floats(2, 3, 9, 8), floats(4, 3, 3, 3), floats(4)],
        {"activation": "LeakyRelu", "activation_params": [0.2], "pads": [1] * 4},
    ),
    "FusedConv and a sum": (
        [floats(2, 3, 9, 8), floats(4, 3, 1, 1), floats(4), floats(2, 4, 9, 8)],
        {"activation": "Relu"},
    ),
    "FusedConv between limits": (
        [floats(2, 3, 9, 8), floats(4, 3, 1, 1), floats(4)],
        {"activation": "Clip", "activation_params": [-0.5, 0.25]},
    ),
    "FusedMatMul": ([floats(2, 3, 5), floats(4, 5)], {"transB": 1, "alpha": 0.5}),
    "Gelu": ([floats(3, 5)], {}),
    "BiasGelu": ([floats(3, 5), floats(5)], {}),
    "FastGelu": ([floats(3, 5), floats(5)], {}),
    "QuickGelu": ([floats(3, 5)], {"alpha": 1.5}),
    "SkipLayerNormalization": (
        [floats(2, 3, 6), floats(2, 3, 6), floats(6), floats(6), floats(6)], {"epsilon": 1e-3},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_operator_is_onnxruntimes(case):
    pytest.importorskip("onnxruntime")
    inputs, attributes = CASES[case]
    op = case.split()[0]
    fixed = range(1, 3) if "Conv" in op else ()
    model, given = graphs.single(op, inputs, fixed, domain="com.microsoft", **attributes)
    graphs.as_onnxruntime(model, given)


def test_an_operator_of_a_domain_that_is_not_known():
    model, _ = graphs.single("Gelu", [floats(3)], domain="elsewhere")
    with pytest.raises(backend.UnsupportedError, match=r"not implemented: elsewhere\.Gelu"):
        backend.prepare(model)


def test_a_graph_that_onnxruntime_optimised(tmp_path):
    """Its file, in which nodes are fused, gives what the plain one gives."""
    onnxruntime = pytest.importorskip("onnxruntime")
    helper = graphs.helper
    weights = {"v": floats(6, 3, 3, 3) / 4, "w": floats(48, 5) / 6, "b": floats(5)}
    nodes = [
        helper.make_node("Conv", ["x", "v"], ["c"], pads=[1] * 4),
        helper.make_node("LeakyRelu", ["c"], ["r"], alpha=0.1),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Reshape", ["t", "shape"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
    ]
    x = floats(2, 3, 8, 4)
    made = graphs.model_of(nodes, {"x": x}, ["y"], weights | {"shape": np.array([0, 4, 48])})
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fast.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    fast = graphs.onnx.load(tmp_path / "fast.onnx")
    assert "com.microsoft" in {node.domain for node in fast.graph.node}
    expected = backend.run_model(made, x)[0]
    np.testing.assert_allclose(backend.run_model(fast, x)[0], expected, rtol=1e-5, atol=1e-5)
