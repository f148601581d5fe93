"""Sizes that take every way through the products: whole panels and parts, one block and several.

Random sizes elsewhere are small. These are chosen by the limits that `isa/gemm` and `runtime` name.
"""

import numpy as np
import pytest

import pyrnn

# (T, N, I, H), and whether lengths differ.
WAYS = {
    "rows of pre-activations of whole pages": ((5, 9, 12, 128), False),
    "more rows than a block sums": ((40, 33, 20, 24), False),
    "the same, rows of steps not evenly apart": ((60, 33, 20, 24), True),
    "one step of more rows than a block sums": ((2, 519, 6, 20), False),
    "several panels of columns": ((7, 20, 330, 40), False),
    "the same, in several blocks of uneven rows": ((60, 30, 330, 20), True),
    "more pre-activations than are packed at a time": ((6, 11, 50, 140), False),
    "one sequence, its rows back in time": ((50, 1, 70, 40), False),
    "k in several parts, many rows": ((3, 70, 300, 260), False),
    "k in several parts, weights from beyond L2": ((3, 20, 1100, 180), False),
    "few rows a thread": ((30, 3, 150, 130), False),
    "columns that end within a vector": ((9, 8, 65, 100), False),
    "few inputs, several blocks": ((40, 33, 4, 24), False),
    "few inputs, rows of steps not evenly apart": ((60, 33, 2, 150), True),
    "one input": ((600, 1, 1, 40), False),
    "few units": ((40, 33, 20, 3), False),
    "few of both": ((60, 33, 1, 2), True),
}


@pytest.fixture(params=WAYS, ids=lambda name: name.replace(" ", "-"))
def step(request, make_layer):
    """A training step in float64, and what it gives: y, gradients."""
    (time_steps, batch_size, input_size, hidden_size), uneven = WAYS[request.param]
    layer = make_layer(input_size, hidden_size, dtype="float64", seed=1)
    generator = np.random.default_rng(2)
    x = generator.standard_normal((time_steps, batch_size, input_size))
    dy = generator.standard_normal((time_steps, batch_size, hidden_size))
    lengths = generator.integers(1, time_steps + 1, batch_size) if uneven else None
    shape = (1, batch_size, hidden_size)
    h0 = generator.standard_normal(shape)
    state = (h0, generator.standard_normal(shape)) if isinstance(layer, pyrnn.LSTM) else h0

    def compute():
        y, _, cache = layer.forward(x, state, lengths)
        dx, _, gradients = layer.backward(cache, dy)
        return {"y": y.copy(), "dx": dx, **gradients}

    return compute


@pytest.mark.kernels
def test_as_in_the_reference(step):
    got = step()
    with pyrnn.use_backend("reference"):
        expected = step()
    for name, array in expected.items():
        worst = np.abs(got[name] - array).max()
        assert worst <= 1e-12 * np.abs(array).max(), name


def test_bits_for_every_number_of_threads(step, same_bits, num_threads):
    with num_threads(1):
        expected = step()
    for count in (2, 3):
        with num_threads(count):
            same_bits(step(), expected)


@pytest.mark.parametrize("hidden_size", [64, 200])
@pytest.mark.parametrize("batch_size", [4, 5, 7, 8, 11])
def test_threads_keep_their_rows_in_a_last_stretch_of_any_length(
    num_threads, hidden_size, batch_size
):
    """Forward, no thread waits for another: the same rows must be its own in every stretch."""
    layer = pyrnn.LSTM(8, hidden_size, seed=0).eval()
    generator = np.random.default_rng(1)
    x = generator.standard_normal((120, batch_size, 8)).astype(np.float32)
    with num_threads(1):
        expected, _ = layer(x)
    for count in (2, 3, 4):
        with num_threads(count):
            for length in range(80, 120):
                assert np.array_equal(layer(x[:length])[0], expected[:length]), length
