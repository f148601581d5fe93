"""The parts of a model around its recurrent layers: the same bits for every number of threads.

And what is computed row by row does not depend on the other rows.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyrnn

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
COUNTS = [1, 2, 3, 4]

features = st.sampled_from([1, 7, 33]) | st.integers(1, 70)
rows = st.sampled_from([1, 3, 5]) | st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)


def random(*shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.fixture
def on_all_threads(same_bits, num_threads):
    """``on_all_threads(compute)``: what it gives, the same on 1 to 4 threads."""

    def check(compute):
        results = []
        for count in COUNTS:
            with num_threads(count):
                results.append(compute())
        for count, result in zip(COUNTS, results, strict=True):
            same_bits(result, results[0], f"{count} threads")
        return results[0]

    return check


def linear(layer, x, dy):
    y, _, cache = layer.forward(x)
    return y, *layer.backward(cache, dy)


@pytest.mark.kernels
@DTYPES
@given(in_features=features, out_features=features, count=rows, bias=st.booleans(), seed=seeds)
def test_linear_rows(same_bits, dtype, in_features, out_features, count, bias, seed):
    layer = pyrnn.Linear(in_features, out_features, bias, dtype=dtype, seed=seed)
    x = random(count, in_features, dtype=dtype, seed=seed)
    dy = random(count, out_features, dtype=dtype, seed=seed + 1)
    y, dx, _, _ = linear(layer, x, dy)
    for n in range(count):
        y_n, dx_n, _, _ = linear(layer, x[n : n + 1], dy[n : n + 1])
        same_bits(y[n : n + 1], y_n)
        same_bits(dx[n : n + 1], dx_n)


# Rows, and features in and out: so many, or so few of each, that threads share rows, outputs, or
# inputs; packed at once, or block by block.
LARGE = pytest.mark.parametrize(
    "sizes",
    [(300, 65, 100), (40, 256, 1000), (1, 300, 3000), (900, 3, 70), (2, 3000, 9), (2000, 129, 65)],
    ids=str,
)


def large_linear(sizes, dtype):
    """A layer, x and dy."""
    count, in_features, out_features = sizes
    layer = pyrnn.Linear(in_features, out_features, dtype=dtype, seed=0)
    x = random(count, in_features, dtype=dtype, seed=0)
    return layer, x, random(count, out_features, dtype=dtype, seed=1)


@pytest.mark.kernels
@DTYPES
@LARGE
def test_linear_threads(on_all_threads, dtype, sizes):
    layer, x, dy = large_linear(sizes, dtype)
    on_all_threads(lambda: linear(layer, x, dy))


@DTYPES
@LARGE
def test_rows_of_a_large_linear(same_bits, num_threads, dtype, sizes):
    layer, x, dy = large_linear(sizes, dtype)
    with num_threads(2):
        y, dx, _, _ = linear(layer, x, dy)
        for n in (0, len(x) - 1):
            y_n, dx_n, _, _ = linear(layer, x[n : n + 1], dy[n : n + 1])
            same_bits(y[n : n + 1], y_n)
            same_bits(dx[n : n + 1], dx_n)


@DTYPES
@LARGE
def test_linear_packed_once(on_all_threads, same_bits, dtype, sizes):
    """In eval mode, on any number of threads: the bits of train mode."""
    layer, x, dy = large_linear(sizes, dtype)
    expected = linear(layer, x, dy)
    layer.eval()
    same_bits(on_all_threads(lambda: (layer(x), *linear(layer, x, dy))), (expected[0], *expected))


@pytest.mark.kernels
@DTYPES
@LARGE
def test_a_large_linear_equals_the_reference(dtype, sizes):
    layer, x, dy = large_linear(sizes, dtype)
    got = linear(layer, x, dy)
    with pyrnn.use_backend("reference"):
        expected = linear(layer, x, dy)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    grads = [(got[-1][name], expected[-1][name]) for name in got[-1]]
    for a, b in [*zip(got[:2], expected[:2], strict=True), *grads]:
        assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


@DTYPES
@pytest.mark.parametrize(("num_embeddings", "embedding_dim"), [(7, 3), (500, 129)])
def test_embedding_threads(on_all_threads, dtype, num_embeddings, embedding_dim):
    layer = pyrnn.Embedding(num_embeddings, embedding_dim, dtype=dtype, seed=0)
    x = np.random.default_rng(0).integers(0, num_embeddings, (60, 20))
    dy = random(60, 20, embedding_dim, dtype=dtype, seed=1)
    on_all_threads(lambda: linear(layer, x, dy))


@pytest.mark.kernels
@DTYPES
@given(classes=features, count=rows, seed=seeds)
def test_softmax_rows(same_bits, dtype, classes, count, seed):
    logits = random(count, classes, dtype=dtype, seed=seed)
    targets = np.random.default_rng(seed).integers(0, classes, count)
    _, dlogits = pyrnn.softmax_cross_entropy(logits, targets, "sum")
    for n in range(count):
        own = slice(n, n + 1)
        same_bits(pyrnn.softmax_cross_entropy(logits[own], targets[own], "sum")[1], dlogits[own])


@DTYPES
@pytest.mark.parametrize(("count", "classes"), [(5, 7), (700, 65), (33, 5000)])
def test_softmax_threads(on_all_threads, dtype, count, classes):
    logits = random(count, classes, dtype=dtype, seed=0)
    targets = np.random.default_rng(0).integers(0, classes, count)
    on_all_threads(lambda: pyrnn.softmax_cross_entropy(logits, targets))


@DTYPES
@pytest.mark.parametrize("size", [1, 1000, 300_001])
def test_clipping_threads(on_all_threads, dtype, size):
    def compute():
        grads = {"a": random(size, dtype=dtype, seed=0), "b": random(7, dtype=dtype, seed=1)}
        norm = pyrnn.clip_grad_norm(grads, 1.0)
        by_norm = {name: grad.copy() for name, grad in grads.items()}
        pyrnn.clip_grad_value(grads, 1e-3)
        return np.array(norm), by_norm, grads

    on_all_threads(compute)


@DTYPES
@pytest.mark.parametrize(
    ("optimiser", "options"),
    [
        (pyrnn.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        (pyrnn.Adagrad, {"weight_decay": 0.01}),
        (pyrnn.RMSprop, {"weight_decay": 0.01}),
        (pyrnn.Adam, {"weight_decay": 0.01}),
        (pyrnn.AdamW, {"weight_decay": 0.1}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_optimisers_threads(on_all_threads, dtype, optimiser, options):
    sizes = [60_001, 3, 100_000, 1, 40_000]

    def arrays(first):
        return {f"p{n}": random(size, dtype=dtype, seed=first + n) for n, size in enumerate(sizes)}

    def compute():
        parameters = arrays(0)
        stepper = optimiser(parameters, lr=0.1, **options)
        for first in (10, 20):
            stepper.step(arrays(first))
        return parameters

    on_all_threads(compute)


def test_optimisers_of_both_dtypes_at_once(on_all_threads, same_bits):
    """Parameter by parameter, the bits are those of a step of its own."""
    dtypes = {"a": "float32", "b": "float64", "c": "float32"}

    def arrays(seed):
        return {name: random(70_001, dtype=dtype, seed=seed) for name, dtype in dtypes.items()}

    def steps(names):
        parameters = {name: arrays(0)[name] for name in names}
        stepper = pyrnn.Adam(parameters, lr=0.1)
        for seed in (1, 2):
            stepper.step({name: arrays(seed)[name] for name in names})
        return parameters

    apart = {name: array for one in dtypes for name, array in steps([one]).items()}
    same_bits(steps(dtypes), apart)
    on_all_threads(lambda: steps(dtypes))
