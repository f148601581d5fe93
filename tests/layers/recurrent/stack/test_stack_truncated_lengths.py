"""Truncated back-propagation of sequences of different lengths: each is as it is alone.

Alone it is written out loss by loss, as in `test_stack_truncated`.
"""

import numpy as np
import pytest

import pyrnn
from tests.layers.recurrent.stack.test_stack_truncated import Losses, random, zeros_like

MOST = 8
"""All T, k1 and k2 up to this."""

ALL = [(k1, k2) for k2 in range(1, MOST + 1) for k1 in range(1, k2 + 1)]
SOME = [(1, 1), (1, 3), (2, 3), (3, 3), (3, 5), (2, 8), (8, 8)]
N = 5


def part_of(state, n):
    parts = state if isinstance(state, tuple) else (state,)
    chosen = tuple(part[:, n : n + 1] for part in parts)
    return chosen if isinstance(state, tuple) else chosen[0]


def check(layer, x, assert_close, windows, seed=0):
    """All lengths of the whole batch, against the sum over the sequences alone."""
    generator = np.random.default_rng(seed)
    dy = random(*x.shape[:2], layer.hidden_size, seed=1)
    dy = dy[..., : layer(x)[0].shape[2]]
    _, state = layer(x[:3])
    alone = [Losses(layer, x[:, n : n + 1], dy[:, n : n + 1], part_of(state, n)) for n in range(N)]
    for steps in range(1, len(x) + 1):
        for k1, k2 in windows:
            lengths = generator.integers(0, steps + 1, N)
            past = np.arange(steps)[:, None] >= lengths
            given = dy[:steps].copy()
            given[past] = np.nan  # what is past a length is not looked at
            _, _, cache = layer.forward(x[:steps], state, lengths)
            got = layer.backward_truncated(cache, given, k1, k2)
            total = zeros_like(layer, x[:steps])
            for n, length in enumerate(lengths.tolist()):
                dx, grads = alone[n].truncated(length, k1, k2)
                if dx is not None:
                    total[0][:length, n : n + 1] += dx
                for name, grad in grads.items():
                    total[1][name] += grad
            assert_close(got, total, 1e-12, f"{lengths}, {k1}, {k2}: ")


@pytest.mark.parametrize("num_layers", [1, 2])
def test_all_windows(num_layers, backend, assert_close):
    layer = pyrnn.GRU(3, 4, num_layers, dtype="float64", seed=0)
    check(layer, random(MOST, N, 3), assert_close, ALL)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_windows_of_every_cell(make_any, num_layers, backend, assert_close):
    layer = make_any(3, 4, num_layers, dtype="float64", seed=0)
    check(layer, random(5, N, 3), assert_close, SOME, num_layers)


def test_windows_over_indices(backend, assert_close):
    layer = pyrnn.LSTM(3, 4, 2, dtype="float64", seed=0)
    check(layer, np.random.default_rng(0).integers(0, 3, (6, N)), assert_close, SOME)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("windows", [(1, 4), (7, 7), (5, 12)])
def test_equal_bits_over_threads_and_batches(make_layer, dtype, windows, backend):
    layer = make_layer(3, 40, 2, dtype=dtype, seed=0)
    lengths = np.array([0, 37, 60, 1, 60, 22, 59])
    x = random(60, 7, 3).astype(dtype)
    dy = random(60, 7, 40, seed=1).astype(dtype)
    found = []
    before = pyrnn.get_num_threads()
    try:
        for count in (1, 2, 4):
            pyrnn.set_num_threads(count)
            found.append(layer.backward_truncated(layer.forward(x, None, lengths)[2], dy, *windows))
    finally:
        pyrnn.set_num_threads(before)
    for dx, grads in found[1:]:
        assert np.array_equal(dx, found[0][0])
        assert all(np.array_equal(grads[name], found[0][1][name]) for name in grads)
    for n, length in enumerate(lengths.tolist()):
        assert not found[0][0][length:, n].any()
        if length and backend == "native":
            _, _, cache = layer.forward(x[:length, n : n + 1])
            dx, _ = layer.backward_truncated(cache, dy[:length, n : n + 1], *windows)
            assert np.array_equal(found[0][0][:length, n : n + 1], dx)


def test_dropout_and_checkpoints(make_layer, backend, assert_close):
    """Both layers' own windows, with the mask of the forward; checkpoints change nothing."""
    results = []
    x, dy, lengths = random(7, 3, 3), random(7, 3, 4, seed=1), [7, 2, 5]
    for options in ({}, {"checkpoint": 2}):
        layer = make_layer(3, 4, 2, dropout=0.5, input_dropout=0.3, dtype="float64", seed=0)
        _, _, cache = layer.forward(x, None, lengths, **options)
        results.append(layer.backward_truncated(cache, dy, 2, 3))
    assert_close(results[1], results[0], 1e-13)
    layer = make_layer(3, 4, 2, dropout=0.5, input_dropout=0.3, dtype="float64", seed=0)
    _, _, cache = layer.forward(x, None, lengths)
    whole, _, grads = layer.backward(cache, dy)
    layer = make_layer(3, 4, 2, dropout=0.5, input_dropout=0.3, dtype="float64", seed=0)
    _, _, cache = layer.forward(x, None, lengths)
    assert_close(layer.backward_truncated(cache, dy, 7, 7), (whole, grads), 1e-13)
