"""Truncated back-propagation through time against chunks and windows written out.

Nothing here knows of windows inside a layer. A chunk is a forward and a backward call of its own,
from the state that the chunk before left. A window is written out loss by loss: the layer runs anew
from the step that the loss goes back to, whose state counts as constant, and only this loss is
back-propagated.
"""

import numpy as np
import pytest

import pyrnn

MOST = 12
"""All T, k1 and k2 up to this."""

ALL = [
    (steps, k1, k2)
    for steps in range(1, MOST + 1)
    for k2 in range(1, MOST + 1)
    for k1 in range(1, k2 + 1)
]
SOME = [(7, 3, 3), (7, 3, 5), (7, 2, 7), (12, 5, 12), (11, 4, 6), (5, 1, 3), (5, 9, 12), (10, 3, 9)]


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def add(total, dx, grads, at=slice(None)):
    """Add gradients to a pair of totals, dx at some of the steps."""
    if dx is not None:
        total[0][at] += dx
    for name, grad in grads.items():
        total[1][name] += grad


def zeros_like(layer, x):
    dx = None if x.dtype.kind in "iu" else np.zeros_like(x)
    return dx, {name: np.zeros_like(p) for name, p in layer.parameters.items()}


def by_chunks(layer, x, dy, k, state=None):
    """Gradients of chunks of k steps, each of which starts from the state that the last left."""
    total = zeros_like(layer, x)
    for start in range(0, len(x), k):
        chunk = slice(start, start + k)
        _, state, cache = layer.forward(x[chunk], state)
        dx, _, grads = layer.backward(cache, dy[chunk])
        add(total, dx, grads, chunk)
    return total


class Losses:
    """The gradient of each step's loss alone, cut before any step: computed once, then kept."""

    def __init__(self, layer, x, dy, state=None):
        self.layer, self.x, self.dy, self.state = layer, x, dy, state
        self.found = {}

    def gradient(self, step, start):
        if (step, start) not in self.found:
            before = self.layer(self.x[:start], self.state)[1] if start else self.state
            y, _, cache = self.layer.forward(self.x[start : step + 1], before)
            dy = np.zeros_like(y)
            dy[-1] = self.dy[step]
            dx, _, grads = self.layer.backward(cache, dy)
            self.found[step, start] = dx, grads
        return self.found[step, start]

    def truncated(self, steps, k1, k2):
        """The losses of steps [s, s + k1) go back to step max(0, s + k1 - k2)."""
        total = zeros_like(self.layer, self.x[:steps])
        for step in range(steps):
            start = max(0, step // k1 * k1 + k1 - k2)
            add(total, *self.gradient(step, start), slice(start, step + 1))
        return total


def check(layer, x, dy, cases, assert_close, state=None):
    losses = Losses(layer, x, dy, state)
    for steps, k1, k2 in cases:
        _, _, cache = layer.forward(x[:steps], state)
        got = layer.backward_truncated(cache, dy[:steps], k1, k2)
        assert_close(got, losses.truncated(steps, k1, k2), 1e-12, f"{steps}, {k1}, {k2}: ")


def case_of(make, num_layers, **options):
    """A layer, inputs, gradients of outputs and a first state, over the most steps."""
    layer = make(3, 4, num_layers, dtype="float64", seed=0, **options)
    y, state = layer(random(5, 2, 3, seed=2))
    return layer, random(MOST, 2, 3), random(MOST, *y.shape[1:], seed=1), state


def test_seven_steps_in_chunks_of_three(make_layer, backend, assert_close):
    """3 + 3 + 1: the last chunk goes back over its own step alone."""
    layer, x, dy, state = case_of(make_layer, 1)
    x, dy = x[:7], dy[:7]
    got = layer.backward_truncated(layer.forward(x, state)[2], dy, 3, 3)
    assert_close(got, by_chunks(layer, x, dy, 3, state), 1e-12)
    dy[:6] = 0
    dx, _ = layer.backward_truncated(layer.forward(x, state)[2], dy, 3, 3)
    assert not dx[:6].any()
    assert dx[6].any()


@pytest.mark.parametrize("num_layers", [1, 3])
def test_equal_windows_are_chunks(make_any, num_layers, backend, assert_close):
    layer, x, dy, state = case_of(make_any, num_layers)
    for steps, k in [(7, 3), (12, 5), (5, 4), (4, 5), (3, 1), (6, 3)]:
        _, _, cache = layer.forward(x[:steps], state)
        got = layer.backward_truncated(cache, dy[:steps], k, k)
        expected = by_chunks(layer, x[:steps], dy[:steps], k, state)
        assert_close(got, expected, 1e-12, f"{steps}, {k}: ")


def test_all_chunks(backend, assert_close):
    layer, x, dy, state = case_of(pyrnn.GRU, 2)
    for steps in range(1, MOST + 1):
        for k in range(1, MOST + 1):
            _, _, cache = layer.forward(x[:steps], state)
            got = layer.backward_truncated(cache, dy[:steps], k, k)
            expected = by_chunks(layer, x[:steps], dy[:steps], k, state)
            assert_close(got, expected, 1e-12, f"{steps}, {k}: ")


def test_all_windows(backend, assert_close):
    check(*case_of(pyrnn.RNN, 1)[:3], ALL, assert_close)


@pytest.mark.long
@pytest.mark.parametrize("num_layers", [1, 2])
def test_all_windows_of_every_cell(make_any, num_layers, backend, assert_close):
    layer, x, dy, state = case_of(make_any, num_layers)
    check(layer, x, dy, ALL, assert_close, state)


@pytest.mark.parametrize("num_layers", [1, 3])
def test_windows_of_every_cell(make_any, num_layers, backend, assert_close):
    layer, x, dy, state = case_of(make_any, num_layers)
    check(layer, x, dy, SOME, assert_close, state)


def test_windows_over_indices(make_any, backend, assert_close):
    layer, x, dy, state = case_of(make_any, 2)
    indices = np.random.default_rng(0).integers(0, 3, x.shape[:2])
    check(layer, indices, dy, SOME, assert_close, state)


def test_windows_of_relu(backend, assert_close):
    layer, x, dy, state = case_of(pyrnn.RNN, 2, nonlinearity="relu")
    check(layer, x, dy, SOME, assert_close, state)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_windows_shared_by_threads(make_layer, count, backend, assert_close):
    """Enough of them that threads share them, whoever takes the short last one."""
    layer = make_layer(3, 40, 2, dtype="float64", seed=0)
    x, dy = random(100, 2, 3), random(100, 2, 40, seed=1)
    before = pyrnn.get_num_threads()
    pyrnn.set_num_threads(count)
    try:
        got = layer.backward_truncated(layer.forward(x)[2], dy, 7, 7)
    finally:
        pyrnn.set_num_threads(before)
    assert_close(got, by_chunks(layer, x, dy, 7), 1e-12)


def test_a_window_over_everything_is_the_whole_backward(make_layer, backend, assert_close):
    layer = make_layer(3, 4, 2, dtype="float64", seed=0)
    x, dy = random(6, 2, 3), random(6, 2, 4)
    dx, _, grads = layer.backward(layer.forward(x)[2], dy)
    for k1, k2 in ((1, 6), (6, 6), (2, 9), (4, 8)):
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
    mask = cache.use().masks[1]
    assert set(np.unique(mask)) == {0.0, 2.0}

    between = lower(x)[0] * mask
    dx = np.zeros_like(x)
    for start, first, stop in ((0, 0, 2), (1, 2, 4), (3, 4, 6), (5, 6, 7)):
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
