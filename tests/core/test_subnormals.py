"""Subnormal numbers: they count as zero inside the core, slow nothing down, and are left alone
outside of it: the caller's mode is as it was after every call.
"""

import threading
import time

import numpy as np
import pytest

import pyrnn
from pyrnn.backend import selection

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def random(*shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def subnormals_work(dtype):
    """Whether this thread computes with subnormal arguments and results."""
    tiny = np.full(64, np.finfo(dtype).tiny, dtype)
    half = tiny * dtype.type(0.5)
    return bool((half > 0).all() and (half + half == tiny).all())


def identity(size, dtype):
    """A layer whose output is max(x, 0)."""
    layer = pyrnn.RNN(size, size, nonlinearity="relu", bias=False, dtype=dtype, seed=0)
    layer.parameters["weight_ih_l0"] = np.eye(size, dtype=dtype)
    layer.parameters["weight_hh_l0"] = np.zeros((size, size), dtype)
    return layer


@DTYPES
@pytest.mark.parametrize(("batch_size", "size"), [(2, 5), (200, 70), (1, 400)])
def test_subnormals_count_as_zero_on_every_thread(num_threads, dtype, batch_size, size):
    layer = identity(size, dtype)
    x = np.full((12, batch_size, size), np.finfo(dtype).tiny, dtype)
    for count in (1, 2, 4):
        with num_threads(count):
            assert np.array_equal(layer(x)[0], x)
            assert not layer(x / 2)[0].any()


@pytest.fixture
def calls(dtype):
    """Every kind of call into the core, by name."""
    layer = pyrnn.LSTM(6, 9, 2, dtype=dtype, seed=0)
    linear = pyrnn.Linear(9, 7, dtype=dtype, seed=0)
    embedding = pyrnn.Embedding(7, 6, dtype=dtype, seed=0)
    x, rows = random(5, 3, 6, dtype=dtype), random(4, 9, dtype=dtype)
    words = np.array([[1, 2, 3], [5, 0, 1]])
    stream = layer.stream(3)
    grads = {"w": random(100, dtype=dtype)}
    optimisers = [
        optimiser({"w": random(100, dtype=dtype)}, lr=0.1)
        for optimiser in (pyrnn.SGD, pyrnn.Adagrad, pyrnn.RMSprop, pyrnn.Adam, pyrnn.AdamW)
    ]

    def backward(one, value):
        y, *_, cache = one.forward(value)
        one.backward(cache, np.ones_like(y))

    def truncated():
        y, _, cache = layer.forward(x)
        layer.backward_truncated(cache, y, 1, 3)

    return {
        "call": lambda: layer(x),
        "indices": lambda: layer(words),
        "lengths": lambda: layer(x, None, [1, 5, 3]),
        "backward": lambda: backward(layer, x),
        "truncated": truncated,
        "step": lambda: stream.step(x[0]),
        "linear": lambda: backward(linear, rows),
        "embedding": lambda: backward(embedding, words),
        "loss": lambda: pyrnn.softmax_cross_entropy(rows, np.array([1, 2, 3, 4])),
        "clip by norm": lambda: pyrnn.clip_grad_norm(grads, 1.0),
        "clip by value": lambda: pyrnn.clip_grad_value(grads, 0.1),
        "optimisers": lambda: [optimiser.step(grads) for optimiser in optimisers],
    }


@DTYPES
def test_the_callers_mode_is_as_it_was(calls, num_threads, dtype):
    dtype = np.dtype(dtype)
    assert subnormals_work(dtype)
    for count in (1, 2):
        with num_threads(count):
            for name, call in calls.items():
                call()
                assert subnormals_work(dtype), name


@DTYPES
def test_the_mode_of_another_thread_is_as_it_was(calls, dtype):
    found = []

    def call_all():
        with pyrnn.use_backend("native"):
            for call in calls.values():
                call()
                found.append(subnormals_work(np.dtype(dtype)))

    thread = threading.Thread(target=call_all)
    thread.start()
    thread.join()
    assert found == [True] * len(calls)


@DTYPES
def test_the_mode_is_as_it_was_after_an_error(dtype):
    """The core refuses a cache that was used; asked directly, as the layer refuses it before."""
    backend = selection.current()
    layer = pyrnn.GRU(3, 4, dtype=dtype, seed=0)
    (packed,) = layer._pack(backend)
    state = (np.zeros((2, 4), dtype),)
    y, _, cache = backend.forward(packed, random(5, 2, 3, dtype=dtype), state, keep=True)
    backend.backward(cache, y, state)
    with pytest.raises(ValueError, match="cache"):
        backend.backward(cache, y, state)
    assert subnormals_work(np.dtype(dtype))


def tiny_training(make, bidirectional, dtype):
    """A layer whose gradients are around the smallest normal number, and what training returns."""
    layer = make(5, 19, 2, bidirectional=bidirectional, dtype=dtype, seed=0)
    x = random(40, 24, 5, dtype=dtype)

    def train():
        y, *_, cache = layer.forward(x)
        dy = random(*y.shape, dtype=dtype, seed=1) * np.finfo(dtype).tiny
        results = [y, layer.backward(cache, dy)]
        if not bidirectional:
            *_, cache = layer.forward(x)
            results.append(layer.backward_truncated(cache, dy, 4, 8))
        return results

    return train


@DTYPES
@pytest.mark.parametrize("bidirectional", [False, True])
def test_subnormal_gradients_do_not_depend_on_threads(
    make_any, num_threads, bidirectional, dtype, same_bits
):
    """Every sum is made in the same mode, on whatever thread: without subnormal results."""
    train = tiny_training(make_any, bidirectional, dtype)
    with num_threads(1):
        expected = train()
    for grad in expected[1][2].values():
        assert not ((grad != 0) & (np.abs(grad) < np.finfo(dtype).tiny)).any()
    for count in (2, 3):
        with num_threads(count):
            same_bits(train(), expected)


@DTYPES
def test_no_call_returns_subnormal_numbers(dtype):
    """Of linear layers, embeddings, losses, clipping, optimisers and streams."""
    tiny = np.finfo(dtype).tiny
    half = np.full((3, 7), tiny / 2, dtype)
    sums = np.full((3, 7), tiny * 0.75, dtype)
    linear = pyrnn.Linear(7, 7, bias=False, dtype=dtype, seed=0)
    linear.parameters["weight"] = np.eye(7, dtype=dtype)
    y, *_, cache = linear.forward(half)
    assert not y.any()
    assert not linear.backward(cache, half)[0].any()
    linear.eval()
    assert not linear(half).any()

    embedding = pyrnn.Embedding(4, 7, dtype=dtype, seed=0)
    *_, cache = embedding.forward(np.array([1, 1, 1]))
    (grad,) = embedding.backward(cache, sums)[2].values()
    assert not grad.any()

    stream = identity(7, dtype).stream(3)
    assert not stream.step(half).any()

    grads = {"w": np.full(5, tiny, dtype)}
    pyrnn.clip_grad_norm(grads, float(tiny) * 1e-7)
    assert not grads["w"].any()

    p = np.full(5, tiny, dtype)
    pyrnn.SGD({"w": p}, lr=1.0).step({"w": np.full(5, tiny * 1.5, dtype)})
    assert not p.any()


@DTYPES
def test_a_subnormal_input_of_relu_counts_as_zero(dtype):
    """Where its gradient jumps: the reference, which computes with it, lets the gradient pass."""
    x = np.full((1, 1, 3), np.finfo(dtype).tiny / 2, dtype)
    gradients = []
    for backend in ("native", "reference"):
        with pyrnn.use_backend(backend):
            layer = identity(3, dtype)
            *_, cache = layer.forward(x)
            gradients.append(layer.backward(cache, np.ones_like(x))[0])
    assert not gradients[0].any()
    assert (gradients[1] == 1).all()


def slowdown(call, normal, subnormal):
    """How many times longer a call takes with subnormal numbers: the best of alternating runs."""
    best = {}
    for _ in range(7):
        for name, argument in (("normal", normal), ("subnormal", subnormal)):
            begin = time.perf_counter()
            call(argument)
            seconds = time.perf_counter() - begin
            best[name] = min(seconds, best.get(name, seconds))
    return best["subnormal"] / best["normal"]


@DTYPES
def test_subnormals_slow_nothing_down(make_layer, num_threads, dtype):
    """Input, first states and weights; done in full they cost ten times and more."""
    layer = make_layer(48, 48, dtype=dtype, seed=0)
    stream = make_layer(48, 48, dtype=dtype, seed=0).stream(8)
    x = random(40, 8, 48, dtype=dtype)
    tiny = x * np.finfo(dtype).tiny / 4
    small = make_layer(48, 48, dtype=dtype, seed=0)
    for name, array in small.parameters.items():
        small.parameters[name] = array * np.finfo(dtype).tiny

    def train(chosen, value):
        y, _, cache = chosen.forward(value)
        chosen.backward(cache, y)

    with num_threads(1):
        assert slowdown(lambda value: train(layer, value), x, tiny) < 3
        assert slowdown(lambda chosen: train(chosen, x), layer, small) < 3
        assert slowdown(lambda value: [stream.step(row) for row in value], x, tiny) < 3


@DTYPES
@pytest.mark.parametrize(
    "optimiser", [pyrnn.SGD, pyrnn.Adagrad, pyrnn.RMSprop, pyrnn.Adam, pyrnn.AdamW]
)
def test_subnormal_gradients_slow_no_optimiser_down(num_threads, dtype, optimiser):
    stepper = optimiser({"w": random(30_000, dtype=dtype)}, lr=0.1)
    gradient = random(30_000, dtype=dtype)
    tiny = gradient * np.finfo(dtype).tiny / 4
    with num_threads(1):
        assert slowdown(lambda value: stepper.step({"w": value}), gradient, tiny) < 3
