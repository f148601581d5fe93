"""Batches whose threads have rows, and sums of gradients, of their own.

How many there are is the choice of a call's threads; how the sums are cut is not.
"""

import itertools

import numpy as np
import pytest

import pyrnn

# (T, N, I, H): enough steps to be worth threads; batches that do and do not come in equal parts.
SIZES = [(150, 8, 3, 20), (90, 21, 5, 33), (120, 64, 7, 16), (60, 37, 2, 40)]
# Few enough for the rounding of each step not to grow.
SHORT = [(40, 21, 5, 33), (30, 64, 7, 16)]
LAYERS = 2


def random(*shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def noise_of(make, noisy):
    """Arguments for all kinds of noise that a layer takes."""
    if not noisy:
        return {}
    options = {"dropout": 0.3, "zoneout": 0.4}
    return options if make is pyrnn.MinGRU else options | {"recurrent_dropout": 0.3}


def inputs(sizes, dtype, as_indices):
    time_steps, batch_size, input_size, _ = sizes
    if as_indices:
        return np.random.default_rng(0).integers(0, input_size, (time_steps, batch_size))
    return random(time_steps, batch_size, input_size, dtype=dtype, seed=0)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def whole(state, of):
    return state if isinstance(of, tuple) else state[0]


def train(layer, x, num_threads, counts, checkpoint=None, windows=None):
    """Forward and backward, with so many threads each."""
    with num_threads(counts[0]):
        y, state, cache = layer.forward(x, checkpoint=checkpoint)
    dtype = y.dtype
    dy = random(*y.shape, dtype=dtype, seed=1)
    with num_threads(counts[1]):
        if windows:
            return y, state, layer.backward_truncated(cache, dy, *windows)
        dstate = tuple(random(*s.shape, dtype=dtype, seed=2) for s in parts(state))
        return y, state, layer.backward(cache, dy, whole(dstate, state))


def pairs_of(counts):
    """Pairs of numbers of threads for forward and backward; the first is one thread for both."""
    pairs = itertools.product(counts, counts)
    return sorted(pairs, key=lambda pair: pair != (1, 1))


@pytest.mark.parametrize("noisy", [False, True], ids=["plain", "noisy"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_each_way_has_its_own_threads(make_noisy, same_bits, num_threads, sizes, noisy):
    options = noise_of(make_noisy, noisy)
    results = []
    for counts in pairs_of([1, 2, 3, 4]):
        layer = make_noisy(*sizes[2:], LAYERS, seed=0, **options)
        results.append(train(layer, inputs(sizes, "float32", False), num_threads, counts))
        same_bits(results[-1], results[0], f"{counts} threads")


@pytest.mark.parametrize("as_indices", [False, True], ids=["dense", "indices"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_options(make_any, same_bits, num_threads, sizes, as_indices):
    x = inputs(sizes, "float64", as_indices)
    results = []
    for counts in [(1, 1), (2, 2), (4, 2), (8, 8)]:
        layer = make_any(*sizes[2:], LAYERS, bidirectional=True, dtype="float64", seed=0)
        results.append(train(layer, x, num_threads, counts))
        same_bits(results[-1], results[0], f"{counts} threads")


@pytest.mark.parametrize("checkpoint", [7, 40])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_checkpoints(make_noisy, same_bits, num_threads, sizes, checkpoint):
    x, results = inputs(sizes, "float32", False), []
    for every, counts in [(None, (1, 1)), (checkpoint, (1, 2)), (checkpoint, (2, 2))]:
        layer = make_noisy(*sizes[2:], LAYERS, seed=0, **noise_of(make_noisy, noisy=True))
        results.append(train(layer, x, num_threads, counts, checkpoint=every))
        same_bits(results[-1], results[0], f"checkpoint {every}, {counts} threads")


@pytest.mark.parametrize("sizes", SIZES[:2], ids=str)
def test_truncated(make_noisy, same_bits, num_threads, sizes):
    x, results = inputs(sizes, "float32", False), []
    for counts in [(1, 1), (2, 1), (2, 2), (4, 3)]:
        layer = make_noisy(*sizes[2:], LAYERS, seed=0, **noise_of(make_noisy, noisy=True))
        results.append(train(layer, x, num_threads, counts, windows=(10, 25)))
        same_bits(results[-1], results[0], f"{counts} threads")


@pytest.mark.parametrize("as_indices", [False, True], ids=["dense", "indices"])
@pytest.mark.parametrize("sizes", SHORT, ids=str)
def test_reference(make_any, assert_close, num_threads, sizes, as_indices):
    x, results = inputs(sizes, "float64", as_indices), []
    for backend in ("reference", "native"):
        with pyrnn.use_backend(backend):
            layer = make_any(*sizes[2:], dtype="float64", seed=0)
            results.append(train(layer, x, num_threads, (2, 2)))
    assert_close(results[1], results[0], 1e-12)
