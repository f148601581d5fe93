"""Noise with infinities and NaN, and zoneout with rates near 0 and 1: backends agree.

Zoneout chooses where its share is 0 or 1, so what is not chosen has no part in the result. Dropout
multiplies, as PyTorch's does: a dropped infinity is NaN.
"""

import numpy as np
import pytest

import pyrnn
from pyrnn.backend import selection

TIME_STEPS, ROWS, INPUTS, UNITS = 4, 3, 2, 5
WILD = (np.nan, np.inf, -np.inf)

both_backends = pytest.mark.skipif(
    len(selection.available()) < 2, reason="the compiled core is not built"
)


def drawn(shape, seed, wild=False):
    generator = np.random.default_rng(seed)
    values = generator.standard_normal(shape)
    if wild:
        places = generator.random(shape) < 0.15
        values[places] = generator.choice(WILD, int(places.sum()))
    return values


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def states(layer, seed, wild=False):
    count = len(layer._state_names)
    shape = (layer.num_layers * layer.num_directions, ROWS, UNITS)
    made = tuple(drawn(shape, seed + n, wild) for n in range(count))
    return made if count > 1 else made[0]


def flat(result):
    if isinstance(result, dict):
        return flat(tuple(result.values()))
    if isinstance(result, tuple):
        return [array for part in result for array in flat(part)]
    return [] if result is None else [result]


OPTIONS = {
    "zoneout": {"zoneout": 0.5},
    "zoneout of all": {"zoneout": 1.0},
    "recurrent dropout": {"recurrent_dropout": 0.5},
    "dropout": {"dropout": 0.5, "num_layers": 2},
    "all of them": {"zoneout": 0.4, "recurrent_dropout": 0.4, "dropout": 0.4, "num_layers": 2},
    "both directions": {"zoneout": 0.4, "recurrent_dropout": 0.4, "bidirectional": True},
}


@both_backends
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the reference, which is NumPy
@pytest.mark.parametrize("place", ["x", "state", "dy", "dstate", "all"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("noise", OPTIONS)
def test_backends_agree_on_what_is_not_finite(make_noisy, noise, training, place):
    options = dict(OPTIONS[noise])
    if make_noisy is pyrnn.MinGRU:
        options.pop("recurrent_dropout", None)
    results = {}
    for backend in ("native", "reference"):
        with pyrnn.use_backend(backend):
            layer = make_noisy(INPUTS, UNITS, dtype="float64", seed=0, **options)
            if not training:
                layer.eval()
            wild = {name: place in (name, "all") for name in ("x", "state", "dy", "dstate")}
            x = drawn((TIME_STEPS, ROWS, INPUTS), 1, wild["x"])
            y, last, cache = layer.forward(x, states(layer, 2, wild["state"]))
            dy = drawn(y.shape, 4, wild["dy"])
            backward = layer.backward(cache, dy, states(layer, 5, wild["dstate"]))
            windows = ()
            if not layer.bidirectional:
                windows = layer.backward_truncated(layer.forward(x)[-1], dy, 1, 2)
            results[backend] = flat((y, last, backward, windows))
    for got, expected in zip(*results.values(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)  # NaN at equal places


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("mode", ["train", "eval", "stream"])
@pytest.mark.parametrize("value", WILD)
def test_a_state_that_is_kept_does_not_see_what_is_not(make_noisy, mode, value, backend):
    """A share of 1 keeps the old state to the bit, whatever the new one would be."""
    layer = make_noisy(INPUTS, UNITS, zoneout=1.0, dtype="float64", seed=0)
    x = np.full((TIME_STEPS, ROWS, INPUTS), value)
    before = states(layer, 1)
    if mode == "stream":
        stream = layer.stream(ROWS)
        stream.state = before
        for x_t in x:
            stream.step(x_t)
        after = stream.state
    else:
        after = (layer if mode == "train" else layer.eval())(x, before)[1]
    for got, expected in zip(parts(after), parts(before), strict=True):
        assert got.tobytes() == expected.tobytes()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("training", [True, False])
def test_an_infinite_gradient_takes_one_way(make_noisy, training, backend):
    """With everything kept, all of it goes past the step, and nothing into the parameters."""
    layer = make_noisy(INPUTS, UNITS, zoneout=1.0, dtype="float64", seed=0)
    if not training:
        layer.eval()
    y, _, cache = layer.forward(drawn((TIME_STEPS, ROWS, INPUTS), 1), states(layer, 2))
    dstate = states(layer, 3)
    parts(dstate)[0][:, 0, 0] = np.inf
    dx, dstate0, grads = layer.backward(cache, np.zeros_like(y), dstate)
    for got, expected in zip(parts(dstate0), parts(dstate), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert not dx.any()
    assert not any(grad.any() for grad in grads.values())


NEAR = [1 - 1e-9, 1 - 3e-8, 1 - 1e-7, 0.99, 1e-9, 1e-40]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("rate", NEAR)
@pytest.mark.parametrize("mode", ["layer", "stream"])
def test_the_share_of_the_new_value_is_rounded_once(make_noisy, rate, mode, backend):
    """From an old state of zero, the new state is (1 - p) times what it would be without zoneout.

    In float32 1 - p has to be taken before p is rounded: 1 - 1e-9 is rounded to 1.
    """
    layer = make_noisy(INPUTS, UNITS, zoneout=rate, dtype="float32", seed=0)
    plain = make_noisy(INPUTS, UNITS, dtype="float32")
    plain.parameters.update(layer.parameters)
    x = drawn((1, ROWS, INPUTS), 1).astype(np.float32)
    whole = parts(plain(x)[1])
    if mode == "stream":
        stream = layer.stream(ROWS)
        stream.step(x[0])
        got = parts(stream.state)
    else:
        got = parts(layer.eval()(x)[1])
    for new, one in zip(whole, got, strict=True):
        expected = np.float32(1 - rate) * new
        assert (expected != 0).any()
        np.testing.assert_array_equal(one, expected)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("rate", [*NEAR, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_streams_have_the_bits_of_the_layer(make_noisy, rate, dtype, backend):
    """Also where the values are not finite."""
    layer = make_noisy(INPUTS, UNITS, zoneout=rate, dtype=dtype, seed=0)
    stream = layer.stream(ROWS)
    x = drawn((TIME_STEPS, ROWS, INPUTS), 1, wild=True).astype(dtype)
    y, last = layer.eval()(x)
    steps = np.stack([stream.step(x_t) for x_t in x])
    for got, expected in zip((steps, *parts(stream.state)), (y, *parts(last)), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.skipif("native" not in selection.available(), reason="the compiled core is not built")
@pytest.mark.parametrize("seterr", ["warn", "raise"])
@pytest.mark.parametrize("noise", OPTIONS)
def test_the_native_backend_says_nothing_of_infinities(make_noisy, noise, seterr):
    """Warnings are errors here; and what the user asked NumPy to raise is for the user's work."""
    options = dict(OPTIONS[noise])
    if make_noisy is pyrnn.MinGRU:
        options.pop("recurrent_dropout", None)
    x = drawn((TIME_STEPS, ROWS, INPUTS), 1, wild=True)
    x[0] *= 1e300
    with pyrnn.use_backend("native"), np.errstate(all=seterr):
        layer = make_noisy(INPUTS, UNITS, dtype="float64", seed=0, **options)
        y, _, cache = layer.forward(x, states(layer, 2, wild=True))
        dy = drawn(y.shape, 3, wild=True)
        layer.backward(cache, dy, states(layer, 4, wild=True))
        if not layer.bidirectional:
            layer.backward_truncated(layer.forward(x)[-1], dy, 1, 2)
            layer.stream(ROWS).step(x[0])
