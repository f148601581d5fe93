"""Products of bfloat16: the very bits of the reference, whatever the call looks like."""

import numpy as np
import pytest

import pyrnn
from pyrnn.backend import selection
from tests.core.number_formats.cells import CELLS, drawn

# (rows, in, out): one of each; ends within a pair, a block of k, a vector, a tile; many rows
PRODUCTS = [
    *[(1, 1, 1), (3, 5, 7), (1, 70, 33), (8, 64, 64), (40, 33, 65), (70, 100, 130), (33, 257, 20)],
    *[(129, 31, 3), (512, 20, 20), (6, 3, 260)],
]


def spoiled(array, seed):
    """Some numbers replaced: rounding up and down from halves, subnormal products and operands."""
    generator, array = np.random.default_rng(seed), array.copy()
    chosen = generator.random(array.shape) < 0.3
    numbers = [0, -0.0, 1e-39, -1e-20, 1e-25, 1 + 2**-8, 1 + 3 * 2**-8, -1e19, 2**-126]
    array[chosen] = generator.choice(numbers, chosen.sum()).astype(np.float32)
    return array


def products(x, weight, dy, bias):
    """Of both passes, of a weight that is packed on the way and before."""
    backend = selection.current()
    return {
        "y": backend.linear(x, weight, bias, None, "bfloat16"),
        "no bias": backend.linear(x, weight, None, None, "bfloat16"),
        "packed": backend.pack_linear(weight, bias, "full", "bfloat16")(x),
        "gradients": backend.linear_backward(x, weight, dy, "bfloat16")[:2],
    }


@pytest.mark.kernels
@pytest.mark.parametrize("spoils", [False, True], ids=["usual", "special"])
@pytest.mark.parametrize("sizes", PRODUCTS, ids=str)
def test_products_are_those_of_the_reference(sizes, spoils, same_bits):
    rows, features, outputs = sizes
    bias = drawn(outputs)
    arrays = [drawn(rows, features), drawn(outputs, features), drawn(rows, outputs)]
    if spoils and pyrnn.build_info()["isa"] == "baseline":
        pytest.skip("rounds products that are subnormal, or too large, before it adds them")
    if spoils:
        arrays = [spoiled(array, seed) for seed, array in enumerate(arrays)]
    got = products(*arrays, bias)
    with pyrnn.use_backend("reference"):
        expected = products(*arrays, bias)
    same_bits(got, expected)


@pytest.mark.kernels
def test_sums_over_more_rows_than_a_block(same_bits):
    x, dy, weight = drawn(9000, 6), drawn(9000, 20), drawn(20, 6)
    got = selection.current().linear_backward(x, weight, dy, "bfloat16")
    with pyrnn.use_backend("reference"):
        expected = selection.current().linear_backward(x, weight, dy, "bfloat16")
    same_bits(got[0], expected[0])
    assert np.allclose(got[1], expected[1], rtol=1e-5, atol=1e-4)
    # Of rows that add to nothing but the first block, the totals have their bits.
    dy[512:] = 0
    same_bits(
        selection.current().linear_backward(x, weight, dy, "bfloat16")[1],
        selection.current().linear_backward(x[:512], weight, dy[:512], "bfloat16")[1],
    )


def test_infinities_and_nan_stay_in_their_rows():
    x, weight = drawn(5, 40), drawn(7, 40)
    x[1, 3], x[2, 4], x[3, 0] = np.inf, np.nan, 3.4e38  # the last one rounds to an infinity
    y = selection.current().linear(x, weight, None, None, "bfloat16")
    assert np.array_equal(y[[1, 3]], np.copysign(np.inf, weight.T[[3, 0]]))
    assert np.isnan(y[2]).all()
    assert np.isfinite(y[[0, 4]]).all()


def step(layer, x, lengths=None, **options):
    """What a training step gives."""
    y, state, cache = layer.forward(x, None, lengths, **options)
    dx, dstate, gradients = layer.backward(cache, drawn(*y.shape, seed=5), state)
    return {"y": y, "state": state, "dx": dx, "dstate": dstate, **gradients}


@pytest.mark.kernels
@pytest.mark.parametrize("cell", CELLS)
def test_layers_are_near_the_reference(cell):
    """Where h differs in its last bit, it may round to another bfloat16, but seldom."""
    for T, N, features, H in [(6, 3, 5, 21), (4, 35, 40, 37)]:
        layer = CELLS[cell](features, H, seed=1)
        x = drawn(T, N, features)
        full = step(layer, x)
        got = step(layer.train(compute="bfloat16"), x)
        with pyrnn.use_backend("reference"):
            expected = step(layer, x)
        for name, array in expected.items():
            results = parts(got[name]), parts(array), parts(full[name])
            for one, other, exact in zip(*results, strict=True):
                rounding = np.abs(other - exact).mean()
                assert np.abs(one - other).mean() <= 0.1 * rounding + 1e-7, name
                assert rounding > 0, name


def parts(value):
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.kernels
@pytest.mark.parametrize("cell", CELLS)
def test_invariance(cell, same_bits, num_threads):
    """Batch, threads, chunks, checkpoints, streams, modes: the same bits."""
    layer = CELLS[cell](33, 40, 2, seed=1).train(compute="bfloat16")
    x, lengths = drawn(9, 34, 33), 1 + np.arange(34) % 9
    whole = step(layer, x)
    for threads in (2, 3):
        with num_threads(threads):
            same_bits(step(layer, x), whole)
            same_bits(step(layer, x, checkpoint=4), whole)
    y, state = layer(x[:4])
    same_bits(np.concatenate([y, layer(x[4:], state)[0]]), whole["y"])
    same_bits(layer(x[:, 5:7])[0], whole["y"][:, 5:7])
    same_bits(layer(x[:, :1])[0], whole["y"][:, :1])
    uneven = step(layer, x, lengths)
    with num_threads(2):
        same_bits(step(layer, x, lengths), uneven)
    for n in (3, 8):
        same_bits(uneven["y"][: lengths[n], n], whole["y"][: lengths[n], n])
    stream = layer.stream(34)
    same_bits(np.stack([stream.step(x_t) for x_t in x]), whole["y"])
    same_bits(layer.eval()(x)[0], whole["y"])
    same_bits(layer.eval(weights="bfloat16")(x)[0], whole["y"])
    same_bits(step(layer, x), whole)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "gru_reset_before"])
def test_windows(cell, same_bits, num_threads):
    """A window over all steps is the whole backward pass; threads change no bit of shorter ones."""
    layer = CELLS[cell](6, 20, 2, seed=1).train(compute="bfloat16")
    x = drawn(12, 35, 6)

    def truncated(k1, k2):
        y, _, cache = layer.forward(x)
        return layer.backward_truncated(cache, drawn(*y.shape), k1, k2)

    y, _, cache = layer.forward(x)
    dx, _, gradients = layer.backward(cache, drawn(*y.shape))
    got_dx, got = truncated(12, 12)
    assert np.allclose(got_dx, dx, rtol=1e-5, atol=1e-6)
    for name, array in gradients.items():
        assert np.allclose(got[name], array, rtol=1e-5, atol=1e-4)
    one = truncated(3, 6)
    with num_threads(2):
        same_bits(truncated(3, 6), one)


@pytest.mark.kernels
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_indices_are_one_hot_rows(cell, same_bits):
    layer = CELLS[cell](40, 37, seed=1).train(compute="bfloat16")
    layer.parameters["weight_ih_l0"][:, :8] *= np.float32(2.0**-130)
    indices = np.random.default_rng(3).integers(0, 40, (6, 5))
    one_hot = np.eye(40, dtype=np.float32)[indices]
    same_bits(layer(indices), layer(one_hot))
    got, expected = layer.forward(indices), layer.forward(one_hot)
    same_bits(got[:2], expected[:2])
    with pyrnn.use_backend("reference"):
        assert np.allclose(layer(indices)[0], got[0], atol=1e-3)


def test_float32_is_what_it_was(same_bits):
    layer, x = pyrnn.LSTM(7, 20, seed=1), drawn(5, 3, 7)
    before = step(layer, x)
    step(layer.train(compute="bfloat16"), x)
    same_bits(step(layer.train(compute="float32"), x), before)


def test_no_rows(backend):
    layer = pyrnn.Linear(3, 2, seed=0).train(compute="bfloat16")
    y, _, cache = layer.forward(np.zeros((0, 3), np.float32))
    dx, _, grads = layer.backward(cache, y)
    assert y.shape == (0, 2)
    assert dx.shape == (0, 3)
    assert not any(array.any() for array in grads.values())
