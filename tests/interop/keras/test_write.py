"""Layers in Keras' layout, and round trips: pyrnn, ONNX, pyrnn, Keras, pyrnn, bit for bit."""

import json
import zipfile

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import keras, stacking

pytest.importorskip("h5py")

pytestmark = pytest.mark.usefixtures("in_place")

KINDS = {
    "rnn": lambda **o: pyrnn.RNN(3, 4, **o),
    "relu": lambda **o: pyrnn.RNN(3, 4, nonlinearity="relu", **o),
    "gru": lambda **o: pyrnn.GRU(3, 4, **o),
    "gru-reset-before": lambda **o: pyrnn.GRU(3, 4, reset_after=False, **o),
    "lstm": lambda **o: pyrnn.LSTM(3, 4, **o),
}
OPTIONS = {
    "plain": {},
    "both-ways": {"bidirectional": True},
    "deep": {"num_layers": 3, "bidirectional": True},
    "no-bias": {"bias": False},
    "double": {"dtype": "float64"},
    "reverse": {"reverse": True},
    "merged": {"bidirectional": True, "merge_mode": "ave"},
}


def assert_same(found, expected):
    assert found.num_layers == expected.num_layers
    for name, array in expected.parameters.items():
        assert found.parameters[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("name", ["m.weights.h5", "m.keras"])
def test_round_trip(name, make, options, tmp_path):
    layer = make(seed=0, batch_first=True, **options)
    path = tmp_path / name
    keras.save({"a": layer}, path)
    found = keras.load(path)
    assert list(found) == (["a_l0", "a_l1", "a_l2"] if layer.num_layers == 3 else ["a"])
    back = stacking.stack(list(found.values()))
    assert_same(back, layer)
    assert repr(back) == repr(layer)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_by_onnx_and_keras(make, options, tmp_path):
    pytest.importorskip("onnx")
    if "merge_mode" in options:
        pytest.skip("ONNX merges by operators of their own")
    from pyrnn.interop import onnx

    layer = make(seed=0, **options)
    onnx.save(layer, tmp_path / "m.onnx")
    first = stacking.stack(list(onnx.layers(tmp_path / "m.onnx").values()))
    keras.save(first, tmp_path / "m.weights.h5")
    second = stacking.stack(list(keras.load(tmp_path / "m.weights.h5").values()))
    onnx.save(second, tmp_path / "again.onnx")
    third = stacking.stack(list(onnx.layers(tmp_path / "again.onnx").values()))
    for found in (first, second, third):
        assert_same(found, layer)


def test_arrays_in_keras_layout():
    layer = pyrnn.LSTM(3, 4, seed=0)
    arrays = keras.to_keras(layer)
    assert list(arrays) == ["kernel", "recurrent_kernel", "bias"]
    p = layer.parameters
    assert np.array_equal(arrays["kernel"], p["weight_ih_l0"].T)
    assert np.array_equal(arrays["bias"], p["bias_ih_l0"] + p["bias_hh_l0"])
    gru = pyrnn.GRU(3, 4, bidirectional=True, seed=0)
    arrays = keras.to_keras(gru)
    assert list(arrays)[3:] == ["backward_kernel", "backward_recurrent_kernel", "backward_bias"]
    assert arrays["forward_bias"].shape == (2, 12)
    z = gru.parameters["weight_ih_l0"][4:8]
    assert np.array_equal(arrays["forward_kernel"][:, :4], z.T)


def test_a_bias_that_keras_has_changed_counts(tmp_path):
    """What is kept beside Keras' arrays holds only as long as these are the same."""
    from tests.interop.keras.files import h5py

    path = tmp_path / "m.weights.h5"
    layer = pyrnn.LSTM(3, 4, seed=0)
    keras.save(layer, path)
    with h5py.File(path, "r+") as file:
        file["layers/lstm/cell/vars/2"][0] += 1
    back = keras.load(path)["lstm"]
    total = layer.parameters["bias_ih_l0"] + layer.parameters["bias_hh_l0"]
    total[0] += 1
    assert np.array_equal(back.parameters["bias_ih_l0"], total)
    assert not back.parameters["bias_hh_l0"].any()


def test_a_whole_model(tmp_path):
    """A composition in a composition is one row of layers; what Keras adds is left out here."""
    over = {"batch_first": True}
    model = pyrnn.Sequential(
        words=pyrnn.Embedding(7, 3, seed=0),
        inner=pyrnn.Sequential(rnn=pyrnn.LSTM(3, 4, seed=1, **over), drop=pyrnn.Dropout(0.2)),
        gru=pyrnn.GRU(4, 5, bidirectional=True, seed=2, **over),
        last=pyrnn.LastStep(bidirectional=True, **over),
        act=pyrnn.Activation("relu"),
        out=pyrnn.Linear(10, 2, seed=3),
    )
    path = tmp_path / "m.keras"
    keras.save(model, path)
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))["config"]
        assert json.loads(archive.read("metadata.json"))["keras_version"].startswith("3.")
    listed = [(one["class_name"], one["config"]["name"]) for one in config["layers"]]
    assert listed == [
        ("InputLayer", "input_layer"), ("Embedding", "words"), ("LSTM", "inner_rnn"),
        ("Dropout", "inner_drop"), ("Bidirectional", "gru"), ("Activation", "act"),
        ("Dense", "out"),
    ]  # fmt: skip
    assert config["layers"][0]["config"] == {
        "name": "input_layer", "batch_shape": [None, None], "dtype": "int32",
    }  # fmt: skip
    both = config["layers"][4]["config"]
    assert both["layer"]["config"]["return_sequences"] is False
    assert both["backward_layer"]["config"]["go_backwards"] is True
    found = keras.load(path)
    assert list(found) == ["words", "inner_rnn", "gru", "out"]
    parts = (model.layers["words"], model.layers["inner"].layers["rnn"], model.layers["gru"])
    for layer, part in zip(found.values(), (*parts, model.layers["out"]), strict=True):
        assert repr(layer) == repr(part)
        for name, array in part.parameters.items():
            assert layer.parameters[name].tobytes() == array.tobytes()


BOTH = pyrnn.GRU(3, 4, bidirectional=True)
SUM = pyrnn.GRU(3, 4, bidirectional=True, merge_mode="sum")
NOT_IN_A_ROW = {
    "sizes": ([pyrnn.GRU(3, 4), pyrnn.Linear(5, 2)], "expected layers that fit"),
    "no-sizes": ([pyrnn.Activation(), pyrnn.GRU(3, 4)], "how many features x has"),
    "last": ([pyrnn.Linear(3, 4), pyrnn.LastStep()], "LastStep right behind"),
    "last-of-one": ([BOTH, pyrnn.LastStep()], "computed last, got LastStep"),
    "last-of-both": ([pyrnn.GRU(3, 4), pyrnn.LastStep(bidirectional=True)], "computed last"),
    "last-merged": ([SUM, pyrnn.LastStep()], "computed last, got LastStep"),
    "first": ([pyrnn.GRU(3, 4), pyrnn.LastStep(reverse=True)], "computed last, got LastStep"),
    "reverse": ([pyrnn.GRU(3, 4, reverse=True), pyrnn.MaxPool1d(2)], "in the opposite order"),
    "twice": ({"a.b": pyrnn.Linear(3, 3), "a": pyrnn.Sequential(b=pyrnn.Linear(3, 3))}, None),
    "words": ([pyrnn.Linear(3, 4), pyrnn.Embedding(4, 4)], "an Embedding first"),
}


@pytest.mark.parametrize("name", NOT_IN_A_ROW)
def test_a_whole_model_follows_one_row(name, tmp_path):
    layers, message = NOT_IN_A_ROW[name]
    if message is None:
        keras.save(layers, tmp_path / "no.keras")
        assert list(keras.load(tmp_path / "no.keras")) == ["a.b", "a_b"]
        return
    named = {f"layer{n}": layer for n, layer in enumerate(layers)}
    with pytest.raises(ValueError, match=message):
        keras.save(named, tmp_path / "no.keras")
    assert not list(tmp_path.iterdir())


def test_two_layers_of_one_name(tmp_path):
    layers = {"a_b": pyrnn.Linear(3, 3), "a": pyrnn.Sequential(b=pyrnn.Linear(3, 3))}
    with pytest.raises(ValueError, match="one layer of each name, got 'a_b' twice"):
        keras.save(layers, tmp_path / "m.keras")


@pytest.mark.parametrize(
    ("layers", "kind", "message"),
    [
        (pyrnn.LSTM(3, 4, peephole=True), ValueError, "Keras has no layer like LSTM"),
        (pyrnn.LSTM(3, 4, proj_size=2), ValueError, "Keras has no layer like LSTM"),
        (pyrnn.MinGRU(3, 4), ValueError, "Keras has no layer like MinGRU"),
        (pyrnn.GRU(3, 4, zoneout=0.1), ValueError, "Keras has no zoneout"),
        ({"a/b": pyrnn.GRU(3, 4)}, ValueError, "names without slashes, got 'a/b'"),
        ({}, TypeError, "expected a layer or a dict"),
        ({"a": pyrnn.RNNCell(3, 4)}, TypeError, "got RNNCell"),
    ],
)
def test_what_keras_has_not_is_refused(layers, kind, message, tmp_path):
    path = tmp_path / "no.weights.h5"
    with pytest.raises(kind, match=message):
        keras.save(layers, path)
    assert not path.exists()
    with pytest.raises(ValueError, match="expected one level"):
        keras.to_keras(pyrnn.GRU(3, 4, num_layers=2))


def around():
    over = {"batch_first": True}
    model = pyrnn.Sequential(
        conv=pyrnn.Conv1d(3, 4, 3, padding="causal", dilation=2, seed=0, **over),
        norm=pyrnn.BatchNorm1d(4, 0.01, 0.25), act=pyrnn.Activation("relu"),
        pool=pyrnn.MaxPool1d(2, **over),
        wide=pyrnn.Conv1d(4, 6, 5, padding=2, groups=2, bias=False, seed=1, **over),
        zeros=pyrnn.Conv1d(6, 4, 3, stride=2, padding=3, seed=2, **over),
        each=pyrnn.InstanceNorm1d(4, 0.1, affine=True, **over), features=pyrnn.LayerNorm(4, 0.1),
        lstm=pyrnn.LSTM(
            4, 5, activation="softsign", recurrent_activation=("hard_sigmoid", 1 / 6, 0.5),
            seed=3, **over,
        ),
        gru=pyrnn.GRU(
            5, 4, activation=("leaky_relu", 0.2), bidirectional=True, merge_mode="ave", seed=4,
            **over,
        ),
        rnn=pyrnn.RNN(4, 4, nonlinearity="identity", seed=5, **over),
        last=pyrnn.LastStep(**over), out=pyrnn.Linear(4, 2, seed=6),
    )  # fmt: skip
    for number, layer in enumerate((model["norm"], model["each"], model["features"])):
        for array in (*layer.parameters.values(), *layer.buffers.values()):
            if array.ndim:
                array[...] = np.random.default_rng(number).uniform(0.5, 2, array.shape)
    return model


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_convolutions_normalisations_and_activations(name, tmp_path):
    model, path = around(), tmp_path / name
    keras.save(model, path)
    found = keras.load(path)
    weighted = {n: one for n, one in model.layers.items() if one.state_dict()}
    assert list(found) == list(weighted)
    for own, back in zip(weighted.values(), found.values(), strict=True):
        assert getattr(back, "cell", "") == getattr(own, "cell", "")
        for key, array in own.state_dict().items():
            if key != "num_batches_tracked":
                assert back.state_dict()[key].tobytes() == array.tobytes()
    whole = pyrnn.Sequential(**{n: found.get(n, one) for n, one in model.layers.items()}).eval()
    x = np.random.default_rng(0).standard_normal((2, 24, 3)).astype(np.float32)
    assert np.array_equal(whole(x)[0], model.eval()(x)[0])


def test_configurations_of_what_stands_around(tmp_path):
    """As Keras 3 has them: `padding=3` is a layer of its own."""
    keras.save(around(), tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        config = json.loads(archive.read("config.json"))["config"]
    layers = {one["config"]["name"]: (one["class_name"], one["config"]) for one in config["layers"]}
    assert config["layers"][0]["config"]["batch_shape"] == [None, None, 3]
    kinds = [kind for kind, _ in layers.values()]
    assert kinds == [
        "InputLayer", "Conv1D", "BatchNormalization", "Activation", "MaxPooling1D", "Conv1D",
        "ZeroPadding1D", "Conv1D", "GroupNormalization", "LayerNormalization", "LSTM",
        "Bidirectional", "SimpleRNN", "Dense",
    ]  # fmt: skip
    assert layers["zeros_zeros"][1]["padding"] == [3, 3]
    assert [layers[n][1]["padding"] for n in ("conv", "wide", "zeros")] == [
        "causal", "same", "valid",
    ]  # fmt: skip
    assert layers["each"][1]["groups"] == 4
    assert layers["norm"][1]["momentum"] == 0.75
    names = ("activation", "recurrent_activation")
    assert [layers["lstm"][1][name] for name in names] == ["softsign", "hard_sigmoid"]
    assert layers["rnn"][1]["activation"] == "linear"


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (pyrnn.GRU(3, 4, clip=1.0), "Keras has no clip"),
        (pyrnn.LSTM(3, 4, output_activation="relu"), "no separate output_activation"),
        (pyrnn.LSTM(3, 4, recurrent_activation="hard_sigmoid"), "no activation 'hard_sigmoid'"),
        (pyrnn.RNN(3, 4, nonlinearity=("leaky_relu", 0.1)), "no activation .'leaky_relu', 0.1."),
        (pyrnn.Sequential(pyrnn.Conv1d(3, 4, 1), pyrnn.MaxPool1d(3, padding=1)), "pooling with"),
    ],
)
def test_what_keras_has_not_is_refused_by_name(layer, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        keras.save(layer, tmp_path / "m.keras")
    assert not (tmp_path / "m.keras").exists()
