"""Dropout of the input: one mask for all time steps of a sequence."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn

RATE = 0.4
SHAPE = (4, 6, 5)


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_it_is_the_layer_over_a_masked_input(make_any, dtype, bidirectional, backend):
    options = {"num_layers": 2, "bidirectional": bidirectional, "dtype": dtype, "seed": 1}
    layer, plain = make_any(5, 4, input_dropout=RATE, **options), make_any(5, 4, **options)
    x, lengths = random(*SHAPE, dtype=dtype), [4, 1, 3, 2, 4, 0]
    y, state, cache = layer.forward(x, lengths=lengths)
    dy = random(*y.shape, dtype=dtype, seed=2)
    dx, dstate, grads = layer.backward(cache, dy)
    # The gradient shows the mask; the sequence without a step has none.
    kept = (dx != 0).any(axis=0)
    assert 0 < kept[:5].mean() < 1
    mask = kept * np.array(1 / (1 - RATE), dtype)
    expected, final, cache = plain.forward(x * mask, lengths=lengths)
    dmasked, dfirst, plain_grads = plain.backward(cache, dy)
    assert np.array_equal(y, expected)
    assert np.array_equal(dx, dmasked * mask)
    assert list(grads) == list(plain_grads)
    assert all(np.array_equal(grads[name], plain_grads[name]) for name in grads)
    for one, other in ((state, final), (dstate, dfirst)):
        for got, wanted in zip(parts(one), parts(other), strict=True):
            assert np.array_equal(got, wanted)


def test_truncated_back_propagation(backend):
    layer = pyrnn.GRU(5, 4, 2, input_dropout=RATE, dtype="float64", seed=1)
    y, _, cache = layer.forward(random(*SHAPE))
    dx, _ = layer.backward_truncated(cache, np.ones_like(y), 1, 2)
    dropped = (dx == 0).all(axis=0)
    assert 0 < dropped.mean() < 1
    plain = pyrnn.GRU(5, 4, 2, dtype="float64", seed=1)
    mask = ~dropped / (1 - RATE)
    y, _, cache = plain.forward(random(*SHAPE) * mask)
    expected, _ = plain.backward_truncated(cache, np.ones_like(y), 1, 2)
    assert np.array_equal(dx, expected * mask)


def test_eval_mode_and_streams_drop_nothing(make_layer, backend):
    layer, plain = make_layer(5, 4, input_dropout=RATE, seed=1), make_layer(5, 4, seed=1)
    x = random(*SHAPE, dtype="float32")
    assert np.array_equal(layer.eval()(x)[0], plain(x)[0])
    assert np.array_equal(layer.stream(6).step(x[0]), plain.stream(6).step(x[0]))


def test_masks_are_drawn_anew_and_copies_draw_the_same():
    layer = pyrnn.GRU(5, 4, input_dropout=RATE, seed=1)
    x = random(*SHAPE, dtype="float32")
    twins = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    first, second = layer(x)[0], layer(x)[0]
    assert not np.array_equal(first, second)
    assert all(np.array_equal(twin(x)[0], first) for twin in twins)
    layer.input_dropout = 0
    assert np.array_equal(layer(x)[0], layer(x)[0])


def test_indices_have_no_features_to_drop():
    layer = pyrnn.GRU(5, 4, input_dropout=RATE, seed=1)
    with pytest.raises(TypeError, match="x: expected features because of input_dropout, got ind"):
        layer(np.zeros((3, 2), int))
    assert layer.eval()(np.zeros((3, 2), int))[0].shape == (3, 2, 4)


def test_a_rate_is_a_probability():
    with pytest.raises(ValueError, match=r"input_dropout: expected a number in \[0\.0, 1\.0\]"):
        pyrnn.GRU(5, 4, input_dropout=1.5)
