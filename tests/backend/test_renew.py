"""What a forward kept, renewed: the same gradients again, whatever has happened meanwhile."""

import numpy as np
import pytest

from pyrnn._types import Noise
from pyrnn.backend import selection
from pyrnn.parameters import shapes
from pyrnn.reference.cells import CELLS

T, N, F, H = 7, 5, 3, 6


@pytest.fixture(params=sorted(CELLS))
def cell(request):
    return request.param


def kept(cell, dtype, lengths=None, reverse=False, noise=None, checkpoint=0):
    """y, what was kept, and the arrays that the weights were packed from."""
    draw = np.random.default_rng(0)
    parameters = {
        name: draw.standard_normal(shape).astype(dtype)
        for name, shape in shapes.of_cell(cell, F, H, bias=True).items()
    }
    backend = selection.current()
    weights = backend.pack(cell, parameters, follow=True)
    x = draw.standard_normal((T, N, F)).astype(dtype)
    counts = None if lengths is None else np.array(lengths, np.intp)
    y, states, saved = backend.forward(weights, x, None, counts, reverse, True, checkpoint, noise)
    return y, states, saved, parameters


def flat(found):
    dx, dstates, grads = found
    return [dx, *dstates, *grads.values()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lengths", [None, [7, 2, 7, 1, 4]])
def test_the_same_bits_again(backend, cell, dtype, lengths):
    """With the weights and the outputs of the forward, which are changed here."""
    y, states, saved, parameters = kept(cell, dtype, lengths, reverse=lengths is not None)
    dy = np.cos(np.arange(y.size)).reshape(y.shape).astype(dtype)
    dstates = tuple(np.ones_like(state) for state in states)
    current = selection.current()
    _, _, untouched, _ = kept(cell, dtype, lengths, reverse=lengths is not None)
    expected = flat(current.backward(untouched, dy, dstates))
    for array in (y, *states, *parameters.values()):
        array[...] = 9
    for _ in range(3):
        current.renew(saved)
        got = flat(current.backward(saved, dy, dstates))
        assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


def test_the_same_noise_again(backend):
    draw = np.random.default_rng(1)
    mask = (draw.random((N, H)) < 0.5).astype("f8")
    zoneout = tuple((draw.random((T, N, H)) < 0.3).astype("f8") for _ in range(2))
    y, _, saved, _ = kept("lstm", "f8", noise=Noise(mask, zoneout))
    current = selection.current()
    first = flat(current.backward(saved, np.ones_like(y), None))
    current.renew(saved)
    again = flat(current.backward(saved, np.ones_like(y), None))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("lengths", [None, [7, 2, 7, 1, 4]])
@pytest.mark.parametrize("checkpoint", [0, 3])
def test_without_the_gradient_of_x(backend, cell, lengths, checkpoint):
    """All others have the same bits."""
    current = selection.current()
    found = []
    for with_dx in (True, False):
        y, _, saved, _ = kept(cell, "f4", lengths, checkpoint=checkpoint)
        found.append(current.backward(saved, np.cos(y), None, with_dx))
    (dx, *expected), (none, *got) = ([each[0], *flat(each)[1:]] for each in found)
    assert dx.shape == (T, N, F)
    assert none is None
    assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


def test_without_the_gradient_of_x_in_two_directions(backend):
    current = selection.current()
    found = []
    for with_dx in (True, False):
        saved = [kept("lstm", "f4", reverse=reverse)[2] for reverse in (False, True)]
        dy = np.cos(np.arange(T * N * H, dtype="f4")).reshape(T, N, H)
        found.append(current.backward_both(saved, (dy, dy), (None, None), with_dx))
    for one, other in zip(*found, strict=True):
        assert other[0] is None
        pairs = zip(flat(one)[1:], flat(other)[1:], strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)


def test_checkpoints(backend):
    y, _, saved, _ = kept("gru", "f4", checkpoint=3)
    current = selection.current()
    first = flat(current.backward(saved, np.ones_like(y), None))
    current.renew(saved)
    again = flat(current.backward(saved, np.ones_like(y), None))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
