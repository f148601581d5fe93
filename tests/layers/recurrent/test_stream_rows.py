"""Some streams advance, the others stay; a single stream without its axis."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn

SOME = [
    ([2], [2]),
    ([4, 0, 3], [4, 0, 3]),
    ([True, False, False, True, True], [0, 3, 4]),
    (range(5), [0, 1, 2, 3, 4]),
    ([], []),
    (1, [1]),
]


def random(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize(("rows", "numbers"), SOME, ids=str)
def test_some_rows_have_the_bits_of_all(make_any, rows, numbers, backend, assert_close):
    layer = make_any(3, 7, 2, seed=0).eval()
    stream, whole = layer.stream(5), layer.stream(5)
    for x_t in random(2, 5, 3):
        stream.step(x_t)
        whole.step(x_t)
    before = parts(stream.state)
    x = random(5, 3, seed=1)
    y = stream.step(x[numbers], rows=rows)
    expected = whole.step(x)[numbers]
    others = [n for n in range(5) if n not in numbers]
    # NumPy's products may differ with the number of rows; the core's may not.
    check = np.testing.assert_array_equal
    if backend == "reference":
        check = lambda one, other: np.testing.assert_allclose(one, other, atol=2e-6)  # noqa: E731
    check(y, expected)
    for got, after, old in zip(parts(stream.state), parts(whole.state), before, strict=True):
        check(got[:, numbers], after[:, numbers])
        assert got[:, others].tobytes() == old[:, others].tobytes()


def test_clients_that_come_in_any_order(make_layer, backend, assert_close):
    """Each has the outputs of its own sequence; of the core, to the bit."""
    layer = make_layer(3, 5, seed=0).eval()
    stream, x = layer.stream(4), random(12, 4, 3)
    counts = np.zeros(4, int)
    got = [[] for _ in range(4)]
    generator = np.random.default_rng(3)
    for _ in range(10):
        rows = generator.permutation(4)[: generator.integers(1, 5)]
        y = stream.step(x[counts[rows], rows], rows=rows)
        for row, output in zip(rows, y, strict=True):
            got[row].append(output)
        counts[rows] += 1
    for row, outputs in enumerate(got):
        expected, _ = layer(x[: counts[row], row])
        assert_close(np.stack(outputs), expected, 0 if backend == "native" else 1e-6)


def test_out_indices_copies_and_pickles(make_layer, backend):
    layer = make_layer(3, 5, seed=0)
    stream = layer.stream(4)
    out = np.empty((2, 5), np.float32)
    assert stream.step(np.array([2, 0]), out, rows=[3, 1]) is out
    for other in (copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))):
        assert np.array_equal(other.step(np.array([1]), rows=[3]), stream_step(stream, 1, 3))
    for count in range(1, 5):  # more numbers of rows than engines are kept for
        stream.step(np.zeros(count, int), rows=range(count))


def stream_step(stream, index, row):
    """The next output of one of the streams, which stays where it is."""
    return copy.deepcopy(stream).step(np.array([index]), rows=[row])


def test_a_sequence_of_layers(backend):
    model = pyrnn.Sequential(
        pyrnn.GRU(3, 4, seed=0), pyrnn.Linear(4, 2, seed=1), pyrnn.LSTM(2, 3, seed=2)
    ).eval()
    stream, whole = model.stream(3), model.stream(3)
    x = random(3, 3)
    y = stream.step(x[[2, 0]], rows=[2, 0])
    np.testing.assert_allclose(y, whole.step(x)[[2, 0]], atol=1e-6)
    for part in stream.state:
        assert not part[:, 1].any()
    with pytest.raises(ValueError, match=r"x_t: expected shape \(1, ...\), got \(2, 3\)"):
        stream.step(x[:2], rows=[1])


def test_convolutions_among_them(backend):
    model = pyrnn.Sequential(
        pyrnn.Conv1d(3, 4, kernel_size=3, padding="causal", seed=0), pyrnn.GRU(4, 2, seed=1)
    ).eval()
    stream, x = model.stream(3), random(4, 3, 3)
    orders = ([0, 1, 2], [2, 0], [1], [0, 1, 2])
    counts, got = np.zeros(3, int), [[], [], []]
    for rows in orders:
        for row, y in zip(rows, stream.step(x[counts[rows], rows], rows=rows), strict=True):
            got[row].append(y)
        counts[rows] += 1
    whole, _ = model(x)
    for row, outputs in enumerate(got):
        np.testing.assert_allclose(np.stack(outputs), whole[: counts[row], row], atol=2e-6)


@pytest.mark.parametrize(
    ("x", "rows", "error", "message"),
    [
        (random(2, 3), [1, 1], ValueError, r"rows: expected different indices, got \[1, 1\]"),
        (random(1, 3), [4], ValueError, r"rows: expected indices in \[0, 4\), got 4"),
        (random(1, 3), [0.5], TypeError, "rows: expected indices or a mask, got dtype float64"),
        (random(4, 3), [0, 1], ValueError, r"x_t: expected shape \(2, 3\), got \(4, 3\)"),
        (random(1, 3), [], ValueError, r"x_t: expected shape \(0, 3\), got \(1, 3\)"),
        (random(1, 3), [True, False], ValueError, r"rows: expected a mask of shape \(4,\)"),
    ],
    ids=str,
)
def test_what_is_refused_changes_nothing(x, rows, error, message, backend):
    stream = pyrnn.GRU(3, 4, seed=0).stream(4)
    stream.step(random(4, 3))
    before = stream.state
    with pytest.raises(error, match=message):
        stream.step(x, rows=rows)
    assert np.array_equal(stream.state, before)


def test_a_single_stream_takes_a_vector(make_layer, backend):
    layer = make_layer(3, 5, seed=0)
    stream, other = layer.stream(), layer.stream()
    x = random(3)
    assert np.array_equal(stream.step(x), other.step(x[None]))
    with pytest.raises(ValueError, match=r"x_t: expected shape \(1, 3\), got \(1, 4\)"):
        stream.step(random(4))
