"""A layer in eval mode called on a single time step: the bits of any call, by a short way."""

import copy
import pickle
import sys
import threading

import numpy as np
import pytest

import pyrnn
from pyrnn.backend import selection
from pyrnn.layers.recurrent._weights.fixed import FixedWeights

CELLS = {
    "rnn": (pyrnn.RNN, {"nonlinearity": "relu"}),
    "lstm": (pyrnn.LSTM, {}),
    "lstm-projected": (pyrnn.LSTM, {"proj_size": 4}),
    "lstm-peephole": (pyrnn.LSTM, {"peephole": True, "coupled": True}),
    "lstm-layer-norm": (pyrnn.LSTM, {"layer_norm": True}),
    "lstm-activations": (pyrnn.LSTM, {"recurrent_activation": "hard_sigmoid", "clip": 0.5}),
    "lstm-zoneout": (pyrnn.LSTM, {"zoneout": (0.25, 0.5)}),
    "gru": (pyrnn.GRU, {}),
    "gru-reset-before": (pyrnn.GRU, {"reset_after": False}),
    "gru-reverse": (pyrnn.GRU, {"reverse": True, "zoneout": 0.5}),
    "min-gru": (pyrnn.MinGRU, {}),
}
INPUTS, UNITS, LAYERS = 5, 19, 2


def random(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def made(name, **options):
    kind, own = CELLS[name]
    return kind(INPUTS, UNITS, num_layers=LAYERS, seed=1, **own, **options).eval()


def state_for(layer, batch_size):
    """The state after a few steps."""
    x = random(3, batch_size, INPUTS, dtype=layer.dtype, seed=3)
    return layer(x.swapaxes(0, 1) if layer.batch_first else x)[1]


def unbatched(state):
    found = tuple(np.ascontiguousarray(part[:, 0]) for part in parts(state))
    return found if isinstance(state, tuple) else found[0]


@pytest.fixture
def taken(monkeypatch):
    """Of each call that could be a single step, whether it took the short way."""
    found = []
    usual = FixedWeights.one_step

    def watched(self, *arguments):
        step = usual(self, *arguments)

        def counted(x, state):
            result = step(x, state)
            found.append(result is not None)
            return result

        return counted

    monkeypatch.setattr(FixedWeights, "one_step", watched)
    return found


def long_way(layer, x, state):
    """The same call, where lengths say what is so anyway."""
    batched = x.ndim == 3 if x.dtype.kind == "f" else x.ndim == 2
    batch_size = (x.shape[0] if layer.batch_first else x.shape[1]) if batched else 1
    return layer(x, state, np.ones(batch_size, int))


def assert_same(got, expected):
    assert type(got) is tuple
    assert isinstance(got[1], tuple) == isinstance(expected[1], tuple)
    for one, other in zip(
        (got[0], *parts(got[1])), (expected[0], *parts(expected[1])), strict=True
    ):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert np.array_equal(one, other)
        assert one.flags.writeable
        assert one.flags.c_contiguous


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CELLS)
def test_the_bits_are_those_of_the_long_way(name, dtype, batch_first, taken, backend):
    layer = made(name, dtype=dtype, batch_first=batch_first)
    for batch_size in (1, 3):
        x = random(1, batch_size, INPUTS, dtype=dtype, seed=2)
        x = x.reshape(batch_size, 1, INPUTS) if batch_first else x
        indices = np.arange(batch_size).reshape(x.shape[:2])
        for state in (None, state_for(layer, batch_size)):
            for given in (x, indices):
                taken.clear()
                assert_same(layer(given, state), long_way(layer, given, state))
                assert any(taken) == (backend == "native")
    for state in (None, unbatched(state_for(layer, 1))):
        for given in (x[:1, 0], np.array([4])):
            taken.clear()
            assert_same(layer(given, state), long_way(layer, given, state))
            assert any(taken) == (backend == "native")


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_steps_one_by_one_are_the_sequence(name):
    layer = made(name)
    x = random(6, 2, INPUTS)
    expected, last = layer(x)
    state = None
    for x_t, y_t in zip(x, expected, strict=True):
        y, state = layer(x_t[None], state)
        assert np.array_equal(y[0], y_t)
    for got, wanted in zip(parts(state), parts(last), strict=True):
        assert np.array_equal(got, wanted)


@pytest.mark.parametrize("weights", ["bfloat16", "float16", "int8"])
def test_narrow_weights(weights, taken):
    layer = made("lstm").eval(weights=weights)
    x, state = random(1, 2, INPUTS), state_for(made("lstm"), 2)
    assert_same(layer(x, state), long_way(layer, x, state))


def test_a_large_layer_lets_go_of_the_interpreter(taken):
    layer = pyrnn.GRU(64, 300, seed=0).eval()
    x, state = random(1, 2, 64), random(1, 2, 300)
    assert_same(layer(x, state), long_way(layer, x, state))


def test_results_are_arrays_of_their_own():
    layer = made("lstm")
    x, state = random(1, 1, INPUTS), state_for(made("lstm"), 1)
    before = [part.copy() for part in (x, *state)]
    y, after = layer(x, state)
    kept = [part.copy() for part in (y, *after)]
    for array in (y, *after):
        array[...] = 9
    again = layer(x, state)
    for got, wanted in zip((again[0], *again[1]), kept, strict=True):
        assert np.array_equal(got, wanted)
    for got, wanted in zip((x, *state), before, strict=True):
        assert np.array_equal(got, wanted)


def test_what_is_not_exact_goes_the_long_way(taken):
    layer = made("lstm")
    x, (h, c) = random(1, 2, INPUTS), state_for(made("lstm"), 2)
    expected = long_way(layer, x, (h, c))
    wide = np.repeat(x, 2, axis=2)[:, :, ::2]
    swapped = x.astype(x.dtype.newbyteorder())
    for given, state in [
        (wide, (h, c)),
        (swapped, (h, c)),
        (x.view(type("Mine", (np.ndarray,), {})), (h, c)),
        (x, [h, c]),
        (x, (np.asfortranarray(h), c)),
        (x, (h, c[:, ::-1].copy()[:, ::-1])),
    ]:
        taken.clear()
        got = layer(given, state)
        assert taken
        assert not any(taken)
        for one, other in zip((got[0], *got[1]), (expected[0], *expected[1]), strict=True):
            assert np.array_equal(one, other)
    assert np.array_equal(layer(x, (h, None))[0], layer(x, (h, np.zeros_like(c)))[0])


def test_errors_are_those_of_the_long_way(backend):
    layer = made("lstm")
    x, (h, c) = random(1, 2, INPUTS), state_for(made("lstm"), 2)
    plain = random(1, INPUTS)
    for arguments, message in [
        ((random(1, 2, INPUTS + 1),), "x: expected shape"),
        ((x.astype("float64"),), "x: expected dtype float32"),
        ((np.array([[0, INPUTS]]),), "x: expected indices"),
        ((np.array([[0, -1]]),), "x: expected indices"),
        ((x, h), "state: expected the pair"),
        ((x, (h, c, c)), "state: expected the pair"),
        ((x, (h[:, :1], c)), "state's h: expected shape"),
        ((x, (h, c[:1])), "state's c: expected shape"),
        ((plain, (h, c)), "state's h: expected shape"),
        ((x, (h.astype("float64"), c)), "state's h: expected dtype"),
        ((np.zeros((0, 2, INPUTS), "f"),), "x: expected at least one step"),
        ((None,), "x: expected"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            layer(*arguments)
    with pytest.raises(TypeError, match="zero_output_for_mask: expected True or False"):
        layer(x, zero_output_for_mask=0)
    assert layer(np.zeros((1, 0, INPUTS), "f"))[0].shape == (1, 0, UNITS)


def test_a_mask_and_a_reset_are_seen(taken):
    layer = made("gru")
    x, state = random(1, 2, INPUTS), state_for(made("gru"), 2)
    taken.clear()
    _, after = layer(x, state, mask=np.array([[True, False]]))
    assert np.array_equal(after[:, 1], state[:, 1])
    y, _ = layer(x, state, reset=np.array([[True, True]]))
    assert np.array_equal(y, layer(x)[0])
    assert taken == [True]


def test_two_directions_go_the_long_way(taken):
    layer = pyrnn.GRU(INPUTS, UNITS, bidirectional=True, seed=0).eval()
    x = random(1, 2, INPUTS)
    assert_same(layer(x), long_way(layer, x, None))
    assert not taken


def test_changed_weights_are_seen(backend):
    layer = made("lstm")
    x = random(1, 1, INPUTS)
    before = layer(x)[0]
    layer.train().parameters["weight_ih_l0"][...] *= 2
    in_training = layer(x)[0]
    assert not np.array_equal(in_training, before)
    assert np.array_equal(layer.eval()(x)[0], in_training)
    stream = layer.stream()  # keeps the packed weights alive
    layer.train().parameters["weight_ih_l0"][...] *= 2
    assert not np.array_equal(layer.eval()(x)[0], in_training)
    assert np.array_equal(stream.step(x[0]), in_training[0])
    y = layer(x)[0]
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert np.array_equal(copied(x)[0], y)


def test_another_rate_of_zoneout_is_seen(taken):
    layer = made("lstm")
    x, state = random(1, 1, INPUTS), state_for(made("lstm"), 1)
    taken.clear()
    for rate in (0.0, 0.5, (0.1, 0.0), 0.0):
        layer.zoneout = rate
        assert_same(layer(x, state), long_way(layer, x, state))
    for rate in np.linspace(0.1, 0.9, 20):
        layer.zoneout = float(rate)
        layer(x, state)
    assert len(layer._fixed._one_steps) <= 8
    assert all(taken)


def test_the_active_backend_computes():
    if "native" not in selection.available():
        pytest.skip("the compiled core is not built")
    layer = made("gru", dtype="float64")
    x = random(1, 1, INPUTS, dtype="float64")
    y = layer(x)[0]
    with pyrnn.use_backend("reference"):
        assert_same(layer(x), long_way(layer, x, None))
        np.testing.assert_allclose(layer(x)[0], y, rtol=1e-12)
        plain = layer(x)[0]
        with pyrnn.use_backend("native"):
            assert np.array_equal(layer(x)[0], y)
            assert np.array_equal(layer(x)[0], y)
        assert np.array_equal(layer(x)[0], plain)
    assert np.array_equal(layer(x)[0], y)


KINDS = {
    "layer": lambda: pyrnn.LSTM(INPUTS, UNITS, seed=0),
    "cell": lambda: pyrnn.LSTMCell(INPUTS, UNITS, seed=0),
}


def entered(call):
    """The names of the functions in Python that a call enters."""
    names = []

    def note(frame, event, argument):
        if event == "call":
            names.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return names


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_is_ready_enters_no_python(kind):
    if "native" not in selection.available():
        pytest.skip("the compiled core is not built")
    layer = KINDS[kind]().eval()
    x = random(1, 2, INPUTS) if kind == "layer" else random(2, INPUTS)
    found = layer(x)
    state = found[1] if kind == "layer" else found

    def call():
        layer(x)
        layer(x, state)
        layer(x, state=state)

    with pyrnn.use_backend("native"):
        call()
        assert entered(call) == ["call"]
    assert "__call__" in entered(lambda: layer.train()(x))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_ready_goes_with_the_mode(kind, backend):
    layer = KINDS[kind]().eval()
    name = next(iter(layer.parameters))
    x = random(1, 2, INPUTS) if kind == "layer" else random(2, INPUTS)
    seen = []
    for factor in (1, 2, 3):
        layer.train().parameters[name][...] *= factor
        layer.eval()
        seen.append(layer(x)[0])
        assert np.array_equal(layer(x)[0], seen[-1])
        assert np.array_equal(layer.train()(x)[0], seen[-1])
    assert not np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[1], seen[2])
    layer.eval()
    layer(x)
    narrow = layer.eval(weights="int8")(x)[0]
    assert not np.array_equal(narrow, seen[-1])
    assert np.array_equal(layer.eval(weights="float32")(x)[0], seen[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_ready_is_no_part_of_a_state(kind):
    layer, other = KINDS[kind]().eval(), KINDS[kind]()
    x = random(1, 2, INPUTS) if kind == "layer" else random(2, INPUTS)
    before = layer(x)[0]
    assert "_ready" not in layer.__getstate__()
    other.parameters["weight_ih_l0" if kind == "layer" else "weight_ih"][...] = 0
    expected = other.eval()(x)[0]
    layer.__setstate__(copy.deepcopy(other.__getstate__()))
    assert np.array_equal(layer(x)[0], expected)
    assert not np.array_equal(before, expected)


def test_a_change_while_other_threads_call_is_seen():
    layer = made("lstm")
    x, state = random(1, 1, INPUTS), state_for(made("lstm"), 1)
    ends = threading.Event()

    def call():
        while not ends.is_set():
            layer(x, state)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(60):
            layer.zoneout = turn / 100
            assert_same(layer(x, state), long_way(layer, x, state))
            layer.train().parameters["weight_ih_l0"][0, 0] = turn
            layer.eval()
            assert_same(layer(x, state), long_way(layer, x, state))
    finally:
        ends.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("hidden_size", [8, 200])
def test_several_threads_and_batch_sizes_at_once(hidden_size):
    layer = pyrnn.LSTM(INPUTS, hidden_size, seed=0).eval()
    xs = [random(1, n, INPUTS, seed=n) for n in range(1, 12)]
    expected = [long_way(layer, x, None)[0] for x in xs]
    wrong = []

    def work(shift):
        for turn in range(40):
            at = (turn + shift) % len(xs)
            if not np.array_equal(layer(xs[at])[0], expected[at]):
                wrong.append(at)

    threads = [threading.Thread(target=work, args=(shift,)) for shift in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
