"""Export: onnx's checker, onnxruntime and pyrnn read it; what comes back has the same bits."""

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import onnx as backend
from pyrnn.interop import stacking
from tests.interop.onnx import graphs
from tests.interop.onnx.graphs import onnx

KINDS = {
    "rnn": lambda **o: pyrnn.RNN(3, 4, **o),
    "relu": lambda **o: pyrnn.RNN(3, 4, nonlinearity="relu", **o),
    "gru": lambda **o: pyrnn.GRU(3, 4, **o),
    "gru-reset-before": lambda **o: pyrnn.GRU(3, 4, reset_after=False, **o),
    "lstm": lambda **o: pyrnn.LSTM(3, 4, **o),
    "peephole": lambda **o: pyrnn.LSTM(3, 4, peephole=True, **o),
    "coupled": lambda **o: pyrnn.LSTM(3, 4, coupled=True, **o),
    "hard": lambda **o: pyrnn.LSTM(3, 4, recurrent_activation="hard_sigmoid", clip=0.5, **o),
    "each": lambda **o: pyrnn.LSTM(
        3,
        4,
        recurrent_activation=("hard_sigmoid", 0.25, 0.5),
        activation=("leaky_relu", 0.125),
        output_activation="softsign",
        **o,
    ),
    "elu": lambda **o: pyrnn.GRU(3, 4, activation=("elu", 0.5), clip=2.0, **o),
    "scaled": lambda **o: pyrnn.GRU(3, 4, activation=("scaled_tanh", 0.5, 2.0), **o),
    "softplus": lambda **o: pyrnn.GRU(
        3, 4, recurrent_activation="hard_sigmoid", activation="softplus", reset_after=False, **o
    ),
    "threshold": lambda **o: pyrnn.RNN(3, 4, nonlinearity=("thresholded_relu", 0.25), **o),
    "identity": lambda **o: pyrnn.RNN(3, 4, nonlinearity="identity", **o),
    "clipped": lambda **o: pyrnn.RNN(3, 4, nonlinearity="relu", clip=0.25, **o),
    "affine": lambda **o: pyrnn.LSTM(
        3, 4, peephole=True, coupled=True, activation=("affine", 0.5, 0.25), **o
    ),
    "coupled-peephole": lambda **o: pyrnn.LSTM(3, 4, coupled=True, peephole=True, **o),
}
OPTIONS = {
    "plain": {},
    "deep": {"num_layers": 2},
    "both-ways": {"bidirectional": True},
    "all": {"num_layers": 3, "bidirectional": True, "batch_first": True},
    "no-bias": {"bias": False},
    "double": {"dtype": "float64"},
    "reverse": {"num_layers": 2, "reverse": True},
}


def numbers(layer, *shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(layer.dtype)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_round_trip(make, options, tmp_path):
    layer = make(seed=0, **options)
    path = tmp_path / "layer.onnx"
    backend.save(layer, path)
    onnx.checker.check_model(onnx.load(path), full_check=layer.dtype == np.float32)
    back = stacking.stack(list(backend.layers(path).values()))
    for name, array in layer.parameters.items():
        assert back.parameters[name].tobytes() == array.tobytes()
    assert back.cell == layer.cell

    model = backend.prepare(path)
    session = None
    if layer.dtype == np.float32:
        pytest.importorskip("onnxruntime")
        session = graphs.session(str(path))
    rows = layer.num_layers * layer.num_directions
    for time_steps, batch_size in ((5, 2), (1, 3)):  # both are free
        lead = (time_steps, batch_size)
        x = numbers(layer, *(lead[::-1] if layer.batch_first else lead), 3)
        parts = [numbers(layer, rows, batch_size, 4) for _ in layer._state_names]
        y, last = layer(x, parts[0] if len(parts) == 1 else tuple(parts))
        last = (last,) if len(parts) == 1 else last
        inputs = dict(zip(["x", "h_0", "c_0"], [x, *parts], strict=False))
        for mine, found in zip((y, *last), model.run(inputs), strict=True):
            if "activated" not in layer.cell:
                assert np.array_equal(mine, found)
            np.testing.assert_allclose(found, mine, rtol=1e-5, atol=1e-6)
        if session is not None:
            for mine, theirs in zip((y, *last), session.run(None, inputs), strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_names_of_layers_are_names_of_nodes(tmp_path):
    """Also where one is called like a part of another."""
    layers = {
        "words.in": pyrnn.Embedding(7, 3, seed=0),
        "a": pyrnn.LSTM(3, 4, num_layers=2, seed=1),
        "a_l0_joined": pyrnn.Linear(4, 4, seed=2),
        "b": pyrnn.Linear(4, 4, seed=3),
        "b_bias": pyrnn.Linear(4, 4, seed=4),
        "x": pyrnn.GRU(4, 2, seed=5),
        "both": pyrnn.Sequential(one=pyrnn.Linear(2, 2, seed=6), two=pyrnn.Softmax()),
    }
    path = tmp_path / "named.onnx"
    backend.save(layers, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert list(backend.layers(path)) == [
        "words.in", "a_l0", "a_l1", "a_l0_joined", "b", "b_bias", "x_l0", "both.one",
    ]  # fmt: skip
    model, unnamed = backend.prepare(path), tmp_path / "unnamed.onnx"
    backend.save(list(layers.values()), unnamed)
    other = backend.prepare(unnamed)
    assert model.inputs == other.inputs
    x = np.random.default_rng(0).integers(0, 7, (5, 2))
    zeros = [np.zeros((2, 2, 4), np.float32)] * 2 + [np.zeros((1, 2, 2), np.float32)]
    found = model.run([x, *zeros])
    for mine, theirs in zip(found, other.run([x, *zeros]), strict=True):
        assert np.array_equal(mine, theirs)
    pytest.importorskip("onnxruntime")
    given = dict(zip(model.inputs, [x, *zeros], strict=True))
    for mine, theirs in zip(found, graphs.session(str(path)).run(None, given), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["", 3, None])
def test_names_that_are_none(name, tmp_path):
    with pytest.raises(TypeError, match="names of layers as strings"):
        backend.save({name: pyrnn.Linear(3, 2)}, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_chain(tmp_path):
    layers = [
        pyrnn.Embedding(7, 3, seed=0), pyrnn.LSTM(3, 4, num_layers=2, seed=1),
        pyrnn.GRU(4, 5, bidirectional=True, seed=2), pyrnn.Linear(10, 2, seed=3),
    ]  # fmt: skip
    path = tmp_path / "chain.onnx"
    backend.save(layers, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    model = backend.prepare(path)
    assert model.inputs == ["x", "h_0", "c_0", "h_0_1"]
    assert model.outputs == ["y", "h_n", "c_n", "h_n_1"]
    x = np.random.default_rng(0).integers(0, 7, (5, 2))
    zeros = [np.zeros(shape, np.float32) for shape in ((2, 2, 4), (2, 2, 4), (2, 2, 5))]
    embedding, lstm, gru, linear = layers
    expected = linear(gru(lstm(embedding(x))[0])[0])
    found = model.run([x, *zeros])
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6)
    pytest.importorskip("onnxruntime")
    theirs = graphs.session(str(path)).run(None, dict(zip(model.inputs, [x, *zeros], strict=True)))
    np.testing.assert_allclose(theirs[0], expected, rtol=1e-5, atol=1e-6)
    assert list(map(repr, backend.layers(path).values())) == [
        "Embedding(7, 3)", "LSTM(3, 4)", "LSTM(4, 4)", "GRU(4, 5, bidirectional=True)",
        "Linear(10, 2)",
    ]  # fmt: skip


COMPOSED = {
    "merged": lambda o: [
        pyrnn.GRU(3, 4, 2, bidirectional=True, merge_mode=mode, seed=n, **o)
        if n == 0 else pyrnn.LSTM(4, 4, bidirectional=True, merge_mode=mode, seed=n, **o)
        for n, mode in enumerate(("sum", "mul", "ave"))
    ],
    "last": lambda o: [
        pyrnn.GRU(3, 4, seed=0, **o), pyrnn.LastStep(**o), pyrnn.Linear(4, 2, seed=1),
    ],
    "last-both": lambda o: [
        pyrnn.LSTM(3, 4, bidirectional=True, seed=0, **o), pyrnn.LastStep(bidirectional=True, **o),
        pyrnn.Activation("sigmoid"),
    ],
    "last-reverse": lambda o: [pyrnn.GRU(3, 4, reverse=True, seed=0, **o), pyrnn.LastStep(**o)],
    "mean": lambda o: [
        pyrnn.LayerNorm(3, eps=0.1), pyrnn.Dropout(0.5), pyrnn.RNN(3, 4, seed=0, **o),
        pyrnn.Activation("softplus"), pyrnn.MeanOverTime(**o), pyrnn.Activation("relu"),
        pyrnn.LayerNorm(4, elementwise_affine=False),
    ],
    "windows": lambda o: [
        pyrnn.Conv1d(3, 6, 3, padding="same", seed=0, **o), pyrnn.BatchNorm1d(6),
        pyrnn.Activation("relu"), pyrnn.MaxPool1d(3, 1, 1, **o), pyrnn.LSTM(6, 4, seed=1, **o),
        pyrnn.InstanceNorm1d(4, 0.1, affine=True, **o), pyrnn.LastStep(**o),
        pyrnn.BatchNorm1d(4, affine=False), pyrnn.Linear(4, 2, seed=2),
    ],
    "convolutions": lambda o: [
        pyrnn.Conv1d(3, 4, 2, padding="causal", dilation=2, seed=0, **o),
        pyrnn.Conv1d(4, 6, 4, padding="same", groups=2, bias=False, seed=1, **o),
        pyrnn.Conv1d(6, 4, 3, stride=2, padding=2, seed=2, **o), pyrnn.InstanceNorm1d(4, **o),
        pyrnn.MaxPool1d(3, 2, 1, **o), pyrnn.Conv1d(4, 2, 1, padding="valid", seed=3, **o),
    ],
    "nested": lambda o: [
        pyrnn.Sequential(
            pyrnn.Sequential(a=pyrnn.GRU(3, 4, seed=0, **o)), pyrnn.Linear(4, 4, seed=1)
        ),
        pyrnn.RNN(4, 2, seed=2, **o),
    ],
}  # fmt: skip


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", COMPOSED)
def test_compositions(name, batch_first, tmp_path):
    model = pyrnn.Sequential(*COMPOSED[name]({"batch_first": batch_first})).eval()
    path = tmp_path / "model.onnx"
    backend.save(model, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    prepared = backend.prepare(path)
    for steps, rows in ((5, 2), (1, 3)):
        x = numbers(model, *((rows, steps) if batch_first else (steps, rows)), 3)
        y, last = model(x)
        last = last if isinstance(last, tuple) else () if last is None else (last,)
        zeros = [np.zeros_like(part) for part in last]
        names = dict(zip(prepared.inputs, [x, *zeros], strict=True))
        found = prepared.run(names)
        assert len(found) == 1 + len(last)
        for mine, other in zip((y, *last), found, strict=True):
            np.testing.assert_allclose(other, mine, rtol=1e-5, atol=1e-6)
        pytest.importorskip("onnxruntime")
        for mine, other in zip((y, *last), graphs.session(str(path)).run(None, names), strict=True):
            np.testing.assert_allclose(other, mine, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        (pyrnn.LSTM(3, 4, proj_size=2), ValueError, "no operator for LSTM"),
        (pyrnn.GRU(3, 4, layer_norm=True), ValueError, "no operator for GRU"),
        (pyrnn.MinGRU(3, 4), ValueError, "no operator for MinGRU"),
        (pyrnn.GRU(3, 4, zoneout=0.1), ValueError, "ONNX has no zoneout"),
        ([], ValueError, "at least one layer"),
        ([pyrnn.Linear(3, 4), pyrnn.GRU(3, 4)], ValueError, "layers that fit"),
        ([pyrnn.Linear(3, 4), pyrnn.Embedding(4, 4)], ValueError, "an Embedding first"),
        ([pyrnn.Linear(3, 4), pyrnn.GRU(4, 4, dtype="float64")], ValueError, "one dtype"),
        ([pyrnn.GRU(3, 4), pyrnn.GRU(4, 4, batch_first=True)], ValueError, "one batch_first"),
        ([pyrnn.RNNCell(3, 4)], TypeError, "got RNNCell"),
        ([pyrnn.MeanOverTime(), pyrnn.Activation()], ValueError, "how many features x has"),
        ([pyrnn.GRU(3, 4), pyrnn.LastStep(), pyrnn.GRU(4, 4)], ValueError, "removes the time axis"),
        ([pyrnn.GRU(3, 4), pyrnn.LastStep(batch_first=True)], ValueError, "one batch_first"),
        ([pyrnn.GRU(3, 4), pyrnn.LastStep(), pyrnn.Conv1d(4, 4, 1)], ValueError, "removes the"),
        ([pyrnn.Conv1d(3, 4, 1, batch_first=True), pyrnn.GRU(4, 4)], ValueError, "one batch_first"),
        ([pyrnn.GRU(3, 5), pyrnn.LastStep(bidirectional=True)], ValueError, "an even number"),
    ],
)
def test_what_onnx_has_not_is_refused(model, kind, message, tmp_path):
    path = tmp_path / "no.onnx"
    with pytest.raises(kind, match=message):
        backend.save(model, path)
    assert not path.exists()


def test_the_same_layer_gives_the_same_file(tmp_path):
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        backend.save(pyrnn.LSTM(3, 4, num_layers=2, seed=0), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_layers_around_come_back_with_their_options(tmp_path):
    layers = [
        pyrnn.Conv1d(3, 4, 2, padding="causal", dilation=2, seed=0),
        pyrnn.Conv1d(4, 6, 4, padding="same", groups=2, bias=False, seed=1),
        pyrnn.Conv1d(6, 4, 3, stride=2, padding=2, seed=2),
        pyrnn.InstanceNorm1d(4, 0.1, affine=True),
        pyrnn.InstanceNorm1d(4, 1e-3),
        pyrnn.LayerNorm(4, 1e-4),
        pyrnn.LayerNorm(4, elementwise_affine=False),
        pyrnn.BatchNorm1d(4, 1e-4, 0.25),
    ]
    for layer in layers:
        for number, array in enumerate(layer.parameters.values()):
            array[...] = np.random.default_rng(number).standard_normal(array.shape)
    backend.save(layers, tmp_path / "model.onnx")
    found = backend.layers(tmp_path / "model.onnx").values()
    assert list(map(repr, found)) == list(map(repr, layers))
    for own, back in zip(layers, found, strict=True):
        for name, array in own.state_dict().items():
            assert back.state_dict()[name].tobytes() == array.tobytes()
