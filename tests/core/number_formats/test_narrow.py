"""Weights of 16 bits: to the bit what float32 gives with the rounded weights."""

import numpy as np
import pytest

import pyrnn
from pyrnn._number_formats import narrow
from tests.core.number_formats.cells import CELLS, drawn
from tests.number_formats.rounded import rounded_all

FORMATS = ["bfloat16", "float16"]
# (T, N, I, H): one row, tiles of rows, units that fill no vector, several panels at once
SIZES = [(5, 1, 3, 7), (4, 3, 33, 40), (3, 17, 5, 70), (3, 1, 20, 300)]


def rounded_twin(layer, weights):
    """The same layer in float32, with rounded weights."""
    twin = type(layer).from_config(layer.config())
    twin.load_state_dict(rounded_all(weights, layer.state_dict()))
    return twin.eval()


@pytest.mark.kernels
@pytest.mark.parametrize("weights", FORMATS)
@pytest.mark.parametrize("cell", CELLS)
def test_bits_are_those_of_rounded_weights(cell, weights, same_bits):
    for T, N, features, H in SIZES:
        layer = CELLS[cell](features, H, 2, seed=1).eval(weights=weights)
        twin, x = rounded_twin(layer, weights), drawn(T, N, features)
        same_bits(layer(x), twin(x))
        y, state, cache = layer.forward(x)
        expected_y, _, expected = twin.forward(x)
        same_bits(y, expected_y)
        dy = drawn(*y.shape)
        same_bits(layer.backward(cache, dy, state), twin.backward(expected, dy, state))


@pytest.mark.kernels
@pytest.mark.parametrize("weights", FORMATS)
@pytest.mark.parametrize("cell", CELLS)
def test_indices_lengths_and_streams(cell, weights, same_bits):
    indices = np.random.default_rng(3).integers(0, 9, (6, 3))
    layer = CELLS[cell](9, 37, seed=1).eval(weights=weights)
    twin = rounded_twin(layer, weights)
    same_bits(layer(indices, lengths=[6, 2, 4]), twin(indices, lengths=[6, 2, 4]))
    y, _ = layer(indices)
    stream = layer.stream(3)
    same_bits([stream.step(x_t) for x_t in indices], list(y))
    same_bits(layer(indices[:, 1:2])[0], y[:, 1:2])  # a row alone


@pytest.mark.parametrize("weights", FORMATS)
@pytest.mark.parametrize("cell", ["lstm", "projected", "gru_reset_before", "gru_layer_norm"])
def test_threads_change_no_bit(cell, weights, same_bits, num_threads):
    for T, N, features, H in [(6, 1, 33, 300), (6, 40, 30, 128)]:
        layer, x = CELLS[cell](features, H, seed=1), drawn(T, N, features)
        results = []
        for threads in (1, 2, 3):
            with num_threads(threads):
                stream = layer.train().eval(weights=weights).stream(N)
                results.append([layer(x)[0], [stream.step(x_t) for x_t in x]])
        same_bits(results[1:], results[:1] * 2)
        same_bits(results[0][1], list(results[0][0]))


@pytest.mark.kernels
@pytest.mark.parametrize("weights", FORMATS)
def test_linear_and_embedding(weights, same_bits):
    for rows, features, outputs in [(1, 40, 3), (5, 300, 70), (200, 9, 37)]:
        layer = pyrnn.Linear(features, outputs, seed=1).eval(weights=weights)
        twin, x = rounded_twin(layer, weights), drawn(rows, features)
        same_bits(layer(x), twin(x))
        dy = drawn(rows, outputs)
        cache, expected = layer.forward(x)[2], twin.forward(x)[2]
        same_bits(layer.backward(cache, dy), twin.backward(expected, dy))
    table = pyrnn.Embedding(11, 5, seed=1).eval(weights=weights)
    indices = np.arange(11).reshape(11, 1)
    same_bits(table(indices), rounded_twin(table, weights)(indices))


@pytest.mark.kernels
@pytest.mark.parametrize("weights", FORMATS)
def test_every_number_is_read_exactly(weights):
    """All finite ones, as weights of one input: the product is the weight."""
    numbers = narrow.widened(weights, np.arange(1 << 16, dtype=np.uint16))
    numbers = numbers[np.isfinite(numbers)]
    normal = np.where(np.abs(numbers) < np.finfo(np.float32).tiny, 0, numbers)
    layer = pyrnn.Linear(1, numbers.size, bias=False)
    layer.parameters["weight"] = numbers[:, None]
    one = np.ones((1, 1), np.float32)
    assert np.array_equal(layer.eval(weights=weights)(one)[0], normal)
    assert np.array_equal(layer(np.repeat(one, 9, axis=0))[8], normal)


@pytest.mark.kernels
@pytest.mark.parametrize("weights", FORMATS)
def test_the_core_rounds_as_the_reference(weights):
    """Middles between neighbours, subnormal ones too; a NaN stays one."""
    low = narrow.widened(weights, np.arange(0x7BFF, dtype=np.uint16)).astype(np.float64)
    high = narrow.widened(weights, np.arange(1, 0x7C00, dtype=np.uint16))
    middle = ((low + high) / 2).astype(np.float32)
    around = [np.nextafter(middle, np.float32(0)), middle, np.nextafter(middle, np.float32(9e9))]
    numbers = np.concatenate([*around, -middle, [np.nan]]).astype(np.float32)
    expected = narrow.rounded(weights, numbers)
    expected = np.where(np.abs(expected) < np.finfo(np.float32).tiny, 0, expected)
    layer = pyrnn.Linear(1, numbers.size, bias=False)
    layer.parameters["weight"] = numbers[:, None]
    y = layer.eval(weights=weights)(np.ones((1, 1), np.float32))[0]
    assert np.array_equal(y, expected, equal_nan=True)
