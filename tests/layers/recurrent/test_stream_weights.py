"""Streams of one layer share its packed weights, and keep those of their opening."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn
from pyrnn.backend import selection

X = np.random.default_rng(0).standard_normal((4, 1, 5)).astype(np.float32)


def outputs(stream):
    return np.stack([stream.step(x_t) for x_t in X])


def change(layer):
    for array in layer.train().parameters.values():
        array *= 0.5


def test_streams_in_eval_mode_use_the_layers_own_weights(make_any, backend):
    layer = make_any(5, 7, seed=0).eval()
    packed = layer._weights(selection.current())
    for stream in (layer.stream(), layer.stream(3), copy.deepcopy(layer.stream())):
        assert stream._weights.packed(selection.current()) is packed


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_streams_keep_the_weights_of_their_opening(make_any, training, backend):
    layer = make_any(5, 7, 2, seed=0)
    expected = [layer.eval()(X)[0]]
    streams = []
    for _ in range(3):
        if training:
            layer.train()
        streams.append([layer.stream(), layer.stream()])
        change(layer)
        expected.append(layer.eval()(X)[0])
    for opened, y in zip(streams, expected[:-1], strict=True):
        for stream in [*opened, copy.deepcopy(opened[0]), pickle.loads(pickle.dumps(opened[0]))]:
            stream.reset()
            assert np.array_equal(outputs(stream), y)


def test_streams_in_train_mode_share_equal_weights(make_layer, backend):
    """Equal to the bit: -0 is not 0."""
    layer = make_layer(5, 7, seed=0)
    one, two = layer.stream(), layer.stream()
    assert one._weights is two._weights
    bias = layer.parameters["bias_ih_l0"]
    bias[0] = 0.0
    three = layer.stream()
    bias[0] = -0.0
    four = layer.stream()
    assert len({id(s._weights) for s in (one, three, four)}) == 3


def test_a_layer_keeps_no_weights_for_streams_that_are_gone(make_layer, backend):
    layer = make_layer(5, 7, seed=0)
    stream = layer.stream()
    assert layer._streamed() is stream._weights
    del stream
    assert layer._streamed() is None
    layer.eval().stream()
    layer.train()
    assert layer._streamed() is None


@pytest.mark.parametrize("opened_in", ["native", "reference"])
@pytest.mark.parametrize("stepped_in", ["native", "reference"])
def test_a_stream_stays_with_the_backend_of_its_opening(make_any, opened_in, stepped_in):
    if "native" not in selection.available():
        pytest.skip("the compiled core is not built")
    layer = make_any(5, 7, 2, dtype="float64", seed=0).eval()
    x = X.astype(float)
    with pyrnn.use_backend(opened_in):
        expected, stream = layer(x)[0], layer.stream()
    with pyrnn.use_backend(stepped_in):
        other = pickle.loads(pickle.dumps(stream))
        change(layer)
        later = [copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))]
        for each in (stream, other, *later):
            assert np.array_equal(np.stack([each.step(x_t) for x_t in x]), expected)
