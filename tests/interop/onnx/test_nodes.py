"""Nodes as layers: the same numbers as the node, whatever the graph around it."""

import subprocess
import sys

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import onnx as backend
from pyrnn.interop import stacking
from tests.interop.onnx import graphs
from tests.interop.onnx.graphs import TensorProto, helper


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def written(tmp_path, nodes, inputs, outputs, constants, opset=17):
    infos = [graphs.value(name, TensorProto.FLOAT) for name in outputs]
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.model_of(nodes, inputs, infos, constants, opset).SerializeToString())
    return path


def test_a_batch_first_node_is_a_batch_first_layer(tmp_path):
    x = numbers(2, 5, 3)
    weights = {"W": numbers(2, 12, 3), "R": numbers(2, 12, 4), "B": numbers(2, 24)}
    node = helper.make_node(
        "GRU", ["x", *weights], ["Y"], name="gru", direction="bidirectional", layout=1,
        linear_before_reset=1, hidden_size=4,
    )  # fmt: skip
    path = written(tmp_path, [node], {"x": x}, ["Y"], weights)
    layer = backend.layers(path)["gru"]
    assert repr(layer) == "GRU(3, 4, batch_first=True, bidirectional=True)"
    (y,) = backend.run_model(path, x)
    assert np.array_equal(layer(x)[0], y.reshape(2, 5, 8))
    _, _, cache = layer.forward(x)  # an ordinary layer: it can be trained on
    layer.backward(cache, np.ones((2, 5, 8), np.float32))


def test_weights_may_be_computed_from_constants(tmp_path):
    """As exporters write them: joined from pieces, transposed, in a Constant."""
    x, W = numbers(5, 2, 3), numbers(1, 3, 16)
    nodes = [
        helper.make_node("Transpose", ["w"], ["W"], perm=[0, 2, 1]),
        helper.make_node("Concat", ["r0", "r1"], ["R"], axis=1),
        helper.make_node("LSTM", ["x", "W", "R"], ["Y"], name="cell", hidden_size=4),
    ]
    constants = {"w": W, "r0": numbers(1, 8, 4), "r1": numbers(1, 8, 4, seed=1)}
    path = written(tmp_path, nodes, {"x": x}, ["Y"], constants)
    layer = backend.layers(path)["cell"]
    assert repr(layer) == "LSTM(3, 4, bias=False)"
    assert np.array_equal(layer(x)[0], backend.run_model(path, x)[0][:, 0])


def test_a_graph_with_unknown_operators_still_has_layers(tmp_path):
    weights = {"W": numbers(1, 4, 3), "R": numbers(1, 4, 4)}
    nodes = [
        helper.make_node("NonMaxSuppression", ["x", "x"], ["z"]),
        helper.make_node("RNN", ["x", *weights], ["Y"], name="rnn", activations=["Relu"]),
    ]
    path = written(tmp_path, nodes, {"x": numbers(5, 2, 3)}, ["Y"], weights)
    assert repr(backend.layers(path)) == "{'rnn': RNN(3, 4, nonlinearity='relu', bias=False)}"
    with pytest.raises(backend.UnsupportedError, match="NonMaxSuppression"):
        backend.prepare(path)


def test_what_no_layer_computes_is_said(tmp_path):
    weights = {"W": numbers(2, 4, 3), "R": numbers(2, 4, 4)}
    nodes = [
        helper.make_node(
            "RNN",
            ["x", *weights],
            ["Y"],
            name="two",
            activations=["Tanh", "Relu"],
            direction="bidirectional",
        ),
        helper.make_node("RNN", ["x", "W", "r"], ["Z"], name="free"),
    ]
    inputs = {"x": numbers(5, 2, 3), "r": weights["R"]}
    path = written(tmp_path, nodes, inputs, ["Y", "Z"], weights)
    with pytest.warns(UserWarning, match="no layer|no parameter") as warned:
        assert backend.layers(path) == {}
    messages = [str(one.message) for one in warned]
    assert messages[0].startswith("two: no layer has activations Tanh, Relu")
    assert messages[1] == "free: R is computed from the inputs, so it is no parameter"


def test_layers_around(tmp_path):
    constants = {"e": numbers(7, 3), "w": numbers(3, 4), "b": numbers(4), "g": numbers(5, 4)}
    nodes = [
        helper.make_node("Gather", ["e", "i"], ["x"], name="embedding"),
        helper.make_node("MatMul", ["x", "w"], ["p"], name="first"),
        helper.make_node("Add", ["b", "p"], ["q"]),
        helper.make_node("Gemm", ["q", "g"], ["out"], name="second", transB=1),
    ]
    i = np.array([1, 0, 6])
    path = written(tmp_path, nodes, {"i": i}, ["out"], constants)
    found = backend.layers(path)
    assert list(map(repr, found.values())) == [
        "Embedding(7, 3)", "Linear(3, 4)", "Linear(4, 5, bias=False)",
    ]  # fmt: skip
    y = i
    for layer in found.values():
        y = layer(y)
    np.testing.assert_allclose(y, backend.run_model(path, i)[0], rtol=1e-5, atol=1e-6)


def test_a_layer_of_a_branch(tmp_path):
    weights = {"W": numbers(1, 4, 3), "R": numbers(1, 4, 4)}
    node = helper.make_node("RNN", ["x", "W", "R"], ["Y"], name="inside")
    info = graphs.value("Y", TensorProto.FLOAT)
    branch = helper.make_graph([node], "then", [], [info])
    branches = {"then_branch": branch, "else_branch": branch}
    nodes = [helper.make_node("If", ["c"], ["out"], name="if", **branches)]
    inputs = {"x": numbers(5, 2, 3), "c": np.array(True)}
    path = written(tmp_path, nodes, inputs, ["out"], weights)
    assert list(backend.layers(path)) == ["inside", "inside_"]
    (y,) = backend.run_model(path, inputs)
    assert np.array_equal(y[:, 0], backend.layers(path)["inside"](inputs["x"])[0])


def test_a_stack_and_back(make_layer):
    layer = make_layer(3, 4, num_layers=3, bidirectional=True, seed=0)
    levels = stacking.unstack(layer)
    assert [one.input_size for one in levels] == [3, 8, 8]
    again = stacking.stack(levels)
    assert repr(again) == repr(layer)
    for name, array in layer.parameters.items():
        assert np.array_equal(again.parameters[name], array)


def test_a_stack_keeps_activations_and_clip():
    options = {"activation": "relu", "recurrent_activation": ("hard_sigmoid", 0.25, 0.5)}
    for layer in (
        pyrnn.LSTM(3, 4, 2, **options, output_activation="softsign", clip=0.5, seed=0),
        pyrnn.GRU(3, 4, 2, **options, seed=0),
        pyrnn.LSTM(3, 4, 2, layer_norm=True, eps=0.1, normalised_state=True, seed=0),
    ):
        again = stacking.stack(stacking.unstack(layer))
        assert repr(again) == repr(layer)
        x = numbers(5, 2, 3)
        assert np.array_equal(again(x)[0], layer(x)[0])


def test_a_stack_that_does_not_fit():
    with pytest.raises(ValueError, match=r"layers\[1\]: expected 4 inputs and 4 units"):
        stacking.stack([pyrnn.GRU(3, 4), pyrnn.GRU(5, 4)])
    with pytest.raises(ValueError, match=r"layers\[1\]: expected the options of GRU"):
        stacking.stack([pyrnn.GRU(3, 4), pyrnn.GRU(4, 4, reset_after=False)])
    with pytest.raises(TypeError, match="at least one recurrent layer"):
        stacking.stack([])


def halved(path, program):
    """A file with all floats of a model in float16, and that model."""
    data = graphs.onnx.load(path)
    half = TensorProto.FLOAT16
    for value in (*data.graph.input, *data.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = half
    for tensor in data.graph.initializer:
        array = graphs.numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            narrow = graphs.numpy_helper.from_array(array.astype(np.float16), tensor.name)
            tensor.CopyFrom(narrow)
    program.write_bytes(data.SerializeToString())
    return program


def test_float16_weights_become_layers_of_float32(tmp_path):
    from pyrnn import interop

    model = pyrnn.Sequential(
        pyrnn.Conv1d(3, 6, 3, seed=0), pyrnn.LayerNorm(6),
        pyrnn.GRU(6, 8, bidirectional=True, seed=1), pyrnn.Linear(16, 4, seed=2),
    )  # fmt: skip
    backend.save(model, tmp_path / "plain.onnx")
    path = halved(tmp_path / "plain.onnx", tmp_path / "half.onnx")
    layers, originals = (backend.layers(one) for one in (path, tmp_path / "plain.onnx"))
    assert [repr(layer) for layer in layers.values()] == [repr(o) for o in originals.values()]
    for layer, original in zip(layers.values(), originals.values(), strict=True):
        for name, array in original.parameters.items():
            assert np.array_equal(layer.parameters[name], array.astype(np.float16))
    # The whole model rounds to float16 between the layers, so it stays a graph.
    arguments = [str(path), str(tmp_path / "half.safetensors")]
    subprocess.run([sys.executable, "-m", "pyrnn", "convert", *arguments], check=True)
    loaded = interop.load(tmp_path / "half.safetensors")
    x = numbers(7, 2, 3).astype(np.float16)
    given = {name: x if name == "x" else np.zeros((2, 2, 8), np.float16) for name in loaded.inputs}
    for mine, theirs in zip(loaded.run(given), backend.prepare(path).run(given), strict=True):
        assert mine.dtype == np.float16
        assert np.array_equal(mine, theirs)
