"""Files from one kind to another: the same function, or a refusal that names what is missing."""

import itertools
import time

import numpy as np
import pytest

import pyrnn
from pyrnn import serialization
from pyrnn.interop import conversion, keras, onnx
from pyrnn.serialization import ModelFileError
from tests.fuzz.spoil.torch_file import archive

pytest.importorskip("onnx")
pytest.importorskip("h5py")

pytestmark = pytest.mark.usefixtures("in_place")


def bidirectional(kind, **options):
    return kind(3, 4, batch_first=True, bidirectional=True, seed=0, **options)


def over_time(kind, *sizes, **options):
    return kind(*sizes, batch_first=True, **options)


HARD_SIGMOID = ("hard_sigmoid", 1 / 6, 0.5)
MODELS = {
    "last": lambda: [
        over_time(pyrnn.LSTM, 3, 4, num_layers=2, seed=0), over_time(pyrnn.LastStep),
        pyrnn.Linear(4, 2, seed=1),
    ],
    "both-ways": lambda: [
        bidirectional(pyrnn.LSTM), over_time(pyrnn.LastStep, bidirectional=True),
        pyrnn.Activation("tanh"), pyrnn.Linear(8, 2, seed=1), pyrnn.Activation("sigmoid"),
    ],
    "mean": lambda: [
        bidirectional(pyrnn.GRU), over_time(pyrnn.MeanOverTime), pyrnn.Linear(8, 2, bias=False),
    ],
    "merged": lambda: [bidirectional(pyrnn.RNN, merge_mode="sum"), pyrnn.LayerNorm(4)],
    "multiplied": lambda: [bidirectional(pyrnn.GRU, merge_mode="mul"), pyrnn.Linear(4, 2)],
    "reverse": lambda: [
        over_time(pyrnn.GRU, 3, 4, reverse=True, seed=0),
        over_time(pyrnn.LastStep, reverse=True), pyrnn.Linear(4, 2, seed=1),
    ],
    "reverse-within": lambda: [
        over_time(pyrnn.GRU, 3, 4, num_layers=2, reverse=True, seed=0), pyrnn.Linear(4, 5, seed=1),
        pyrnn.Activation("relu"), over_time(pyrnn.LSTM, 5, 4, seed=2),
        over_time(pyrnn.RNN, 4, 4, reverse=True, seed=3),
        over_time(pyrnn.GRU, 4, 2, bidirectional=True, merge_mode="ave", seed=4),
        over_time(pyrnn.MeanOverTime),
    ],
    "windows": lambda: [
        over_time(pyrnn.Conv1d, 3, 6, 3, padding="same", seed=0), pyrnn.Activation("relu"),
        over_time(pyrnn.MaxPool1d, 2), pyrnn.BatchNorm1d(6), over_time(pyrnn.LSTM, 6, 4, seed=1),
    ],
    "strides": lambda: [
        over_time(pyrnn.Conv1d, 3, 6, 3, stride=2, padding=1, seed=0), pyrnn.Activation("softplus"),
        over_time(pyrnn.InstanceNorm1d, 6, affine=True), over_time(pyrnn.GRU, 6, 4, seed=1),
    ],
    "causal": lambda: [
        over_time(pyrnn.Conv1d, 3, 6, 3, padding="causal", dilation=2, seed=0),
        over_time(pyrnn.GRU, 6, 4, reset_after=False, seed=1),
    ],
    "functions": lambda: [
        over_time(pyrnn.LSTM, 3, 4, activation="softsign", recurrent_activation=HARD_SIGMOID),
        over_time(pyrnn.RNN, 4, 4, nonlinearity="elu", seed=1),
    ],
    "activations": lambda: [
        over_time(pyrnn.GRU, 3, 4, seed=0), pyrnn.Activation("elu"),
        pyrnn.Activation(("leaky_relu", 0.2)), pyrnn.Linear(4, 4, seed=1),
        pyrnn.Activation(HARD_SIGMOID), pyrnn.Activation("softsign"), pyrnn.Softmax(),
    ],
    "dense": lambda: [pyrnn.Linear(3, 4, seed=0), pyrnn.Activation("tanh"), pyrnn.Linear(4, 2)],
    "tokens": lambda: [pyrnn.Embedding(7, 3, seed=0), over_time(pyrnn.GRU, 3, 4, seed=1)],
}  # fmt: skip
WHOLE = (".safetensors", ".onnx", ".keras")
# Every ordered pair of two kinds, and of each with itself.
RING = [".onnx", ".keras", ".onnx", ".onnx", ".safetensors", ".keras", ".keras", ".safetensors"]


def composed(layers):
    """The layers that a file gives, one behind the other."""
    named = {name.replace(".", "_"): layer for name, layer in layers.items()}
    return pyrnn.Sequential(**named).eval()


def moved(model):
    """Running averages that are no longer 0 and 1."""
    if any(isinstance(layer, pyrnn.BatchNorm1d) for layer in model.layers.values()):
        model.train()(np.random.default_rng(1).standard_normal((6, 8, 3)).astype(np.float32) + 1)
    return model.eval()


def converted(source, target):
    holding = conversion.read(source)
    assert not holding.refused
    conversion.write(holding, target)


@pytest.mark.parametrize("suffix", [".pt", ".onnx", ".keras", ".h5", ".safetensors"])
def test_a_file_whose_name_says_nothing_is_known_by_its_contents(suffix, tmp_path):
    layer = pyrnn.LSTM(3, 4, seed=0)
    conversion.write(conversion.Holding("layers", {"lstm": layer}), tmp_path / f"m{suffix}")
    named = conversion.read(tmp_path / f"m{suffix}")
    for name in ("model", "model.v2"):
        (tmp_path / name).write_bytes((tmp_path / f"m{suffix}").read_bytes())
        found = conversion.read(tmp_path / name)
        assert found.format == named.format
        (read,) = found.layers.values()
        assert all(np.array_equal(read.parameters[key], p) for key, p in layer.parameters.items())


@pytest.mark.parametrize("contents", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"{}", bytes(99)])
def test_a_file_that_nothing_tells_is_refused(contents, tmp_path):
    (tmp_path / "model").write_bytes(contents)
    with pytest.raises(ModelFileError, match="model: expected a file of PyTorch, ONNX"):
        conversion.read(tmp_path / "model")


@pytest.mark.parametrize("name", MODELS)
def test_whole_models_are_the_same_in_every_kind_of_file(name, tmp_path):
    model = moved(pyrnn.Sequential(*MODELS[name]()))
    r = np.random.default_rng(0)
    x = r.standard_normal((5, 8, 3)).astype(np.float32)
    if name == "dense":
        x = x[0]
    if name == "tokens":
        x = r.integers(0, 7, (5, 8))
    y = model(x)[0]
    path = tmp_path / "0.safetensors"
    serialization.save(model, path)
    pairs = {(path.suffix, RING[0]), *itertools.pairwise(RING)}
    assert len(pairs) == 3 * 3 - 1  # a composition stays one in .safetensors
    for number, suffix in enumerate(RING, start=1):
        target = tmp_path / f"{number}{suffix}"
        converted(path, target)
        found = conversion.read(target)
        assert not found.left
        back = composed(found.layers)
        assert np.array_equal(back(x)[0], y), (path.name, target.name)
        if suffix == ".onnx" and "functions" not in name:
            run = onnx.prepare(target)
            zeros = [np.zeros(states(value), np.float32) for value in run.program.graph.inputs[1:]]
            assert np.allclose(run.run([x, *zeros])[0], y, rtol=1e-5, atol=1e-6)
        path = target


def states(value):
    """The shape of an initial state of five sequences."""
    return (value.shape[0], 5, value.shape[2])


@pytest.mark.parametrize("name", ["last", "both-ways", "windows", "reverse"])
def test_steps_first_and_lengths(name, tmp_path):
    """ONNX keeps the layout of x; sequences of several lengths give the same."""
    layers = [
        type(layer).from_config({**layer.config(), "batch_first": False})
        if hasattr(layer, "batch_first")
        else layer
        for layer in MODELS[name]()
    ]
    model = moved(pyrnn.Sequential(*layers))
    onnx.save(model, tmp_path / "m.onnx")
    back = composed(conversion.read(tmp_path / "m.onnx").layers)
    x = np.random.default_rng(0).standard_normal((8, 3, 3)).astype(np.float32)
    lengths = None if name == "windows" else [8, 1, 5]
    assert np.array_equal(back(x, lengths=lengths)[0], model(x, lengths=lengths)[0])


@pytest.mark.parametrize(
    "function", [("affine", 0.3, -0.2), ("scaled_tanh", 1.7, 0.6), ("thresholded_relu", 0.4)]
)
def test_activations_that_keras_has_not(function, tmp_path):
    model = pyrnn.Sequential(pyrnn.Linear(3, 4, seed=0), pyrnn.Activation(function)).eval()
    onnx.save(model, tmp_path / "m.onnx")
    holding = conversion.read(tmp_path / "m.onnx")
    assert not holding.left
    assert repr(list(holding.layers.values())) == repr(list(model.layers.values()))
    with pytest.raises(conversion.ConversionError, match="Keras 3 has no activation"):
        conversion.write(holding, tmp_path / "m.keras")


REFUSED = {
    "turned-convolution": (
        lambda: [
            over_time(pyrnn.GRU, 3, 4, reverse=True), over_time(pyrnn.Conv1d, 4, 2, 3, padding=1),
        ],
        ".keras",
        "1: expected no Conv1d(4, 2, 3, padding=1, batch_first=True) after a reverse layer",
    ),
    "turned-directions": (
        lambda: [
            over_time(pyrnn.GRU, 3, 4, reverse=True),
            over_time(pyrnn.GRU, 4, 2, bidirectional=True),
        ],
        ".keras",
        "1: expected no GRU(4, 2, batch_first=True, bidirectional=True) after a reverse layer",
    ),
    "first-step": (
        lambda: [over_time(pyrnn.GRU, 3, 4), over_time(pyrnn.LastStep, reverse=True)],
        ".keras",
        "1: expected the step that each direction computed last",
    ),
    "minimal": (
        lambda: [over_time(pyrnn.MinGRU, 3, 4)], ".onnx", "ONNX has no operator for MinGRU",
    ),
    "projected": (
        lambda: [over_time(pyrnn.LSTM, 3, 4, proj_size=2)], ".keras", "no layer like LSTM",
    ),
    "clipped": (lambda: [over_time(pyrnn.LSTM, 3, 4, clip=1.0)], ".keras", "Keras has no clip"),
    "reverse": (lambda: [over_time(pyrnn.GRU, 3, 4, reverse=True)], ".pt", "torch has as well"),
    "merged": (lambda: [bidirectional(pyrnn.GRU, merge_mode="sum")], ".pt", "torch has as well"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_kind_of_file_cannot_hold_is_refused_by_name(name, tmp_path):
    make, suffix, message = REFUSED[name]
    serialization.save(pyrnn.Sequential(*make()), tmp_path / "m.safetensors")
    holding = conversion.read(tmp_path / "m.safetensors")
    with pytest.raises(conversion.ConversionError) as error:
        conversion.write(holding, tmp_path / f"m{suffix}")
    assert message in str(error.value)
    assert not (tmp_path / f"m{suffix}").exists()


def test_files_of_weights_say_what_they_do_not_hold(tmp_path):
    layers = {
        "conv": pyrnn.Conv1d(3, 4, 3, stride=2, padding=1),
        "pool": pyrnn.MaxPool1d(2),
        "rnn": pyrnn.RNN(4, 4, nonlinearity="relu", dropout=0.1, num_layers=2),
        "last": pyrnn.LastStep(),
        "norm": pyrnn.LayerNorm(4, eps=1e-3),
        "out": pyrnn.Linear(4, 2),
    }
    serialization.save(pyrnn.Sequential(**layers), tmp_path / "m.safetensors")
    holding = conversion.read(tmp_path / "m.safetensors")
    assert conversion.unheld(holding, "m.safetensors") == []
    assert conversion.unheld(holding, "m.pt") == [
        "it holds weights alone, not how layers follow each other",
        "conv: kind='Conv1d', in_channels=3, out_channels=4, kernel_size=3, stride=2, padding=1, "
        "dilation=1, groups=1, bias=True, batch_first=False",
        "pool: MaxPool1d(2) has no weights",
        "rnn: nonlinearity='relu', dropout=0.1",
        "last: LastStep() has no weights",
        "norm: kind='LayerNorm', normalized_shape=4, eps=0.001, elementwise_affine=True",
    ]
    assert conversion.unheld(holding, "m.weights.h5") == [
        "it holds weights alone, not how layers follow each other",
        "pool: MaxPool1d(2) has no weights",
        "rnn: dropout=0.1 acts in training alone",
        "last: LastStep() has no weights",
    ]
    assert conversion.unheld(holding, "m.onnx") == ["rnn: dropout=0.1 acts in training alone"]


def test_a_state_dict_says_no_order(tmp_path):
    """As a chain its layers follow each other as it lists them, which is said."""
    from pyrnn.interop import torch

    torch.save({"a": pyrnn.GRU(3, 4), "b": pyrnn.Linear(4, 2)}, tmp_path / "m.pt")
    holding = conversion.read(tmp_path / "m.pt")
    (line,) = conversion.unheld(holding, "m.onnx")
    assert line.startswith("the file read gives no order of layers")
    assert not conversion.unheld(holding, "m.safetensors")


def test_modules_that_are_no_layers_are_one_short_line_each(tmp_path):
    """The images of a CRNN, a convolution over time, a normalisation: what has them, or could."""
    shapes = {
        "image": {"weight": (8, 1, 3, 3), "bias": (8,)},
        "time": {"weight": (8, 4, 3), "bias": (8,)},
        "norm": {"weight": (8,), "bias": (8,)},
        "none": {"weight": (8, 0, 3)},
        "half": {"weight_ih_l0": (8, 4)},
    }
    state = {m: {n: np.zeros(s, np.float32) for n, s in own.items()} for m, own in shapes.items()}
    (tmp_path / "m.pt").write_bytes(archive(state))
    found = conversion.read(tmp_path / "m.pt")
    assert not found.layers
    half = found.refused.pop("half")
    assert half.startswith("mapping: expected weight_ih_l0 and weight_hh_l0 of a recurrent layer")
    assert found.refused == {
        "image": "no layer of pyrnn has weight (8, 1, 3, 3), bias (8,)",
        "time": "weight (8, 4, 3), bias (8,): from_state_dict reads it as kind='Conv1d'",
        "norm": "weight (8,), bias (8,): from_state_dict reads it as kind='LayerNorm' or "
        "'InstanceNorm1d'",
        "none": "no layer of pyrnn has weight (8, 0, 3)",
    }


def test_keras_options_that_no_layer_has(tmp_path):
    from tests.interop.keras import files

    config = files.model_config(
        files.config_of("LSTM", "rnn", units=3, return_sequences=True),
        files.config_of("Flatten", "flat"),
        files.config_of("Dense", "out", units=2, activation="gelu"),
    )
    r = np.random.default_rng(0)
    dense = [r.standard_normal((3, 2)).astype(np.float32), np.zeros(2, np.float32)]
    entries = [("lstm", "rnn", files.random_arrays("LSTM", 3, 4)), ("dense", "out", dense)]
    files.keras3(tmp_path / "m.keras", config, entries)
    holding = conversion.read(tmp_path / "m.keras")
    assert holding.left == {
        "flat": "no layer of pyrnn is a Flatten",
        "out": "no layer of pyrnn is its activation gelu",
    }
    assert list(keras.load(tmp_path / "m.keras")) == ["rnn", "out"]
    for suffix in (".onnx", ".keras"):
        with pytest.raises(conversion.ConversionError, match=r"got flat: .* Flatten, and 1 more"):
            conversion.write(holding, tmp_path / f"n{suffix}")
    said = conversion.unheld(holding, "n.safetensors")
    assert said == [f"{name}: {reason}" for name, reason in holding.left.items()]


def test_very_many_modules_take_time_in_proportion(tmp_path):
    """Of so many, each was once looked for among all others."""
    w = np.ones(4, np.float32)
    path = tmp_path / "many.pt"
    path.write_bytes(archive({f"m{n}": {"w": w} for n in range(8000)}))
    begun = time.process_time()
    assert len(conversion.read(path).refused) == 8000
    assert time.process_time() - begun < 5  # 0.5, where it was 15


def test_names_that_are_part_of_all_names_below_them_are_bounded(tmp_path):
    w = np.ones(4, np.float32)
    path = tmp_path / "long.pt"
    path.write_bytes(archive({"x" * 2000: {f"m{n}": w for n in range(10)}}))
    with pytest.raises(ModelFileError, match="expected names of at most 1000 characters"):
        conversion.read(path)
