"""Large arrays are worked on in pieces, with the bits of NumPy's work on the whole arrays."""

import tracemalloc

import numpy as np
import pytest

import pyrnn
from pyrnn import _pieces, losses


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def some_rows(rng, array):
    first = 0
    while first < len(array):
        count = int(rng.integers(1, 1 + len(array) // 3 + 1))
        yield array[first : first + count]
        first += count


def mixed(rng, *shape):
    """Numbers of such different sizes that each order of additions gives other bits."""
    return rng.standard_normal(shape) * 10.0 ** rng.integers(-9, 9, shape)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 129, 1000, 8191, 8192, 8193, 16385, 30_007, 100_001])
def test_a_sum_by_pairs_is_that_of_numpy(rng, count):
    numbers = mixed(rng, count)
    sums = _pieces.PairwiseSum(count)
    for some in some_rows(rng, numbers):
        sums.add(some)
    assert sums.value() == numbers.sum()


@pytest.mark.parametrize(
    "shape", [(0, 3), (1, 1), (7, 1), (30_000, 1), (5, 3), (20_000, 2), (300, 7, 5), (3000, 1, 1)]
)
def test_sums_of_columns_are_those_of_numpy(rng, shape):
    rows = mixed(rng, *shape)
    sums = _pieces.ColumnSums(len(rows), shape[1:])
    for some in some_rows(rng, rows):
        sums.add(some)
    assert np.array_equal(sums.value(), rows.sum(axis=0))


@pytest.mark.parametrize("shape", [(), (0,), (5,), (100,), (9, 7), (3, 5, 7), (2, 100, 3), (50, 1)])
def test_pieces_cover_an_array_once_and_in_order(rng, shape, monkeypatch):
    monkeypatch.setattr(_pieces, "PIECE", 16)
    numbers = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    boxes = [numbers[box].ravel() for box in _pieces.boxes(shape)]
    assert np.array_equal(np.concatenate([*boxes, []]), numbers.ravel())
    assert all(box.size <= 16 for box in boxes)
    rows = numbers.reshape(-1, shape[-1] if shape else 1) if numbers.size else numbers.reshape(0, 1)
    blocks = [rows[block].ravel() for block in _pieces.blocks(*rows.shape)]
    assert np.array_equal(np.concatenate([*blocks, []]), numbers.ravel())
    assert all(block.size <= 16 for block in blocks)
    x, y = rng.standard_normal((2, *shape))
    for a in (x, x.T, np.flip(x)):
        assert np.array_equal(_pieces.mapped(np.add, a, a), a + a)
        copy = _pieces.copied(a, np.float32)
        assert np.array_equal(copy, a.astype("f"))
        assert copy.flags.c_contiguous
        assert not np.may_share_memory(copy, a)
    if shape:
        assert np.array_equal(_pieces.beside(x, y), np.concatenate([x, y], axis=-1))
    one, other = np.random.default_rng(1), np.random.default_rng(1)
    assert np.array_equal(_pieces.drawn(one.random, shape, x.dtype), other.random(shape))


SHAPE = 500, 40, 50


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape or SHAPE, np.float32)


def loss(function, targets=None, **options):
    def make():
        y = numbers()
        t = numbers() if targets is None else targets()
        return lambda: function(y, t, **options)

    return make


def classes():
    return np.random.default_rng(0).integers(0, SHAPE[-1], SHAPE[:-1])


def flags():
    return (numbers() > 0).astype(np.float32)


def forward(make):
    def prepared():
        layer, x = make(), numbers()
        return lambda: layer.forward(x)

    return prepared


def backward(make):
    def prepared():
        layer = make()
        y, _, cache = layer.forward(numbers())
        dy = numbers(*y.shape)
        return lambda: layer.backward(cache, dy)

    return prepared


def of_numbers(function):
    def prepared():
        x = numbers()
        return lambda: function(x)

    return prepared


LENGTHS = np.arange(SHAPE[1]) + SHAPE[0] - SHAPE[1]


def packed():
    sequences = pyrnn.pack_padded_sequence(numbers(), LENGTHS)
    return lambda: pyrnn.pad_packed_sequence(sequences)


LAYERS = {
    "LayerNorm": lambda: pyrnn.LayerNorm(SHAPE[-1]),
    "BatchNorm1d": lambda: pyrnn.BatchNorm1d(SHAPE[-1]),
    "BatchNorm1d, eval": lambda: pyrnn.BatchNorm1d(SHAPE[-1]).eval(),
    "InstanceNorm1d": lambda: pyrnn.InstanceNorm1d(SHAPE[-1], affine=True),
    "InstanceNorm1d, batch first": lambda: pyrnn.InstanceNorm1d(SHAPE[-1], batch_first=True),
    "MaxPool1d": lambda: pyrnn.MaxPool1d(3, stride=1),
    "Softmax": pyrnn.Softmax,
    "Dropout": lambda: pyrnn.Dropout(seed=0),
    "Activation": lambda: pyrnn.Activation("tanh"),
}
CALLS = {
    "mse_loss": loss(losses.mse_loss),
    "mse_loss, lengths": loss(losses.mse_loss, lengths=LENGTHS),
    "mse_loss, none": loss(losses.mse_loss, reduction="none"),
    "l1_loss": loss(losses.l1_loss),
    "huber_loss": loss(losses.huber_loss),
    "quantile_loss": loss(losses.quantile_loss, quantiles=0.3),
    "gaussian_nll_loss": loss(losses.gaussian_nll_loss, lambda: numbers(*SHAPE[:-1], 25)),
    "binary_cross_entropy": loss(losses.binary_cross_entropy_with_logits, flags),
    "cross_entropy": loss(losses.cross_entropy, classes),
    "cross_entropy, smoothed": loss(losses.cross_entropy, classes, label_smoothing=0.1),
    "cross_entropy, weights": loss(losses.cross_entropy, classes, weight=np.arange(50.0)),
    **{f"{name}, forward": forward(make) for name, make in LAYERS.items()},
    **{f"{name}, backward": backward(make) for name, make in LAYERS.items()},
    "pad_packed_sequence": packed,
    "pad_sequence": of_numbers(lambda x: pyrnn.pad_sequence([x[:, n] for n in range(40)])),
    "pack_padded_sequence": of_numbers(lambda x: pyrnn.pack_padded_sequence(x, LENGTHS)),
    "unpad_sequence": of_numbers(lambda x: pyrnn.unpad_sequence(x, LENGTHS)),
    "first values": lambda: lambda: pyrnn.Linear(1000, 1000, seed=0),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_call_makes_large_arrays_on_the_way(name, monkeypatch):
    """An operation on a whole array would not see a signal before it ends."""
    monkeypatch.setattr(_pieces, "PIECE", 4096)
    call = CALLS[name]()
    tracemalloc.start()
    result = call()
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result is not None
    assert peak - kept < 2.2 * np.prod(SHAPE)  # bytes: flags, say, or small integers, but no floats


def test_a_dense_array_is_not_copied():
    array = np.zeros((3, 2, 2))
    assert _pieces.dense(array) is array
    assert _pieces.dense(array[:, :, :1]).flags.c_contiguous


def test_nothing_is_pooled_of_no_channels():
    layer = pyrnn.MaxPool1d(2)
    for shape in ((4, 0), (4, 3, 0), (4, 0, 3)):
        y, _, cache = layer.forward(np.zeros(shape, "f"))
        assert y.shape == (2, *shape[1:])
        assert layer.backward(cache, y)[0].shape == shape


@pytest.mark.parametrize("kind", [pyrnn.RNN, pyrnn.LSTM, pyrnn.GRU, pyrnn.MinGRU])
def test_one_mask_for_all_steps_of_many_numbers(kind):
    """The mask of a sequence's input has no axis of time."""
    layer = kind(40, 4, input_dropout=0.5, seed=0)
    x = np.ones((30, 20, 40), np.float32)
    assert x.size > _pieces.PIECE
    y, _, cache = layer.forward(x)
    dx = layer.backward(cache, np.ones_like(y))[0]
    dropped = dx == 0
    assert 0.4 < dropped.mean() < 0.6
    assert (dropped == dropped[0]).all()


def test_rows_are_moved(rng, monkeypatch):
    monkeypatch.setattr(_pieces, "PIECE", 16)
    source = rng.standard_normal((9, 7, 3))
    of, to = ([rng.permutation(n)[:5] for n in (9, 7)] for _ in range(2))
    expected = np.zeros((9, 7, 3))
    got = expected.copy()
    expected[tuple(to)] = source[tuple(of)]
    _pieces.move(source, of, got, to)
    assert np.array_equal(got, expected)
    some = rng.permutation(9)[:4]
    assert np.array_equal(_pieces.taken(source, some), source[some])
    expected[some] = source[:4]
    _pieces.move(source[:4], (), got, (some,))
    assert np.array_equal(got, expected)
    none = np.zeros(0, np.intp)
    assert _pieces.taken(source, none).shape == (0, 7, 3)


@pytest.mark.parametrize("order", ["C", "F"])
def test_zeros_lie_as_their_model(order):
    like = np.ones((3, 4), "float32", order)
    zeros = _pieces.zeros(like)
    assert zeros.dtype == like.dtype
    assert zeros.strides == like.strides
    assert not zeros.any()
