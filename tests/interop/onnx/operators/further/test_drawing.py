"""Random numbers: their distribution, and that each run has others."""

import numpy as np
import pytest

from pyrnn.interop import onnx as backend
from tests.interop.onnx import graphs
from tests.interop.onnx.graphs import TensorProto, helper


def model_of(op, inputs, **attributes):
    node = helper.make_node(op, list(inputs), ["y"], **attributes)
    return backend.prepare(graphs.model_of([node], {}, ["y"], inputs))


@pytest.mark.parametrize("like", [False, True])
def test_distributions_and_dtypes(like):
    inputs = {"x": np.zeros((200, 300), np.float32)} if like else {}
    shape = {} if like else {"shape": [200, 300]}
    end = "Like" if like else ""
    model = model_of(f"RandomNormal{end}", inputs, mean=3.0, scale=2.0, **shape)
    (y,), (again,) = model.run([]), model.run([])
    assert (y.dtype, y.shape) == (np.float32, (200, 300))
    assert abs(y.mean() - 3) < 0.05
    assert abs(y.std() - 2) < 0.05
    assert not np.array_equal(y, again)  # no constant of the graph
    model = model_of(
        f"RandomUniform{end}", inputs, low=-1.0, high=3.0, dtype=TensorProto.DOUBLE, **shape
    )
    (y,) = model.run([])
    assert (y.dtype, y.shape) == (np.float64, (200, 300))
    assert -1 <= y.min() < -0.99
    assert 2.99 < y.max() < 3
    assert abs(y.mean() - 1) < 0.05


def test_probabilities():
    p = np.repeat(np.array([0, 0.25, 1], np.float32), 10_000)
    (y,) = model_of("Bernoulli", {"x": p}, dtype=TensorProto.BOOL).run([])
    assert y.dtype == np.bool_
    never, sometimes, always = y.reshape(3, -1).mean(axis=1)
    assert never == 0
    assert abs(sometimes - 0.25) < 0.03
    assert always == 1


def test_seeds():
    one, other, third = (
        model_of("RandomNormal", {}, shape=[9], seed=seed) for seed in (1.0, 1.0, 1.5)
    )
    (a,), (b,), (c,) = one.run([]), other.run([]), third.run([])
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert not np.array_equal(a, one.run([])[0])


def test_a_branch_that_draws_or_loops_is_no_constant():
    y = graphs.value("y", TensorProto.FLOAT, [3])
    draw = helper.make_graph([helper.make_node("RandomNormal", [], ["y"], shape=[3])], "b", [], [y])
    node = helper.make_node("If", ["c"], ["y"], then_branch=draw, else_branch=draw)
    model = backend.prepare(graphs.model_of([node], {}, ["y"], {"c": np.array(True)}))
    assert not np.array_equal(*(model.run([])[0] for _ in range(2)))

    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"])], "body",
        [graphs.value("i", TensorProto.INT64, []), graphs.value("c", TensorProto.BOOL, [])],
        [graphs.value("d", TensorProto.BOOL, [])],
    )  # fmt: skip
    nodes = [helper.make_node("Loop", ["", "on"], [], body=body),
             helper.make_node("Identity", ["x"], ["y"])]  # fmt: skip
    endless = helper.make_graph(nodes, "b", [], [y])
    node = helper.make_node("If", ["on"], ["y"], then_branch=endless, else_branch=endless)
    constants = {"on": np.array(True), "x": np.zeros(3, np.float32)}
    backend.prepare(graphs.model_of([node], {}, ["y"], constants))  # which ends
