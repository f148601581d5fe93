"""What stands at the edges: NaN and infinity among other rows, long sequences, caches, memory."""

import sys

import numpy as np
import pytest

import pyrnn
from pyrnn.backend import selection

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def random(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def others(array, row):
    """All rows of a batch but one, the batch being the second axis."""
    return np.delete(array, row, axis=1)


@DTYPES
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("batch_size", "row"), [(2, 0), (7, 3), (5, 4)])
def test_what_is_no_number_stays_in_its_row(make_layer, same_bits, dtype, value, batch_size, row):
    layer = make_layer(5, 11, 2, dtype=dtype, seed=0)
    clean = random(4, batch_size, 5, dtype=dtype)
    dirty = clean.copy()
    dirty[1, row, 2] = value
    results = []
    for x in (clean, dirty):
        y, state, cache = layer.forward(x)
        dx, dstate0, _ = layer.backward(cache, np.ones_like(y))
        results.append([others(a, row) for a in (y, dx, *parts(state), *parts(dstate0))])
    same_bits(results[1], results[0])
    y = layer(dirty)[0]
    same_bits(y[0], layer(clean)[0][0], "the step before it")
    if np.isnan(value):
        # relu's maximum takes NaN for 0 or keeps it; the others keep it.
        assert layer.cell == "rnn_relu" or np.isnan(y[1:, row]).any()


@DTYPES
def test_nan_in_one_state_stays_in_its_row(make_layer, same_bits, dtype):
    layer = make_layer(5, 11, dtype=dtype, seed=0)
    x = random(4, 6, 5, dtype=dtype)
    state = layer(x)[1]
    for array in parts(state):
        array[0, 2, 3] = np.nan
    clean = tuple(np.nan_to_num(array) for array in parts(state))
    same_bits(
        others(layer(x, state)[0], 2),
        others(layer(x, clean if len(clean) > 1 else clean[0])[0], 2),
    )


@pytest.mark.parametrize("with_lengths", [False, True])
def test_a_hundred_thousand_steps(make_layer, same_bits, with_lengths):
    layer = make_layer(1, 8, seed=0)
    x = random(100_000, 1, 1)
    y, state, cache = layer.forward(x, None, [99_999] if with_lengths else None)
    assert np.isfinite(y).all()
    dx, _, grads = layer.backward(cache, np.ones_like(y))
    assert dx.shape == x.shape
    assert all(np.isfinite(grad).all() for grad in grads.values())
    if not with_lengths:
        first, middle = layer(x[:60_000])
        second, last = layer(x[60_000:], middle)
        same_bits(np.concatenate([first, second]), y)
        same_bits(last, state)


@DTYPES
def test_the_smallest_layer(make_layer, dtype):
    layer = make_layer(1, 1, dtype=dtype, seed=0)
    y, state, cache = layer.forward(np.ones((1, 1, 1), dtype))
    assert y.shape == (1, 1, 1)
    assert np.array_equal(parts(state)[0], y)
    dx, _, grads = layer.backward(cache, y)
    assert dx.shape == (1, 1, 1)
    gates = len(layer.parameters["weight_ih_l0"])
    assert gates in (1, 3, 4)
    assert [grad.size for grad in grads.values()] == [gates] * 4


def test_a_cache_serves_once(make_layer):
    layer = make_layer(3, 4, seed=0)
    y, _, cache = layer.forward(random(5, 2, 3))
    layer.backward(cache, y)
    with pytest.raises(ValueError, match="cache: it was used by an earlier backward"):
        layer.backward(cache, y)
    y, _, cache = layer.forward(random(5, 2, 3))
    layer.backward_truncated(cache, y, 1, 2)
    with pytest.raises(ValueError, match="cache: it was used by an earlier backward"):
        layer.backward_truncated(cache, y, 1, 2)


def test_caches_serve_in_any_order(make_layer, same_bits):
    """Or not at all."""
    layer = make_layer(3, 4, seed=0)
    inputs = [random(5, 2, 3, seed=seed) for seed in range(4)]
    expected = []
    for x in inputs:
        y, _, cache = layer.forward(x)
        expected.append(layer.backward(cache, y))
    kept = [layer.forward(x) for x in inputs]
    for number in (2, 0, 3):
        y, _, cache = kept[number]
        same_bits(layer.backward(cache, y), expected[number])


def test_a_cache_does_not_see_later_weights(make_layer, same_bits):
    layer = make_layer(3, 4, seed=0)
    x = random(5, 2, 3)
    y, _, cache = layer.forward(x)
    expected = layer.backward(cache, y)
    y, _, cache = layer.forward(x)
    for array in layer.parameters.values():
        array[...] = 0
    same_bits(layer.backward(cache, y), expected)


@pytest.mark.parametrize("batch_first", [False, True])
def test_what_a_cache_looks_into_is_read_only(make_layer, batch_first):
    layer = make_layer(3, 4, batch_first=batch_first, seed=0)
    for x in (random(5, 2, 3), random(5, 3)):
        y, _, _ = layer.forward(x)
        with pytest.raises(ValueError, match="read-only"):
            y[0] = 0
        free, _ = layer(x)
        free[0] = 0


def test_results_outlive_their_layer_and_cache(make_layer):
    y, _, cache = make_layer(3, 4, seed=0).forward(random(50, 20, 3))
    kept = y.copy()
    del cache
    for _ in range(20):
        make_layer(3, 4, seed=1).forward(random(50, 20, 3))
    assert np.array_equal(y, kept)


GROWTH = """
import resource
import sys
import numpy as np
import pyrnn
from pyrnn.backend import selection

layer = pyrnn.{name}(64, 128, seed=0)
x = np.ones((50, 16, 64), np.float32)
stream = layer.stream(16)

def once(use):
    y, state, cache = layer.forward(x)
    if use:
        layer.backward(cache, y)
    layer(x, None, np.arange(1, 17))
    stream.step(x[0])
    layer.stream(16).step(x[0])

def peak():
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale

for number in range(10):
    once(number % 2)
before = peak()
for number in range(200):
    once(number % 2)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no measure of memory here")
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_memory_of_dropped_caches_is_freed(run_python, name):
    """Each of the 200 keeps half a megabyte at least; the peak may move a little, not by that."""
    result = run_python("-c", GROWTH.format(name=name))
    assert int(result.stdout) < 20e6, result.stderr


def test_a_failing_call_keeps_nothing(make_layer, same_bits):
    """What is refused changes neither the layer nor the stream."""
    layer = make_layer(3, 4, seed=0)
    x = random(5, 2, 3)
    expected = layer(x)
    for wrong in (x[:, :, :2], x.astype(complex), x[:0]):
        with pytest.raises((TypeError, ValueError), match="x: expected"):
            layer.forward(wrong)
    same_bits(layer(x), expected)
    assert pyrnn.get_num_threads() >= 1


@DTYPES
def test_weights_of_other_layouts_are_packed_but_not_followed(same_bits, dtype):
    """To follow changes of a copy would be to miss those of the array."""
    backend = selection.current()
    layer = pyrnn.RNN(3, 4, dtype=dtype, seed=0)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    parameters = {name: np.asfortranarray(layer.parameters[f"{name}_l0"]) for name in names}
    x = random(5, 2, 3, dtype=dtype)
    same_bits(backend.forward(backend.pack("rnn_tanh", parameters), x, None)[0], layer(x)[0])
    with pytest.raises(ValueError, match="parameters: a copy cannot be followed"):
        backend.pack("rnn_tanh", parameters, follow=True)


@DTYPES
@pytest.mark.parametrize("lengths", [[0, 0], [0, 3], [5, 1], [-1, 1], [2**62, 1]])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_core_itself_takes_no_lengths_out_of_range(dtype, lengths, reverse):
    native = selection.current()
    cell = pyrnn.LSTM(3, 8, dtype=dtype, seed=0)
    names = {name.removesuffix("_l0"): array for name, array in cell.parameters.items()}
    weights = native.pack("lstm", names)
    x, lengths = random(4, 2, 3, dtype=dtype), np.array(lengths, np.intp)
    for keep in (False, True):
        with pytest.raises(ValueError, match="lengths: expected values in"):
            native.forward(weights, x, None, lengths, reverse, keep, 0)
    with pytest.raises(ValueError, match="lengths: expected values in"):
        native.forward_both([weights] * 2, x, [None] * 2, lengths, True, 0, [None] * 2)


@pytest.mark.parametrize("rows", [[2], [-1], [0, 2**62]])
def test_the_core_refuses_streams_that_are_not_there(rows):
    engine = pyrnn.GRU(3, 4, seed=0).stream(2)._engine
    with pytest.raises(ValueError, match="rows"):
        engine.state(np.array(rows))
    with pytest.raises(ValueError, match="rows"):
        engine.set_state((np.ones((1, len(rows), 4), np.float32),), np.array(rows))
    assert not engine.state()[0].any()


def test_a_step_takes_one_argument_or_two():
    step = pyrnn.GRU(3, 4, seed=0).stream()._engine.step
    x_t = np.ones((1, 3), np.float32)
    for arguments in ((), (x_t, None, None)):
        with pytest.raises(TypeError, match="one or two arguments"):
            step(*arguments)
    with pytest.raises(TypeError, match="keyword"):
        step(x_t, out=None)
    assert np.array_equal(step(x_t), pyrnn.GRU(3, 4, seed=0).stream().step(x_t, None))
