"""Parameters of several layers in one dict, and gradients that are another layer's."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn
from pyrnn.text.character_model import CharacterModel

LAYERS = {
    "RNN": lambda seed: pyrnn.RNN(3, 3, seed=seed),
    "LSTM": lambda seed: pyrnn.LSTM(3, 3, 2, bidirectional=True, seed=seed),
    "GRU": lambda seed: pyrnn.GRU(3, 3, seed=seed),
    "MinGRU": lambda seed: pyrnn.MinGRU(3, 3, seed=seed),
    "RNNCell": lambda seed: pyrnn.RNNCell(3, 3, seed=seed),
    "LSTMCell": lambda seed: pyrnn.LSTMCell(3, 3, seed=seed),
    "GRUCell": lambda seed: pyrnn.GRUCell(3, 3, seed=seed),
    "Linear": lambda seed: pyrnn.Linear(3, 3, seed=seed),
    "Embedding": lambda seed: pyrnn.Embedding(3, 3, seed=seed),
    "CharacterModel": lambda seed: CharacterModel("abc", hidden_size=3, seed=seed),
}
OPTIMIZERS = [pyrnn.SGD, pyrnn.Adagrad, pyrnn.RMSprop, pyrnn.Adam, pyrnn.AdamW]


@pytest.fixture(params=LAYERS.values(), ids=LAYERS)
def make(request):
    return request.param


def gradients(layer):
    indices = isinstance(layer, (pyrnn.Embedding, CharacterModel))
    is_cell = hasattr(layer, "cell") and not hasattr(layer, "stream") and not indices
    x = np.array([0, 1, 2]) if indices or is_cell else np.ones((4, 3), np.float32)
    y, *_, cache = layer.forward(x)
    dy = tuple(map(np.ones_like, y)) if isinstance(y, tuple) else np.ones_like(y)
    return next(part for part in layer.backward(cache, dy) if isinstance(part, dict))


def values(layer):
    return {name: array.copy() for name, array in layer.parameters.items()}


def same(some, others):
    return all(np.array_equal(some[name], others[name]) for name in others)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_gradients_of_another_layer_are_refused(make, kind, backend):
    a, b = make(0), make(1)
    lossy = kind({**a.parameters, **b.parameters}, lr=0.1)
    before = values(b)
    with pytest.raises(ValueError, match=r"of another layer\. .*pyrnn\.merge_parameters"):
        lossy.step(gradients(a))
    assert same(values(b), before)
    lossy.step(gradients(b))
    assert not same(values(b), before)


def test_merged_parameters_are_stepped_as_each_alone(make, backend):
    a, b = make(0), make(1)
    ga, gb = gradients(a), gradients(b)
    alone = [copy.deepcopy(layer) for layer in (a, b)]
    for layer, grads in zip(alone, (ga, gb), strict=True):
        pyrnn.Adam(layer.parameters).step(grads)
    merged = pyrnn.merge_parameters(a=a.parameters, b=b.parameters)
    assert len(merged) == 2 * len(a.parameters)
    pyrnn.Adam(merged).step(pyrnn.merge_parameters(a=ga, b=gb))
    assert same(values(a), values(alone[0]))
    assert same(values(b), values(alone[1]))


def test_dicts_of_which_one_would_hide_the_other(make):
    a, b = make(0), make(1)
    with pytest.raises(ValueError, match=r"both dicts have .*pyrnn\.merge_parameters"):
        a.parameters | b.parameters
    with pytest.raises(ValueError, match="both dicts have"):
        gradients(a) | gradients(b)


def test_dicts_that_share_no_name_can_be_united():
    rnn, linear = pyrnn.GRU(3, 3, seed=0), pyrnn.Linear(3, 3, seed=1)
    parameters = rnn.parameters | linear.parameters
    optimizer = pyrnn.SGD(parameters)
    before = values(rnn), values(linear)
    optimizer.step(gradients(rnn) | gradients(linear))
    assert not same(values(rnn), before[0])
    assert not same(values(linear), before[1])
    assert rnn.parameters | rnn.parameters == dict(rnn.parameters)


def copied(layer):
    return copy.deepcopy(layer)


def pickled(layer):
    return pickle.loads(pickle.dumps(layer))


@pytest.mark.parametrize("replica_of", [copied, pickled])
def test_gradients_of_a_copy_are_the_layers(make, replica_of):
    """Replicas of a layer may each compute a share of its gradients."""
    layer = make(0)
    replica = replica_of(layer)
    before = values(layer)
    pyrnn.SGD(layer.parameters).step(gradients(replica))
    assert not same(values(layer), before)
    with pytest.raises(ValueError, match="of another layer"):
        pyrnn.SGD(replica.parameters).step(gradients(make(1)))


def test_other_arrays_take_the_gradients_of_any_layer(make):
    """Of arrays that are no layer's parameters nothing is known."""
    layer = make(0)
    own = {name: array.copy() for name, array in layer.parameters.items()}
    pyrnn.SGD(own).step(gradients(layer))
    pyrnn.SGD(layer.parameters).step({n: 2 * g for n, g in gradients(make(1)).items()})


def test_gradients_are_a_dict(make):
    grads = gradients(make(0))
    assert isinstance(grads, dict)
    for other in (copy.copy(grads), copy.deepcopy(grads), pickle.loads(pickle.dumps(grads))):
        assert type(other) is dict
        assert same(other, grads)


def test_memory_of_families_is_given_back():
    from pyrnn.parameters import owners

    before = len(owners._FAMILIES)
    layers = [pyrnn.Linear(2, 2) for _ in range(10)]
    assert len(owners._FAMILIES) == before + 20
    del layers
    assert len(owners._FAMILIES) == before


def test_merged_parameters_are_live_and_checked():
    a, b = pyrnn.Linear(2, 2, seed=0), pyrnn.Linear(2, 2, seed=1)
    merged = pyrnn.merge_parameters(a=a.parameters, b=b.parameters)
    assert list(merged) == ["a.weight", "a.bias", "b.weight", "b.bias"]
    assert merged["b.weight"] is b.parameters["weight"]
    merged["a.bias"] = np.ones(2, np.float32)
    assert a.parameters["bias"].tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"a\.bias: expected shape \(2,\)"):
        merged["a.bias"] = np.ones(3, np.float32)
    nested = pyrnn.merge_parameters(model=merged)
    assert next(iter(nested)) == "model.a.weight"
    assert type(pyrnn.merge_parameters(x={"w": np.ones(2)})) is dict


def test_what_cannot_be_merged():
    array = np.ones(2)
    with pytest.raises(TypeError, match="a: expected a dict of arrays, got ndarray"):
        pyrnn.merge_parameters(a=array)
    with pytest.raises(TypeError, match="a: expected names as keys, got 1"):
        pyrnn.merge_parameters(a={1: array})
    with pytest.raises(
        ValueError, match=r"a\.b: its 'c' becomes 'a\.b\.c', which is there already"
    ):
        pyrnn.merge_parameters(**{"a": {"b.c": array}, "a.b": {"c": array}})
    assert pyrnn.merge_parameters() == {}
