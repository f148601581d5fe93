"""Files of every version of Keras, and what is none of pyrnn's layers."""

import json

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import keras
from pyrnn.interop.serialization import ModelFileError
from tests.interop.keras import files
from tests.interop.keras.files import h5py

X = np.random.default_rng(0).standard_normal((2, 5, 4)).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(arrays, x, reset_after):
    """Keras' GRU, written out: z r h."""
    kernel, recurrent, bias = arrays
    b, rb = bias if reset_after else (bias, np.zeros_like(bias))
    h = np.zeros((len(x), len(recurrent)))
    for t in range(x.shape[1]):
        xz, xr, xh = np.split(x[:, t] @ kernel + b, 3, axis=1)
        hz, hr, hh = np.split(h @ recurrent + rb, 3, axis=1)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        if not reset_after:
            hh = (r * h) @ np.split(recurrent, 3, axis=1)[2]
        h = z * h + (1 - z) * np.tanh(xh + (r * hh if reset_after else hh))
    return h


def lstm(arrays, x):
    """Keras' LSTM, written out: i f c o."""
    kernel, recurrent, bias = arrays
    h = c = np.zeros((len(x), len(recurrent)))
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def last(layer):
    return layer(X)[0][:, -1]


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reset_after", [True, False])
def test_both_forms_of_gru(reset_after, tmp_path):
    arrays = files.random_arrays("GRU", 3, 4, reset_after=reset_after)
    config = files.config_of("GRU", "g", units=3, reset_after=reset_after)
    path = files.keras3(tmp_path / "m.keras", files.model_config(config), [("gru", "g", arrays)])
    layer = keras.load(path)["g"]
    assert layer.reset_after == reset_after
    assert_close(last(layer), gru(arrays, X, reset_after))


def test_weights_alone(tmp_path):
    """Names are in the file, kinds in the shapes."""
    path = tmp_path / "m.weights.h5"
    cells = {kind: files.random_arrays(kind, 3, 4) for kind in ("GRU", "LSTM", "SimpleRNN")}
    dense = [np.ones((4, 2), np.float32), np.zeros(2, np.float32)]
    entries = [
        ("bidirectional", "both", (cells["LSTM"], cells["LSTM"])), ("dense", "out", dense),
        ("embedding", "words", [np.ones((7, 4), np.float32)]), ("gru", "g", cells["GRU"]),
        ("simple_rnn", None, cells["SimpleRNN"]),
    ]  # fmt: skip
    files.weights3(path, entries)
    found = keras.load(path)
    assert {name: repr(layer) for name, layer in found.items()} == {
        "both": "LSTM(4, 3, batch_first=True, bidirectional=True)",
        "out": "Linear(4, 2)",
        "words": "Embedding(7, 4)",
        "g": "GRU(4, 3, batch_first=True, reset_after=False)",
        "simple_rnn": "RNN(4, 3, batch_first=True)",
    }
    assert_close(last(found["g"]), gru(cells["GRU"], X, False))


def test_the_names_of_groups_in_older_keras_3(tmp_path):
    """Counted classes; a configuration says which layer each one is."""
    first, second = (files.random_arrays("LSTM", 4, 4, seed=seed) for seed in (1, 2))
    config = files.model_config(
        files.config_of("InputLayer", "in"),
        files.config_of("LSTM", "z", units=4),
        files.config_of("LSTM", "a", units=4),
    )
    entries = [("lstm_1", None, second), ("lstm", None, first)]
    found = keras.load(files.keras3(tmp_path / "m.keras", config, entries))
    assert list(found) == ["z", "a"]
    assert_close(last(found["z"]), lstm(first, X))
    assert_close(last(found["a"]), lstm(second, X))


def test_keras_2(tmp_path):
    arrays = files.random_arrays("LSTM", 3, 4)
    sides = files.random_arrays("GRU", 3, 4, reset_after=True, seed=1)
    dense = [np.ones((3, 2), np.float32)]
    config = files.model_config(
        files.config_of("LSTM", "cell", units=3),
        files.config_of("Bidirectional", "both", layer=files.config_of("GRU", "g", units=3)),
        files.config_of("TimeDistributed", "td", layer=files.config_of("Dense", "d")),
        files.config_of("Dropout", "drop", rate=0.5),
    )
    layers = {"cell": arrays, "both": sides * 2, "td": dense, "drop": []}
    found = keras.load(files.legacy(tmp_path / "m.h5", "2.4.0", layers, config))
    assert list(map(repr, found.values())) == [
        "LSTM(4, 3, batch_first=True)", "GRU(4, 3, batch_first=True, bidirectional=True)",
        "Linear(3, 2, bias=False)",
    ]  # fmt: skip
    assert_close(last(found["cell"]), lstm(arrays, X))
    alone = keras.load(files.legacy(tmp_path / "w.h5", "2.4.0", layers))  # weights without a model
    assert list(map(repr, alone.values())) == list(map(repr, found.values()))


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_keras_1(kind, tmp_path):
    """Arrays for each gate: i c f o, or z r h; and the layers as the configuration itself."""
    arrays = files.random_arrays(kind, 3, 4)
    order = {"LSTM": (0, 2, 1, 3), "GRU": (0, 1, 2)}[kind]
    parts = [np.split(array, len(order), axis=-1) for array in arrays]
    separate = [part[gate] for gate in order for part in parts]
    one = files.config_of(kind, "cell", output_dim=3, inner_activation="sigmoid", activation="tanh")
    config = {"class_name": "Sequential", "config": [one]}
    path = files.legacy(tmp_path / "m.h5", "1.2.2", {"cell": separate}, config)
    layer = keras.load(path)["cell"]
    expected = lstm(arrays, X) if kind == "LSTM" else gru(arrays, X, False)
    assert_close(last(layer), expected)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_cudnn(kind, tmp_path):
    """Kernels in another order, both biases in one row."""
    arrays = files.random_arrays(kind, 3, 4, reset_after=True)
    bias = arrays[2]
    gates = 4 if kind == "LSTM" else 3
    kernel, recurrent = (np.hsplit(array, gates) for array in arrays[:2])
    kernels = [np.hstack([k.T.reshape(k.shape) for k in kernel])]
    kernels.append(np.hstack([k.T for k in recurrent]))
    kept = np.concatenate([bias * 0.25, bias * 0.75]) if kind == "LSTM" else bias.reshape(-1)
    config = files.model_config(files.config_of(f"CuDNN{kind}", "cell", units=3))
    path = files.legacy(tmp_path / "m.h5", "2.2.4", {"cell": [*kernels, kept]}, config)
    expected = lstm(arrays, X) if kind == "LSTM" else gru(arrays, X, True)
    assert_close(last(keras.load(path)["cell"]), expected)


def test_models_in_a_model(tmp_path):
    one, other = (files.random_arrays("LSTM", 4, 4, seed=seed) for seed in (1, 2))
    inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": [
        files.config_of("LSTM", "cell", units=4)]}}  # fmt: skip
    config = files.model_config(files.config_of("LSTM", "cell", units=4), inner)
    names = {"cell": ["cell/k:0", "cell/r:0", "cell/b:0"]}
    names["inner"] = [f"cell/x{n}:0" for n in range(3)]
    path = files.legacy(tmp_path / "m.h5", "2.9.0", {"cell": one, "inner": other}, config, names)
    found = keras.load(path)
    assert_close(last(found["cell"]), lstm(one, X))
    assert_close(last(found["inner/cell"]), lstm(other, X))


def test_half_and_double(tmp_path):
    for dtype, expected in (("float16", "float32"), ("float64", "float64")):
        arrays = [a.astype(dtype) for a in files.random_arrays("LSTM", 3, 4)]
        path = tmp_path / "m.weights.h5"
        files.weights3(path, [("lstm", "cell", arrays)])
        assert keras.load(path)["cell"].dtype == expected


def test_what_is_no_layer_is_said(tmp_path):
    odd = files.config_of("LSTM", "odd", units=3, activation="swish")
    config = files.model_config(odd, files.config_of("Conv2D", "conv"))
    entries = [
        ("lstm", "odd", files.random_arrays("LSTM", 3, 4)),
        ("conv2d", "conv", [np.ones((3, 4, 5), np.float32), np.ones(5, np.float32)]),
    ]
    path = files.keras3(tmp_path / "m.keras", config, entries)
    with pytest.warns(UserWarning, match="no layer") as warned:
        assert keras.load(path) == {}
    assert [str(one.message) for one in warned] == [
        "odd: no layer has the activations swish and sigmoid",
        "conv: no layer of pyrnn is a Conv2D",
    ]


@pytest.mark.parametrize(("version", "slope"), [("1.2.2", 0.2), ("2.15.0", 0.2), ("3.5.0", 1 / 6)])
def test_hard_sigmoid_is_that_of_the_version(tmp_path, version, slope):
    config = files.config_of(
        "LSTM", "cell", units=3, activation="elu", recurrent_activation="hard_sigmoid"
    )
    entries = [("lstm", "cell", files.random_arrays("LSTM", 3, 4))]
    path = files.keras3(tmp_path / "m.keras", files.model_config(config), entries, version)
    layer = keras.load(path)["cell"]
    assert layer.recurrent_activation == ("hard_sigmoid", slope, 0.5)
    assert layer.activation == "elu"
    kernel, recurrent, bias = entries[0][2]
    h, c = np.zeros((2, 3)), np.zeros((2, 3))
    for t in range(5):
        i, f, g, o = np.split(X[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        i, f, o = (np.clip(slope * gate + 0.5, 0, 1) for gate in (i, f, o))
        g = np.where(g > 0, g, np.expm1(g))
        c = f * c + i * g
        h = o * np.where(c > 0, c, np.expm1(c))
    y, _ = layer(X)
    assert np.allclose(y[:, -1], h, rtol=1e-5, atol=1e-6)


def test_a_loaded_layer_is_an_ordinary_one(tmp_path):
    path = tmp_path / "m.weights.h5"
    files.weights3(path, [("lstm", "cell", files.random_arrays("LSTM", 3, 4))])
    layer = keras.load(path)["cell"]
    y, _, cache = layer.forward(X)
    _, _, grads = layer.backward(cache, np.ones_like(y))
    pyrnn.Adam(layer.parameters).step(grads)
    y, _ = layer.eval()(X)
    stream = layer.stream(2)
    steps = [stream.step(X[:, t]) for t in range(5)]
    assert np.array_equal(np.stack(steps, axis=1), y)


# --- files that are none --------------------------------------------------------------------


def whole(tmp_path):
    config = files.model_config(files.config_of("LSTM", "cell", units=3))
    arrays = files.random_arrays("LSTM", 3, 4)
    return files.keras3(tmp_path / "m.keras", config, [("lstm", "cell", arrays)])


def refused(path, match):
    with pytest.raises(ModelFileError, match=match) as raised:
        keras.load(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_truncated(tmp_path):
    path = whole(tmp_path)
    data = path.read_bytes()
    for end in range(0, len(data), len(data) // 40):
        path.write_bytes(data[:end])
        refused(path, "expected a")


def test_another_file(tmp_path):
    path = tmp_path / "x.h5"
    for data in (b"", b"\x80\4N.", b"PK\3\4" + bytes(90), b"\x89HDF\r\n\x1a\n" + bytes(99)):
        path.write_bytes(data)
        refused(path, "expected a")
    refused(tmp_path / "none.h5", "there is no such file")
    refused(tmp_path, "it is a folder")


def test_a_zip_that_unpacks_to_much(tmp_path, monkeypatch):
    from pyrnn.interop.keras import archive

    monkeypatch.setattr(archive, "_ROOM", 1 << 16)
    path = tmp_path / "bomb.keras"
    with files.zipfile.ZipFile(path, "w", files.zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("metadata.json", "{}")
        bomb.writestr("config.json", "{}")
        bomb.writestr("model.weights.h5", bytes(1 << 24))
    refused(path, r"model\.weights\.h5: expected at most")


def test_arrays_larger_than_the_file(tmp_path):
    """HDF5 stores none of an array that nobody wrote to, and next to none of zeros."""
    path = tmp_path / "bomb.weights.h5"
    with h5py.File(path, "w") as file:
        own = file.create_group("layers/lstm/cell/vars")
        own.create_dataset("0", (10**6, 10**6), np.float32, chunks=(1, 10**6))
    refused(path, "expected arrays that fit the file")


def test_links(tmp_path):
    secret = tmp_path / "secret.h5"
    files.weights3(secret, [("lstm", "cell", files.random_arrays("LSTM", 3, 4))])
    path = tmp_path / "link.weights.h5"
    for link in (h5py.ExternalLink(str(secret), "/layers"), h5py.SoftLink("/")):
        with h5py.File(path, "w") as file:
            file["layers"] = link
        refused(path, "expected no link to elsewhere")
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout((4, 12), np.float32)
        layout[:] = h5py.VirtualSource(str(secret), "layers/lstm/cell/vars/0", (4, 12))
        file.create_group("layers/lstm/cell/vars").create_virtual_dataset("0", layout)
    refused(path, "expected its numbers in this file")
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/x", (3,), np.float32, external=[("/etc/hostname", 0, 12)])
    refused(path, "expected its numbers in this file")


def test_a_circle_of_groups(tmp_path):
    path = tmp_path / "circle.weights.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("layers")
        group["again"] = file["/"]
    refused(path, "deep, got more or a circle")


WRONG = {
    "no class": ({"config": {"layers": [{"config": {}}]}}, "layers with a class"),
    "not it": (files.model_config(files.config_of("GRU", "x")), "in the configuration, got lstm"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_configuration_that_is_none(name, tmp_path):
    config, match = WRONG[name]
    arrays = files.random_arrays("LSTM", 3, 4)
    refused(files.keras3(tmp_path / "m.keras", config, [("lstm", "cell", arrays)]), match)


def test_a_configuration_deep_in_itself(tmp_path):
    path = tmp_path / "m.h5"
    files.legacy(path, "2.4", {"x": []}, {})
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = "[" * 10000
    refused(path, "model_config: expected JSON")
    deep = {"class_name": "S", "config": []}
    for _ in range(40):
        deep = {"class_name": "S", "config": [deep, {"class_name": "D", "config": {}}]}
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(deep)
    refused(path, "at most 20 deep")


def test_arrays_that_do_not_fit(tmp_path):
    arrays = files.random_arrays("LSTM", 3, 4)
    arrays[1] = arrays[1][:, :-1]
    config = files.model_config(files.config_of("LSTM", "cell", units=3))
    path = files.keras3(tmp_path / "m.keras", config, [("lstm", "cell", arrays)])
    with pytest.warns(UserWarning, match=r"cell: expected kernels \(I, 4·H\) and \(H, 4·H\)"):
        assert keras.load(path) == {}
