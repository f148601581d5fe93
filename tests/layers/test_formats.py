"""The format of weights in eval mode: what changes it, what keeps it, what goes on with it."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn
from tests.number_formats.rounded import rounded_all

FORMATS = ["bfloat16", "float16", "int8"]
X = np.random.default_rng(0).standard_normal((4, 1, 5)).astype(np.float32)


def layers():
    return {
        "gru": pyrnn.GRU(5, 7, seed=0),
        "cell": pyrnn.LSTMCell(5, 7, seed=0),
        "linear": pyrnn.Linear(5, 7, seed=0),
        "sequential": pyrnn.Sequential(
            pyrnn.GRU(5, 6, seed=0), pyrnn.LayerNorm(6), pyrnn.Linear(6, 2, seed=1)
        ),
    }


def result(layer):
    y = layer(X[0] if "Cell" in type(layer).__name__ else X)
    return y[0] if isinstance(y, tuple) else y


@pytest.mark.parametrize("name", layers())
@pytest.mark.parametrize("weights", FORMATS)
def test_train_returns_to_the_parameters(name, weights, backend):
    layer = layers()[name]
    before, parameters = result(layer), layer.state_dict()
    narrow_result = result(layer.eval(weights=weights))
    assert not np.array_equal(narrow_result, before)
    assert np.allclose(narrow_result, before, atol=0.02)
    for key, array in layer.state_dict().items():
        assert np.array_equal(array, parameters[key])
    assert layer.weight_format == weights
    assert np.array_equal(result(layer.train()), before)
    assert layer.weight_format == "float32"
    assert np.array_equal(result(layer.eval()), before)


@pytest.mark.parametrize("name", layers())
def test_eval_keeps_a_format_until_it_is_told_another(name, backend):
    layer = layers()[name].eval(weights="bfloat16")
    first = result(layer)
    assert np.array_equal(result(layer.eval()), first)
    assert layer.weight_format == "bfloat16"
    other = result(layer.eval(weights="float16"))
    assert not np.array_equal(other, first)
    assert np.array_equal(result(layer.eval(weights="bfloat16")), first)
    assert np.array_equal(result(layer.eval(weights="float32")), result(layer.train()))


@pytest.mark.parametrize("name", layers())
def test_copies_and_pickles_keep_the_format(name, backend):
    layer = layers()[name].eval(weights="bfloat16")
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.weight_format == "bfloat16"
        assert np.array_equal(result(other), result(layer))


@pytest.mark.parametrize("name", ["gru", "sequential"])
@pytest.mark.parametrize("weights", FORMATS)
def test_streams_keep_the_format_of_their_opening(name, weights, backend):
    layer = layers()[name].eval(weights=weights)
    expected, stream = result(layer), layer.stream()
    others = [copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))]
    layer.eval(weights="float32")
    full = layer.stream()
    for array in layer.train().parameters.values():
        array *= 0.5
    trained = layer.stream()

    def gives(one, y):  # the reference promises no bits
        return np.allclose([one.step(x_t) for x_t in X], y, rtol=0, atol=2e-6)

    assert all(gives(one, expected) for one in (stream, *others))
    assert not gives(full, expected)
    assert gives(trained, result(layer))


@pytest.mark.parametrize("name", layers())
def test_activations_of_int8_weights(name, backend):
    layer, x = layers()[name], X[0] if name == "cell" else X
    assert layer.activation_format == "float32"
    exact = result(layer.eval(weights="int8"))
    assert layer.activation_format == "int16"
    fast = result(layer.eval(activations="int8"))
    assert (layer.weight_format, layer.activation_format) == ("int8", "int8")
    assert not np.array_equal(fast, exact)
    assert np.allclose(fast, exact, atol=0.02)
    for other in (layer.eval(), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.activation_format == "int8"
        assert np.array_equal(result(other), fast)
    if name in ("gru", "sequential"):
        stream = layer.stream()
        assert np.allclose([stream.step(x_t) for x_t in X], fast, rtol=0, atol=2e-6)
    assert np.array_equal(result(layer.eval(weights="int8")), exact)
    assert np.array_equal(result(layer.eval(weights="int8", activations="int16")), exact)
    off = layer.quantization_error(x, activations="int8")
    assert off.mean > layer.quantization_error(x).mean
    assert layer.activation_format == "int16"
    assert layer.train().activation_format == "float32"


@pytest.mark.parametrize("name", layers())
def test_activations_are_for_int8_weights_alone(name):
    layer = layers()[name]
    for arguments in ({}, {"weights": "float32"}, {"weights": "bfloat16"}):
        for activations in ("int8", "int16"):
            with pytest.raises(ValueError, match="activations: expected weights of 'int8' with"):
                layer.eval(**arguments, activations=activations)
    with pytest.raises(ValueError, match="activations: expected"):
        layer.eval(weights="int8", activations="int4")
    assert layer.training


def test_a_table_has_no_activations(backend):
    table = pyrnn.Embedding(9, 5, seed=0)
    rows = table.eval(weights="int8")(np.arange(9))
    assert np.array_equal(table.eval(activations="int8")(np.arange(9)), rows)


def test_gates_are_those_of_the_format(backend):
    layer = pyrnn.GRU(5, 7, seed=0).eval(weights="bfloat16")
    twin = pyrnn.GRU(5, 7, seed=0)
    twin.load_state_dict(rounded_all("bfloat16", layer.state_dict()))
    for name, gate in layer.gates(X).items():
        assert np.array_equal(gate, twin.gates(X)[name])


def test_character_model(backend):
    model = pyrnn.CharacterModel("helo", hidden_size=8, embedding_dim=3, seed=0)
    text = model.vocabulary.encode("hellohello")
    before = model.bits_per_character(text)
    model.eval(weights="bfloat16")
    assert {layer.weight_format for layer in model._layers().values()} == {"bfloat16"}
    assert before != model.bits_per_character(text) == pytest.approx(before, abs=0.01)
    model.eval(weights="int8", activations="int8")
    assert {layer.activation_format for layer in model._layers().values()} == {"int8"}
    assert before != model.bits_per_character(text) == pytest.approx(before, abs=0.01)
    assert model.train().bits_per_character(text) == before


@pytest.mark.parametrize("name", layers())
@pytest.mark.parametrize("training", [True, False])
def test_a_refused_format_changes_nothing(name, training):
    layer = layers()[name]
    if not training:
        layer.eval(weights="bfloat16")
    before = result(layer)
    with pytest.raises(ValueError, match="weights: expected"):
        layer.eval(weights="float8")
    if training:
        matrix = next(a for a in reversed(layer.parameters.values()) if a.ndim == 2)
        matrix[0, 0] = 1e6
        before = result(layer)
        with pytest.raises(ValueError, match=r"'float16' and 1000000\.0 in"):
            layer.eval(weights="float16")
    assert layer.training is training
    assert np.array_equal(result(layer), before)


def test_layers_of_float64_have_their_own_format_alone():
    layer = pyrnn.GRU(5, 7, dtype="float64")
    assert layer.eval(weights="float64").weight_format == "float64"
    for weights in (*FORMATS, "float32"):
        with pytest.raises(ValueError, match="weights: expected 'float64' for a layer of float64"):
            layer.eval(weights=weights)


def test_a_layer_of_ones_own_stays_as_it_is():
    class Scale(pyrnn.Layer):
        def forward(self, x, state=None):
            return x * self.parameters["weight"], None, x

    layer = Scale({"weight": np.full((1, 5), 1 / 3, np.float32)})
    y = pyrnn.Sequential(layer).eval(weights="bfloat16")(X)[0]
    assert np.array_equal(y, X * np.float32(1 / 3))


@pytest.mark.parametrize("name", layers())
def test_quantization_error_is_the_difference_of_outputs(name, backend):
    layer = layers()[name]
    x = X[0] if name == "cell" else X
    full, narrow_result = result(layer), result(copy.deepcopy(layer).eval(weights="bfloat16"))
    off = np.abs(narrow_result.astype(np.float64) - full)
    found = layer.quantization_error(x, weights="bfloat16")
    assert found == pytest.approx((off.max(), off.mean(), np.abs(full).mean()), rel=1e-6)
    assert layer.training
    assert layer.weight_format == "float32"
    assert layer.quantization_error(x)[:2] == (0, 0)
    layer.eval(weights="bfloat16")
    assert layer.quantization_error(x) == found
    assert layer.quantization_error(x, weights="float16").largest < found.largest
    assert layer.weight_format == "bfloat16"


def test_quantization_error_takes_what_a_call_takes():
    layer = pyrnn.LSTM(5, 7, batch_first=True, seed=0).eval(weights="bfloat16")
    x = np.random.default_rng(1).standard_normal((3, 6, 5)).astype(np.float32)
    state = tuple(np.ones((1, 3, 7), np.float32) for _ in range(2))
    short = layer.quantization_error(x, state=state, lengths=[1, 1, 1])
    assert 0 < short.mean < layer.quantization_error(x, state=state).mean
    assert np.isnan(pyrnn.Linear(5, 2).quantization_error(x[:0])).all()
    with pytest.raises(ValueError, match="x: expected"):
        layer.quantization_error(x[..., :2])
    with pytest.raises(ValueError, match="weights: expected"):
        layer.quantization_error(x, weights="int3")
