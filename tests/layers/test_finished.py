"""Gradients handed over during the backward pass: layer by layer, by the names of the whole."""

import numpy as np
import pytest

import pyrnn
from pyrnn.layers import _finished


def handed_over(model, x, **options):
    """What a taker was given, in order: names, and copies of the arrays; and what came back."""
    y, _, cache = model.forward(x, **options)
    given = []
    result = _finished.backward(
        model,
        lambda grads: given.append({name: array.copy() for name, array in grads.items()}),
        cache,
        np.ones_like(y),
    )
    return given, result[2]


def check(given, grads):
    """Whatever is given is final."""
    for part in given:
        for name, array in part.items():
            np.testing.assert_array_equal(array, grads[name])
    assert set(given[-1]) == set(grads)


def test_a_composition_gives_each_layer_and_each_layer_within(backend):
    model = pyrnn.Sequential(
        low=pyrnn.GRU(3, 4, seed=0),
        inner=pyrnn.Sequential(rnn=pyrnn.LSTM(4, 5, 3, dropout=0.2, seed=1), last=pyrnn.LastStep()),
        out=pyrnn.Linear(5, 2, seed=2),
    )
    given, grads = handed_over(model, np.ones((6, 2, 3), np.float32))
    check(given, grads)
    first = {}
    for number, part in enumerate(given):
        for name in part:
            first.setdefault(name.rsplit(".", 1)[0] + name[-3:], number)
    steps = [first[n] for n in ("outias", "inner.rnn_l2", "inner.rnn_l1", "inner.rnn_l0", "low_l0")]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lengths": np.array([4, 0, 2])},
        {"lengths": np.zeros(3, int)},
        {"mask": np.array([[1, 1, 0, 1], [1, 1, 1, 1], [0, 0, 1, 1]], bool).T},
    ],
)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_stack_gives_only_what_is_final(options, bidirectional):
    model = pyrnn.LSTM(2, 3, 2, bidirectional=bidirectional, seed=0)
    given, grads = handed_over(model, np.ones((4, 3, 2), np.float32), **options)
    check(given, grads)
    early = "mask" not in options and options.get("lengths", np.ones(1)).any()
    assert (len(given) > 1) == early  # segments are added up


def test_a_character_model():
    model = pyrnn.CharacterModel("helo", "gru", 4, 2, embedding_dim=3, seed=0)
    given, grads = handed_over(model, np.array([0, 1, 2, 2]))
    check(given, grads)
    assert list(given[0]) == ["linear.weight", "linear.bias"]


class Twice(pyrnn.Linear):
    """A layer of a user's own that runs twice, and adds up the gradients."""

    def forward(self, x, state=None, *, lengths=None):
        y, _, first = super().forward(x)
        y, _, second = super().forward(y)
        return y, None, (first, second)

    def backward(self, cache, dy, dstate=None):
        dy, _, second = super().backward(cache[1], dy)
        dx, _, first = super().backward(cache[0], dy)
        return dx, None, {name: first[name] + second[name] for name in first}


class Halved(pyrnn.GRU):
    """Changes gradients in place after the layer's own backward pass."""

    def backward(self, cache, dy, dstate=None):
        dx, dstate0, grads = super().backward(cache, dy, dstate)
        for array in grads.values():
            array *= 0.5
        return dx, dstate0, grads


def test_layers_of_ones_own_give_what_they_return():
    model = pyrnn.Sequential(rnn=Halved(3, 3, 2, seed=0), twice=Twice(3, 3), out=pyrnn.Linear(3, 1))
    given, grads = handed_over(model, np.ones((4, 2, 3), np.float32))
    check(given, grads)
    assert [len(part) for part in given] == [2, 2, 8, 12]


def test_a_method_of_one_object():
    model = pyrnn.GRU(3, 3, 2, seed=0)
    model.backward = halved_of(model)
    given, grads = handed_over(model, np.ones((4, 2, 3), np.float32))
    assert len(given) == 1
    check(given, grads)


def halved_of(model):
    own = model.backward

    def backward(cache, dy):
        dx, dstate0, grads = own(cache, dy)
        return dx, dstate0, {name: array * 0.5 for name, array in grads.items()}

    return backward


def test_nobody_asks():
    layer = pyrnn.Linear(2, 2)
    y, _, cache = layer.forward(np.ones((3, 2), np.float32))
    assert _finished.asked(layer) is None
    assert set(_finished.backward(layer, None, cache, y)[2]) == {"weight", "bias"}
