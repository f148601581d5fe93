"""Linear and Embedding: values, gradients, any leading axes, modes, errors."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def strided(array):
    return np.repeat(array, 2, axis=-1)[..., ::2]


def reversed_twice(array):
    return array[::-1].copy()[::-1]


def unaligned(array):
    room = np.zeros(array.nbytes + 1, np.uint8)[1:]
    copy = room.view(array.dtype).reshape(array.shape)
    copy[...] = array
    assert not copy.flags.aligned
    return copy


def other_byte_order(array):
    return array.astype(array.dtype.newbyteorder())


LAYERS = {
    "linear": (lambda **options: pyrnn.Linear(3, 5, **options), random(4, 3)),
    "embedding": (lambda **options: pyrnn.Embedding(3, 5, **options), np.array([0, 2, 2, 1])),
}
OTHER_LAYOUTS = [np.asfortranarray, strided, reversed_twice, unaligned, other_byte_order]
BOTH = pytest.mark.parametrize("kind", LAYERS)


# --- values and gradients -------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_the_affine_map(bias, backend):
    layer = pyrnn.Linear(3, 5, bias, dtype="float64", seed=0)
    x = random(4, 3)
    expected = np.einsum("ij,kj->ik", x, layer.parameters["weight"])
    if bias:
        expected += layer.parameters["bias"]
    assert list(layer.parameters) == (["weight", "bias"] if bias else ["weight"])
    np.testing.assert_allclose(layer(x), expected, rtol=1e-13)


def test_linear_takes_new_weights_after_eval(backend):
    layer = pyrnn.Linear(3, 5, dtype="float64", seed=0).eval()
    before = layer(random(4, 3))
    np.testing.assert_array_equal(copy.deepcopy(layer)(random(4, 3)), before)
    layer.train().parameters["weight"] *= 2
    layer.parameters["bias"] *= 2
    np.testing.assert_allclose(layer(random(4, 3)), 2 * before, rtol=1e-13)
    np.testing.assert_allclose(layer.eval()(random(4, 3)), 2 * before, rtol=1e-13)


def test_embedding_is_a_choice_of_rows(backend):
    layer = pyrnn.Embedding(7, 3, seed=0)
    indices = np.array([[6, 0], [3, 3]], dtype=np.uint8)
    assert np.array_equal(layer(indices), layer.parameters["weight"][indices])


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 3), (1, 2, 2, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_linear(shape, bias, backend):
    layer = pyrnn.Linear(3, 5, bias, dtype="float64", seed=0)
    report = pyrnn.gradcheck(layer, random(*shape))
    assert report, str(report)
    assert list(report.entries) == (["x", "weight", "bias"] if bias else ["x", "weight"])


@pytest.mark.parametrize("shape", [(), (4,), (2, 6), (2, 3, 4)])
def test_gradients_of_embedding(shape, backend):
    layer = pyrnn.Embedding(3, 5, dtype="float64", seed=0)
    indices = np.random.default_rng(0).integers(0, 3, shape)
    report = pyrnn.gradcheck(layer, indices)
    assert report, str(report)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shapes_and_dtypes(dtype, backend):
    linear = pyrnn.Linear(3, 5, dtype=dtype)
    y, _, cache = linear.forward(random(2, 4, 3, dtype=dtype))
    dx, _, grads = linear.backward(cache, y)
    assert [a.shape for a in (y, dx, *grads.values())] == [(2, 4, 5), (2, 4, 3), (5, 3), (5,)]
    assert {a.dtype for a in (y, dx, *grads.values())} == {np.dtype(dtype)}
    embedding = pyrnn.Embedding(7, 5, dtype=dtype)
    y, _, cache = embedding.forward(np.zeros((2, 4), int))
    dx, _, grads = embedding.backward(cache, y)
    assert dx is None
    assert [a.shape for a in (y, *grads.values())] == [(2, 4, 5), (7, 5)]
    assert {a.dtype for a in (y, *grads.values())} == {np.dtype(dtype)}


@BOTH
def test_no_rows_give_no_rows_and_zero_gradients(kind, backend):
    make, x = LAYERS[kind]
    layer = make(dtype="float64")
    y, _, cache = layer.forward(x[:0])
    _, _, grads = layer.backward(cache, y)
    assert y.shape == (0, 5)
    assert not any(grad.any() for grad in grads.values())


@BOTH
def test_call_and_forward_give_the_same_bits(kind, backend):
    make, x = LAYERS[kind]
    layer = make(dtype="float64", seed=0)
    expected = layer(x)
    assert np.array_equal(layer.forward(x)[0], expected)
    assert np.array_equal(layer.eval()(x), expected)


def test_other_memory_layouts_give_the_same(backend):
    layer = pyrnn.Linear(3, 5, dtype="float64", seed=0)
    for lead in ((4,), (4, 6)):
        x, dy = random(*lead, 3), random(*lead, 5)
        y, _, cache = layer.forward(x)
        dx, _, grads = layer.backward(cache, dy)
        for change in OTHER_LAYOUTS:
            other_y, _, cache = layer.forward(change(x))
            other_dx, _, other_grads = layer.backward(cache, change(dy))
            np.testing.assert_allclose(other_y, y, rtol=1e-13)
            np.testing.assert_allclose(other_dx, dx, rtol=1e-13)
            for name, grad in grads.items():
                np.testing.assert_allclose(other_grads[name], grad, rtol=1e-13)


def test_other_memory_layouts_of_embedding_give_the_same(backend):
    layer = pyrnn.Embedding(7, 5, dtype="float64", seed=0)
    x, dy = np.array([6, 0, 6, 1]), random(4, 5)
    y, _, cache = layer.forward(x)
    _, _, grads = layer.backward(cache, dy)
    for change in OTHER_LAYOUTS:
        other_y, _, cache = layer.forward(change(x))
        _, _, other_grads = layer.backward(cache, change(dy))
        assert np.array_equal(other_y, y)
        assert np.array_equal(other_grads["weight"], grads["weight"])


# --- first parameters -----------------------------------------------------------------------


def test_first_parameters_are_drawn_as_in_torch():
    linear = pyrnn.Linear(400, 300, seed=0)
    for array in linear.parameters.values():
        assert np.abs(array).max() <= 1 / 20
        assert abs(array.std() - 1 / 20 / np.sqrt(3)) < 2e-3
    weight = pyrnn.Embedding(300, 400, seed=0).parameters["weight"]
    assert abs(weight.mean()) < 0.02
    assert abs(weight.std() - 1) < 0.02


@BOTH
def test_seed_repeats_the_first_parameters(kind):
    make, _ = LAYERS[kind]
    one, two, other = (make(seed=seed).parameters["weight"] for seed in (5, 5, 6))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


# --- modes, caches, copies ------------------------------------------------------------------


@BOTH
def test_eval_makes_parameters_read_only_and_train_undoes_it(kind):
    make, _ = LAYERS[kind]
    layer = make()
    assert layer.eval() is layer
    with pytest.raises(ValueError, match="read-only"):
        layer.parameters["weight"][...] = 0
    assert layer.train() is layer
    layer.parameters["weight"][...] = 0


@BOTH
def test_cache_serves_once_and_only_its_own_layer(kind, backend):
    make, x = LAYERS[kind]
    layer, other = make(dtype="float64"), make(dtype="float64")
    y, _, cache = layer.forward(x)
    with pytest.raises(ValueError, match="cache: it came from another layer"):
        other.backward(cache, y)
    layer.backward(cache, y)
    with pytest.raises(ValueError, match="cache: it was used by an earlier backward"):
        layer.backward(cache, y)
    with pytest.raises(TypeError, match="cache: expected what forward returned last, got int"):
        layer.backward(3, y)


def test_cache_keeps_the_parameters_of_its_forward(backend):
    layer = pyrnn.Linear(3, 5, dtype="float64", seed=0)
    x, dy = random(4, 3), random(4, 5)
    expected, _, _ = layer.backward(layer.forward(x)[2], dy)
    _, _, cache = layer.forward(x)
    layer.parameters["weight"][...] = 7
    assert np.array_equal(layer.backward(cache, dy)[0], expected)


def test_cache_of_embedding_keeps_its_indices(backend):
    layer = pyrnn.Embedding(3, 5)
    x = np.array([0, 1])
    y, _, cache = layer.forward(x)
    x[...] = 1000
    _, _, grads = layer.backward(cache, np.ones_like(y))
    assert grads["weight"].sum(axis=1).tolist() == [5, 5, 0]


@BOTH
@pytest.mark.parametrize("duplicate", [lambda a: pickle.loads(pickle.dumps(a)), copy.deepcopy])
def test_copies(kind, duplicate, backend):
    make, x = LAYERS[kind]
    layer = make(dtype="float64").eval()
    other = duplicate(layer)
    assert np.array_equal(other(x), layer(x))
    assert not other.training
    assert not other.parameters["weight"].flags.writeable


def test_repr():
    assert repr(pyrnn.Linear(3, 5)) == "Linear(3, 5)"
    assert repr(pyrnn.Linear(3, 5, False, dtype="float64")) == (
        "Linear(3, 5, bias=False, dtype='float64')"
    )
    assert repr(pyrnn.Embedding(3, 5)) == "Embedding(3, 5)"


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: pyrnn.Linear(0, 1), ValueError, "in_features: .* at least 1, got 0"),
        (lambda: pyrnn.Linear(1, 1.5), TypeError, r"out_features: .* got 1\.5"),
        (lambda: pyrnn.Linear(1, 1, dtype="int32"), TypeError, "dtype: .* got 'int32'"),
        (lambda: pyrnn.Linear(1, 1, seed="x"), TypeError, "seed: .* got 'x'"),
        (lambda: pyrnn.Linear(10**5, 10**5), ValueError, "weight: expected at most"),
        (lambda: pyrnn.Embedding(-1, 1), ValueError, "num_embeddings: .* got -1"),
        (lambda: pyrnn.Embedding(1, None), TypeError, "embedding_dim: .* got None"),
        (lambda: pyrnn.Embedding(10**5, 10**5), ValueError, "weight: expected at most"),
    ],
)
def test_construction(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (random(4, 2), ValueError, r"x: expected shape \(\.\.\., 3\), got \(4, 2\)"),
        (np.float64(1), ValueError, r"x: expected shape \(\.\.\., 3\), got \(\)"),
        (random(4, 3, dtype="float32"), TypeError, "x: expected dtype float64, got float32"),
        (np.zeros((4, 3), int), TypeError, "x: expected dtype float64, got int64"),
        ("abc", TypeError, "x: expected dtype float64"),
    ],
    ids=str,
)
def test_x_of_linear(x, error, message, backend):
    layer = pyrnn.Linear(3, 5, dtype="float64")
    for call in (layer, layer.forward):
        with pytest.raises(error, match=message):
            call(x)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([0, 3], ValueError, r"x: expected indices in \[0, 3\), got 3"),
        ([-1], ValueError, r"x: expected indices in \[0, 3\), got -1"),
        ([0.0], TypeError, "x: expected an integer array, got float64"),
        ([True], TypeError, "x: expected an integer array, got bool"),
        (None, TypeError, "x: expected an integer array, got NoneType"),
    ],
)
def test_x_of_embedding(x, error, message, backend):
    layer = pyrnn.Embedding(3, 5)
    for call in (layer, layer.forward):
        with pytest.raises(error, match=message):
            call(x)


@BOTH
def test_dy(kind, backend):
    make, x = LAYERS[kind]
    layer = make(dtype="float64")
    y, _, cache = layer.forward(x)
    with pytest.raises(ValueError, match=r"dy: expected shape \(4, 5\), got \(4, 1\)"):
        layer.backward(cache, y[:, :1])
    with pytest.raises(TypeError, match="dy: expected dtype float64, got float32"):
        layer.backward(cache, y.astype(np.float32))
    layer.backward(cache, y)  # refused ones have not used it up


# --- into an array that is there ------------------------------------------------------------


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 3), (3,), (0, 3)])
def test_linear_writes_into_out(shape, mode, backend):
    layer = getattr(pyrnn.Linear(3, 5, seed=0), mode)()
    x, out = random(*shape, dtype="float32"), np.full((*shape[:-1], 5), np.nan, np.float32)
    assert layer(x, out=out) is out
    assert np.array_equal(out, layer(x))


def test_linear_refuses_an_out_that_does_not_fit(backend):
    layer = pyrnn.Linear(3, 3, seed=0)
    x = random(4, 3, dtype="float32")
    before = x.copy()
    fixed = np.zeros((4, 3), "f")
    fixed.flags.writeable = False
    for out, kind, message in (
        (np.zeros((4, 2), "f"), ValueError, r"out: expected shape \(4, 3\), got \(4, 2\)"),
        (np.zeros((4, 3)), TypeError, "out: expected dtype float32, got float64"),
        (np.zeros((3, 4), "f").T, ValueError, "out: expected a contiguous array"),
        ([[0.0]], TypeError, "out: expected a NumPy array, got list"),
        (fixed, ValueError, "out: expected an array that can be written to"),
        (x, ValueError, "out: expected an array that shares no memory with x"),
    ):
        with pytest.raises(kind, match=message):
            layer(x, out=out)
    assert np.array_equal(x, before)
    square = random(3, 3, dtype="float32")
    with pytest.raises(ValueError, match="shares no memory with x or the parameters"):
        layer(square, out=layer.parameters["weight"])
