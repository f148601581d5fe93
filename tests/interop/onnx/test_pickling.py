"""Pickles and copies of a `Model`: by every way that objects travel, with the same outputs."""

import copy
import pickle

import numpy as np
import pytest

from pyrnn.interop.onnx.graph import Graph, Node, Program, Value
from pyrnn.interop.onnx.model import Model


def out_of_band(model):
    buffers = []
    data = pickle.dumps(model, 5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(buffer) for buffer in buffers])


def memory_mapped(model, tmp_path):
    joblib = pytest.importorskip("joblib")
    joblib.dump(model, tmp_path / "model")
    return joblib.load(tmp_path / "model", mmap_mode="r")


@pytest.fixture
def model():
    """y = x W + b, or x itself where it is negative in sum: constants, attributes, subgraphs."""
    rng = np.random.default_rng(0)
    constants = {"W": rng.standard_normal((40, 40)), "zero": np.zeros(())}
    value = Value("y", np.dtype("float64"), (None, 40))
    bias = Node("Constant", "", (), ("b",), {"value": rng.standard_normal(40)})
    product = Graph(
        "then", (), (value,), {}, (
            bias,
            Node("MatMul", "", ("x", "W"), ("z",)),
            Node("Add", "", ("z", "b"), ("y",)),
        ),
    )  # fmt: skip
    same = Graph("else", (), (value,), {}, (Node("Identity", "", ("x",), ("y",)),))
    nodes = (
        Node("ReduceSum", "", ("x",), ("sum",), {"keepdims": 0}),
        Node("Less", "", ("zero", "sum"), ("positive",)),
        Node("If", "", ("positive",), ("out",), {"then_branch": product, "else_branch": same}),
    )
    x = Value("x", np.dtype("float64"), (None, 40))
    return Model(Program(Graph("g", (x,), (Value("out"),), constants, nodes), 13, {"a": "b"}))


@pytest.mark.parametrize("way", [*range(6), "band", "map", "copy", "deepcopy"])
def test_a_model_comes_back(model, way, tmp_path):
    if isinstance(way, int):
        found = pickle.loads(pickle.dumps(model, way))
    elif way == "map":
        found = memory_mapped(model, tmp_path)
    else:
        found = {"band": out_of_band, "copy": copy.copy, "deepcopy": copy.deepcopy}[way](model)
    x = np.random.default_rng(1).standard_normal((3, 40))
    for sign in (1, -1):
        given = sign * np.abs(x)
        assert found.run(given)[0].tobytes() == model.run(given)[0].tobytes()
    assert repr(found) == repr(model)
    assert found.program.opset == 13
    assert found.program.metadata == {"a": "b"}
    constant = found.program.graph.constants["W"]
    assert not np.shares_memory(constant, model.program.graph.constants["W"])
    constant[...] = 0  # its own memory, whatever brought it
