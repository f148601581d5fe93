"""What the core itself refuses, whoever calls it: nothing is read or written out of bounds.

The layers check their arguments before; these are the second line, where a crash would be.
"""

import numpy as np
import pytest

from pyrnn.backend import selection

core = pytest.importorskip("pyrnn._core")
pytestmark = pytest.mark.skipif(
    "native" not in selection.available(), reason="the compiled core is not built"
)

FAR = (-1, 5, 10**6, 2**31, 2**62, 2**63 - 1, -(2**63))


def zeros(*shape):
    return np.zeros(shape, np.float32)


def weights(inputs=4, hidden=6, **others):
    parameters = {"weight_ih": zeros(4 * hidden, inputs), "weight_hh": zeros(4 * hidden, hidden)}
    return core.WeightsFloat32("lstm", {**parameters, **others})


def kept(layer, x):
    return core.forward(layer, x, keep=True)[2]


@pytest.mark.parametrize("index", FAR)
@pytest.mark.parametrize(
    "call",
    [
        lambda i: core.embedding(i, zeros(5, 3)),
        lambda i: core.embedding_backward(i, zeros(2, 3), 5),
        lambda i: core.softmax_cross_entropy(zeros(2, 5), i),
        lambda i: core.forward(weights(5), i[None]),
        lambda i: core.forward(weights(5), i[None], lengths=np.ones(2, np.int64)),
        lambda i: core.StreamFloat32([weights(5)], 2, lambda *given: given).step(i),
    ],
    ids=["embedding", "embedding back", "cross-entropy", "one-hot", "lengths", "stream"],
)
def test_an_index_that_is_none(call, index):
    with pytest.raises(ValueError, match=r"indices|targets|x(_t)?: "):
        call(np.array([0, index]))


def test_no_classes():
    with pytest.raises(ValueError, match="targets"):
        core.softmax_cross_entropy(zeros(2, 0), np.zeros(2, np.int64))


def test_indices_and_rows_of_other_numbers():
    with pytest.raises(ValueError, match="indices, dy"):
        core.embedding_backward(np.zeros(3, np.int64), zeros(2, 3), 5)
    with pytest.raises(ValueError, match="rows"):
        core.embedding_backward(np.zeros(2, np.int64), zeros(2, 3), -1)
    for indices, weight in [(np.zeros((), int), zeros(5, 3)), (np.zeros(2, int), zeros(5))]:
        with pytest.raises(ValueError, match=r"axis|axes"):
            core.embedding(indices, weight)


@pytest.mark.parametrize("bias", [zeros(0), zeros(2), zeros(4), zeros(3, 1)], ids=np.shape)
def test_a_bias_of_another_size(bias):
    with pytest.raises(ValueError, match="bias"):
        core.linear(zeros(2, 5), zeros(3, 5), bias)
    with pytest.raises(ValueError, match="bias"):
        core.LinearFloat32(zeros(3, 5), bias)


def test_no_time_step():
    with pytest.raises(ValueError, match="x: "):
        core.forward(weights(), zeros(0, 2, 4))
    with pytest.raises(ValueError, match="x: "):
        core.forward_both([weights()] * 2, zeros(0, 2, 4), [None] * 2, None, False, 0, [None] * 2)


@pytest.mark.parametrize("shape", [(1, 24, 6), (24, 6, 1)])
def test_parameters_of_three_axes(shape):
    """Their gradients would have the size of the first."""
    with pytest.raises(ValueError, match="parameters"):
        weights(weight_hh=zeros(*shape))
    with pytest.raises(ValueError, match="parameters"):
        core.WeightsFloat32("rnn_tanh", {"weight_ih": zeros(1, 1), "weight_hh": zeros()})


def test_layers_that_are_no_stack():
    for others in [(4, 6), (6, 5)]:
        with pytest.raises(ValueError, match="layers: expected a stack"):
            core.StreamFloat32([weights(), weights(*others)], 2, None)
    gru = core.WeightsFloat32("gru", {"weight_ih": zeros(18, 6), "weight_hh": zeros(18, 6)})
    with pytest.raises(ValueError, match="layers: expected a stack"):
        core.OneStepFloat32([weights(), gru], "time_first", [])


@pytest.mark.parametrize("size", [0, -1, 2**31, 2**62])
def test_streams_of_no_batch(size):
    with pytest.raises(ValueError, match="batch_size"):
        core.StreamFloat32([weights()], size, None)


class TestWindows:
    def call(self, caches, masks=(None, None), dy=(3, 2, 6)):
        return core.backward_windows(caches, zeros(*dy), 1, 2, masks)

    def caches(self, steps=3):
        lower = kept(weights(), zeros(steps, 2, 4))
        return [lower, kept(weights(6), zeros(steps, 2, 6))]

    def test_are_of_a_stack(self):
        lower, upper = self.caches()
        other, *_ = self.caches(4)
        for wrong in ([lower, None], [None, upper], [other, upper], [upper, lower]):
            with pytest.raises(ValueError, match=r"caches|windows"):
                self.call(wrong)
        for shape in [(3, 2, 5), (2, 2, 6), (3, 2), (3, 2, 6, 1)]:
            with pytest.raises(ValueError, match="masks"):
                self.call([lower, upper], (None, zeros(*shape)))
        assert len(self.call([lower, upper])[1]) == 2  # what was refused used nothing up


def test_a_backward_that_is_refused_leaves_its_caches():
    cache, other = (kept(weights(), zeros(3, 2, 4)) for _ in range(2))
    good = zeros(3, 2, 6)
    with pytest.raises(ValueError, match="dy"):
        core.backward(cache, zeros(3, 2, 5), None)
    with pytest.raises(ValueError, match="state"):
        core.backward(cache, good, [zeros(2, 5)] * 2)
    for caches, dy in [((cache, other), (good, zeros(1, 2, 6))), ((cache, cache), (good, good))]:
        with pytest.raises(ValueError, match=r"dy|saved"):
            core.backward_both(caches, dy, [None] * 2)
    core.backward_both((cache, other), (good, good), [None] * 2)
    with pytest.raises(ValueError, match="used"):
        core.backward(cache, good, None)


def test_a_convolution_whose_window_is_beyond_numbers():
    with pytest.raises(ValueError, match="dilation"):
        core.ConvolutionFloat32(zeros(2, 2, 3), None, 1, 2**62, 1, "time_first", False)


def test_a_chain_of_nothing():
    one = core.ConvolutionFloat32(zeros(2, 2, 3), None, 1, 1, 1, "time_first", False)
    with pytest.raises(ValueError, match="links"):
        core.ChainFloat32([(one, (0, 0), None), (None, (0, 0), None)])
