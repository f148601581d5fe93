"""The compiled core equals the reference: outputs and every gradient, for sizes drawn at random."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyrnn
from bench import accuracy
from pyrnn.backend import selection

pytestmark = pytest.mark.skipif(
    "native" not in selection.available(), reason="the compiled core is not built"
)

TOLERANCE = accuracy.BASE
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)

features = st.integers(1, 70)
steps = st.integers(1, 12)
rows = st.integers(1, 9)
seeds = st.integers(0, 2**32 - 1)


def on_both(compute):
    """What a function gives on the core, and on the reference."""
    results = []
    for name in ("native", "reference"):
        with pyrnn.use_backend(name):
            results.append(compute())
    return results


def flatten(results, name=""):
    """All arrays within nested tuples and dicts, by name."""
    if results is None:
        return {}
    if isinstance(results, dict):
        items = results.items()
    elif isinstance(results, tuple):
        items = enumerate(results)
    else:
        return {name: results}
    return {k: a for key, part in items for k, a in flatten(part, f"{name}.{key}").items()}


def assert_same(got, expected, tolerance, storage=lambda: 0.0):
    """Compare arrays, each relative to its largest magnitude.

    The elements of an array of a few may all happen to be sums that nearly cancel. It is compared
    relative to the largest magnitude of all arrays, or to that of the inputs, which is near one. So
    is an array that is nearly nothing beside the others, for its error comes from them.

    ``storage()`` is asked where this is not enough: what storage alone costs whoever computes. The
    core may be as far from the reference as docs/numerics.md says.
    """
    got, expected = flatten(got), flatten(expected)
    assert list(got) == list(expected)
    magnitudes = {name: float(np.abs(array).max()) for name, array in expected.items()}
    largest = max(1.0, max(magnitudes.values()))
    scales = {
        name: largest if array.size < 8 else max(magnitudes[name], 1e-5 * largest)
        for name, array in expected.items()
    }
    for name, array in expected.items():
        assert got[name].shape == array.shape
        assert got[name].dtype == array.dtype
        worst = float(np.abs(got[name] - array).max()) / scales[name]
        if not worst <= tolerance:
            tolerance += accuracy.FACTOR * storage()
        assert worst <= tolerance, f"{name}: {worst} > {tolerance} of {scales[name]}"


def random_state(layer, generator, count, batch_size):
    def one():
        shape = (count, batch_size, layer.hidden_size)
        return generator.standard_normal(shape).astype(layer.dtype)

    return (one(), one()) if isinstance(layer, pyrnn.LSTM) else one()


def random_x(generator, layer, *lead):
    """Inputs for which no unit saturates.

    Where one does, its gradient is the rounding error of 1 - h**2, and float32 has no digits of
    it to agree on. Weights are drawn from U(-1/sqrt(H), 1/sqrt(H)).
    """
    size = min(1.0, math.sqrt(layer.hidden_size / layer.input_size))
    return (size * generator.standard_normal((*lead, layer.input_size))).astype(layer.dtype)


@DTYPES
@given(
    input_size=features,
    hidden_size=features,
    time_steps=steps,
    batch_size=rows,
    num_layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    bias=st.booleans(),
    with_lengths=st.booleans(),
    as_indices=st.booleans(),
    seed=seeds,
)
def test_layers(
    make_layer,
    dtype,
    input_size,
    hidden_size,
    time_steps,
    batch_size,
    num_layers,
    bidirectional,
    bias,
    with_lengths,
    as_indices,
    seed,
):
    layer = make_layer(
        input_size, hidden_size, num_layers,
        bias=bias, bidirectional=bidirectional, dtype=dtype, seed=seed,
    )  # fmt: skip
    generator = np.random.default_rng(seed)
    directions = 1 + bidirectional
    x = random_x(generator, layer, time_steps, batch_size)
    if as_indices:
        x = generator.integers(0, input_size, (time_steps, batch_size))
    lengths = generator.integers(1, time_steps + 1, batch_size) if with_lengths else None
    state = random_state(layer, generator, num_layers * directions, batch_size)
    dstate = random_state(layer, generator, num_layers * directions, batch_size)
    shape = (time_steps, batch_size, hidden_size * directions)
    dy = generator.standard_normal(shape).astype(dtype)

    def compute():
        y, final, cache = layer.forward(x, state, lengths)
        return (y, final), layer.backward(cache, dy, dstate)

    (outputs, gradients), (expected_outputs, expected_gradients) = on_both(compute)
    assert_same(outputs, expected_outputs, TOLERANCE[dtype])
    assert_same(gradients, expected_gradients, TOLERANCE[dtype])


@DTYPES
@given(
    hidden_size=features, batch_size=rows, size=st.sampled_from([1e1, 1e3, 1e10, 1e30]), seed=seeds
)
def test_outputs_of_saturated_units(make_layer, dtype, hidden_size, batch_size, size, seed):
    """One input alone, so that large products do not cancel. Outputs may all be subnormal, or 0."""
    layer = make_layer(1, hidden_size, dtype=dtype, seed=seed)
    generator = np.random.default_rng(seed)
    x = (size * generator.standard_normal((3, batch_size, 1))).astype(dtype)
    got, expected = map(flatten, on_both(lambda: layer(x)))
    for name, array in expected.items():
        scale = max(1.0, float(np.abs(array).max()))
        assert float(np.abs(got[name] - array).max()) <= TOLERANCE[dtype] * scale


@DTYPES
@given(
    input_size=features,
    hidden_size=features,
    time_steps=steps,
    batch_size=rows,
    num_layers=st.integers(1, 3),
    dropout=st.sampled_from([0.0, 0.3]),
    as_indices=st.booleans(),
    k1=st.integers(1, 5),
    longer=st.integers(0, 8),
    seed=seeds,
)
def test_truncated_backward(
    make_layer,
    dtype,
    input_size,
    hidden_size,
    time_steps,
    batch_size,
    num_layers,
    dropout,
    as_indices,
    k1,
    longer,
    seed,
):
    generator = np.random.default_rng(seed)
    options = {"dropout": dropout * (num_layers > 1), "dtype": dtype, "seed": seed}
    x = random_x(generator, make_layer(input_size, hidden_size), time_steps, batch_size)
    x = x.astype(dtype)
    if as_indices:
        x = generator.integers(0, input_size, (time_steps, batch_size))
    dy = generator.standard_normal((time_steps, batch_size, hidden_size)).astype(dtype)

    def compute():
        # Made anew, so that both draw the same dropout.
        layer = make_layer(input_size, hidden_size, num_layers, **options)
        _, _, cache = layer.forward(x)
        return layer.backward_truncated(cache, dy, k1, k1 + longer)

    got, expected = on_both(compute)
    assert_same(got, expected, TOLERANCE[dtype])


@DTYPES
@given(input_size=features, hidden_size=features, batch_size=rows, bias=st.booleans(), seed=seeds)
def test_cells(make_cell, dtype, input_size, hidden_size, batch_size, bias, seed):
    cell = make_cell(input_size, hidden_size, bias, dtype=dtype, seed=seed)
    generator = np.random.default_rng(seed)
    x = random_x(generator, cell, batch_size)

    def one():
        return generator.standard_normal((batch_size, hidden_size)).astype(dtype)

    pair = isinstance(cell, pyrnn.LSTMCell)
    state, dstate = ((one(), one()), (one(), one())) if pair else (one(), one())
    dy = one()

    def compute():
        h, after, cache = cell.forward(x, state)
        return (h, after), cell.backward(cache, dy, dstate)

    (after, gradients), (expected_after, expected_gradients) = on_both(compute)
    assert_same(after, expected_after, TOLERANCE[dtype])
    assert_same(gradients, expected_gradients, TOLERANCE[dtype])


@pytest.mark.kernels
@DTYPES
@given(in_features=features, out_features=features, count=rows, bias=st.booleans(), seed=seeds)
def test_linear(dtype, in_features, out_features, count, bias, seed):
    layer = pyrnn.Linear(in_features, out_features, bias, dtype=dtype, seed=seed)
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((count, 2, in_features)).astype(dtype)
    dy = generator.standard_normal((count, 2, out_features)).astype(dtype)

    def compute():
        y, _, cache = layer.forward(x)
        return y, *layer.backward(cache, dy)

    got, expected = on_both(compute)
    assert_same(got, expected, TOLERANCE[dtype])


@pytest.mark.kernels
@DTYPES
@given(num_embeddings=features, embedding_dim=features, count=rows, seed=seeds)
def test_embedding(dtype, num_embeddings, embedding_dim, count, seed):
    layer = pyrnn.Embedding(num_embeddings, embedding_dim, dtype=dtype, seed=seed)
    generator = np.random.default_rng(seed)
    x = generator.integers(0, num_embeddings, (count, 5))
    dy = generator.standard_normal((count, 5, embedding_dim)).astype(dtype)

    def compute():
        y, _, cache = layer.forward(x)
        return y, *layer.backward(cache, dy)

    got, expected = on_both(compute)
    assert_same(got, expected, TOLERANCE[dtype])


@pytest.mark.kernels
@DTYPES
@given(classes=features, count=rows, scale=st.sampled_from([0.1, 1.0, 30.0]), seed=seeds)
def test_softmax_cross_entropy(dtype, classes, count, scale, seed):
    generator = np.random.default_rng(seed)
    logits = (scale * generator.standard_normal((count, classes))).astype(dtype)
    targets = generator.integers(0, classes, count)
    got, expected = on_both(lambda: pyrnn.softmax_cross_entropy(logits, targets, "sum"))
    # With one class, loss and gradient are 0 up to rounding: there is no magnitude to relate to.
    tolerance = TOLERANCE[dtype] * max(1.0, scale * count)
    assert abs(got[0] - expected[0]) <= tolerance
    assert np.abs(got[1] - expected[1]).max() <= TOLERANCE[dtype]


OPTIMISERS = [
    (pyrnn.SGD, {"lr": 0.1, "weight_decay": 0.01}),
    (pyrnn.SGD, {"lr": 0.1, "momentum": 0.9}),
    (pyrnn.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (pyrnn.Adagrad, {"lr": 0.1, "weight_decay": 0.01}),
    (pyrnn.RMSprop, {"lr": 0.1, "weight_decay": 0.01}),
    (pyrnn.Adam, {"lr": 0.1, "weight_decay": 0.01}),
    (pyrnn.AdamW, {"lr": 0.1, "weight_decay": 0.1}),
]


@pytest.mark.kernels
@DTYPES
@pytest.mark.parametrize(("optimiser", "options"), OPTIMISERS, ids=str)
@given(shape=st.tuples(features, rows), seed=seeds)
def test_optimisers(dtype, optimiser, options, shape, seed):
    def compute():
        generator = np.random.default_rng(seed)
        parameters = {"w": generator.standard_normal(shape).astype(dtype)}
        stepper = optimiser(parameters, **options)
        for _ in range(3):
            stepper.step({"w": generator.standard_normal(shape).astype(dtype)})
        return parameters["w"]

    got, expected = on_both(compute)
    assert_same(got, expected, TOLERANCE[dtype])


@pytest.mark.kernels
@DTYPES
@given(shape=st.tuples(features, rows), seed=seeds, limit=st.sampled_from([0.0, 0.3, 3.0, 1e4]))
def test_clipping(dtype, shape, seed, limit):
    def compute():
        generator = np.random.default_rng(seed)
        by_norm = {name: generator.standard_normal(shape).astype(dtype) for name in "ab"}
        by_value = {name: generator.standard_normal(shape).astype(dtype) for name in "ab"}
        norm = pyrnn.clip_grad_norm(by_norm, limit)
        pyrnn.clip_grad_value(by_value, limit)
        return np.array(norm), by_norm, by_value

    got, expected = on_both(compute)
    assert_same(got, expected, TOLERANCE[dtype])


def fill(layer, generator):
    """Values for all parameters, gains and biases among them."""
    for array in layer.parameters.values():
        size = 0.5 / math.sqrt(array.shape[-1]) if array.ndim == 2 else 0.3
        array[...] = size * generator.standard_normal(array.shape)


def noise_of(make_any, draw):
    """Options that regularise, of those that the layer has."""
    noise = {"zoneout": 0.4 if draw(st.booleans()) else 0.0}
    if make_any is not pyrnn.MinGRU:
        noise["recurrent_dropout"] = 0.3 if draw(st.booleans()) else 0.0
    return noise


@pytest.mark.kernels
@DTYPES
@given(
    sizes=st.tuples(st.integers(2, 70), st.integers(3, 70), steps, rows),
    num_layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    bias=st.booleans(),
    as_indices=st.booleans(),
    with_lengths=st.booleans(),
    windows=st.booleans(),
    checkpoint=st.none() | st.integers(1, 12),
    seed=seeds,
    data=st.data(),
)
def test_cells_and_options(
    make_any,
    dtype,
    sizes,
    num_layers,
    bidirectional,
    bias,
    as_indices,
    with_lengths,
    windows,
    checkpoint,
    seed,
    data,
):
    """Every cell, with noise, checkpoints, lengths; whole and truncated; in train and eval mode."""
    input_size, hidden_size, time_steps, batch_size = sizes
    options = noise_of(make_any, data.draw)
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((time_steps, batch_size, input_size)).astype(dtype)
    if as_indices:
        x = generator.integers(0, input_size, (time_steps, batch_size))
    lengths = generator.integers(1, time_steps + 1, batch_size) if with_lengths else None

    def compute(computed_in=dtype, changed=lambda array: array):
        layer = make_any(
            input_size, hidden_size, num_layers,
            bias=bias, bidirectional=bidirectional, dtype=computed_in, seed=seed, **options,
        )  # fmt: skip
        own = np.random.default_rng(seed)
        fill(layer, own)
        for array in layer.parameters.values():
            array[...] = changed(array.astype(dtype))
        inputs = x if as_indices else changed(x).astype(computed_in)
        y, final, cache = layer.forward(inputs, None, lengths, checkpoint=checkpoint)
        dy = own.standard_normal(y.shape).astype(dtype).astype(computed_in)
        if windows and not (bidirectional or with_lengths):
            gradients = layer.backward_truncated(cache, dy, 1, 4)
        else:
            gradients = layer.backward(cache, dy, final)
        return y, final, gradients, layer.eval()(inputs, None, lengths)

    def storage():
        def nudged(array):
            return accuracy.nudge(array, dtype, generator)

        with pyrnn.use_backend("reference"):
            exact = flatten(compute("float64"))
            with accuracy.stored_as(dtype):
                draws = [flatten(compute("float64", nudged)) for _ in range(accuracy.DRAWS)]
        return max(accuracy.error(draw, exact) for draw in draws)

    assert_same(*on_both(compute), TOLERANCE[dtype], storage)
