"""Copies of recurrent layers, pickled, deep or from a file, with every option; how they look."""

import copy
import pickle

import numpy as np
import pytest

from pyrnn.interop import serialization

OPTIONS = [
    {},
    {"num_layers": 3},
    {"bias": False},
    {"batch_first": True},
    {"num_layers": 2, "dropout": 0.5},
    {"bidirectional": True},
    {"dtype": "float64"},
    {"initialization": "glorot"},
    {"num_layers": 2, "bias": False, "batch_first": True, "dropout": 0.25, "bidirectional": True},
]
EVERY_OPTION = pytest.mark.parametrize("options", OPTIONS, ids=str)


def from_file(layer, folder):
    serialization.save(layer, folder / "layer.safetensors")
    return serialization.load(folder / "layer.safetensors")


def outputs(layer):
    x = np.random.default_rng(1).standard_normal((5, 5, 3)).astype(layer.dtype)
    y, state, cache = layer.forward(x)
    dx, dstate, grads = layer.backward(cache, np.ones_like(y))
    state, dstate = (s if isinstance(s, tuple) else (s,) for s in (state, dstate))
    return [y, *state, dx, *dstate, *grads.values()]


def assert_same(layer, other):
    assert type(other) is type(layer)
    assert repr(other) == repr(layer)
    assert other.training == layer.training
    assert list(other.parameters) == list(layer.parameters)
    for name, array in layer.parameters.items():
        assert not np.shares_memory(other.parameters[name], array)
    for one, two in zip(outputs(layer), outputs(other), strict=True):
        assert one.dtype == two.dtype
        assert np.array_equal(one, two)


@EVERY_OPTION
@pytest.mark.parametrize("duplicate", [lambda a: pickle.loads(pickle.dumps(a)), copy.deepcopy])
def test_pickle_and_deepcopy(make_layer, options, duplicate, backend):
    """The dropout goes on alike, too."""
    layer = make_layer(3, 4, **options, seed=0)
    assert_same(layer, duplicate(layer))
    assert_same(layer.eval(), duplicate(layer))


@EVERY_OPTION
def test_files(make_layer, options, tmp_path, backend):
    """Files keep no random generator: dropout is compared in eval mode."""
    layer = make_layer(3, 4, **options, seed=0)
    assert_same(layer.eval(), from_file(layer, tmp_path).eval())


@EVERY_OPTION
def test_looks_like_torchs(make_layer, options):
    torch = pytest.importorskip("torch")
    options = {k: v for k, v in options.items() if k not in ("dtype", "initialization")}
    layer = make_layer(3, 4, **options)
    expected = repr(getattr(torch.nn, type(layer).__name__)(3, 4, **options))
    assert repr(layer).replace(", nonlinearity='relu'", "") == expected  # torch leaves it out
