"""What operators have in common: weights of float16, and weights that several nodes share."""

import numpy as np
import pytest

from pyrnn.interop import onnx as backend
from tests.interop.onnx import graphs
from tests.interop.onnx.graphs import helper

R = np.random.default_rng(0)


def arrays(**shapes):
    return {name: R.standard_normal(shape).astype(np.float16) for name, shape in shapes.items()}


CASES = {
    "Conv": (arrays(x=(2, 3, 9)), arrays(w=(4, 3, 3), b=(4,)), {}),
    "Conv of images": (arrays(x=(2, 3, 9, 8)), arrays(w=(4, 3, 3, 2)), {}),
    "Gemm": (arrays(x=(5, 3)), arrays(w=(4, 3), b=(4,)), {"transB": 1}),
    "MatMul": (arrays(x=(2, 5, 3)), arrays(w=(3, 4)), {}),
    "MatMul of inputs": (arrays(x=(2, 5, 3), w=(2, 3, 4)), {}, {}),
    "LayerNormalization": (arrays(x=(5, 6)), arrays(w=(6,), b=(6,)), {}),
    "GRU": (arrays(x=(6, 2, 3)), arrays(W=(1, 12, 3), R=(1, 12, 4)), {"hidden_size": 4}),
    "LSTM": (arrays(x=(6, 2, 3)), arrays(W=(1, 16, 3), R=(1, 16, 4)), {"hidden_size": 4}),
}


@pytest.mark.parametrize("case", CASES)
def test_float16_is_computed_in_float32_and_rounded_once(case):
    inputs, constants, attributes = CASES[case]
    names = [*inputs, *constants]
    node = helper.make_node(case.split()[0], names, ["y"], **attributes)
    (half,) = backend.run_model(graphs.model_of([node], inputs, ["y"], constants), inputs)
    wide = {name: array.astype(np.float32) for name, array in inputs.items()}
    fixed = {name: array.astype(np.float32) for name, array in constants.items()}
    (single,) = backend.run_model(graphs.model_of([node], wide, ["y"], fixed), wide)
    assert half.dtype == np.float16
    assert np.array_equal(half, single.astype(np.float16))


def test_weights_that_two_nodes_have_are_packed_once():
    """As in a cell that an exporter unrolled; the same weight turned round is another one."""
    x = R.standard_normal((2, 4)).astype(np.float32)
    constants = {"w": R.standard_normal((4, 4)).astype(np.float32)}
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["a"]),
        helper.make_node("Gemm", ["a", "w"], ["b"]),
        helper.make_node("Gemm", ["b", "w"], ["c"], transB=1),
        helper.make_node("MatMul", ["c", "w"], ["y"]),
    ]
    model = backend.prepare(graphs.model_of(nodes, {"x": x}, ["y"], constants))
    w = constants["w"]
    np.testing.assert_allclose(model.run(x)[0], x @ w @ w @ w.T @ w, rtol=1e-4, atol=1e-4)
    assert len(model._plan._shared) == 2
