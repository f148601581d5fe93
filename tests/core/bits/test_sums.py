"""Sums over many rows are accurate, and made of the same blocks however they are computed.

`docs/numerics.md` has the table of which these are the rows.
"""

import numpy as np
import pytest

import pyrnn

ROWS = [4_000, pytest.param(640_000, marks=pytest.mark.long),
        pytest.param(4_000_000, marks=pytest.mark.long)]  # fmt: skip
KINDS = ("zero-mean", "positive", "equal")
BOUND = 1e-5


def numbers(generator, kind, *shape):
    """Rows of numbers of a kind: (..., rows, columns)."""
    if kind == "equal":
        return np.repeat(generator.standard_normal(shape[1:]).astype("float32")[None], shape[0], 0)
    drawn = generator.standard_normal(shape).astype("float32")
    return abs(drawn) if kind == "positive" else drawn


def error(found, exact):
    return abs(found - exact).max() / abs(exact).max()


def exact_sums(dy, x):
    """Those of a linear layer, in float64, a part of the rows at a time."""
    weight, bias = 0, 0
    for first in range(0, len(x), 100_000):
        rows = slice(first, first + 100_000)
        weight = weight + dy[rows].T.astype("float64") @ x[rows].astype("float64")
        bias = bias + dy[rows].sum(axis=0, dtype="float64")
    return weight, bias


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("sizes", [(3, 2), (20, 19)], ids=str)
def test_linear(sizes, rows, kind, backend):
    generator = np.random.default_rng(0)
    layer = pyrnn.Linear(*sizes, seed=0)
    x, dy = (numbers(generator, kind, rows, size) for size in sizes)
    with pyrnn.use_backend(backend):
        cache = layer.forward(x)[-1]
        grads = layer.backward(cache, dy)[2]
    weight, bias = exact_sums(dy, x)
    assert error(grads["weight"], weight) < BOUND
    assert error(grads["bias"], bias) < BOUND


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", ROWS[:2])
def test_embedding(rows, kind, backend):
    generator = np.random.default_rng(0)
    layer = pyrnn.Embedding(3, 5, seed=0)
    indices = generator.choice(3, rows, p=[0.01, 0.09, 0.9])
    dy = numbers(generator, kind, rows, 5)
    with pyrnn.use_backend(backend):
        cache = layer.forward(indices)[-1]
        grads = layer.backward(cache, dy)[2]
    exact = np.stack([dy[indices == index].sum(axis=0, dtype="float64") for index in range(3)])
    assert error(grads["weight"], exact) < BOUND


def differentiate(layer, x, dy, checkpoint=None):
    cache = layer.forward(x, checkpoint=checkpoint)[-1]
    return layer.backward(cache, dy)[2]


def in_float64(layer, make, *sizes, **options):
    """The same layer, which computes in float64."""
    wide = make(*sizes, dtype="float64", **options)
    for name, array in layer.parameters.items():
        wide.parameters[name][...] = array
    return wide


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize(
    ("make", "sizes", "steps", "options"),
    [
        (pyrnn.GRU, (8, 64), 2_000, {}),
        (pyrnn.LSTM, (3, 4), 4_000, {"peephole": True}),
        (pyrnn.LSTM, (3, 20), 4_000, {"proj_size": 5}),
        (pyrnn.GRU, (3, 4), 4_000, {"reset_after": False}),
        pytest.param(pyrnn.RNN, (3, 4), 1_000_000, {}, marks=pytest.mark.long),
        pytest.param(pyrnn.LSTM, (3, 4), 1_000_000, {"peephole": True}, marks=pytest.mark.long),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_steady_input(make, sizes, steps, options, backend):
    """The same x and the same dy at every step: all rows but the first ones are equal."""
    if backend == "reference" and steps > 2_000:
        steps = 2_000
    generator = np.random.default_rng(0)
    layer = make(*sizes, seed=0, **options)
    x = numbers(generator, "equal", steps, 1, sizes[0])
    dy = numbers(generator, "equal", steps, 1, options.get("proj_size", sizes[1]))
    with pyrnn.use_backend(backend):
        grads = differentiate(layer, x, dy)
    wide = in_float64(layer, make, *sizes, **options)
    exact = differentiate(wide, x.astype("float64"), dy.astype("float64"))
    for name, grad in grads.items():
        assert error(grad, exact[name]) < BOUND, name


def test_one_hot_input():
    generator = np.random.default_rng(0)
    layer = pyrnn.RNN(3, 5, seed=0)
    x = generator.choice(3, (4_000, 1), p=[0.01, 0.09, 0.9])
    dy = numbers(generator, "positive", 4_000, 1, 5)
    grads = differentiate(layer, x, dy)
    exact = differentiate(in_float64(layer, pyrnn.RNN, 3, 5), x, dy.astype("float64"))
    for name, grad in grads.items():
        assert error(grad, exact[name]) < BOUND, name


# Steps of 1, of some and of more rows than a block; sums in several bands; lengths that differ.
@pytest.mark.parametrize("batch", [1, 7, 20, 70, 300])
@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("as_indices", [False, True])
@pytest.mark.parametrize("options", [{}, {"peephole": True}, {"proj_size": 3}], ids=str)
def test_bits_of_gradients(batch, with_lengths, as_indices, options, same_bits, num_threads):
    steps = 1 + 1_500 // batch
    generator = np.random.default_rng(batch)
    layer = pyrnn.LSTM(5, 9, seed=0, **options)
    x = generator.standard_normal((steps, batch, 5)).astype("float32")
    if as_indices:
        x = generator.integers(0, 5, (steps, batch))
    dy = generator.standard_normal((steps, batch, options.get("proj_size", 9))).astype("float32")
    lengths = generator.integers(1, steps + 1, batch) if with_lengths else None

    def truncated():
        cache = layer.forward(x, None, lengths)[-1]
        return layer.backward_truncated(cache, dy, 3, 5)

    def gradients(checkpoint=None):
        cache = layer.forward(x, None, lengths, checkpoint=checkpoint)[-1]
        return layer.backward(cache, dy)

    expected, expected_truncated = gradients(), truncated()
    for threads in (1, 2, 3, 4):
        with num_threads(threads):
            same_bits(truncated(), expected_truncated)
            for checkpoint in (None, 1 + steps // 5, 1 + steps // 3):
                same_bits(gradients(checkpoint), expected)


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("rows", [1, 3, 40, 300])
def test_large_bias(rows, backend):
    """The bias comes last: no multiply-add is rounded at its magnitude."""
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    layer = pyrnn.Linear(256, 70, seed=0)
    layer.parameters["bias"][...] = 100
    x = generator.standard_normal((rows, 256)).astype("float32")
    weight, bias = (layer.parameters[name] for name in ("weight", "bias"))
    exact = x.astype("float64") @ weight.T.astype("float64") + bias
    with pyrnn.use_backend(backend):
        found = layer(x)
    other = torch.nn.functional.linear(*(torch.from_numpy(a) for a in (x, weight, bias))).numpy()
    assert abs(found - exact).max() <= 2 * abs(other - exact).max()


@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("sizes", [(256, 30), (20, 256)], ids=str)
def test_large_bias_of_a_recurrent_layer(rows, sizes):
    generator = np.random.default_rng(0)
    layer = pyrnn.RNN(*sizes, nonlinearity="relu", seed=0)
    layer.parameters["bias_ih_l0"][...] = 100
    x = generator.standard_normal((1, rows, sizes[0])).astype("float32")
    h = generator.standard_normal((1, rows, sizes[1])).astype("float32")
    weight_ih, weight_hh = (layer.parameters[f"weight_{side}_l0"] for side in ("ih", "hh"))
    exact = x[0].astype("float64") @ weight_ih.T.astype("float64")
    exact += h[0].astype("float64") @ weight_hh.T.astype("float64")
    exact += layer.parameters["bias_ih_l0"].astype("float64") + layer.parameters["bias_hh_l0"]
    y, _ = layer(x, h)
    # Half a unit in the last place of 100 is rounded once, and the two biases' sum.
    assert abs(y[0] - exact).max() < 2.5 * 2**-18
