"""Layers of every cell that is not plain: gradients, lengths, layouts, streams, first values."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn

TIME_STEPS, ROWS, INPUTS, UNITS = 5, 3, 3, 4


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def outputs_of(layer):
    """Features of y in one direction."""
    return getattr(layer, "proj_size", 0) or layer.hidden_size


@pytest.mark.parametrize("bias", [True, False])
def test_gradients(make_variant, bias, backend):
    layer = make_variant(2, 3, bias=bias, dtype="float64", seed=1)
    report = pyrnn.gradcheck(layer, random(4, 2, 2))
    assert report, str(report)


def test_gradients_of_stacks_in_both_directions(make_variant, backend):
    layer = make_variant(2, 3, 2, bidirectional=True, batch_first=True, dtype="float64", seed=1)
    report = pyrnn.gradcheck(layer, random(2, 4, 2), lengths=[4, 2], samples=6)
    assert report, str(report)


def test_shapes(make_variant, backend):
    layer = make_variant(INPUTS, UNITS, 2, bidirectional=True, seed=0)
    y, state = layer(random(TIME_STEPS, ROWS, INPUTS, dtype="float32"))
    assert y.shape == (TIME_STEPS, ROWS, 2 * outputs_of(layer))
    assert y.dtype == np.float32
    shapes = [(4, ROWS, outputs_of(layer)), (4, ROWS, UNITS)]
    assert [part.shape for part in parts(state)] == shapes[: len(parts(state))]
    # The last h of the last layer, forward, is the last y.
    assert np.array_equal(y[-1, :, : outputs_of(layer)], parts(state)[0][2])


def test_dtypes_agree(make_variant, backend, assert_close):
    doubles = make_variant(INPUTS, UNITS, 2, dtype="float64", seed=0)
    floats = make_variant(INPUTS, UNITS, 2, dtype="float32", seed=0)
    x = random(TIME_STEPS, ROWS, INPUTS)
    results = []
    for layer in (doubles, floats):
        y, state, cache = layer.forward(x.astype(layer.dtype))
        dx, dstate, grads = layer.backward(cache, np.ones_like(y))
        results.append([y, *parts(state), dx, *parts(dstate), *grads.values()])
    for one, other in zip(*results, strict=True):
        assert other.dtype == np.float32
        assert_close(other.astype("float64"), one, 2e-5)


def test_each_row_of_unequal_lengths_is_its_own_sequence(make_variant, backend, assert_close):
    layer = make_variant(INPUTS, UNITS, 2, bidirectional=True, dtype="float64", seed=0)
    x, lengths = random(TIME_STEPS, ROWS, INPUTS), [3, 5, 1]
    y, state = layer(x, lengths=lengths)
    for row, length in enumerate(lengths):
        alone, last = layer(x[:length, row])
        assert_close(y[:length, row], alone, 1e-13)
        assert not y[length:, row].any()
        for part, expected in zip(parts(state), parts(last), strict=True):
            assert_close(part[:, row], expected, 1e-13)


def test_indices_are_one_hot_rows(make_variant, backend, assert_close):
    layer = make_variant(INPUTS, UNITS, dtype="float64", seed=0)
    indices = np.random.default_rng(0).integers(0, INPUTS, (TIME_STEPS, ROWS))
    y, state, cache = layer.forward(indices)
    expected_y, expected_state, expected_cache = layer.forward(np.eye(INPUTS)[indices])
    assert_close(y, expected_y, 1e-13)
    assert_close(state, expected_state, 1e-13)
    dy = random(*y.shape)
    dx, _, grads = layer.backward(cache, dy)
    assert dx is None
    assert_close(grads, layer.backward(expected_cache, dy)[2], 1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_streams_are_bit_for_bit_the_sequence(make_variant, dtype, num_layers, backend):
    layer = make_variant(INPUTS, UNITS, num_layers, dtype=dtype, seed=0)
    x = random(TIME_STEPS, ROWS, INPUTS, dtype=dtype)
    y, state = layer(x)
    stream = layer.stream(ROWS)
    out = np.empty((ROWS, outputs_of(layer)), dtype)
    assert stream.step(x[0], out) is out
    assert np.array_equal(out, y[0])
    stream = pickle.loads(pickle.dumps(stream))
    assert np.array_equal(np.stack([stream.step(x_t) for x_t in x[1:]]), y[1:])
    for got, expected in zip(parts(stream.state), parts(state), strict=True):
        assert np.array_equal(got, expected)
    stream.reset()
    assert not any(part.any() for part in parts(stream.state))
    stream.state = state
    assert np.array_equal(stream.step(x[0]), layer(x[:1], state)[0][0])


def test_copies_and_pickles(make_variant, backend):
    layer = make_variant(INPUTS, UNITS, seed=0).eval()
    x = random(TIME_STEPS, ROWS, INPUTS, dtype="float32")
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(other) == repr(layer)
        assert np.array_equal(other(x)[0], layer(x)[0])


# --- first values ---------------------------------------------------------------------------


def test_first_values(make_variant):
    parameters = make_variant(30, 25, seed=0).parameters
    normalised = any(name.startswith("gain") for name in parameters)
    for name, array in parameters.items():
        if name.startswith("gain"):
            assert (array == 1).all(), name
        elif normalised and name.startswith("bias"):
            assert not array.any(), name
        else:
            assert -0.2 <= array.min() < -0.15, name
            assert 0.15 < array.max() <= 0.2, name


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (pyrnn.LSTM(3, 4, proj_size=2), "LSTM(3, 4, proj_size=2)"),
        (
            pyrnn.LSTM(3, 4, peephole=True, coupled=True),
            "LSTM(3, 4, peephole=True, coupled=True)",
        ),
        (pyrnn.LSTM(3, 4, layer_norm=True), "LSTM(3, 4, layer_norm=True)"),
        (pyrnn.LSTM(3, 4, zoneout=(0.1, 0.5)), "LSTM(3, 4, zoneout=(0.1, 0.5))"),
        (pyrnn.GRU(3, 4, reset_after=False), "GRU(3, 4, reset_after=False)"),
        (pyrnn.GRU(3, 4, layer_norm=True), "GRU(3, 4, layer_norm=True)"),
        (
            pyrnn.RNN(3, 4, recurrent_dropout=0.25, zoneout=0.5),
            "RNN(3, 4, recurrent_dropout=0.25, zoneout=0.5)",
        ),
        (pyrnn.MinGRU(3, 4, 2, dtype="float64"), "MinGRU(3, 4, num_layers=2, dtype='float64')"),
    ],
    ids=repr,
)
def test_repr(layer, text):
    assert repr(layer) == text
