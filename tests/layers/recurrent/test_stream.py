"""Streams: the same bits as the whole sequence, their state, their copies, their errors."""

import copy
import gc
import pickle
import sys
import tracemalloc

import numpy as np
import pytest

import pyrnn
from pyrnn.backend import selection


def random(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_steps_are_bit_for_bit_the_sequence(make_layer, dtype, batch_size, num_layers, backend):
    layer = make_layer(3, 5, num_layers, dtype=dtype, seed=0)
    x = random(6, batch_size, 3, dtype=dtype)
    y, state = layer(x)
    stream = layer.stream(batch_size)
    steps = np.stack([stream.step(x_t) for x_t in x])
    assert steps.dtype == y.dtype
    assert np.array_equal(steps, y)
    for got, expected in zip(parts(stream.state), parts(state), strict=True):
        assert np.array_equal(got, expected)


def test_indices(make_layer, backend):
    layer = make_layer(4, 5, seed=0)
    indices = np.random.default_rng(0).integers(0, 4, (6, 2))
    stream = layer.stream(2)
    assert np.array_equal(np.stack([stream.step(i) for i in indices]), layer(indices)[0])


def test_weights_are_those_of_the_opening(make_layer, backend):
    layer = make_layer(3, 4, seed=0)
    x = random(1, 3)
    expected = layer(x[None])[0][0]
    stream = layer.stream()
    for array in layer.parameters.values():
        array[...] = 0
    later = pickle.loads(pickle.dumps(stream))
    assert np.array_equal(stream.step(x), expected)
    assert np.array_equal(later.step(x), expected)


def test_state_can_be_read_set_and_reset(make_layer, backend):
    layer = make_layer(3, 4, 2, seed=0)
    x = random(4, 1, 3)
    stream = layer.stream()
    assert all(s.shape == (2, 1, 4) and not s.any() for s in parts(stream.state))
    first = [stream.step(x_t) for x_t in x]
    middle = stream.state
    after = stream.step(x[0])
    stream.state = middle
    assert np.array_equal(stream.step(x[0]), after)
    stream.reset()
    assert np.array_equal(np.stack([stream.step(x_t) for x_t in x]), np.stack(first))


def test_state_is_a_copy(make_layer, backend):
    stream = make_layer(3, 4, seed=0).stream()
    x = random(1, 3)
    stream.step(x)
    taken = stream.state
    for array in parts(taken):
        array[...] = 9
    assert not any((s == 9).any() for s in parts(stream.state))
    stream.state = taken
    for array in parts(taken):
        array[...] = 8
    assert all((s == 9).all() for s in parts(stream.state))


def test_out(make_layer, backend):
    layer = make_layer(3, 4, seed=0)
    x = random(2, 3)
    out = np.empty((2, 4), np.float32)
    stream = layer.stream(2)
    assert stream.step(x, out=out) is out
    assert np.array_equal(out, layer(x[None])[0][0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_memory_layouts(make_layer, dtype, backend):
    layer = make_layer(3, 4, dtype=dtype, seed=0)
    x = random(2, 3, dtype=dtype)
    expected = layer(x[None])[0][0]
    strided = np.repeat(x, 2, axis=1)[:, ::2]
    swapped = x.astype(x.dtype.newbyteorder())
    for other in (strided, np.asfortranarray(x), swapped, x[::-1].copy()[::-1]):
        room = np.full((4, 8), np.nan, dtype)
        stream = layer.stream(2)
        assert np.array_equal(stream.step(other, out=room[::2, ::2]), expected)
        assert np.array_equal(room[::2, ::2], expected)
        assert np.isnan(room[1::2]).all()
        assert np.isnan(room[:, 1::2]).all()


def test_out_may_be_the_input(make_layer, backend):
    layer = make_layer(4, 4, 2, seed=0)
    x = random(5, 2, 4)
    expected, _ = layer(x)
    stream = layer.stream(2)
    for x_t, y_t in zip(x, expected, strict=True):
        row = x_t.copy()
        stream.step(row, out=row)
        assert np.array_equal(row, y_t)


def test_output_stays_as_it_is_when_the_stream_goes_on(make_layer, backend):
    stream = make_layer(3, 4, seed=0).stream()
    first = stream.step(random(1, 3))
    kept = first.copy()
    stream.step(random(1, 3, seed=1))
    assert np.array_equal(first, kept)


def test_streams_of_one_layer_are_independent(make_layer, backend):
    layer = make_layer(3, 4, seed=0)
    one, two = layer.stream(), layer.stream()
    x = random(1, 3)
    expected = one.step(x)
    one.step(x)
    assert np.array_equal(two.step(x), expected)


@pytest.mark.parametrize("duplicate", [lambda s: pickle.loads(pickle.dumps(s)), copy.deepcopy])
def test_copies_go_on_alike_and_apart(make_layer, duplicate, backend):
    stream = make_layer(3, 4, 2, seed=0).stream()
    x = random(3, 1, 3)
    stream.step(x[0])
    other = duplicate(stream)
    assert np.array_equal(other.step(x[1]), stream.step(x[1]))
    stream.step(x[2])
    ahead = stream.step(x[2])
    other.step(x[2])
    assert np.array_equal(other.step(x[2]), ahead)


@pytest.mark.kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_steps_of_a_stack_of_many_units(make_layer, dtype, batch_size, backend):
    layer = make_layer(9, 37, 3, dtype=dtype, seed=0).eval()
    x = random(40, batch_size, 9, dtype=dtype)
    y, state = layer(x)
    stream = layer.stream(batch_size)
    out = np.empty(y.shape, dtype)
    for x_t, out_t in zip(x, out, strict=True):
        stream.step(x_t, out=out_t)
    assert np.array_equal(out, y)
    for got, expected in zip(parts(stream.state), parts(state), strict=True):
        assert np.array_equal(got, expected)


@pytest.mark.parametrize("indices", [False, True])
@pytest.mark.parametrize("batch_size", [1, 20])
def test_a_step_into_out_allocates_nothing(make_layer, batch_size, indices):
    """The core's. The call itself takes a tuple or so, which comes and goes."""
    if "native" not in selection.available():
        pytest.skip("the compiled core is not built")
    with pyrnn.use_backend("native"):
        stream = make_layer(3, 500, 2, seed=0).stream(batch_size)
    x = np.zeros(batch_size, np.intp) if indices else random(batch_size, 3)
    out = np.empty((batch_size, 500), np.float32)
    steps = range(100)
    for _ in steps:
        stream.step(x, out=out)
    gc.collect()
    blocks = sys.getallocatedblocks()
    for _ in steps:
        stream.step(x, out=out)
    assert sys.getallocatedblocks() - blocks < 20
    tracemalloc.start()
    try:
        stream.step(x, out=out)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        for _ in steps:
            stream.step(x, out=out)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < (out.nbytes if indices else 400)  # indices are copied for a check
    assert after - before < 150


# --- reset of some --------------------------------------------------------------------------

SOME = [
    (1, [1]),
    (np.int8(2), [2]),
    ([], []),
    (np.zeros(0, int), []),
    ([0, 2], [0, 2]),
    ((3,), [3]),
    ([2, 2, 0], [0, 2]),
    (np.array([3, 1], np.uint8), [1, 3]),
    ([True, False, False, True], [0, 3]),
    (np.zeros(4, bool), []),
    (np.ones(4, bool), [0, 1, 2, 3]),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("streams", "numbers"), SOME, ids=str)
def test_reset_of_some_streams(make_layer, dtype, streams, numbers, backend):
    stream = make_layer(3, 5, 2, dtype=dtype, seed=0).stream(4)
    for x_t in random(3, 4, 3, dtype=dtype):
        stream.step(x_t)
    before = parts(stream.state)
    stream.reset(streams)
    others = [n for n in range(4) if n not in numbers]
    for got, expected in zip(parts(stream.state), before, strict=True):
        assert not got[:, numbers].any()
        assert got[:, others].tobytes() == expected[:, others].tobytes()


def test_reset_streams_go_on_as_new_ones(make_layer, backend):
    layer = make_layer(3, 5, 2, seed=0)
    x = random(6, 3, 3)
    stream, whole, new = layer.stream(3), layer.stream(3), layer.stream(3)
    for x_t in x[:3]:
        stream.step(x_t)
        whole.step(x_t)
    stream.reset([False, True, False])
    for x_t in x[3:]:
        y, expected, restarted = stream.step(x_t), whole.step(x_t), new.step(x_t)
        assert np.array_equal(y[[0, 2]], expected[[0, 2]])
        assert np.array_equal(y[1], restarted[1])


def test_reset_keeps_every_bit_of_the_others(make_layer, backend):
    """Of -0, of NaN with a payload, of subnormal numbers."""
    stream = make_layer(2, 4).stream(2)
    bits = np.array([0x80000000, 0x7FC01234, 0x00000001, 0x7F800000], np.uint32)
    odd = np.stack([bits, bits]).view(np.float32)[None]
    stream.state = (odd, odd) if isinstance(stream.state, tuple) else odd
    stream.reset(0)
    for part in parts(stream.state):
        assert part[0, 0].tobytes() == bytes(16)
        assert part[0, 1].tobytes() == bits.tobytes()


@pytest.mark.parametrize(
    ("streams", "error", "message"),
    [
        (4, ValueError, r"streams: expected indices in \[0, 4\), got 4"),
        ([0, -1], ValueError, r"streams: expected indices in \[0, 4\), got -1"),
        ([[0, 1]], ValueError, r"streams: expected indices of shape \(n,\), got \(1, 2\)"),
        ([0.0], TypeError, "streams: expected indices or a mask, got dtype float64"),
        ("all", TypeError, "streams: expected indices or a mask, got dtype <U3"),
        ([True, False], ValueError, r"streams: expected a mask of shape \(4,\), got \(2,\)"),
        (True, ValueError, r"streams: expected a mask of shape \(4,\), got \(\)"),
        ([[0], [1, 2]], TypeError, "streams: expected an array, got list"),
    ],
    ids=str,
)
def test_wrong_streams_to_reset(make_layer, streams, error, message, backend):
    stream = make_layer(3, 5, seed=0).stream(4)
    stream.step(random(4, 3))
    before = parts(stream.state)
    with pytest.raises(error, match=message):
        stream.reset(streams)
    for got, expected in zip(parts(stream.state), before, strict=True):
        assert np.array_equal(got, expected)


# --- errors ---------------------------------------------------------------------------------


def test_wrong_arguments_are_refused_and_change_nothing(make_layer, backend):
    layer = make_layer(3, 4)
    stream = layer.stream(2)
    stream.step(random(2, 3))
    before = stream.state
    x = random(2, 3)
    for arguments, error, message in [
        ((random(1, 3),), ValueError, r"x_t: expected shape \(2, 3\), got \(1, 3\)"),
        ((random(3),), ValueError, r"x_t: expected shape \(2, 3\), got \(3,\)"),
        ((x.astype(float),), TypeError, "x_t: expected dtype float32, got float64"),
        ((np.array([1]),), ValueError, r"x_t: expected shape \(2,\) of indices, got \(1,\)"),
        ((np.array([1, 3]),), ValueError, r"x_t: expected indices in \[0, 3\), got 3"),
        ((x, np.zeros((2, 5), np.float32)), ValueError, r"out: expected shape \(2, 4\)"),
        ((x, np.zeros((2, 4))), TypeError, "out: expected dtype float32, got float64"),
        ((x, [[0.0] * 4] * 2), TypeError, "out: expected a NumPy array, got list"),
        ((x, np.broadcast_to(np.float32(0), (2, 4))), ValueError, "out: expected a writeable"),
    ]:
        with pytest.raises(error, match=message):
            stream.step(*arguments)
    for got, expected in zip(parts(stream.state), parts(before), strict=True):
        assert np.array_equal(got, expected)


def test_wrong_states_are_refused(backend):
    stream = pyrnn.GRU(3, 4).stream()
    with pytest.raises(ValueError, match=r"state: expected shape \(1, 1, 4\), got \(1, 4\)"):
        stream.state = np.zeros((1, 4), np.float32)
    stream = pyrnn.LSTM(3, 4).stream()
    with pytest.raises(TypeError, match=r"state: expected the pair \(h, c\), got ndarray"):
        stream.state = np.zeros((2, 1, 1, 4), np.float32)
    with pytest.raises(TypeError, match="state's c: expected dtype float32, got float64"):
        stream.state = np.zeros((1, 1, 4), np.float32), np.zeros((1, 1, 4))


def test_opening(make_layer, backend):
    with pytest.raises(ValueError, match=r"stream: expected a layer .* got a bidirectional one"):
        make_layer(3, 4, bidirectional=True).stream()
    with pytest.raises(ValueError, match=r"batch_size: .* at least 1, got 0"):
        make_layer(3, 4).stream(0)
    with pytest.raises(TypeError, match="batch_size: expected a whole number, got None"):
        make_layer(3, 4).stream(None)


# --- one stream among others ----------------------------------------------------------------


def test_a_client_moves_to_another_stream(make_any, backend):
    layer = make_any(3, 4, 2, seed=0)
    rng = np.random.default_rng(0)
    crowded, alone, still = layer.stream(3), layer.stream(), layer.stream(3)
    for x_t in rng.standard_normal((4, 3, 3)).astype(np.float32):
        crowded.step(x_t)
        still.step(x_t)
    alone.put(0, crowded.get(1))
    x_t = rng.standard_normal((3, 3)).astype(np.float32)
    # NumPy's products depend on the batch in the last bit
    bound = {"rtol": 0, "atol": 0 if backend == "native" else 1e-6}
    np.testing.assert_allclose(alone.step(x_t[1:2])[0], crowded.step(x_t)[1], **bound)
    crowded.put(1, alone.get(0))
    still.step(x_t)
    np.testing.assert_allclose(crowded.step(x_t), still.step(x_t), **bound)


@pytest.mark.parametrize("stream", [-1, 3, 1.0, True, None])
def test_wrong_streams_to_move(stream, backend):
    streams = pyrnn.LSTM(3, 4).stream(3)
    state = (np.zeros((1, 4), np.float32),) * 2
    with pytest.raises((TypeError, ValueError), match="stream: expected a whole number"):
        streams.get(stream)
    with pytest.raises((TypeError, ValueError), match="stream: expected a whole number"):
        streams.put(stream, state)
    with pytest.raises(ValueError, match=r"state's h: expected shape \(1, 4\), got \(1, 1, 4\)"):
        streams.put(0, tuple(part[None] for part in state))
    assert not np.any(streams.state)
