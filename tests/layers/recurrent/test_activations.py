"""Activations that a layer is made with: gradients, both backends, torch and onnxruntime, bits."""

import copy
import json
import pickle
from functools import partial

import numpy as np
import pytest

import pyrnn
from pyrnn.backend import selection
from pyrnn.reference.activations import FUNCTIONS, NAMES, Activation

TIME_STEPS, ROWS, INPUTS, UNITS = 5, 3, 3, 5

NUMBERS = {
    "hard_sigmoid": (0.3, 0.4),
    "leaky_relu": (0.2,),
    "elu": (0.7,),
    "affine": (0.4, 0.3),
    "scaled_tanh": (0.9, 0.6),
    "thresholded_relu": (0.1,),
}
ALL = [(name, *NUMBERS[name]) if name in NUMBERS else name for name in NAMES]
EACH = pytest.mark.parametrize("activation", ALL, ids=str)

KINDS = {
    "rnn": pyrnn.RNN,
    "lstm": pyrnn.LSTM,
    "lstm-peephole": partial(pyrnn.LSTM, peephole=True, proj_size=2),
    "lstm-coupled": partial(pyrnn.LSTM, coupled=True),
    "lstm-coupled-peephole": partial(pyrnn.LSTM, coupled=True, peephole=True),
    "gru": pyrnn.GRU,
    "gru-reset-before": partial(pyrnn.GRU, reset_after=False),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def make(request):
    return request.param


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def options_of(make, activation, clip=None):
    """That activation in every place; a gate above 1 would let the state grow without bounds."""
    if make is pyrnn.RNN:
        return {"nonlinearity": activation, "clip": clip}
    return {"activation": activation, "recurrent_activation": activation, "clip": clip}


@pytest.mark.parametrize("name", NAMES)
def test_slopes_are_the_functions(name):
    f = Activation(name, *(NUMBERS.get(name) or FUNCTIONS[name].defaults))
    x = np.concatenate([random(200) * 2, [-50.0, 50.0]])
    step = 1e-6
    differences = (f(x + step) - f(x - step)) / (2 * step)
    np.testing.assert_allclose(f.slope(x), differences, rtol=1e-6, atol=1e-8)


@EACH
def test_gradients(make, activation, backend):
    layer = make(2, 3, dtype="float64", seed=1, **options_of(make, activation, clip=0.9))
    report = pyrnn.gradcheck(layer, random(3, 2, 2), samples=4)
    assert report, str(report)


@EACH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backends_agree(make, activation, dtype, assert_close):
    if selection.native_module() is None:
        pytest.skip("no core")
    options = options_of(make, activation, clip=1.2)
    if make is not pyrnn.RNN:
        options["recurrent_activation"] = "hard_sigmoid"
    results = []
    for backend in ("reference", "native"):
        layer = make(INPUTS, UNITS, 2, bidirectional=True, dtype=dtype, seed=1, **options)
        with pyrnn.use_backend(backend):
            y, state, cache = layer.forward(random(TIME_STEPS, ROWS, INPUTS, dtype=dtype))
            dx, dstate, grads = layer.backward(cache, random(*y.shape, dtype=dtype, seed=2))
        results.append([y, *parts(state), dx, *parts(dstate), *grads.values()])
    for expected, got in zip(*results, strict=True):
        assert_close(got, expected, 1e-12 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_of_the_core(name, dtype, backend):
    """One unit that sees x alone: the function and its slope, at large and special numbers too."""
    numbers = NUMBERS.get(name, ())
    layer = pyrnn.RNN(1, 1, nonlinearity=(name, *numbers), bias=False, dtype=dtype)
    layer.parameters["weight_ih_l0"] = np.ones((1, 1), dtype)
    layer.parameters["weight_hh_l0"] = np.zeros((1, 1), dtype)
    x = np.concatenate([random(60) * 3, [0.0, -80.0, 80.0, 1e-12, -1e-12]]).astype(dtype)
    y, _, cache = layer.forward(x[None, :, None])
    dx, _, _ = layer.backward(cache, np.ones_like(y))
    f = Activation(name, *(numbers or FUNCTIONS[name].defaults))
    wide = x.astype("float64")
    tolerance = {"float32": 1e-6, "float64": 2e-15}[dtype]
    np.testing.assert_allclose(y.ravel(), f(wide), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dx.ravel(), f.slope(wide), rtol=tolerance, atol=tolerance)
    nan, _ = layer(np.full((1, 1, 1), np.nan, dtype))
    assert np.isnan(nan) == (name != "thresholded_relu")


def test_the_usual_ones_by_name_are_the_plain_cell():
    usual = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    assert pyrnn.LSTM(3, 4, output_activation="tanh", **usual).cell == "lstm"
    assert pyrnn.GRU(3, 4, **usual).cell == "gru"
    assert pyrnn.RNN(3, 4, nonlinearity="relu").cell == "rnn_relu"
    assert pyrnn.LSTM(3, 4, activation="relu").cell != "lstm"
    assert pyrnn.LSTM(3, 4, clip=3.0).cell != "lstm"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits(make, dtype):
    """Of a stream, of chunks, of a row alone, of one thread."""
    if selection.native_module() is None:
        pytest.skip("no core")
    options = {"nonlinearity": "softsign"}
    if make is not pyrnn.RNN:
        options = {"activation": "softplus", "recurrent_activation": "hard_sigmoid"}
    layer = make(INPUTS, 37, 2, dtype=dtype, seed=1, clip=2.0, **options)
    x = random(TIME_STEPS, 33, INPUTS, dtype=dtype)
    with pyrnn.use_backend("native"):
        y, state, cache = layer.forward(x)
        gradients = layer.backward(cache, np.ones_like(y))[2]
        first, middle = layer(x[:2])
        second, last = layer(x[2:], middle)
        assert np.array_equal(np.concatenate([first, second]), y)
        assert all(map(np.array_equal, parts(last), parts(state)))
        assert np.array_equal(layer(x[:, 7])[0], y[:, 7])
        stream = layer.eval().stream(33)
        assert np.array_equal(np.stack([stream.step(x_t) for x_t in x]), y)
        threads = pyrnn.get_num_threads()
        try:
            pyrnn.set_num_threads(1)
            again, _, cache = layer.train().forward(x)
            alone = layer.backward(cache, np.ones_like(y))[2]
        finally:
            pyrnn.set_num_threads(threads)
    assert np.array_equal(again, y)
    assert all(np.array_equal(alone[name], gradients[name]) for name in gradients)


def test_cells_are_layers_of_one_step(backend, assert_close):
    options = {"activation": "elu", "recurrent_activation": ("hard_sigmoid", 1 / 6, 0.5)}
    for kind, single in (("LSTM", "LSTMCell"), ("GRU", "GRUCell")):
        layer = getattr(pyrnn, kind)(3, 4, seed=1, clip=1.0, **options)
        cell = getattr(pyrnn, single)(3, 4, seed=1, clip=1.0, **options)
        x = random(1, 2, 3, dtype="float32")
        assert_close(cell.forward(x[0])[0], layer(x)[0][0], 1e-6)
    cell = pyrnn.RNNCell(3, 4, nonlinearity="softsign", seed=1)
    assert pyrnn.gradcheck(
        pyrnn.RNNCell(3, 4, nonlinearity="softsign", dtype="float64"), random(2, 3)
    )
    assert np.abs(cell(random(2, 3, dtype="float32"))).max() < 1


def test_gates_are_those_of_the_activation(backend):
    layer = pyrnn.LSTM(3, 4, recurrent_activation="hard_sigmoid", coupled=True, seed=1)
    gates = layer.gates(100 * random(4, 2, 3, dtype="float32"))
    assert list(gates) == ["i_l0", "g_l0", "o_l0"]
    assert gates["i_l0"].min() == 0
    assert gates["i_l0"].max() == 1


# --- options --------------------------------------------------------------------------------


def test_copies_files_and_configurations(make, tmp_path, backend):
    options = {"nonlinearity": ("leaky_relu", 0.3), "clip": 2}
    if make is not pyrnn.RNN:
        options = {
            "activation": ["leaky_relu", 0.3],
            "recurrent_activation": ("hard_sigmoid", 1 / 6, 0.5),
            "clip": 2,
        }
    layer = make(INPUTS, UNITS, seed=1, **options)
    x = random(TIME_STEPS, ROWS, INPUTS, dtype="float32")
    y, _ = layer(x)
    pyrnn.save(layer, tmp_path / "layer.safetensors")
    others = [
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        pyrnn.load(tmp_path / "layer.safetensors"),
        type(layer).from_config(json.loads(json.dumps(layer.config()))),
    ]
    for other in others:
        assert repr(other) == repr(layer)
        assert other.cell == layer.cell
        assert np.array_equal(other(x)[0], y)
    assert "('leaky_relu', 0.3)" in repr(layer)
    stream = pickle.loads(pickle.dumps(layer.stream(ROWS)))
    assert stream.step(x[0]).shape == y[0].shape


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"activation": "gelu"}, ValueError, "activation: expected one of 'sigmoid', .* 'gelu'"),
        ({"activation": 3}, ValueError, "activation: expected one of .* got 3"),
        ({"activation": ()}, ValueError, r"activation: expected one of .* got \(\)"),
        ({"activation": ["tanh"]}, ValueError, r"activation: expected one of .* got \['tanh'\]"),
        ({"activation": "affine"}, ValueError, r"expected \('affine', alpha, beta\), got 'affine'"),
        ({"activation": ("tanh", 1.0)}, ValueError, "activation: expected 'tanh', got"),
        ({"activation": ("elu", 1.0, 2.0)}, ValueError, r"expected \('elu', alpha\), got"),
        ({"activation": ("elu", "a")}, TypeError, "activation: expected a number, got 'a'"),
        ({"recurrent_activation": ("elu", np.inf)}, ValueError, "recurrent_activation: expected a"),
        ({"output_activation": "no"}, ValueError, "output_activation: expected one of"),
        ({"clip": 0}, ValueError, "clip: expected a number above 0, or None, got 0"),
        ({"clip": -1.0}, ValueError, r"clip: expected a number in \[0\.0, inf\], got -1\.0"),
        ({"clip": "a"}, TypeError, "clip: expected a number, got 'a'"),
        (
            {"layer_norm": True, "activation": "relu"},
            ValueError,
            "layer_norm, activation: expected at most one of them, got .*activation='relu'",
        ),
        ({"layer_norm": True, "clip": 1.0}, ValueError, "layer_norm, clip: expected at most one"),
    ],
    ids=str,
)
def test_wrong_options(options, error, message):
    with pytest.raises(error, match=message):
        pyrnn.LSTM(3, 4, **options)


def test_a_function_with_numbers_is_kept_as_given_or_made_a_tuple():
    given = ("leaky_relu", 0.3)  # scikit-learn's clone looks for the same object
    assert pyrnn.LSTM(3, 4, activation=given).activation is given
    assert pyrnn.LSTM(3, 4, activation=["leaky_relu", 0.3]).activation == given


# --- others' numbers ------------------------------------------------------------------------


def test_torch(backend, assert_close):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    layer = pyrnn.LSTM(
        INPUTS,
        UNITS,
        recurrent_activation=("hard_sigmoid", 1 / 6, 0.5),
        activation="softsign",
        output_activation=("elu", 0.5),
        dtype="float64",
        seed=1,
    )
    x = random(TIME_STEPS, ROWS, INPUTS) * 3
    y, _, cache = layer.forward(x)
    dy = random(*y.shape, seed=2)
    dx, _, grads = layer.backward(cache, dy)
    tensors = {n: torch.tensor(a, requires_grad=True) for n, a in layer.parameters.items()}
    theirs = torch.tensor(x, requires_grad=True)
    w_ih, w_hh, b_ih, b_hh = tensors.values()
    h = c = torch.zeros(ROWS, UNITS, dtype=torch.float64)
    outputs = []
    for x_t in theirs:
        i, f, g, o = (x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, dim=1)
        # torch's hardsigmoid has 1/6 in float32 in its backward pass.
        i, f, o = ((gate / 6 + 0.5).clamp(0, 1) for gate in (i, f, o))
        c = f * c + i * functional.softsign(g)
        h = o * functional.elu(c, 0.5)
        outputs.append(h)
    output = torch.stack(outputs)
    (output * torch.tensor(dy)).sum().backward()
    assert_close(y, output.detach().numpy(), 1e-12)
    assert_close(dx, theirs.grad.numpy(), 1e-11)
    for name, grad in grads.items():
        assert_close(grad, tensors[name].grad.numpy(), 1e-11)


ONNX_NAMES = {name: "".join(map(str.capitalize, name.split("_"))) for name in NAMES}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "identity"])
def test_onnxruntime(name, backend, assert_close):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from tests.layers.recurrent.stack.test_stack_onnx import Case, run_node

    numbers = NUMBERS.get(name, ())
    layer = pyrnn.LSTM(
        3,
        5,
        activation=(name, *numbers) if numbers else name,
        output_activation="softsign",
        recurrent_activation="hard_sigmoid",
        clip=0.8,
        seed=0,
    )
    case = Case(layer, (0, 3, 1, 2), with_lengths=True)
    alpha, beta = [0.2, *numbers[:1]], [0.5, *numbers[1:]]
    theirs, h, c = run_node(
        "LSTM",
        case.inputs | {"initial_c": case.c, "P": None},
        ["Y", "Y_h", "Y_c"],
        direction="forward",
        clip=0.8,
        activations=["HardSigmoid", ONNX_NAMES[name], "Softsign"],
        activation_alpha=alpha,
        activation_beta=beta,
    )
    y, (last_h, last_c) = layer(case.x, (case.h, case.c), case.lengths)
    assert_close(y, case.y(theirs), 1e-5)
    assert_close(last_h, h, 1e-5)
    assert_close(last_c, c, 1e-5)
