"""Initialisers: the properties that each scheme promises, exactly; repeatable; errors."""

import math

import numpy as np
import pytest

import pyrnn
from pyrnn.layers import initializers

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
ROUNDING = {"float32": 1e-6, "float64": 1e-12}
SCHEMES = list(initializers.SCHEMES)

# The first and the last number of each parameter of a layer of sizes 2 and 3, for seed 7.
TORCH = {
    "RNN": [
        (0.14444780263721269, 0.431342364512488),
        (-0.571270419173026, 0.005251877067436905),
        (0.0617734212422808, 0.3379368756792257),
        (0.14108042201447268, -0.3287331994192439),
    ],
    "LSTM": [
        (0.14444780263721269, -0.5266104089391511),
        (-0.5361502320802326, 0.10391345636901206),
        (0.1213085128574366, -0.23045503936580475),
        (0.4319469434901423, -0.3688662020249486),
    ],
    "GRU": [
        (0.14444780263721269, 0.3379368756792257),
        (0.14108042201447268, 0.1613314878893588),
        (0.2791730430831981, -0.1297516197541484),
        (-0.20434002624920827, 0.20374719152777687),
    ],
}


def values(layer):
    return {name: array.copy() for name, array in layer.parameters.items()}


def same(one, other):
    return list(one) == list(other) and all(np.array_equal(one[n], other[n]) for n in one)


def kind_of(name):
    return "_".join(name.split("_")[:2])


def of_kind(layer, kind):
    found = [array for name, array in layer.parameters.items() if kind_of(name) == kind]
    assert found
    return found


def blocks(array, layer):
    return array.reshape(-1, layer.hidden_size, *array.shape[1:])


def assert_orthonormal_columns(array, dtype):
    product = array.astype(np.float64).T @ array.astype(np.float64)
    assert np.abs(product - np.eye(len(product))).max() < ROUNDING[dtype]


# --- "torch" --------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("suffix", ["", "Cell"])
def test_torch_draws_what_it_always_drew(name, suffix, dtype):
    kind = getattr(pyrnn, name + suffix)
    for options in ({}, {"initialization": "torch"}):
        layer = kind(2, 3, dtype=dtype, seed=7, **options)
        ends = [(a.flat[0], a.flat[-1]) for a in layer.parameters.values()]
        assert np.array_equal(np.array(ends), np.array(TORCH[name]).astype(dtype))


def test_dropout_goes_on_where_it_always_did():
    layer = pyrnn.GRU(2, 3, 2, dropout=0.5, seed=7)
    with pyrnn.use_backend("reference"):
        y, _ = layer(np.ones((2, 1, 2), np.float32))
    expected = [-0.27595586, 0.04112244, -0.152276, -0.46374953, 0.02312256, -0.24280028]
    assert np.abs(y.ravel() - expected).max() < 1e-6


def test_torch_is_within_its_bound(make_layer):
    layer = make_layer(20, 25, 2, bidirectional=True, seed=0)
    for array in layer.parameters.values():
        assert 0.15 < np.abs(array).max() <= 0.2


# --- "glorot" -------------------------------------------------------------------------------


@DTYPES
def test_glorot(make_layer, dtype):
    layer = make_layer(
        30, 20, 2, bidirectional=True, dtype=dtype, seed=0, initialization="glorot"
    )  # fmt: skip
    for array in of_kind(layer, "weight_ih"):
        limit = math.sqrt(6 / sum(array.shape))
        assert 0.98 * limit < np.abs(array).max() <= limit * (1 + ROUNDING[dtype])
        assert abs(array.std() - limit / math.sqrt(3)) < 0.05 * limit
    for array in of_kind(layer, "weight_hh"):
        assert_orthonormal_columns(array, dtype)
    for array in (*of_kind(layer, "bias_ih"), *of_kind(layer, "bias_hh")):
        assert not array.any()


def test_glorot_of_a_cell(make_cell):
    cell = make_cell(30, 20, seed=0, initialization="glorot")
    assert_orthonormal_columns(cell.parameters["weight_hh"], "float32")
    assert not cell.parameters["bias_ih"].any()


# --- "orthogonal" ---------------------------------------------------------------------------


@DTYPES
def test_orthogonal(make_layer, dtype):
    options = {"num_layers": 2, "bidirectional": True, "dtype": dtype, "seed": 0}
    layer = make_layer(3, 20, initialization="orthogonal", **options)
    for array in of_kind(layer, "weight_hh"):
        for block in blocks(array, layer):
            assert block.shape == (20, 20)
            assert_orthonormal_columns(block, dtype)
    torch_like = make_layer(3, 20, **options)
    for name, array in layer.parameters.items():
        as_torch = np.array_equal(array, torch_like.parameters[name])
        assert as_torch == (kind_of(name) != "weight_hh")


def test_orthogonal_blocks_differ_and_have_both_determinants():
    """Uniform ones are rotations and reflections alike; QR alone prefers one sign of a column."""
    layers = [pyrnn.LSTM(1, 2, seed=s, initialization="orthogonal") for s in range(25)]
    drawn = np.concatenate([blocks(layer.parameters["weight_hh_l0"], layer) for layer in layers])
    reflections = int((np.linalg.det(drawn) < 0).sum())
    assert 30 < reflections < 70
    assert 30 < int((drawn[:, 0, 0] < 0).sum()) < 70
    assert len(np.unique(drawn[:, 0, 0])) == 100


def test_of_one_unit():
    layer = pyrnn.GRU(1, 1, seed=0, initialization="orthogonal")
    assert np.array_equal(np.abs(layer.parameters["weight_hh_l0"]), np.ones((3, 1)))


@pytest.mark.parametrize("shape", [(9, 4), (4, 4), (4, 9)])
def test_matrices_of_any_shape(shape):
    matrix = initializers._orthogonal_matrix(*shape, np.random.default_rng(0))
    assert matrix.shape == shape
    assert_orthonormal_columns(matrix if shape[0] >= shape[1] else matrix.T, "float64")


# --- "identity" -----------------------------------------------------------------------------


@DTYPES
def test_identity(dtype):
    layer = pyrnn.RNN(
        50, 40, 2, nonlinearity="relu", bidirectional=True, dtype=dtype, seed=0,
        initialization="identity",
    )  # fmt: skip
    for array in of_kind(layer, "weight_hh"):
        assert np.array_equal(array, np.eye(40))
    for array in (*of_kind(layer, "bias_ih"), *of_kind(layer, "bias_hh")):
        assert not array.any()
    for array in of_kind(layer, "weight_ih"):
        assert abs(array.std() - 0.001) < 0.0001
        assert abs(array.mean()) < 0.0001


def test_identity_adds_up_what_comes(backend):
    """Without weights of the input nothing changes: the network remembers for ever."""
    layer = pyrnn.RNN(2, 3, nonlinearity="relu", seed=0, initialization="identity")
    layer.parameters["weight_ih_l0"][...] = 0
    h = np.array([[[1.0, 2.0, 3.0]]], np.float32)
    _, last = layer(np.ones((50, 1, 2), np.float32), h)
    assert np.array_equal(last, h)


def test_identity_is_for_relu_alone():
    message = "initialization: 'identity' is for an RNN with nonlinearity='relu', got "
    for kind in (pyrnn.RNN, pyrnn.LSTM, pyrnn.GRU, pyrnn.RNNCell, pyrnn.LSTMCell, pyrnn.GRUCell):
        with pytest.raises(ValueError, match=message + kind.__name__):
            kind(2, 3, initialization="identity")
        with pytest.raises(ValueError, match=message + kind.__name__):
            pyrnn.initialize(kind(2, 3), "identity")
    cell = pyrnn.RNNCell(2, 3, nonlinearity="relu", initialization="identity")
    assert np.array_equal(cell.parameters["weight_hh"], np.eye(3))


# --- the forget gate ------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("scheme", ["torch", "glorot", "orthogonal"])
def test_forget_bias(scheme, dtype):
    options = {"dtype": dtype, "seed": 0, "initialization": scheme}
    for layer, plain in (
        (
            pyrnn.LSTM(3, 4, 2, bidirectional=True, forget_bias=1.5, **options),
            pyrnn.LSTM(3, 4, 2, bidirectional=True, **options),
        ),
        (pyrnn.LSTMCell(3, 4, forget_bias=1.5, **options), pyrnn.LSTMCell(3, 4, **options)),
    ):
        for name, array in layer.parameters.items():
            expected = plain.parameters[name].copy()
            if name.startswith("bias"):
                expected[4:8] = 1.5 if name.startswith("bias_ih") else 0
            assert np.array_equal(array, expected)


def test_forget_bias_needs_biases_and_a_forget_gate():
    for kind in (pyrnn.LSTM, pyrnn.LSTMCell):
        message = r"forget_bias: expected None for a layer with bias=False, got 1\.0"
        with pytest.raises(ValueError, match=message):
            kind(2, 3, bias=False, forget_bias=1.0)
        for wrong in (math.nan, math.inf, 1e39):
            with pytest.raises(ValueError, match="forget_bias: expected a number in"):
                kind(2, 3, forget_bias=wrong)
        with pytest.raises(TypeError, match="forget_bias: expected a number, got 'one'"):
            kind(2, 3, forget_bias="one")
        assert kind(2, 3, forget_bias=0).bias
    for layer in (pyrnn.RNN(2, 3), pyrnn.GRU(2, 3), pyrnn.GRUCell(2, 3)):
        message = f"forget_bias: expected a cell with a forget gate, got '{layer.cell}'"
        with pytest.raises(ValueError, match=message):
            pyrnn.initialize(layer, "torch", forget_bias=1.0)


# --- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rule_for_names_of_other_layers(scheme):
    layer = pyrnn.RNN(2, 6, nonlinearity="relu")
    shapes = [
        ("weight_hr_l0", (3, 6)),
        ("gain_ih_l0", (6,)),
        ("weight_peephole_l0", (6,)),
        ("weight_hh_l0", (6, 3)),
    ]
    drawn, _ = initializers.first_values(layer, shapes, scheme, np.dtype("float64"), 0)
    usual, _ = initializers.first_values(layer, shapes, "torch", np.dtype("float64"), 0)
    assert np.array_equal(drawn["gain_ih_l0"], np.ones(6))
    assert np.array_equal(drawn["weight_peephole_l0"], usual["weight_peephole_l0"])
    projection = np.abs(drawn["weight_hr_l0"])
    if scheme == "glorot":
        assert projection.max() <= math.sqrt(6 / 9)
        assert not np.array_equal(drawn["weight_hr_l0"], usual["weight_hr_l0"])
    else:
        assert np.array_equal(drawn["weight_hr_l0"], usual["weight_hr_l0"])
    if scheme in ("glorot", "orthogonal"):
        assert_orthonormal_columns(drawn["weight_hh_l0"], "float64")


# --- repeatable -----------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["torch", "glorot", "orthogonal"])
def test_seed_repeats_a_scheme(make_layer, make_cell, scheme):
    for make in (make_layer, make_cell):
        made = values(make(3, 4, seed=5, initialization=scheme))
        assert same(made, values(make(3, 4, seed=5, initialization=scheme)))
        assert not same(made, values(make(3, 4, seed=6, initialization=scheme)))
        assert not same(made, values(make(3, 4, initialization=scheme)))
        assert same(made, values(pyrnn.initialize(make(3, 4, seed=9), scheme, 5)))


def test_initialize_fills_the_live_arrays():
    layer = pyrnn.LSTM(3, 4, seed=0)
    live = dict(layer.parameters)
    assert pyrnn.initialize(layer, "glorot", seed=1) is layer
    assert all(layer.parameters[name] is array for name, array in live.items())
    assert not live["bias_ih_l0"].any()


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["xavier", None, 3, ["torch"]])
def test_unknown_schemes(make_layer, make_cell, scheme):
    message = "initialization: expected one of 'torch', 'glorot', 'orthogonal', 'identity', got "
    for make in (make_layer, make_cell):
        with pytest.raises(ValueError, match=message):
            make(2, 3, initialization=scheme)
        layer = make(2, 3)
        before = values(layer)
        with pytest.raises(ValueError, match=message):
            pyrnn.initialize(layer, scheme)
        assert same(values(layer), before)


def test_what_cannot_be_initialized(make_layer):
    for wrong in (pyrnn.Linear(2, 3), None, "layer"):
        with pytest.raises(TypeError, match="layer: expected a recurrent layer or cell, got "):
            pyrnn.initialize(wrong, "torch")
    layer = make_layer(2, 3).eval()
    before = values(layer)
    with pytest.raises(ValueError, match="weight_ih_l0: the layer is in eval mode"):
        pyrnn.initialize(layer, "glorot")
    assert same(values(layer), before)
    with pytest.raises(ValueError, match=r"seed: .* at least 0, got -1"):
        pyrnn.initialize(layer.train(), "glorot", seed=-1)
