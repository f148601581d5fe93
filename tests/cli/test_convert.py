"""`pyrnn convert` and `pyrnn inspect`: every pair of formats that there is, and their errors."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

import pyrnn
from pyrnn import interop, serialization
from pyrnn.interop import conversion, converted

pytest.importorskip("onnx")
pytest.importorskip("h5py")

from pyrnn.interop import keras, onnx, torch
from tests.fuzz.spoil.torch_file import archive
from tests.number_formats.rounded import rounded_all

pytestmark = pytest.mark.usefixtures("in_place")

WRITERS = {
    ".safetensors": serialization.save,
    ".onnx": onnx.save,
    ".weights.h5": keras.save,
    ".keras": keras.save,
    ".pt": torch.save,
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


@pytest.mark.parametrize("suffix", [".pt", ".onnx", ".safetensors"])
def test_a_file_without_layers_is_named(suffix, run):
    """Not the file to write, which is not there."""
    Path("a.pth").write_bytes(archive({"0": {"weight": np.zeros((8, 1, 3, 3), np.float32)}}))
    result = run("convert", "a.pth", f"b{suffix}")
    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "pyrnn: error: a.pth: expected a file with a layer that pyrnn has, got none (pyrnn inspect "
        "lists what is in it)\n"
    )
    assert not Path(f"b{suffix}").exists()


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
    nodes.insert(0, helper.make_node("Mul", ["x", "scale"], ["scaled"]))
    nodes[1].input[0] = "scaled"
    scaled = model_of(
        nodes, {"x": x}, [value("p", TensorProto.FLOAT)], {**weights, "scale": np.ones(3, "f")}
    )
    with open("scaled.onnx", "wb") as file:
        file.write(scaled.SerializeToString())
    assert (
        "54 parameters\nno layer: Mul: 3 numbers in 1 node\n" in run("inspect", "scaled.onnx").out
    )
    result = run("convert", "scaled.onnx", "n.keras")
    assert result.status == 2
    assert "expected a model that is layers of pyrnn, got Mul_0: Mul is no layer" in result.err
    assert not os.path.exists("n.keras")
    assert run("convert", "scaled.onnx", "n.onnx").out == "n.onnx: the whole model, 3 nodes\n"
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


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_checkpoints_and_programs_of_torch(run):
    """Lightning's checkpoints have a state dict beside other things; a program has its modules."""
    library = pytest.importorskip("torch")
    net = library.nn.Sequential(library.nn.Embedding(5, 3), library.nn.Linear(3, 2))
    library.save({"state_dict": net.state_dict(), "epoch": 3}, "m.ckpt")
    assert list(conversion.read("m.ckpt").layers) == ["state_dict.0", "state_dict.1"]
    library.jit.save(library.jit.trace(net, library.zeros(1).long()), "m.jit")
    assert run("inspect", "m.jit").out.endswith("\n23 parameters\n")


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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), ""),
        (("--weights", "bfloat16"), ", weights in bfloat16"),
        (("--weights", "int8"), ", weights in int8"),
        (
            ("--weights", "int8", "--activations", "int8"),
            ", weights in int8, made for activations in int8",
        ),
    ],
)
def test_inspect_says_how_weights_are_stored(run, options, said):
    for model, kind in (
        (pyrnn.GRU(3, 4, seed=0), "safetensors"),
        (pyrnn.Sequential(pyrnn.GRU(3, 4, seed=0)), "safetensors, a Sequential"),
    ):
        serialization.save(model, "full.safetensors")
        assert run("convert", "full.safetensors", "m.safetensors", "--force", *options).status == 0
        assert run("inspect", "m.safetensors").out.startswith(f"m.safetensors: {kind}{said}\n")


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
    assert run("inspect", "a.safetensors").out == (
        "a.safetensors: safetensors, a CharacterModel\n"
        "layer   kind and sizes  parameters\n"
        "rnn     LSTM(3, 4)             144\n"
        "linear  Linear(4, 3)            15\n"
        f"{model.num_parameters} parameters\n"
    )
    assert run("convert", "a.safetensors", "b.safetensors").out == "b.safetensors: CharacterModel\n"
    assert run("convert", "a.safetensors", "b.onnx").out == "b.onnx: 2 layers\n"
    x = np.eye(3, dtype=np.float32)[[0, 2, 1, 1]][:, None]
    zeros = np.zeros((1, 1, 4), np.float32)
    logits = onnx.run_model("b.onnx", [x, zeros, zeros])[0]
    np.testing.assert_allclose(logits[:, 0], model([0, 2, 1, 1])[0], rtol=1e-5, atol=1e-6)


MODELS = {
    "text": lambda: pyrnn.CharacterModel("abc", "gru", hidden_size=4, embedding_dim=3, seed=0),
    "nested": lambda: pyrnn.Sequential(
        pyrnn.Sequential(rnn=pyrnn.LSTM(3, 4, 2, seed=0), drop=pyrnn.Dropout(0.1)),
        norm=pyrnn.LayerNorm(4), last=pyrnn.LastStep(), out=pyrnn.Linear(4, 2, seed=1),
    ),
    "cell": lambda: pyrnn.LSTMCell(3, 4),
    "convolution": lambda: pyrnn.Sequential(pyrnn.Conv1d(3, 4, 3), pyrnn.MinGRU(4, 5)),
    "merged": lambda: pyrnn.GRU(3, 4, bidirectional=True, merge_mode="sum"),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_inspect_leaves_no_parameter_out(name, run):
    model = MODELS[name]()
    serialization.save(model, "m.safetensors")
    rows = run("inspect", "m.safetensors").out.splitlines()
    counts = [int(row.split()[-1].replace(",", "")) for row in rows[2:-1]]
    assert sum(counts) == model.num_parameters
    assert rows[-1] == f"{model.num_parameters:,} parameters"


def test_a_nested_composition(run):
    model = MODELS["nested"]().eval()
    serialization.save(model, "m.safetensors")
    assert [row.split()[0] for row in run("inspect", "m.safetensors").out.splitlines()[2:-1]] == [
        "0.rnn", "0.drop", "norm", "last", "out",
    ]  # fmt: skip
    assert run("convert", "m.safetensors", "m.onnx").out == "m.onnx: 5 layers\n"
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    zeros = np.zeros((2, 2, 4), np.float32)
    found = onnx.run_model("m.onnx", [x, zeros, zeros])[0]
    np.testing.assert_allclose(found, model(x)[0], rtol=1e-5, atol=1e-6)
    assert run("convert", "m.safetensors", "n.pt").err == (
        "not in n.pt: it holds weights alone, not how layers follow each other\n"
        "not in n.pt: 0.drop: Dropout(p=0.1) has no weights\n"
        "not in n.pt: norm: kind='LayerNorm', normalized_shape=4, eps=1e-05, "
        "elementwise_affine=True\n"
        "not in n.pt: last: LastStep() has no weights\n"
    )
    layers = ["--layer", "0.rnn", "--layer", "out"]
    assert run("convert", "m.safetensors", "m.pt", *layers).out == "m.pt: 2 layers\n"
    assert list(conversion.read("m.pt").layers) == ["0.rnn", "out"]
    assert run("convert", "m.safetensors", "m.keras", *layers).out == "m.keras: 2 layers\n"
    assert list(conversion.read("m.keras").layers) == ["0_rnn", "out"]


def test_several_compositions_stay_what_they_are(run):
    models = {"a": MODELS["nested"](), "b": pyrnn.Linear(2, 3, seed=0)}
    converted.save_layers(models, "m.safetensors")
    assert run("convert", "m.safetensors", "n.safetensors").out == "n.safetensors: 6 layers\n"
    assert repr(interop.load("n.safetensors")) == repr(models)


def test_names_that_a_terminal_would_obey(run):
    keras.save({"a\x1b[2J\nb": pyrnn.Linear(3, 2)}, "m.weights.h5")
    out = run("inspect", "m.weights.h5").out
    assert "a\\x1b[2J\\nb  Linear(3, 2)" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.onnx", "b.txt"], "b.txt: expected a name that ends in .pt, .pth,"),
        (["a.txt", "b.onnx"], "a.txt: cannot be read (No such file"),
        (
            ["text.md", "b.onnx"],
            "text.md: expected a file of PyTorch, ONNX, Keras, ",
        ),
        (["none.onnx", "b.onnx"], "none.onnx: cannot be read (No such file"),
        (
            ["a.onnx", "b.jit"],
            "b.jit: .jit is a TorchScript program, which can only be read; expected",
        ),
        (["q.safetensors", "b.pt"], "b.pt: layer: expected one that torch has as well, got GRU"),
        (["q.safetensors", "b.keras"], "b.keras: out: expected layers that fit, got 4 features"),
        (["q.safetensors", "b.onnx"], "b.onnx: model: expected layers that fit"),
        (["a.onnx", "b.onnx", "--layer", "x"], "argument --layer: expected one of lstm, got 'x'"),
        (["p.safetensors", "b.onnx"], "b.onnx: model: ONNX has no operator for LSTM(3, 4, proj_s"),
        (["p.safetensors", "b.h5"], "b.h5: layer: Keras has no layer like LSTM(3, 4, proj_size"),
        (["a.onnx", "none/b.onnx"], "none/b.onnx: there is no folder"),
    ],
)
def test_errors_are_one_line(arguments, message, fails):
    onnx.save(pyrnn.LSTM(3, 4), "a.onnx")
    serialization.save(pyrnn.LSTM(3, 4, proj_size=2), "p.safetensors")
    reverse = {"gru": pyrnn.GRU(3, 4, reverse=True), "out": pyrnn.GRU(9, 4)}
    converted.save_layers(reverse, "q.safetensors")
    Path("text.md").write_text("# A text")
    assert fails("convert", *arguments).startswith(message)


def test_layers_that_do_not_follow_each_other(fails):
    keras.save({"a": pyrnn.LSTM(3, 4), "b": pyrnn.GRU(9, 4)}, "m.weights.h5")
    assert fails("convert", "m.weights.h5", "m.onnx").startswith(
        "m.onnx: model: expected layers that fit"
    )


@pytest.mark.parametrize("weights", ["bfloat16", "float16", "int8"])
@pytest.mark.parametrize("count", [1, 2])
def test_narrow_weights(weights, count, run):
    layers = [pyrnn.GRU(3, 40, seed=0), pyrnn.Linear(40, 5, seed=1)][:count]
    torch.save({f"layer{i}": layer for i, layer in enumerate(layers)}, "a.pt")
    assert run("convert", "a.pt", "full.safetensors").status == 0
    result = run("convert", "a.pt", "b.safetensors", "--weights", weights)
    assert result.status == 0, result.err
    assert os.path.getsize("b.safetensors") < 0.7 * os.path.getsize("full.safetensors")
    found = conversion.read("b.safetensors").layers
    for layer, own in zip(layers, found.values(), strict=True):
        expected = rounded_all(weights, layer.parameters)
        for name, array in own.parameters.items():
            assert array.tobytes() == expected[name].tobytes()


@pytest.mark.parametrize("count", [1, 2])
def test_activations(count, run):
    layers = [pyrnn.GRU(3, 40, seed=0), pyrnn.Linear(40, 5, seed=1)][:count]
    torch.save({f"layer{i}": layer for i, layer in enumerate(layers)}, "a.pt")
    narrow = ("convert", "a.pt", "b.safetensors", "--force", "--weights", "int8")
    for activations in ((), ("--activations", "int16"), ("--activations", "int8")):
        result = run(*narrow, *activations)
        assert result.status == 0, result.err
        for layer in conversion.read("b.safetensors").layers.values():
            found = layer.eval(weights="int8").activation_format
            assert found == (activations[1] if activations else "int16")
    for wrong in (("--weights", "bfloat16"), ()):
        result = run("convert", "a.pt", "b.safetensors", *wrong, "--activations", "int8")
        assert result.status == 2
        assert "argument --activations: expected --weights int8 beside it" in result.err


def test_narrow_weights_that_no_file_can_hold(run):
    serialization.save(pyrnn.GRU(3, 4, dtype="float64"), "a.safetensors")
    result = run("convert", "a.safetensors", "b.safetensors", "--weights", "int8")
    assert result.status == 2
    assert "expected 'float64' for a layer of float64, got 'int8'" in result.err
    serialization.save(pyrnn.GRU(3, 4), "a.safetensors")
    result = run("convert", "a.safetensors", "b.onnx", "--weights", "int8")
    assert result.status == 2
    assert "expected .safetensors for weights in int8, got .onnx" in result.err
    assert not os.path.exists("b.onnx")


def test_what_is_there_already_stays(run, fails):
    pyrnn.save(pyrnn.GRU(3, 4, seed=0), "m.safetensors")
    Path("thesis.onnx").write_text("years of work")
    message = "OUT: 'thesis.onnx' is there already; --force overwrites it"
    assert fails("convert", "m.safetensors", "thesis.onnx") == message
    assert Path("thesis.onnx").read_text() == "years of work"
    assert run("convert", "m.safetensors", "thesis.onnx", "--force").status == 0
    assert list(conversion.read("thesis.onnx").layers) == ["gru"]
    os.mkdir("folder.onnx")
    for force in ((), ("--force",)):
        told = fails("convert", "m.safetensors", "folder.onnx", *force)
        assert "it is a folder" in told


def test_the_file_that_it_reads_stays(fails):
    """With --layer or --weights, what is left out or rounded would be lost."""
    pyrnn.save(pyrnn.GRU(3, 4, seed=0), "m.safetensors")
    with open("m.safetensors", "rb") as file:
        before = file.read()
    message = fails("convert", "m.safetensors", "./m.safetensors", "--weights", "int8")
    assert message == "OUT: expected another file than what is read, got './m.safetensors'"
    with open("m.safetensors", "rb") as file:
        assert file.read() == before
