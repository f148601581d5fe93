"""The type of products: what sets it, what keeps it, what refuses it."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn
from pyrnn import _warnings
from pyrnn.parameters import formats
from pyrnn.reference import bfloat16

X = np.random.default_rng(0).standard_normal((4, 1, 5)).astype(np.float32)


def layers(dtype="float32"):
    return {
        "gru": pyrnn.GRU(5, 7, dtype=dtype, seed=0),
        "two directions": pyrnn.LSTM(5, 7, 2, bidirectional=True, dtype=dtype, seed=0),
        "cell": pyrnn.LSTMCell(5, 7, dtype=dtype, seed=0),
        "linear": pyrnn.Linear(5, 7, dtype=dtype, seed=0),
        "sequential": pyrnn.Sequential(
            pyrnn.GRU(5, 6, dtype=dtype, seed=0),
            pyrnn.LayerNorm(6, dtype=dtype),
            pyrnn.Sequential(pyrnn.Linear(6, 2, dtype=dtype, seed=1)),
        ),
    }


def result(layer):
    y = layer(X[0] if "Cell" in type(layer).__name__ else X)
    return y[0] if isinstance(y, tuple) else y


@pytest.mark.parametrize("name", layers())
def test_it_lasts_until_another_is_told(name, backend):
    layer = layers()[name]
    before = result(layer)
    narrow = result(layer.train(compute="bfloat16"))
    assert not np.array_equal(narrow, before)
    assert np.allclose(narrow, before, atol=0.02)
    for switched in (layer.eval(), layer.train(), layer.eval(weights="bfloat16"), layer.train()):
        assert switched.compute_format == "bfloat16"
        assert np.array_equal(result(switched), narrow)
    assert layer.eval(compute="float32").compute_format == "float32"
    assert np.array_equal(result(layer), before)
    assert np.array_equal(result(layer.train()), before)
    assert np.array_equal(result(layer.eval(compute="bfloat16")), narrow)


@pytest.mark.parametrize("name", layers())
def test_copies_and_pickles_keep_it(name, backend):
    for layer in (
        layers()[name].train(compute="bfloat16"),
        layers()[name].eval(compute="bfloat16"),
    ):
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert other.compute_format == "bfloat16"
            assert np.array_equal(result(other), result(layer))


def test_streams_keep_it(backend):
    for layer in (pyrnn.GRU(5, 7, seed=0), layers()["sequential"]):
        expected = result(layer.train(compute="bfloat16"))
        stream = layer.stream()
        layer.train(compute="float32")
        other = layer.stream()
        found = np.stack([stream.step(x_t) for x_t in X])
        assert np.array_equal(found, expected)
        # The reference's products of float32 round otherwise for other numbers of rows.
        assert np.allclose(np.stack([other.step(x_t) for x_t in X]), result(layer), atol=1e-6)
        again = pickle.loads(pickle.dumps(stream))
        assert np.array_equal(again.step(X[0]), stream.step(X[0]))


def test_files_and_arrays_do_not_have_it(tmp_path):
    pytest.importorskip("safetensors")
    layer = pyrnn.GRU(5, 7, seed=0).train(compute="bfloat16")
    pyrnn.save(layer, tmp_path / "model")
    assert pyrnn.load(tmp_path / "model").compute_format == "float32"
    assert layer.state_dict()["weight_ih_l0"].dtype == np.float32
    assert "bfloat16" not in repr(layer.config())


def test_gradients_are_those_of_the_rounded_operands(backend):
    """Of a linear layer: each of the three products rounds what it multiplies, and nothing else."""
    layer = pyrnn.Linear(40, 3, seed=0).train(compute="bfloat16")
    generator = np.random.default_rng(1)
    x = generator.standard_normal((6, 40)).astype(np.float32)
    dy = generator.standard_normal((6, 3)).astype(np.float32)
    y, _, cache = layer.forward(x)
    dx, _, gradients = layer.backward(cache, dy)
    near_x, near_dy, near_weight = map(bfloat16.operand, (x, dy, layer.parameters["weight"]))
    assert np.allclose(y, near_x @ near_weight.T + layer.parameters["bias"], atol=1e-5)
    assert np.allclose(dx, near_dy @ near_weight, atol=1e-5)
    assert np.allclose(gradients["weight"], near_dy.T @ near_x, atol=1e-5)
    assert np.allclose(gradients["bias"], dy.sum(axis=0), atol=1e-5)


def test_a_backward_pass_has_the_type_of_its_forward_pass(backend):
    for name, layer in layers().items():
        x = X[0] if name == "cell" else X
        layer.train(compute="bfloat16")
        y, _, cache = layer.forward(x)
        expected = layer.backward(cache, np.ones_like(y))[2]
        _, _, cache = layer.forward(x)
        got = layer.train(compute="float32").backward(cache, np.ones_like(y))[2]
        for key, array in expected.items():
            assert np.array_equal(got[key], array)


@pytest.mark.parametrize("name", layers())
def test_layers_of_float64_refuse_it(name):
    layer = layers("float64")[name]
    for switch in (layer.train, layer.eval):
        with pytest.raises(ValueError, match=r"compute: expected 'float64' for a layer of float64"):
            switch(compute="bfloat16")
    assert layer.training
    assert layer.train(compute="float64").compute_format == "float64"


@pytest.mark.parametrize("compute", ["float16", "int8", "bf16", 16, True, np.float32])
def test_other_types_are_refused(compute):
    for layer in layers().values():
        with pytest.raises((TypeError, ValueError), match=r"^compute: expected"):
            layer.train(compute=compute)
        assert layer.compute_format == "float32"


@pytest.mark.parametrize("name", layers())
@pytest.mark.parametrize("weights", ["float16", "int8"])
def test_narrower_weights_are_refused(name, weights):
    layer = layers()[name].train(compute="bfloat16")
    with pytest.raises(
        ValueError, match=rf"weights: expected 'float32' or 'bfloat16' .* {weights!r}"
    ):
        layer.eval(weights=weights)
    assert layer.training
    layer.eval(weights=weights, compute="float32")
    with pytest.raises(ValueError, match="weights: expected"):
        layer.eval(compute="bfloat16")
    assert (layer.weight_format, layer.compute_format) == (weights, "float32")


def test_quantization_error_compares_with_float32():
    layer = pyrnn.GRU(5, 40, seed=0).eval(compute="bfloat16")
    both = layer.quantization_error(X)
    weights_alone = layer.eval(compute="float32").quantization_error(X, weights="bfloat16")
    assert 0 < both.mean < 0.01 * both.mean_output
    assert both != weights_alone


def test_layers_without_a_dtype_of_their_own_go_with_any():
    model = pyrnn.Sequential(pyrnn.GRU(5, 4, dtype="float64", seed=0), pyrnn.LastStep())
    assert model.quantization_error(X.astype(np.float64)).largest == 0
    assert model.train(compute=formats.FULL).compute_format == "float64"


def test_it_is_said_once_that_it_is_slow(monkeypatch):
    monkeypatch.setattr(_warnings, "_said", set())
    x = np.ones((3, 2), np.float32)
    with pyrnn.use_backend("reference"):
        pyrnn.Linear(2, 2).train(compute="bfloat16")(x)
    if pyrnn.build_info()["bfloat16"] != "software":
        pytest.skip("the compiled core is not built, or has hardware for it")
    # Not of what is refused, or has computed nothing: a warning would be an error.
    linear, gru = pyrnn.Linear(2, 2).train(compute="bfloat16"), pyrnn.GRU(2, 2)
    with pytest.raises(ValueError, match="beside products of bfloat16"):
        gru.eval(weights="int8", compute="bfloat16")
    with pytest.raises(ValueError, match="x: expected"):
        linear(x[:, :1])
    with pytest.raises(ValueError, match="x: expected"):
        gru.train(compute="bfloat16")(x[:, :1])
    with pytest.warns(UserWarning, match="computed in software") as found:
        linear(x)
    gru(x)
    pyrnn.LSTM(2, 2).eval(compute="bfloat16")
    assert len(found) == 1
    assert found[0].filename == __file__


@pytest.mark.skipif(pyrnn.build_info()["bfloat16"] != "software", reason="needs the software")
@pytest.mark.parametrize(
    "use",
    [
        lambda: pyrnn.GRU(2, 2).train(compute="bfloat16")(np.ones((3, 2), np.float32)),
        lambda: pyrnn.GRU(2, 2).train(compute="bfloat16").stream(),
        lambda: pyrnn.GRU(2, 2).eval(compute="bfloat16"),
        lambda: pyrnn.Linear(2, 2).eval(compute="bfloat16"),
        lambda: pyrnn.GRUCell(2, 2).train(compute="bfloat16").forward(np.ones(2, np.float32)),
    ],
)
def test_whatever_computes_says_so(monkeypatch, use):
    monkeypatch.setattr(_warnings, "_said", set())
    with pytest.warns(UserWarning, match="computed in software"):
        use()
