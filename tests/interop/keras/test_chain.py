"""Models of Keras as layers one behind the other: what their configurations say."""

import numpy as np
import pytest

import pyrnn
from pyrnn.interop.keras import read
from tests.interop.keras import files

pytestmark = pytest.mark.usefixtures("in_place")

X = np.random.default_rng(0).standard_normal((2, 6, 3)).astype(np.float32)


def plain(kind, arrays, x):
    """A layer of Keras that runs forward: all steps."""
    cells = files.config_of(kind, "one", units=4, return_sequences=True)
    whole = written("plain.keras", [cells], [(kind.lower(), "one", arrays)])
    return pyrnn.Sequential(*whole.layers.values())(x)[0]


def written(path, layers, entries):
    files.keras3(path, files.model_config(*layers), entries)
    return read.find_whole(path)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_steps_in_the_other_order(second, wrapped):
    """Keras gives them so to the next layer, which may turn them again."""
    lstm, gru = files.random_arrays("LSTM", 4, 3), files.random_arrays("GRU", 4, 4)
    options = {"return_sequences": True, "go_backwards": True}
    first = files.config_of("LSTM", "a", units=4, **options)
    if wrapped:
        first = files.config_of(
            "RNN", "a", cell=files.config_of("LSTMCell", "c", units=4), **options
        )
    rows = [first, files.config_of("GRU", "b", units=4, go_backwards=second, reset_after=False)]
    whole = written("m.keras", rows, [("rnn" if wrapped else "lstm", "a", lstm), ("gru", "b", gru)])
    assert not whole.left
    assert not whole.notes
    between = plain("LSTM", lstm, X[:, ::-1].copy())
    expected = plain("GRU", gru, np.ascontiguousarray(between[:, ::-1] if second else between))
    y = pyrnn.Sequential(*whole.layers.values())(X)[0]
    assert np.array_equal(y, expected[:, -1])


def test_what_is_between_layers():
    r = np.random.default_rng(1)
    kernel = [r.standard_normal((3, 3, 4)).astype(np.float32)]
    rows = [
        files.config_of("Masking", "mask"),
        files.config_of("ZeroPadding1D", "zeros", padding=[2, 0]),
        files.config_of("Conv1D", "conv", kernel_size=[3], activation="relu", use_bias=False),
        files.config_of("SpatialDropout1D", "noise", rate=0.2),
        files.config_of("ReLU", "relu", max_value=None, negative_slope=0.0, threshold=0.0),
        files.config_of("ReLU", "sloped", max_value=None, negative_slope=0.1, threshold=0.0),
        files.config_of("LeakyReLU", "leaky", negative_slope=0.25),
        files.config_of("ELU", "elu", alpha=0.5),
        files.config_of("Softmax", "shares", axis=-1),
        files.config_of("LayerNormalization", "norm", scale=False, center=False, epsilon=1e-4),
        files.config_of("MaxPooling1D", "pool", pool_size=[2]),
        files.config_of("GlobalAveragePooling1D", "mean"),
    ]
    whole = written("m.keras", rows, [("conv1d", "conv", kernel)])
    assert not whole.left
    assert [(name, repr(layer)) for name, layer in whole.layers.items()] == [
        ("conv", "Conv1d(3, 4, 3, padding='causal', bias=False, batch_first=True)"),
        ("conv_activation", "Activation(function='relu')"),
        ("relu", "Activation(function='relu')"),
        ("sloped", "Activation(function=('leaky_relu', 0.1))"),
        ("leaky", "Activation(function=('leaky_relu', 0.25))"),
        ("elu", "Activation(function=('elu', 0.5))"),
        ("shares", "Softmax()"),
        ("norm", "LayerNorm(4, eps=0.0001, elementwise_affine=False)"),
        ("pool", "MaxPool1d(2, stride=2, batch_first=True)"),
        ("mean", "MeanOverTime(batch_first=True)"),
    ]
    assert list(whole.notes) == ["mask"]
    assert list(read.load("m.keras")) == ["conv"]


def test_activations():
    """By name, and the layers that have a number of their own."""
    rows = [
        files.config_of("GRU", "gru", units=4, return_sequences=True, reset_after=False),
        files.config_of("LeakyReLU", "new", negative_slope=0.1),
        files.config_of("LeakyReLU", "old", alpha=0.2),
        files.config_of("ELU", "elu", alpha=0.7),
        files.config_of("Activation", "hard", activation="hard_sigmoid"),
        files.config_of("Activation", "none", activation="linear"),
    ]
    whole = written("m.keras", rows, [("gru", "gru", files.random_arrays("GRU", 4, 3))])
    assert not whole.left
    assert [layer.function for layer in list(whole.layers.values())[1:]] == [
        ("leaky_relu", 0.1), ("leaky_relu", 0.2), ("elu", 0.7), ("hard_sigmoid", 1 / 6, 0.5),
    ]  # fmt: skip


LEFT = {
    "merged-ends": (
        {"class_name": "Bidirectional", "merge_mode": "sum"}, "its last steps are merged by sum",
    ),
    "apart": (
        {"class_name": "Bidirectional", "merge_mode": None, "return_sequences": True},
        "its directions are joined in another way",
    ),
    "states": ({"return_state": True}, "return_state is not read"),
    "time-first": ({"time_major": True}, "time_major is not read"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_options_that_no_layer_has(name):
    options, reason = LEFT[name]
    options = dict(options)
    outer, arrays = options.pop("class_name", None), files.random_arrays("LSTM", 4, 3)
    merge = {"merge_mode": options.pop("merge_mode")} if outer else {}
    one = files.config_of("LSTM", "a", units=4, **options)
    row = files.config_of(outer, "a", layer=one, **merge) if outer else one
    entry = ("bidirectional", "a", (arrays, arrays)) if outer else ("lstm", "a", arrays)
    assert written("m.keras", [row], [entry]).left == {"a": reason}


APART = {
    "activation": ("LSTM", {"activation": "relu"}),
    "gates": ("LSTM", {"recurrent_activation": "hard_sigmoid"}),
    "kind": ("GRU", {}),
}


@pytest.mark.parametrize("name", APART)
def test_directions_of_different_options(name):
    """Keras takes a layer of its own for the second direction; then here are two."""
    kind, options = APART[name]
    row = files.config_of(
        "Bidirectional", "a", layer=files.config_of("LSTM", "forward_f", units=4),
        backward_layer=files.config_of(kind, "b", units=4, go_backwards=True, **options),
    )  # fmt: skip
    arrays = files.random_arrays("LSTM", 4, 3), files.random_arrays(kind, 4, 3)
    whole = written("m.keras", [row], [("bidirectional", "a", arrays)])
    assert whole.refused == {}
    assert list(whole.layers) == list(whole.left) == ["forward_f", "backward_b"]
    assert [layer.reverse for layer in whole.layers.values()] == [False, True]
    assert whole.layers["forward_f"].activation == "tanh"
    assert getattr(whole.layers["backward_b"], "activation", "tanh") == options.get(
        "activation", "tanh"
    )


def test_directions_of_equal_options():
    options = {"units": 4, "activation": "relu"}
    row = files.config_of(
        "Bidirectional", "a", layer=files.config_of("LSTM", "f", **options),
        backward_layer=files.config_of("LSTM", "b", go_backwards=True, **options),
    )  # fmt: skip
    arrays = files.random_arrays("LSTM", 4, 3)
    whole = written("m.keras", [row], [("bidirectional", "a", (arrays, arrays))])
    assert not whole.refused
    assert whole.layers["a"].activation == "relu"


def test_layers_of_each_step():
    """Those that take each step for itself are the same inside of TimeDistributed."""

    def each(name, layer):
        return files.config_of("TimeDistributed", name, layer=layer)

    rows = [
        each("dense", files.config_of("Dense", "d", units=4, activation="relu")),
        each("sigmoid", files.config_of("Activation", "s", activation="sigmoid")),
        each("drop", files.config_of("Dropout", "p", rate=0.5)),
        each("lstm", files.config_of("LSTM", "l", units=3)),
        each("flat", files.config_of("Flatten", "f")),
    ]
    kernel = [np.ones((3, 4), np.float32), np.ones(4, np.float32)]
    entries = [
        ("time_distributed/layer", None, kernel),
        ("time_distributed_3/layer", None, files.random_arrays("LSTM", 3, 4)),
    ]
    whole = written("m.keras", rows, entries)
    assert list(whole.layers) == ["dense", "dense_activation", "sigmoid", "drop"]
    assert whole.left == {
        "lstm": "no layer of pyrnn is a TimeDistributed LSTM",
        "flat": "no layer of pyrnn is a TimeDistributed Flatten",
    }


def test_convolutions_in_files_of_weights_alone(tmp_path):
    """Of which nothing is known but their arrays: Keras' usual options."""
    r = np.random.default_rng(0)
    arrays = [r.standard_normal((2, 3, 4)).astype(np.float32), np.ones(4, np.float32)]
    files.legacy(tmp_path / "m.h5", "2.0.0", {"conv1d_1": arrays, "conv1d_2": arrays[:1]})
    found = read.load(tmp_path / "m.h5")
    assert repr(found["conv1d_1"]) == "Conv1d(3, 4, 2, padding='valid', batch_first=True)"
    assert found["conv1d_2"].bias is False
    expected = np.einsum("nti,ik->ntk", X[:, :-1], arrays[0][0])
    expected += np.einsum("nti,ik->ntk", X[:, 1:], arrays[0][1]) + 1
    np.testing.assert_allclose(found["conv1d_1"](X), expected, rtol=1e-5, atol=1e-6)


def functional(inbound, outputs):
    """Two layers of a model that says what each of them takes."""
    layers = [
        files.config_of("InputLayer", "x"),
        files.config_of("LSTM", "a", units=4, return_sequences=True),
        files.config_of("LSTM", "b", units=4),
    ]
    for layer, places in zip(layers, ([], ["x"], inbound), strict=True):
        layer["name"] = layer["config"]["name"]
        layer["inbound_nodes"] = [[[place, 0, 0, {}] for place in places]] if places else []
    config = {"name": "m", "layers": layers, "output_layers": [[name, 0, 0] for name in outputs]}
    model = {"class_name": "Functional", "config": config}
    entries = [(key, name, files.random_arrays("LSTM", 4, size))
               for key, name, size in (("lstm", "a", 3), ("lstm_1", "b", 4))]  # fmt: skip
    files.keras3("m.keras", model, entries)
    return read.find_whole("m.keras")


def test_models_of_inputs_and_outputs():
    whole = functional(["a"], ["b"])
    assert not whole.left
    assert list(whole.layers) == ["a", "b", "b_last"]
    message = "its layers do not follow one another: "
    assert functional(["x"], ["b"]).left == {"(the model)": f"{message}b takes x"}
    assert functional(["a", "x"], ["b"]).left == {"(the model)": f"{message}b takes a, x"}
    both = functional(["a"], ["a", "b"])
    assert both.left == {"(the model)": f"{message}the outputs are those of a, b"}
    assert list(both.layers) == ["a", "b"]
