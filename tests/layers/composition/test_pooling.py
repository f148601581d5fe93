"""One output for a whole sequence: which steps it is made of, its gradient, lengths."""

import numpy as np
import pytest

import pyrnn

KINDS = [pyrnn.LastStep, pyrnn.MeanOverTime]
EACH = pytest.mark.parametrize("kind", KINDS)


def random(*shape, dtype="float64"):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("batch_first", [False, True])
def test_the_last_step_within_each_length(batch_first):
    x = random(5, 3, 2)
    given = x.swapaxes(0, 1) if batch_first else x
    layer = pyrnn.LastStep(batch_first)
    assert np.array_equal(layer(given), x[4])
    y = layer(given, lengths=[5, 1, 3])
    assert np.array_equal(y, np.stack([x[4, 0], x[0, 1], x[2, 2]]))
    assert np.array_equal(layer(given[:, 0] if not batch_first else given[0]), x[4, 0])


@pytest.mark.parametrize("batch_first", [False, True])
def test_the_mean_over_each_length(batch_first):
    x = random(5, 3, 2)
    x[1:, 1] = np.nan  # past its length
    given = x.swapaxes(0, 1) if batch_first else x
    y = pyrnn.MeanOverTime(batch_first)(given, lengths=[5, 1, 3])
    expected = np.stack([x[:5, 0].mean(axis=0), x[0, 1], x[:3, 2].mean(axis=0)])
    np.testing.assert_allclose(y, expected, rtol=1e-14)


def test_both_directions_end_where_they_have_seen_everything(backend):
    """As the final states of a bidirectional layer."""
    layer = pyrnn.GRU(2, 3, bidirectional=True, dtype="float64", seed=0)
    lengths = [4, 2, 3]
    y, state = layer(random(4, 3, 2), lengths=lengths)
    last = pyrnn.LastStep(bidirectional=True)(y, lengths=lengths)
    assert np.array_equal(last, np.concatenate([state[0], state[1]], axis=1))
    with pytest.raises(ValueError, match="x: expected an even number of features, of two direc"):
        pyrnn.LastStep(bidirectional=True)(np.ones((2, 1, 3)))


def test_reversed_layers_end_at_the_first_step(backend):
    layer = pyrnn.LastStep(reverse=True)
    x = random(4, 3, 2)
    assert np.array_equal(layer(x, lengths=[4, 2, 3]), x[0])
    assert pyrnn.gradcheck(layer, x, lengths=[4, 2, 3])
    with pytest.raises(ValueError, match="reverse: expected False for the output of a bidirec"):
        pyrnn.LastStep(bidirectional=True, reverse=True)


MASK = np.array([[0, 1, 1], [1, 0, 1], [1, 0, 1], [0, 0, 1]], bool)


@pytest.mark.parametrize("batch_first", [False, True])
def test_masked_steps_do_not_count(batch_first):
    x = random(4, 3, 2)
    given, mask = (x.swapaxes(0, 1), MASK.T) if batch_first else (x, MASK)
    ends = pyrnn.LastStep(batch_first)(given, mask=mask)
    assert np.array_equal(ends, np.stack([x[2, 0], x[0, 1], x[3, 2]]))
    starts = pyrnn.LastStep(batch_first, reverse=True)(given, mask=mask)
    assert np.array_equal(starts, np.stack([x[1, 0], x[0, 1], x[0, 2]]))
    both = pyrnn.LastStep(batch_first, bidirectional=True)(given, mask=mask, lengths=[2, 4, 3])
    assert np.array_equal(both[:, 0], [x[1, 0, 0], x[0, 1, 0], x[2, 2, 0]])
    assert np.array_equal(both[:, 1], [x[1, 0, 1], x[0, 1, 1], x[0, 2, 1]])
    mean = pyrnn.MeanOverTime(batch_first)(given, mask=mask)
    expected = np.stack([x[1:3, 0].mean(axis=0), x[0, 1], x[:, 2].mean(axis=0)])
    np.testing.assert_allclose(mean, expected, rtol=1e-14)


@EACH
def test_gradients_with_a_mask(kind):
    x, dy = random(4, 3, 2), random(3, 2)
    layer = kind()
    y, _, cache = layer.forward(x, mask=MASK)
    dx, _, _ = layer.backward(cache, dy)
    # Both are linear: the gradient is the transposed map.
    assert np.isclose(np.sum(dx * x), np.sum(dy * y), rtol=1e-13)
    assert not dx[~MASK].any()


def test_a_mask_that_leaves_nothing():
    with pytest.raises(ValueError, match=r"mask: expected at least one time step .* sequence 1"):
        pyrnn.LastStep()(random(2, 2, 1), mask=np.array([[True, False], [True, False]]))


@EACH
@pytest.mark.parametrize("options", [{}, {"batch_first": True}])
@pytest.mark.parametrize("lengths", [None, [1, 3, 2]])
def test_gradients_agree_with_finite_differences(kind, options, lengths, backend):
    x = random(3, 3, 4)
    report = pyrnn.gradcheck(kind(**options), x, lengths=lengths)
    assert report, str(report)
    assert pyrnn.gradcheck(kind(), x[:, 0])


def test_gradients_of_both_directions(backend):
    layer = pyrnn.LastStep(bidirectional=True)
    assert pyrnn.gradcheck(layer, random(3, 2, 4), lengths=[3, 1])


@EACH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sequence_does_not_depend_on_its_batch(kind, dtype):
    x, lengths = random(7, 5, 3, dtype=dtype), np.array([7, 2, 5, 1, 6])
    y, _, cache = kind().forward(x, lengths=lengths)
    dx, _, grads = kind_backward(kind, x, lengths, y)
    assert (y.dtype, dx.dtype, grads) == (x.dtype, x.dtype, {})
    for row, length in enumerate(lengths):
        alone = x[:length, row : row + 1]
        assert np.array_equal(kind()(alone)[0], y[row])
        assert np.array_equal(kind_backward(kind, alone, None, y[row : row + 1])[0][:, 0],
                              dx[:length, row])  # fmt: skip
        assert not dx[length:, row].any()
    assert cache.lengths.tolist() == lengths.tolist()


def kind_backward(kind, x, lengths, dy):
    layer = kind()
    _, _, cache = layer.forward(x, lengths=lengths)
    return layer.backward(cache, dy)


@EACH
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda layer: layer(np.ones(3)), ValueError, r"x: expected shape \(T, N, features\) or"),
        (lambda layer: layer(np.ones((0, 2, 3))), ValueError, "not empty, got"),
        (lambda layer: layer(np.ones((2, 2), int)), TypeError, "x: expected float32 or float64"),
        (lambda layer: layer(np.ones((2, 2, 1)), lengths=[3, 1]), ValueError, r"in \[1, 2\]"),
        (lambda layer: layer.forward(np.ones((2, 2)), 1), TypeError, "state: expected None"),
    ],
)
def test_what_is_refused(kind, call, error, words):
    with pytest.raises(error, match=words):
        call(kind())


@EACH
def test_a_refused_backward_leaves_its_cache_usable(kind):
    layer = kind()
    _, _, cache = layer.forward(np.ones((3, 2, 4)))
    for dy, words in ((np.ones((3, 4)), r"dy: expected shape \(2, 4\)"), (None, "dy: expected f")):
        with pytest.raises((TypeError, ValueError), match=words):
            layer.backward(cache, dy)
    layer.backward(cache, np.ones((2, 4)))
    with pytest.raises(ValueError, match="cache: it was used"):
        layer.backward(cache, np.ones((2, 4)))


def test_repr():
    assert repr(pyrnn.LastStep()) == "LastStep()"
    assert repr(pyrnn.LastStep(True, True)) == "LastStep(batch_first=True, bidirectional=True)"
