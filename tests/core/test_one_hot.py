"""Layers over a vocabulary far larger than the text of a call: only columns in use are packed.

Where a layer is packed once, in eval mode, all columns are: the bits are the same.
"""

import numpy as np
import pytest

import pyrnn

VOCABULARY = 300
T, N, H = 9, 5, 20


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def layer_of(make_any, dtype, mode, **options):
    layer = make_any(VOCABULARY, H, dtype=dtype, seed=3, **options)
    return layer.train() if mode == "train" else layer.eval()


def indices():
    """Few, some of them twice, the first and the last of the vocabulary among them."""
    drawn = np.random.default_rng(0).choice([0, 7, 8, 150, VOCABULARY - 1], (T, N))
    drawn[0, :2] = 0, VOCABULARY - 1
    return drawn


def dy_of(y):
    return np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)


def differentiate(layer, x, lengths=None, checkpoint=None):
    y, state, cache = layer.forward(x, None, lengths, checkpoint=checkpoint)
    return y, state, *layer.backward(cache, dy_of(y))


@pytest.mark.parametrize("lengths", [None, np.array([3, 9, 1, 5, 9])], ids=["equal", "lengths"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("checkpoint", [None, 4])
def test_the_same_bits_as_all_columns(
    make_any, dtype, same_bits, lengths, bidirectional, num_layers, checkpoint
):
    options = {"bidirectional": bidirectional, "num_layers": num_layers}
    one, all_columns = (layer_of(make_any, dtype, mode, **options) for mode in ("train", "eval"))
    x = indices()
    same_bits(one(x, None, lengths), all_columns(x, None, lengths))
    same_bits(
        differentiate(one, x, lengths, checkpoint),
        differentiate(all_columns, x, lengths, checkpoint),
    )


def test_truncated(make_any, dtype, same_bits):
    results = []
    for mode in ("train", "eval"):
        layer = layer_of(make_any, dtype, mode, num_layers=2)
        y, _, cache = layer.forward(indices())
        results.append(layer.backward_truncated(cache, dy_of(y), 2, 4))
    same_bits(results[0], results[1])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_number_of_threads(same_bits, num_threads, threads):
    """So large a vocabulary that columns are chosen, and gradients written, by several."""
    x = np.random.default_rng(2).integers(5000, size=(30, 40))
    layer = pyrnn.LSTM(5000, 70, dtype="float32", seed=0)
    with num_threads(threads):
        got = differentiate(layer.train(), x)
    with num_threads(1):
        same_bits(got, differentiate(layer.eval(), x))


def test_gradients_of_columns_that_are_not_chosen_are_zero(make_any, dtype):
    layer = layer_of(make_any, dtype, "train")
    grads = differentiate(layer, indices())[-1]["weight_ih_l0"]
    chosen = np.isin(np.arange(VOCABULARY), indices())
    assert grads[:, chosen].any(axis=0).all()
    assert not grads[:, ~chosen].any()


def test_the_indices_stay_as_they_are(make_any, dtype):
    x = indices()
    layer = layer_of(make_any, dtype, "train")
    differentiate(layer, x)
    assert np.array_equal(x, indices())


def test_equals_the_reference(make_any, dtype):
    one, other = (layer_of(make_any, dtype, "train") for _ in range(2))
    got = differentiate(one, indices())
    with pyrnn.use_backend("reference"):
        expected = differentiate(other, indices())
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    for a, b in [(got[0], expected[0]), *((got[-1][k], expected[-1][k]) for k in got[-1])]:
        assert np.abs(a - b).max() <= tolerance * np.abs(b).max()
