"""Files that `pyrnn convert` writes: several layers, a whole graph; and what is none of them."""

import json
import subprocess
import sys

import numpy as np
import pytest

import pyrnn
from pyrnn import interop
from pyrnn.interop import converted
from pyrnn.interop.onnx.graph import GraphError
from pyrnn.interop.serialization import ModelFileError

safetensors = pytest.importorskip("safetensors.numpy")

LAYERS = {
    "encoder/rnn": pyrnn.LSTM(3, 4, 2, bidirectional=True, dropout=0.25, seed=0),
    "gru": pyrnn.GRU(8, 5, reset_after=False, batch_first=True, dtype="float64", seed=1),
    "out": pyrnn.Linear(5, 2, seed=2),
    "words": pyrnn.Embedding(7, 3, seed=3),
}


def test_layers(tmp_path):
    path = tmp_path / "m.safetensors"
    converted.save_layers(LAYERS, path)
    found = interop.load(path)
    assert {name: repr(layer) for name, layer in found.items()} == {
        name: repr(layer) for name, layer in LAYERS.items()
    }
    for name, layer in LAYERS.items():
        for key, array in layer.parameters.items():
            assert found[name].parameters[key].tobytes() == array.tobytes()


def test_one_layer_is_an_ordinary_file(tmp_path):
    path = tmp_path / "m.safetensors"
    pyrnn.serialization.save(LAYERS["out"], path)
    assert repr(interop.load(path)) == "Linear(5, 2)"


def silly_model():
    """A graph with a branch, attributes of every kind, and constants of many dtypes."""
    from pyrnn.interop.onnx.graph import Graph, Node, Program, Value

    def branch(op):
        return Graph("b", (), (Value("o"),), {}, (Node(op, op, ("x",), ("o",)),))

    branches = {"then_branch": branch("Relu"), "else_branch": branch("Neg")}
    nodes = (
        Node("Greater", "g", ("s", "zero"), ("c",)),
        Node("If", "if", ("c",), ("z",), branches),
        Node("Clip", "clip", ("z", "low"), ("a",)),
        Node("Transpose", "t", ("a",), ("b",), {"perm": (1, 0)}),
        Node("LeakyRelu", "l", ("b",), ("y",), {"alpha": 0.1}),
        Node("Cast", "cast", ("half",), ("h",), {"to": 1}),
        Node("Constant", "k", (), ("n",), {"value": np.array([True, False])}),
        Node("Constant", "one", (), ("m",), {"value": np.array(True)}),
    )  # fmt: skip
    constants = {
        "zero": np.array(0.0, np.float32),
        "low": np.array(-np.inf, np.float32),
        "half": np.array([0.5, 2], np.float16),
    }
    x, s = Value("x", np.dtype(np.float32), (2, None)), Value("s", np.dtype(np.float32), ())
    outputs = (Value("y"), Value("h"), Value("n"))
    return Program(Graph("silly", (x, s), outputs, constants, nodes), 17)


def test_a_graph(tmp_path):
    from pyrnn.interop.onnx.model import Model

    program = silly_model()
    path = tmp_path / "m.safetensors"
    converted.save_model(program, path)
    loaded = interop.load(path)
    x = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)
    for sign in (1, -1):
        inputs = {"x": x, "s": np.array(sign, np.float32)}
        for mine, theirs in zip(loaded.run(inputs), Model(program).run(inputs), strict=True):
            assert mine.dtype == theirs.dtype
            assert np.array_equal(mine, theirs)


NUMPY_ALONE = """
import sys
for name in ("onnx", "h5py", "google", "torch", "ml_dtypes"):
    sys.modules[name] = None
import numpy as np
from pyrnn import interop
model = interop.load({path!r})
x, h = np.ones((5, 2, 3), np.float32), np.zeros((1, 2, 4), np.float32)
print(model.run([x, h, h])[0].sum())
"""


def test_a_converted_model_needs_numpy_alone(tmp_path):
    pytest.importorskip("onnx")
    from pyrnn.interop import onnx
    from pyrnn.interop.onnx.read import read

    layer = pyrnn.LSTM(3, 4, seed=0)
    onnx.save(layer, tmp_path / "m.onnx")
    path = tmp_path / "m.safetensors"
    converted.save_model(read(tmp_path / "m.onnx"), path)
    setup = f"import sys; sys.path[:0] = {[p for p in sys.path if p]!r}\n"
    code = setup + NUMPY_ALONE.format(path=str(path))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    y, _ = layer(np.ones((5, 2, 3), np.float32))
    assert float(done.stdout) == pytest.approx(float(y.sum()), rel=1e-6)


# --- what is none ---------------------------------------------------------------------------


def written(path, description, tensors):
    metadata = {"pyrnn": description if isinstance(description, str) else json.dumps(description)}
    path.write_bytes(safetensors.save(tensors, metadata))
    return path


def graph(**changes):
    whole = {
        "name": "g", "inputs": [["x", "float32", [2]]], "outputs": [["y", None, None]],
        "constants": {"w": "0"},
        "nodes": [["Add", "a", ["x", "w"], ["y"], "", {}]],
    }  # fmt: skip
    return {"version": 1, "kind": "Graph", "arguments": {"opset": 17, "graph": whole | changes}}


W = {"0": np.ones(2, np.float32)}


def test_the_graph_of_these_tests_is_one(tmp_path):
    model = interop.load(written(tmp_path / "m.safetensors", graph(), W))
    assert model.run(np.ones(2, np.float32))[0].tolist() == [2, 2]


DEEP = "[" * 5000 + "]" * 5000
WRONG = {
    "no graph": ({"version": 1, "kind": "Graph", "arguments": {"opset": 17}}, "expected a graph"),
    "version": (graph() | {"version": 2}, "metadata of version 1"),
    "no tensor": (graph(constants={"w": "7"}), "expected a tensor '7', got none"),
    "nodes": (graph(nodes=[["Add"]]), "expected a graph"),
    "names": (graph(nodes=[["Add", "a", [3], ["y"], "", {}]]), "expected a name, got 3"),
    "circle": (graph(nodes=[["Add", "a", ["y", "w"], ["y"], "", {}]]), "reads 'y'"),
    "operator": (graph(nodes=[["Evil", "a", ["x"], ["y"], "", {}]]), "not implemented: Evil"),
    "deep": ('{"kind": "Graph", "version": 1, "arguments": ' + DEEP + "}", "expected"),
    "layers": ({"version": 1, "kind": "Layers", "arguments": {"layers": [3]}}, "descriptions of"),
    "huge": (
        {"version": 1, "kind": "Layers", "arguments": {"layers": [
            {"name": "a", "kind": "Linear", "arguments":
             {"in_features": 10**6, "out_features": 10**6}}]}}, "expected",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_none_is_one_line(name, tmp_path):
    description, match = WRONG[name]
    path = written(tmp_path / "m.safetensors", description, W)
    with pytest.raises(ModelFileError, match=match) as raised:
        interop.load(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_truncated(tmp_path):
    path = tmp_path / "m.safetensors"
    converted.save_layers(LAYERS, path)
    data = path.read_bytes()
    for end in range(0, len(data), len(data) // 30):
        path.write_bytes(data[:end])
        with pytest.raises(ModelFileError):
            interop.load(path)


@pytest.mark.parametrize("dtype", ["O", "f4,f4", "2", "(2,3)f4", "datetime64[s]", "S5", ""])
def test_a_dtype_is_one_of_a_list(dtype, tmp_path):
    """NumPy evaluates some strings as expressions to make dtypes of them."""
    value = ["x", dtype, [1]]
    graph = {"name": "g", "inputs": [value], "outputs": [], "constants": {}, "nodes": []}
    with pytest.raises(converted.ContentError, match="expected the dtype of an input"):
        converted._graph(graph, None, None, 0)


@pytest.mark.parametrize("op", ["Gemm\n", "a\x1b[2J", "x" * 300])
def test_names_of_operators_are_shown_as_they_are(op):
    node = [op, "n", [], [], "", {}]
    graph = {"name": "g", "inputs": [], "outputs": [], "constants": {}, "nodes": [node]}
    with pytest.raises(GraphError, match="expected the name of an operator"):
        converted._graph(graph, None, None, 0)
