"""Graphs that contradict themselves, or would take all memory; what is checked before a run."""

import threading
import time

import numpy as np
import pytest

from pyrnn.interop import onnx as backend
from pyrnn.interop.onnx.nodes import find
from pyrnn.interop.onnx.read import from_any
from pyrnn.interop.serialization import ModelFileError
from tests.interop.onnx import graphs
from tests.interop.onnx.graphs import TensorProto, helper, onnx

X = np.ones((2, 3), np.float32)


def model(*nodes, inputs=None, outputs=("y",), constants=None, opset=17):
    infos = [helper.make_empty_tensor_value_info(name) for name in outputs]
    return graphs.model_of(nodes, inputs or {"x": X}, infos, constants, opset)


def test_unknown_operators_are_all_named_before_anything_runs():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("GridSample", ["a"], ["b"]),
        helper.make_node("Attention", ["b"], ["c"], domain="com.example"),
    ]
    branch = helper.make_graph(
        [helper.make_node("Multinomial", ["x"], ["z"])], "g", [],
        [helper.make_empty_tensor_value_info("z")],
    )  # fmt: skip
    branches = {"then_branch": branch, "else_branch": branch}
    nodes.append(helper.make_node("If", ["q"], ["y"], **branches))
    with pytest.raises(backend.UnsupportedError) as raised:
        backend.prepare(model(*nodes))
    assert str(raised.value) == (
        "operators that are not implemented: GridSample, Multinomial, com.example.Attention"
    )


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([("Add", ["x", "y"], ["z"]), ("Relu", ["z"], ["y"])], "reads 'y', which nothing before"),
        ([("Add", ["y", "x"], ["y"])], "reads 'y', which nothing before"),
        ([("Relu", ["x"], ["y"]), ("Tanh", ["x"], ["y"])], "one node for each name, got 'y' twice"),
        ([("Relu", ["x"], ["x"])], "one node for each name, got 'x' twice"),
        ([("Relu", ["x"], ["z"])], "the graph: it reads 'y'"),
    ],
)
def test_a_graph_that_is_none(nodes, message):
    made = [helper.make_node(op, inputs, outputs) for op, inputs, outputs in nodes]
    with pytest.raises(backend.GraphError, match=message):
        backend.prepare(model(*made))


BOMBS = {
    "ConstantOfShape": [helper.make_node("ConstantOfShape", ["big"], ["y"])],
    "Expand": [helper.make_node("Expand", ["one", "big"], ["y"])],
    "Tile": [helper.make_node("Tile", ["three", "big"], ["y"])],
    "Range": [helper.make_node("Range", ["zero", "many", "step"], ["y"])],
    "Pad": [helper.make_node("Pad", ["three", "pads"], ["y"])],
    "OneHot": [helper.make_node("OneHot", ["zero", "many", "pair"], ["y"])],
}


@pytest.mark.parametrize("name", BOMBS)
def test_numbers_that_would_take_all_memory(name):
    """Not while the model is made ready; and not while it runs."""
    constants = {
        "big": np.array([10**5, 10**5, 10**5]), "one": np.ones(1, np.float32),
        "three": np.ones((1, 1, 1), np.float32), "zero": np.array(0), "many": np.array(10**12),
        "step": np.array(1), "pads": np.array([0, 0, 0, 10**6, 10**6, 10**6]),
        "pair": np.array([0.0, 1.0], np.float32),
    }  # fmt: skip
    start = time.perf_counter()
    prepared = backend.prepare(model(*BOMBS[name], constants=constants))
    with pytest.raises(MemoryError, match="expected at most"):
        prepared.run(X)
    assert time.perf_counter() - start < 1


def refused(nodes, message, constants):
    """By `prepare`, in one line, and by `find` as no layer."""
    made = graphs.model_of(nodes, {"x": X}, ["y"], constants)
    with pytest.raises(backend.GraphError, match=message) as raised:
        backend.prepare(made)
    assert "\n" not in str(raised.value)
    assert find(from_any(made)).layers == {}


def test_inputs_that_an_operator_does_not_have():
    """Too many inputs, too few outputs or axes: nothing checks them before."""
    weights = {"w": np.ones((3, 4), np.float32), "b": np.ones(4, np.float32)}
    product = helper.make_node("MatMul", ["x", "w"], ["p"])
    three = [product, helper.make_node("Add", ["p", "b", "b"], ["y"])]
    made = graphs.model_of(three, {"x": X}, ["y"], weights)
    with pytest.raises(ValueError, match="node 'Add_1' "):
        backend.prepare(made).run(X)
    flat = {"w": np.ones(4, np.float32)}
    refused([helper.make_node("Gemm", ["x", "w"], ["y"])], "node 'Gemm_0' .*: expected", flat)
    made = graphs.model_of([helper.make_node("MatMul", ["x", "w"], [])], {"x": X}, ["x"], weights)
    assert find(from_any(made)).layers == {}


def test_nothing_goes_on_for_ever_before_a_model_is_run():
    """A loop of constants alone, of which all turns are known."""
    count = {"n": np.array(2**62), "c": np.array(True)}
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [graphs.value("i", TensorProto.INT64, []), graphs.value("go", TensorProto.BOOL, [])],
        [graphs.value("on", TensorProto.BOOL, [])],
    )
    loop = helper.make_node("Loop", ["n", "c"], [], body=body)
    last = helper.make_node("Identity", ["x"], ["y"])
    made = graphs.model_of([loop, last], {"x": X}, ["y"], count)
    assert backend.prepare(made).inputs == ["x"]
    assert find(from_any(made)).layers == {}


def test_what_is_computed_before_any_input_is_bounded_in_all():
    shape = {"s": np.array([1 << 11, 1 << 11])}
    nodes = [helper.make_node("ConstantOfShape", ["s"], [f"z{n}"]) for n in range(200)]
    nodes.append(helper.make_node("Identity", ["x"], ["y"]))
    begun = time.process_time()
    assert np.array_equal(
        backend.prepare(graphs.model_of(nodes, {"x": X}, ["y"], shape)).run(X)[0], X
    )
    find(from_any(graphs.model_of(nodes, {"x": X}, ["y"], shape)))
    assert time.process_time() - begun < 5


def test_graphs_in_graphs():
    inner = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["o"])], "g", [],
        [helper.make_empty_tensor_value_info("o")],
    )  # fmt: skip
    for _ in range(4):
        node = helper.make_node("If", ["c"], ["o"], then_branch=inner, else_branch=inner)
        inner = helper.make_graph([node], "g", [], [helper.make_empty_tensor_value_info("o")])
    nodes = [helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)]
    made = model(*nodes, inputs={"x": X, "c": np.array(True)})
    assert np.array_equal(backend.run_model(made, {"x": X, "c": np.array(True)})[0], X)


def test_inputs_are_checked():
    prepared = backend.prepare(model(helper.make_node("Relu", ["x"], ["y"])))
    with pytest.raises(TypeError, match="x: expected dtype float32, got float64"):
        prepared.run(X.astype(np.float64))
    with pytest.raises(ValueError, match=r"x: expected shape \(2, 3\), got \(3, 2\)"):
        prepared.run(X.T)
    with pytest.raises(ValueError, match=r"inputs: expected 1 \(x\), got 2"):
        prepared.run([X, X])
    with pytest.raises(ValueError, match="inputs: expected x, got no 'x'"):
        prepared.run({"z": X})
    with pytest.raises(ValueError, match="inputs: expected x, got 'z'"):
        prepared.run({"x": X, "z": X})


def test_an_error_names_the_node():
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    prepared = backend.prepare(model(node, constants={"w": np.ones((5, 2), np.float32)}))
    with pytest.raises(ValueError, match=r"node 'product' \(MatMul\)"):
        prepared.run(X)


def test_outputs_are_the_callers():
    """Writing into them changes neither the inputs nor the model."""
    constants = {"k": np.ones(3, np.float32)}
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["k"], ["z"])]
    prepared = backend.prepare(model(*nodes, outputs=("y", "z"), constants=constants))
    x = X.copy()
    for out in prepared.run(x):
        out[:] = 7
    assert np.array_equal(x, X)
    assert np.array_equal(prepared.run(x)[1], np.ones(3))


def test_several_threads_run_one_model():
    layer_x = np.random.default_rng(0).standard_normal((8, 4, 3)).astype(np.float32)
    weights = {"W": np.ones((1, 16, 3), np.float32), "R": np.ones((1, 16, 4), np.float32)}
    node = helper.make_node("LSTM", ["x", "W", "R"], ["y"])
    prepared = backend.prepare(model(node, inputs={"x": layer_x}, constants=weights))
    expected = prepared.run(layer_x)[0]
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(prepared.run(layer_x)[0])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(np.array_equal(one, expected) for one in found)


# --- files ----------------------------------------------------------------------------------


def whole_file(tmp_path):
    path = tmp_path / "model.onnx"
    weights = {"w": np.ones((3, 4), np.float32)}
    made = model(helper.make_node("MatMul", ["x", "w"], ["y"]), constants=weights)
    path.write_bytes(made.SerializeToString())
    return path


def test_a_truncated_file(tmp_path):
    path = whole_file(tmp_path)
    data = path.read_bytes()
    for end in range(0, len(data) - 1, 7):
        path.write_bytes(data[:end])
        with pytest.raises((ModelFileError, backend.UnsupportedError)) as raised:
            backend.prepare(path)
        assert str(raised.value).startswith(str(path))


@pytest.mark.parametrize("data", [b"", b"PK\3\4" + bytes(99), bytes(1000), b"\x80\4N.", b"{}" * 50])
def test_another_file(tmp_path, data):
    path = tmp_path / "renamed.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"renamed\.onnx: expected a"):
        backend.prepare(path)


def test_a_file_whose_graph_is_none(tmp_path):
    path = tmp_path / "circle.onnx"
    made = model(helper.make_node("Add", ["x", "y"], ["y"]))
    path.write_bytes(made.SerializeToString())
    with pytest.raises(ModelFileError, match="reads 'y'") as raised:
        backend.prepare(path)
    assert str(raised.value).startswith(str(path))


def test_a_name_that_is_no_text():
    made = model(helper.make_node("Relu", ["x"], ["y"]))
    data = made.SerializeToString().replace(b"Relu", b"Re\xffu")
    with pytest.raises(backend.GraphError, match="node 0: expected names in UTF-8"):
        backend.prepare(data)
    made = model(
        helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.5), constants={"weight": np.ones(2)}
    )
    helper.set_model_props(made, {"source": "x"})
    data = made.SerializeToString()
    for name in (b"weight", b"alpha", b"source"):
        assert data.count(name) == 1
        with pytest.raises(backend.GraphError, match="expected names in UTF-8"):
            backend.prepare(data.replace(name, b"\xff" + name[1:]))


def test_a_long_name_is_cut(tmp_path):
    made = model(helper.make_node("Relu", ["z" * 10**5], ["y"]))
    path = tmp_path / "m.onnx"
    path.write_bytes(made.SerializeToString())
    with pytest.raises((ModelFileError, backend.GraphError)) as raised:
        backend.prepare(path)
    assert len(str(raised.value)) < 1000


def test_no_file(tmp_path):
    with pytest.raises(ModelFileError, match=r"cannot be read \(it is a folder\)"):
        backend.prepare(tmp_path)
    with pytest.raises(ModelFileError, match=r"cannot be read \(No such file"):
        backend.prepare(tmp_path / "none.onnx")
    with pytest.raises(TypeError, match=r"model: expected a path, bytes or an onnx.ModelProto"):
        backend.prepare(3)


def test_a_tensor_whose_data_do_not_fit(tmp_path):
    made = onnx.load(whole_file(tmp_path))
    made.graph.initializer[0].dims[0] = 10**12
    with pytest.raises(backend.GraphError, match="w: expected data for shape"):
        backend.prepare(made)


def test_weights_in_another_file(tmp_path):
    made = onnx.load(whole_file(tmp_path))
    path = tmp_path / "apart.onnx"
    onnx.save_model(
        made, path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    assert np.array_equal(backend.prepare(path).run(X)[0], np.full((2, 4), 3.0))
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelFileError, match="its data is in another file"):
        backend.prepare(path)
    outside = onnx.load(path, load_external_data=False)
    outside.graph.initializer[0].external_data[0].value = "../secret"
    path.write_bytes(outside.SerializeToString())
    with pytest.raises(ModelFileError, match="its data is in another file"):
        backend.prepare(path)


def test_devices():
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA:1")
    with pytest.raises(backend.UnsupportedError, match="expected 'CPU', got 'CUDA'"):
        backend.prepare(model(helper.make_node("Relu", ["x"], ["y"])), "CUDA")


def test_is_compatible():
    assert backend.is_compatible(model(helper.make_node("Relu", ["x"], ["y"])))
    assert not backend.is_compatible(model(helper.make_node("Multinomial", ["x"], ["y"])))


def test_bfloat16_weights_are_widened():
    tensor = helper.make_tensor("w", TensorProto.BFLOAT16, [2], [1.5, -2.0])
    made = model(helper.make_node("Identity", ["x"], ["y"]))
    made.graph.initializer.append(tensor)
    prepared = backend.prepare(made)
    assert prepared.program.graph.constants["w"].tolist() == [1.5, -2.0]
