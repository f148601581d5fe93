"""Dropout, activation, layer normalisation: torch's values, gradients, modes, errors."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn

OF_TORCH = {
    "tanh": "tanh",
    "relu": "relu",
    "sigmoid": "sigmoid",
    "softplus": "softplus",
    "softsign": "softsign",
    "leaky_relu": "leaky_relu",
    "elu": "elu",
}
FUNCTIONS = (
    *OF_TORCH,
    *("hard_sigmoid", "identity", "thresholded_relu"),
    *(
        ("leaky_relu", 0.3),
        ("hard_sigmoid", 1 / 6, 0.5),
        ("affine", -0.4, 0.7),
        ("scaled_tanh", 1.7, 0.6),
    ),
)
NAMES = [name for name in FUNCTIONS if isinstance(name, str)]
EACH = pytest.mark.parametrize(
    "make",
    [
        lambda: pyrnn.Dropout(0.3, seed=0),
        *(lambda function=function: pyrnn.Activation(function) for function in FUNCTIONS),
        pyrnn.Softmax,
        lambda: pyrnn.LayerNorm(4, dtype="float64"),
        lambda: pyrnn.LayerNorm(4, 0.1, False, dtype="float64"),
    ],
)


def random(*shape, dtype="float64"):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@EACH
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
def test_gradients_agree_with_finite_differences(make, shape, backend):
    layer = make()
    for array in layer.parameters.values():
        array[...] = random(*array.shape)
    report = pyrnn.gradcheck(layer, random(*shape))
    assert report, str(report)


@pytest.mark.parametrize("function", OF_TORCH)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_are_torchs(function, dtype, backend):
    torch = pytest.importorskip("torch")
    x = 5 * random(3, 40, dtype=dtype)
    layer = pyrnn.Activation(function)
    y, _, cache = layer.forward(x)
    dx, _, _ = layer.backward(cache, np.ones_like(y))
    tensor = torch.tensor(x, requires_grad=True)
    expected = getattr(torch.nn.functional, OF_TORCH[function])(tensor)
    expected.sum().backward()
    tolerance = {"float32": 2e-6, "float64": 1e-14}[dtype]
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected.detach(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dx, tensor.grad, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backends_agree_on_activations(function, dtype):
    """Over the whole range, infinities and NaN included, in vectors and behind their end."""
    drawn = 30 * random(2, 1003, dtype=dtype)
    x = np.concatenate([drawn, [[0.0, np.inf, -np.inf, np.nan, 700.0, -700.0]] * 2], axis=1)
    x = x.astype(dtype)
    found = []
    for backend in ("native", "reference"):
        with pyrnn.use_backend(backend):
            layer = pyrnn.Activation(function)
            y, _, cache = layer.forward(x)
            found.append((y, layer.backward(cache, np.ones_like(y))[0]))
    tolerance = {"float32": 2e-6, "float64": 1e-14}[dtype]
    for got, expected in zip(*found, strict=True):
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("layer", [pyrnn.Dropout(0.3), *(map(pyrnn.Activation, NAMES))])
def test_a_number_without_axes_gives_arrays(layer, backend):
    """Though NumPy's functions make scalars of it."""
    y, _, cache = layer.forward(np.array(0.3, np.float32))
    dx, _, _ = layer.backward(cache, np.array(0.7, np.float32))
    for result in (y, dx, layer(np.array(0.3, np.float32))):
        assert isinstance(result, np.ndarray)
        assert (result.shape, result.dtype) == ((), "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_is_torchs(dtype, backend):
    torch = pytest.importorskip("torch")
    x, dy = 9 * random(3, 5, 7, dtype=dtype), random(3, 5, 7, dtype=dtype)[::-1].copy()
    layer = pyrnn.Softmax()
    y, _, cache = layer.forward(x)
    dx, _, _ = layer.backward(cache, dy)
    tensor = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    expected = torch.softmax(tensor, -1)
    expected.backward(torch.tensor(dy, dtype=torch.float64))
    tolerance = {"float32": 1e-7, "float64": 1e-14}[dtype]
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_allclose(y, expected.detach(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dx, tensor.grad, rtol=tolerance, atol=tolerance)
    for wrong in (np.float32(1), np.ones((3, 0))):
        with pytest.raises(ValueError, match="x: expected at least one score"):
            layer(wrong)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm_is_torchs(dtype, affine, backend):
    torch = pytest.importorskip("torch")
    x, dy = random(3, 5, 7, dtype=dtype), random(3, 5, 7, dtype=dtype)[::-1].copy()
    layer = pyrnn.LayerNorm(7, 1e-3, affine, dtype=dtype)
    peer = torch.nn.LayerNorm(7, 1e-3, affine, dtype=torch.float64)
    for name, array in layer.parameters.items():
        array[...] = random(7)
        getattr(peer, name).data = torch.tensor(array, dtype=torch.float64)
    y, _, cache = layer.forward(x)
    dx, _, grads = layer.backward(cache, dy)
    tensor = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    expected = peer(tensor)
    expected.backward(torch.tensor(dy, dtype=torch.float64))
    tolerance = {"float32": 2e-6, "float64": 1e-12}[dtype]
    close = {"rtol": tolerance, "atol": tolerance}
    np.testing.assert_allclose(y, expected.detach(), **close)
    np.testing.assert_allclose(dx, tensor.grad, **close)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, getattr(peer, name).grad, **close)
    assert set(grads) == set(layer.parameters)


@EACH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_does_not_depend_on_its_batch(make, dtype, backend):
    layer = make().eval()
    if isinstance(layer, pyrnn.LayerNorm):
        layer = pyrnn.LayerNorm(4, layer.eps, layer.elementwise_affine, dtype=dtype).eval()
    x = random(11, 5, 4, dtype=dtype)
    y = layer(x)
    for index in np.ndindex(11, 5):
        assert np.array_equal(layer(x[index]), y[index])


def test_dropout_drops_a_share_and_scales_the_rest():
    layer = pyrnn.Dropout(0.25, seed=1)
    x = np.ones((100, 100))
    y, _, cache = layer.forward(x)
    assert set(np.unique(y)) == {0, 1 / 0.75}
    assert abs((y == 0).mean() - 0.25) < 0.02
    dx, _, _ = layer.backward(cache, x)
    assert np.array_equal(dx, y)
    assert not np.array_equal(layer(x), y)  # masks are drawn anew
    layer.eval()
    assert np.array_equal(layer(x), x)
    layer.train().p = 0.0
    assert np.array_equal(layer(x), x)
    layer.p = 1.0
    assert not layer(x).any()


@pytest.mark.parametrize("way", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_of_dropout_draws_the_same_masks(way):
    layer = pyrnn.Dropout(0.5, seed=3)
    layer(np.ones(5))
    twin = way(layer)
    assert np.array_equal(twin(np.ones(50)), layer(np.ones(50)))


@EACH
def test_what_comes_out_is_not_what_went_in(make):
    layer = make().eval()
    x = random(2, 4)
    y, _, cache = layer.forward(x)
    kept = y.copy()
    y[...] = 7  # does not reach the cache
    dx, _, _ = layer.backward(cache, np.ones_like(x))
    assert not np.shares_memory(y, x)
    again, _, cache = layer.forward(x)
    assert np.array_equal(again, kept)
    assert np.array_equal(layer.backward(cache, np.ones_like(x))[0], dx)


@EACH
def test_a_refused_backward_leaves_its_cache_usable(make):
    layer = make()
    _, _, cache = layer.forward(random(2, 4))
    for dy in (np.ones((2, 3)), np.ones((2, 4), int)):
        with pytest.raises((TypeError, ValueError), match="dy: expected"):
            layer.backward(cache, dy)
    with pytest.raises(TypeError, match="dstate: expected None"):
        layer.backward(cache, np.ones((2, 4)), 1)
    layer.backward(cache, np.ones((2, 4)))
    with pytest.raises(ValueError, match="cache: it was used"):
        layer.backward(cache, np.ones((2, 4)))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: pyrnn.Dropout(1.5), ValueError, r"p: expected a number in \[0.0, 1.0\], got 1.5"),
        (lambda: pyrnn.Dropout(seed=-1), ValueError, "seed: expected a whole number of at least"),
        (lambda: pyrnn.Activation("gelu"), ValueError, "function: expected one of 'sigmoid', "),
        (lambda: pyrnn.Activation("affine"), ValueError, r"function: expected \('affine', alpha"),
        (lambda: pyrnn.Activation(("elu", np.nan)), ValueError, "function: expected a number in"),
        (lambda: pyrnn.LayerNorm(0), ValueError, "normalized_shape: expected a whole number of"),
        (lambda: pyrnn.LayerNorm(3, -1.0), ValueError, "eps: expected a number in"),
        (lambda: pyrnn.LayerNorm(3)(np.ones(4, "f")), ValueError, r"x: expected shape \(..., 3\)"),
        (lambda: pyrnn.LayerNorm(3)(np.ones(3)), TypeError, "x: expected dtype float32, got flo"),
        (lambda: pyrnn.Dropout()(np.ones(3, int)), TypeError, "x: expected float32 or float64"),
        (
            lambda: pyrnn.Dropout().forward(np.ones(3), lengths=[1]),
            TypeError,
            "lengths: expected N",
        ),
    ],
)
def test_what_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_repr():
    assert repr(pyrnn.Dropout(0.2)) == "Dropout(p=0.2)"
    assert repr(pyrnn.Activation("relu")) == "Activation(function='relu')"
    assert repr(pyrnn.LayerNorm(3, 0.1)) == "LayerNorm(3, eps=0.1)"
