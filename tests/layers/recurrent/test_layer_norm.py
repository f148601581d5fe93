"""Forms of layer norm: eps, and the normalised cell state that is carried on."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn
from pyrnn.backend import selection

TIME_STEPS, ROWS, INPUTS = 5, 3, 3

FORMS = {
    "lstm-eps": (pyrnn.LSTM, {"eps": 0.5}),
    "lstm-normalised": (pyrnn.LSTM, {"normalised_state": True}),
    "lstm-addons": (pyrnn.LSTM, {"normalised_state": True, "eps": 1e-3}),
    "gru-eps": (pyrnn.GRU, {"eps": 0.5}),
}


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def make(request):
    kind, options = request.param
    return lambda *sizes, **others: kind(*sizes, layer_norm=True, **options, **others)


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("bias", [True, False])
def test_gradients(make, bias, backend):
    layer = make(2, 3, 2, bias=bias, dtype="float64", seed=1)
    report = pyrnn.gradcheck(layer, random(4, 2, 2), samples=6)
    assert report, str(report)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("units", [6, 37])  # of few, variances may be close to 0
def test_backends_agree(make, dtype, units, assert_close):
    if selection.native_module() is None:
        pytest.skip("no core")
    results = []
    for backend in ("reference", "native"):
        layer = make(INPUTS, units, 2, bidirectional=True, dtype=dtype, seed=1)
        for name, array in layer.parameters.items():
            if name.startswith(("gain", "bias")):
                array += random(*array.shape, dtype=dtype, seed=3) / 4
        with pyrnn.use_backend(backend):
            y, state, cache = layer.forward(random(TIME_STEPS, ROWS, INPUTS, dtype=dtype))
            dx, dstate, grads = layer.backward(cache, random(*y.shape, dtype=dtype, seed=2))
        results.append([y, *parts(state), dx, *parts(dstate), *grads.values()])
    for expected, got in zip(*results, strict=True):
        assert_close(got, expected, 1e-12 if dtype == "float64" else 2e-5)


def test_tensorflow_addons_equations(backend, assert_close):
    """One step after the other, as its source has them."""
    layer = pyrnn.LSTM(
        INPUTS, 4, layer_norm=True, normalised_state=True, eps=1e-3, dtype="float64", seed=1
    )
    for array in layer.parameters.values():
        array += random(*array.shape, seed=3) / 4
    p = {name.removesuffix("_l0"): array for name, array in layer.parameters.items()}

    def norm(a, gain, bias):
        centred = a - a.mean(axis=1, keepdims=True)
        return gain * centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-3) + bias

    x = random(TIME_STEPS, ROWS, INPUTS)
    h = c = np.zeros((ROWS, 4))
    outputs = []
    for x_t in x:
        z = norm(x_t @ p["weight_ih"].T, p["gain_ih"], p["bias_ih"])
        z += norm(h @ p["weight_hh"].T, p["gain_hh"], p["bias_hh"])
        i, f, g, o = np.split(z, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = norm(f * c + i * np.tanh(g), p["gain_c"], p["bias_c"])
        h = o * np.tanh(c)
        outputs.append(h)
    y, (last_h, last_c) = layer(x)
    assert_close(y, np.stack(outputs), 1e-13)
    assert_close(last_h[0], h, 1e-13)
    assert_close(last_c[0], c, 1e-13)


def test_bits_copies_and_streams(make, backend):
    layer = make(INPUTS, 5, 2, seed=1).eval()
    x = random(TIME_STEPS, ROWS, INPUTS, dtype="float32")
    y, state = layer(x)
    first, middle = layer(x[:2])
    second, last = layer(x[2:], middle)
    assert np.array_equal(np.concatenate([first, second]), y)
    assert all(map(np.array_equal, parts(last), parts(state)))
    stream = layer.stream(ROWS)
    assert np.array_equal(np.stack([stream.step(x_t) for x_t in x]), y)
    if backend == "native":
        assert np.array_equal(layer(x[:, 1])[0], y[:, 1])
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(other) == repr(layer)
        assert np.array_equal(other(x)[0], y)


def test_cells(backend, assert_close):
    options = {"layer_norm": True, "eps": 1e-3, "normalised_state": True, "seed": 1}
    layer, cell = pyrnn.LSTM(3, 4, **options), pyrnn.LSTMCell(3, 4, **options)
    x = random(1, 2, 3, dtype="float32")
    assert_close(cell.forward(x[0])[0], layer(x)[0][0], 1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"eps": 1e-3}, ValueError, "eps: expected 1e-05 without layer_norm, got 0.001"),
        ({"normalised_state": True}, ValueError, "normalised_state: expected False without layer"),
        ({"layer_norm": True, "eps": 0}, ValueError, "eps: .* at least 1.2e-38, got 0"),
        ({"layer_norm": True, "eps": -1.0}, ValueError, r"eps: expected a number in \[0\.0, inf\]"),
        ({"layer_norm": True, "eps": "a"}, TypeError, "eps: expected a number, got 'a'"),
        ({"layer_norm": True, "normalised_state": 1}, TypeError, "normalised_state: expected True"),
    ],
    ids=str,
)
def test_wrong_options(options, error, message):
    with pytest.raises(error, match=message):
        pyrnn.LSTM(3, 4, **options)
