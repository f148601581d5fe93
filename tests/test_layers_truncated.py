"""Truncated back-propagation through time against its definition, by brute force.

The definition here needs no knowledge of windows inside a layer: it runs the layer anew over each
window, from the state before it, and back-propagates only the losses that belong to the window.
"""

import numpy as np
import pytest


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def windows(time_steps, k1, k2):
    """Every k1 steps (start, losses from, stop): losses of these k1 steps, over the last k2."""
    found = []
    for first in range(0, time_steps, k1):
        stop = min(time_steps, first + k1)
        found.append((max(0, stop - k2), first, stop))
    return found


def brute_force(layer, x, dy, k1, k2, state=None):
    dx = None if x.dtype.kind in "iu" else np.zeros_like(x)
    grads = {name: np.zeros_like(p) for name, p in layer.parameters.items()}
    for start, first, stop in windows(len(x), k1, k2):
        before = layer(x[:start], state)[1] if start else state
        y, _, cache = layer.forward(x[start:stop], before)
        dwindow = np.zeros_like(y)
        dwindow[first - start :] = dy[first:stop]
        dx_window, _, grads_window = layer.backward(cache, dwindow)
        if dx is not None:
            dx[start:stop] += dx_window
        for name, grad in grads_window.items():
            grads[name] += grad
    return dx, grads


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize(
    ("k1", "k2"), [(1, 1), (1, 3), (1, 7), (1, 20), (2, 2), (3, 3), (2, 5), (3, 7), (7, 7), (9, 9)]
)
def test_equals_the_definition(make_layer, num_layers, k1, k2, backend, assert_close):
    layer = make_layer(3, 4, num_layers, dtype="float64", seed=0)
    x, dy = random(7, 2, 3), random(7, 2, 4, seed=1)
    first = layer(random(5, 2, 3, seed=2))[1]
    _, _, cache = layer.forward(x, first)
    got = layer.backward_truncated(cache, dy, k1, k2)
    assert_close(got, brute_force(layer, x, dy, k1, k2, first), 1e-13)


def test_equals_the_definition_for_indices(make_layer, backend, assert_close):
    layer = make_layer(4, 5, 2, dtype="float64", seed=0)
    indices = np.random.default_rng(0).integers(0, 4, (7, 2))
    dy = random(7, 2, 5)
    _, _, cache = layer.forward(indices)
    got = layer.backward_truncated(cache, dy, 1, 3)
    assert got[0] is None
    assert_close(got, brute_force(layer, indices, dy, 1, 3), 1e-13)


def test_a_window_over_everything_is_the_whole_backward(make_layer, backend, assert_close):
    layer = make_layer(3, 4, 2, dtype="float64", seed=0)
    x, dy = random(6, 2, 3), random(6, 2, 4)
    dx, _, grads = layer.backward(layer.forward(x)[2], dy)
    for k1, k2 in ((1, 6), (6, 6), (2, 9)):
        got = layer.backward_truncated(layer.forward(x)[2], dy, k1, k2)
        assert_close(got, (dx, grads), 1e-13)


def test_layouts(make_layer, backend, assert_close):
    plain = make_layer(3, 4, dtype="float64", seed=0)
    swapped = make_layer(3, 4, batch_first=True, dtype="float64", seed=0)
    x, dy = random(6, 1, 3), random(6, 1, 4)
    dx, grads = plain.backward_truncated(plain.forward(x)[2], dy, 1, 3)
    dx_s, grads_s = swapped.backward_truncated(
        swapped.forward(x.swapaxes(0, 1))[2], dy.swapaxes(0, 1), 1, 3
    )
    assert_close((dx_s.swapaxes(0, 1), grads_s), (dx, grads), 1e-15)
    dx_one, grads_one = plain.backward_truncated(plain.forward(x[:, 0])[2], dy[:, 0], 1, 3)
    assert_close((dx_one, grads_one), (dx[:, 0], grads), 1e-15)


def test_dropout_masks_are_those_of_the_forward(make_layer, backend, assert_close):
    """By hand: two layers of one each, the mask of the stack's forward between them."""
    stack = make_layer(3, 4, 2, dropout=0.5, dtype="float64", seed=0)
    lower, upper = make_layer(3, 4, dtype="float64"), make_layer(4, 4, dtype="float64")
    for name, array in stack.parameters.items():
        (lower if "_l0" in name else upper).parameters[name.replace("_l1", "_l0")] = array
    x, dy = random(7, 2, 3), random(7, 2, 4)
    _, _, cache = stack.forward(x)
    mask = cache.use()[1][1]
    assert set(np.unique(mask)) == {0.0, 2.0}

    between = lower(x)[0] * mask
    dx = np.zeros_like(x)
    for start, first, stop in windows(len(x), 2, 3):
        part = slice(start, stop)
        _, _, lower_cache = lower.forward(x[part], lower(x[:start])[1] if start else None)
        state = upper(between[:start])[1] if start else None
        _, _, upper_cache = upper.forward(between[part], state)
        dwindow = np.zeros((stop - start, 2, 4))
        dwindow[first - start :] = dy[first:stop]
        dbetween, _, _ = upper.backward(upper_cache, dwindow)
        dx[part] += lower.backward(lower_cache, dbetween * mask[part])[0]

    again = make_layer(3, 4, 2, dropout=0.5, dtype="float64", seed=0)
    got, _ = again.backward_truncated(again.forward(x)[2], dy, 2, 3)
    assert_close(got, dx, 1e-13)
