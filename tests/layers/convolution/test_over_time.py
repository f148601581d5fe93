"""MaxPool1d and InstanceNorm1d: torch, gradients, layouts, the same bits whatever computes them."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn

# kernel_size, stride, padding, dilation
POOLS = [(1, None, 0, 1), (3, None, 0, 1), (3, 1, 1, 1), (4, 2, 2, 1), (2, 3, 1, 4), (3, 2, 0, 2)]
LAYERS = {
    **{f"pool {form}": (lambda form=form, **o: pyrnn.MaxPool1d(*form, **o)) for form in POOLS},
    "norm": lambda **o: pyrnn.InstanceNorm1d(3, dtype="float64", **o),
    "affine": lambda **o: pyrnn.InstanceNorm1d(3, 1e-2, affine=True, dtype="float64", **o),
}
EACH = pytest.mark.parametrize("name", LAYERS)


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def make(name, **options):
    layer = LAYERS[name](**options)
    for n, array in enumerate(layer.parameters.values()):
        array[...] = random(*array.shape, seed=n)
    return layer


def both(layer, peer, x):
    """Outputs and gradients of a layer and of torch's."""
    import torch

    given = torch.tensor(x.transpose(1, 2, 0)).requires_grad_()
    theirs = peer(given)
    y, _, cache = layer.forward(x)
    dy = random(*y.shape, dtype=x.dtype, seed=1)
    theirs.backward(torch.tensor(dy.transpose(1, 2, 0)))
    dx, _, grads = layer.backward(cache, dy)
    yield y, theirs.detach().numpy().transpose(2, 0, 1)
    yield dx, given.grad.numpy().transpose(2, 0, 1)
    for parameter, grad in grads.items():
        yield grad, getattr(peer, parameter).grad.numpy()


@pytest.mark.parametrize("form", POOLS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_has_the_same_maxima(form, dtype, backend):
    torch = pytest.importorskip("torch")
    kernel, stride, padding, dilation = form
    peer = torch.nn.MaxPool1d(kernel, stride, padding, dilation)
    outputs, gradients = both(pyrnn.MaxPool1d(*form), peer, random(12, 2, 5, dtype=dtype))
    assert np.array_equal(*outputs)
    np.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-6)  # sums of several windows


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_norms_alike(affine, dtype, backend):
    torch = pytest.importorskip("torch")
    layer = pyrnn.InstanceNorm1d(3, 1e-3, affine=affine, dtype=dtype)
    peer = torch.nn.InstanceNorm1d(3, 1e-3, affine=affine, dtype=getattr(torch, dtype))
    if affine:
        layer.parameters["weight"] = random(3, dtype=dtype, seed=1)
        layer.parameters["bias"] = random(3, dtype=dtype, seed=2)
        peer.load_state_dict({n: torch.tensor(a) for n, a in layer.parameters.items()})
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    for mine, theirs in both(layer, peer, random(12, 2, 3, dtype=dtype) + 3):
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)


def test_far_from_zero(backend):
    """float32 numbers with a mean a thousand times their spread."""
    layer, x = pyrnn.InstanceNorm1d(3, 0.0), random(500, 1, 3, dtype="float32") + np.float32(1000)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(axis=0)) / wide.std(axis=0)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-6, atol=1e-6)


@EACH
@pytest.mark.parametrize("batch_first", [True, False])
def test_gradients(name, batch_first, backend):
    layer = make(name, batch_first=batch_first)
    for x in (random(9, 8, 3), random(9, 3)):
        report = pyrnn.gradcheck(layer, x, samples=12)
        assert report, str(report)


def test_the_first_of_equal_steps_gets_the_gradient(backend):
    layer = pyrnn.MaxPool1d(3)
    _, _, cache = layer.forward(np.array([[2.0], [1.0], [2.0]]))
    assert layer.backward(cache, np.ones((1, 1)))[0].ravel().tolist() == [1, 0, 0]


def test_infinities_and_nan(backend):
    x = np.array([[-np.inf], [-np.inf], [np.nan], [0.0]])
    assert pyrnn.MaxPool1d(2, 2)(x)[0] == -np.inf
    assert np.isnan(pyrnn.MaxPool1d(2, 2)(x)[1])


@EACH
def test_layouts_modes_and_copies(name, tmp_path):
    x = random(12, 4, 3)
    layer, turned = make(name), make(name, batch_first=True)
    y, _, cache = layer.forward(x)
    dx, _, _ = layer.backward(cache, y)
    other, _, cache = turned.forward(x.swapaxes(0, 1))
    assert np.array_equal(other.swapaxes(0, 1), y)
    np.testing.assert_allclose(turned.backward(cache, other)[0].swapaxes(0, 1), dx, atol=1e-14)
    assert y.flags.c_contiguous
    assert other.flags.c_contiguous
    pyrnn.save(layer, tmp_path / "layer.safetensors")
    for same in (
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        pyrnn.load(tmp_path / "layer.safetensors"),
        layer.eval(),
    ):
        assert np.array_equal(same(x), y)
        for given in (
            np.asfortranarray(x),
            np.repeat(x, 2, axis=2)[..., ::2],
            x[::-1].copy()[::-1],
        ):
            assert np.array_equal(same(given), y)
    for row in range(4):  # alone, and as one sequence
        assert np.array_equal(layer(x[:, row : row + 1])[:, 0], y[:, row])
        assert np.array_equal(layer(x[:, row]), y[:, row])


@pytest.mark.parametrize("channels", [1, 3, 64, 150])
def test_any_number_of_threads(channels):
    layer = pyrnn.InstanceNorm1d(channels)
    x = random(700, 3, channels, dtype="float32")
    before = pyrnn.get_num_threads()
    try:
        pyrnn.set_num_threads(1)
        y = layer(x)
        pyrnn.set_num_threads(3)
        assert np.array_equal(layer(x), y)
        for some in (slice(0, 1), slice(channels - 1, channels)):  # each channel alone
            assert np.array_equal(pyrnn.InstanceNorm1d(1)(x[..., some]), y[..., some])
    finally:
        pyrnn.set_num_threads(before)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: pyrnn.MaxPool1d(0), ValueError, "kernel_size: expected a whole number of at l"),
        (lambda: pyrnn.MaxPool1d(3, 0), ValueError, "stride: expected a whole number of at least"),
        (lambda: pyrnn.MaxPool1d(3, 1, 2), ValueError, "padding: expected at most half of a w"),
        (lambda: pyrnn.MaxPool1d(1, stride=2**40), ValueError, "stride: expected a whole numb"),
        (lambda: pyrnn.MaxPool1d(1, dilation=2**63), ValueError, "dilation: expected a whole n"),
        (lambda: pyrnn.MaxPool1d(3)(np.ones((2, 1, 4))), ValueError, "x: expected at least 3 ste"),
        (lambda: pyrnn.MaxPool1d(1)(np.ones((0, 1, 4))), ValueError, "x: expected at least 1 ste"),
        (lambda: pyrnn.MaxPool1d(3)(np.ones(4)), ValueError, r"x: expected shape \(T, N, channel"),
        (lambda: pyrnn.MaxPool1d(3)(np.ones((4, 1), int)), TypeError, "x: expected float32 or fl"),
        (lambda: pyrnn.InstanceNorm1d(0), ValueError, "num_features: expected a whole number of"),
        (lambda: pyrnn.InstanceNorm1d(3, -1.0), ValueError, "eps: expected a number in"),
        (lambda: pyrnn.InstanceNorm1d(3)(np.ones((4, 2), "f")), ValueError, r"x: expected shape"),
        (lambda: pyrnn.InstanceNorm1d(3)(np.ones((4, 3))), TypeError, "x: expected dtype float32"),
    ],
)
def test_what_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@EACH
def test_they_have_to_see_the_end(name):
    with pytest.raises(ValueError, match=r"stream: .* got 0, .* needs the end of the sequence"):
        pyrnn.Sequential(make(name)).stream()
