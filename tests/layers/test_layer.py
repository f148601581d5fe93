"""The base of all layers, and layers that users derive from it."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn


class Scale(pyrnn.Layer):
    """y = factor x + shift, written as a user would."""

    def __init__(self, size, dtype="float64"):
        parameters = {"factor": np.linspace(1, 2, size, dtype=dtype), "shift": np.ones(size, dtype)}
        super().__init__(parameters, dtype)

    def forward(self, x, state=None):
        return x * self.parameters["factor"] + self.parameters["shift"], None, x

    def backward(self, cache, dy, dstate=None):
        grads = {"factor": (dy * cache).sum(axis=0), "shift": dy.sum(axis=0)}
        return dy * self.parameters["factor"], None, grads


def values(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def test_all_layers_have_the_base(make_any, make_cell):
    layers = [make_any(3, 4), make_cell(3, 4), pyrnn.Linear(3, 4), pyrnn.Embedding(3, 4)]
    assert all(isinstance(layer, pyrnn.Layer) for layer in layers)


def test_a_layer_of_ones_own_passes_gradcheck(backend):
    report = pyrnn.gradcheck(Scale(3), values(4, 3))
    assert report, str(report)
    assert list(report.entries) == ["x", "factor", "shift"]


def test_a_layer_of_ones_own_learns(backend):
    layer, x = Scale(3, "float32"), values(16, 3).astype(np.float32)
    adam = pyrnn.Adam(layer.parameters, lr=0.1)
    for _ in range(300):
        y, _, cache = layer.forward(x)
        _, _, grads = layer.backward(cache, y - (3 * x - 2))
        adam.step(grads)
    np.testing.assert_allclose(layer.parameters["factor"], 3, atol=1e-3)
    np.testing.assert_allclose(layer.parameters["shift"], -2, atol=1e-3)


@pytest.mark.parametrize("duplicate", [lambda a: pickle.loads(pickle.dumps(a)), copy.deepcopy])
def test_a_layer_of_ones_own_has_modes_and_copies(duplicate):
    layer = Scale(3)
    assert layer.eval() is layer
    with pytest.raises(ValueError, match="shift: the layer is in eval mode"):
        layer.parameters["shift"] = np.zeros(3)
    other = duplicate(layer)
    assert not other.training
    other.train().parameters["factor"] = np.zeros(3)
    assert layer.parameters["factor"].tolist() == [1, 1.5, 2]
    assert layer.num_parameters == 6
    assert repr(layer) == "Scale(dtype='float64')"


def test_the_users_arrays_are_the_parameters():
    weight = np.ones(3)
    layer = pyrnn.Layer({"weight": weight}, "float64")
    layer.parameters["weight"] = np.arange(3.0)
    assert weight.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("parameters", "dtype", "error", "message"),
    [
        ([np.ones(3)], "float32", TypeError, "parameters: expected a dict of arrays, got list"),
        ({"w": [1.0]}, "float32", TypeError, r"parameters\['w'\]: expected a NumPy array, got li"),
        ({"w": np.ones(3)}, "float32", TypeError, r"parameters\['w'\]: expected dtype float32, g"),
        ({"w": np.ones(6)[::2]}, "float64", ValueError, r"parameters\['w'\]: expected a contig"),
        ({"w": np.ones(3)}, "int32", TypeError, "dtype: expected 'float32' or 'float64', got 'in"),
        (dict.fromkeys("ab", np.ones(3)), "float64", ValueError, "parameters: .* share no memory"),
    ],
)
def test_what_are_no_parameters(parameters, dtype, error, message):
    with pytest.raises(error, match=message):
        pyrnn.Layer(parameters, dtype)


def test_the_base_computes_nothing():
    layer = pyrnn.Layer({"w": np.ones(3)}, "float64")
    with pytest.raises(NotImplementedError):
        layer.forward(np.ones(3))
    with pytest.raises(NotImplementedError):
        layer.backward(None, np.ones(3))


# --- weights of other precisions ------------------------------------------------------------


@pytest.mark.parametrize("given", ["float16", "float32", "float64", ">f8"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_of_other_precisions_are_converted(given, dtype):
    layer = pyrnn.Linear(2, 3, dtype=dtype, seed=0)
    weights = {name: np.full(a.shape, 0.1, given) for name, a in layer.parameters.items()}
    layer.load_state_dict(weights)
    for name, array in layer.parameters.items():
        assert array.dtype == dtype
        assert np.array_equal(array, weights[name].astype(dtype))


def test_bfloat16_and_parameters_of_torch():
    torch = pytest.importorskip("torch")
    layer = pyrnn.GRU(3, 4)
    theirs = torch.nn.GRU(3, 4, dtype=torch.bfloat16)
    layer.load_state_dict(dict(theirs.named_parameters()))
    for name, tensor in theirs.named_parameters():
        assert np.array_equal(layer.parameters[name], tensor.detach().float().numpy())
    ml_dtypes = pytest.importorskip("ml_dtypes")
    weights = {n: a.astype(ml_dtypes.bfloat16) for n, a in layer.parameters.items()}
    other = pyrnn.GRU(3, 4, dtype="float64")
    other.load_state_dict(weights)
    assert np.array_equal(other.parameters["bias_ih_l0"], layer.parameters["bias_ih_l0"])


def test_names_may_be_missing_or_unknown_where_that_is_asked_for():
    layer = pyrnn.Linear(2, 3, seed=0)
    before = layer.parameters["weight"].copy()
    with pytest.raises(KeyError, match=r"missing \['weight'\], unknown \['other'\]"):
        layer.load_state_dict({"bias": np.ones(3), "other": np.ones(1)})
    layer.load_state_dict({"bias": np.ones(3), "other": np.ones(1)}, strict=False)
    assert (layer.parameters["bias"] == 1).all()
    assert np.array_equal(layer.parameters["weight"], before)


@pytest.mark.parametrize(
    ("bias", "error", "message"),
    [
        (np.array([1.0, 1e300, 0.0]), ValueError, "bias: expected numbers that float32 can hold"),
        (np.ones(3, int), TypeError, "bias: expected floats, got dtype int64"),
        (np.ones((3, 1)), ValueError, r"bias: expected shape \(3,\), got \(3, 1\)"),
    ],
)
def test_weights_that_do_not_fit(bias, error, message):
    layer = pyrnn.Linear(2, 3, seed=0)
    before = layer.state_dict()
    with pytest.raises(error, match=message):
        layer.load_state_dict({"weight": np.ones((3, 2)), "bias": bias})
    for name, array in before.items():
        assert np.array_equal(layer.parameters[name], array)
