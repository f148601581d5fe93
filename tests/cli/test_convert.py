"""`pyrnn convert` and `pyrnn inspect`: every pair of formats that there is, and their errors."""

import itertools

import numpy as np
import pytest

import pyrnn
from pyrnn import interop, serialization
from pyrnn.interop import conversion

pytest.importorskip("onnx")
pytest.importorskip("h5py")

from pyrnn.interop import keras, onnx

WRITERS = {
    ".safetensors": serialization.save,
    ".onnx": onnx.save,
    ".weights.h5": keras.save,
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("source", "target"), [*itertools.product(WRITERS, repeat=2)])
def test_all_pairs(source, target, run):
    layer = pyrnn.GRU(3, 4, num_layers=2, bidirectional=True, seed=0)
    WRITERS[source](layer, f"a{source}")
    result = run("convert", f"a{source}", f"b{target}")
    assert result.status == 0, result.err
    assert result.out == f"b{target}: 1 layer\n"
    (found,) = conversion.read(f"b{target}").layers.values()
    assert found.num_layers == 2
    for name, array in layer.parameters.items():
        assert found.parameters[name].tobytes() == array.tobytes()


def test_a_whole_model(run):
    """A graph that is more than layers stays one, and runs from the converted file."""
    from tests.interop.onnx.graphs import TensorProto, helper, model_of, value

    r = np.random.default_rng(0)
    x = r.standard_normal((5, 2, 3)).astype(np.float32)
    weights = {"W": r.standard_normal((1, 9, 3)), "R": r.standard_normal((1, 9, 3))}
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    nodes = [
        helper.make_node("GRU", ["x", "W", "R"], ["y", "h"], name="cell", hidden_size=3),
        helper.make_node("Softmax", ["h"], ["p"]),
    ]
    model = model_of(nodes, {"x": x}, [value("p", TensorProto.FLOAT)], weights)
    with open("m.onnx", "wb") as file:
        file.write(model.SerializeToString())
    assert (
        run("convert", "m.onnx", "m.safetensors").out == "m.safetensors: the whole model, 2 nodes\n"
    )
    assert np.array_equal(interop.load("m.safetensors").run(x)[0], onnx.run_model("m.onnx", x)[0])
    assert "the whole model runs: Model(x -> p; 2 nodes)" in run("inspect", "m.onnx").out
    assert "converted model" in run("inspect", "m.safetensors").out
    result = run("convert", "m.onnx", "cell.safetensors", "--layer", "cell")
    assert result.out == "cell.safetensors: 1 layer\n"
    assert repr(interop.load("cell.safetensors")) == "GRU(3, 3, bias=False, reset_after=False)"


def test_several_layers(run):
    layers = {"a": pyrnn.LSTM(3, 4, seed=0), "b": pyrnn.Linear(4, 2, seed=1)}
    keras.save(layers, "m.weights.h5")
    assert run("convert", "m.weights.h5", "m.safetensors").out == "m.safetensors: 2 layers\n"
    assert list(interop.load("m.safetensors")) == ["a", "b"]
    assert run("convert", "m.safetensors", "m.onnx").out == "m.onnx: 2 layers\n"
    assert onnx.prepare("m.onnx").inputs == ["x", "h_0", "c_0"]


def test_inspect(run):
    keras.save({"rnn": pyrnn.LSTM(3, 4), "out": pyrnn.Linear(4, 2)}, "m.weights.h5")
    assert run("inspect", "m.weights.h5") == (
        0,
        "m.weights.h5: Keras\n"
        "layer  kind and sizes                parameters\n"
        "rnn    LSTM(3, 4, batch_first=True)         144\n"
        "out    Linear(4, 2)                          10\n"
        "154 parameters\n",
        "",
    )


def test_inspect_says_what_cannot_be_read(run):
    from tests.interop.keras import files

    config = files.model_config(files.config_of("LSTM", "odd", units=3, activation="swish"))
    files.keras3("m.keras", config, [("lstm", "odd", files.random_arrays("LSTM", 3, 4))])
    assert run("inspect", "m.keras").out == (
        "m.keras: Keras\nno layers\nnot read: odd: no layer has the activations swish and sigmoid\n"
    )


def test_a_model_of_text(run):
    model = pyrnn.CharacterModel("abc", hidden_size=4, seed=0)
    serialization.save(model, "a.safetensors")
    assert "rnn    LSTM(" in run("inspect", "a.safetensors").out
    assert run("convert", "a.safetensors", "b.safetensors").out == "b.safetensors: CharacterModel\n"
    assert run("convert", "a.safetensors", "b.onnx").out == "b.onnx: 1 layer\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.onnx", "b.txt"], "b.txt: expected a name that ends in .pt, .pth,"),
        (["a.txt", "b.onnx"], "a.txt: expected a name that ends in .pt, .pth,"),
        (["none.onnx", "b.onnx"], "none.onnx: cannot be read (No such file"),
        (["a.onnx", "b.pt"], "b.pt: .pt is read alone; expected a name that ends in .safetensors,"),
        (["a.onnx", "b.keras"], "b.keras: .keras is read alone; expected"),
        (["a.onnx", "b.onnx", "--layer", "x"], "argument --layer: expected one of lstm, got 'x'"),
        (["p.safetensors", "b.onnx"], "b.onnx: model: ONNX has no operator for LSTM(3, 4, proj_s"),
        (["p.safetensors", "b.h5"], "b.h5: layer: Keras has no layer like LSTM(3, 4, proj_size"),
        (["a.onnx", "none/b.onnx"], "none/b.onnx: there is no folder"),
    ],
)
def test_errors_are_one_line(arguments, message, fails):
    onnx.save(pyrnn.LSTM(3, 4), "a.onnx")
    serialization.save(pyrnn.LSTM(3, 4, proj_size=2), "p.safetensors")
    assert fails("convert", *arguments).startswith(message)


def test_layers_that_do_not_follow_each_other(fails):
    keras.save({"a": pyrnn.LSTM(3, 4), "b": pyrnn.GRU(9, 4)}, "m.weights.h5")
    assert fails("convert", "m.weights.h5", "m.onnx").startswith(
        "m.onnx: model: expected layers that fit"
    )
