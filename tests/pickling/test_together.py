"""Objects in one pickle stay connected: layers with their optimisers, streams with their layer."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest

import pyrnn
from pyrnn.text.character_model import CharacterModel

OPTIMIZERS = {
    "sgd": pyrnn.SGD,
    "momentum": partial(pyrnn.SGD, momentum=0.9),
    "adagrad": pyrnn.Adagrad,
    "rmsprop": pyrnn.RMSprop,
    "adam": pyrnn.Adam,
    "adamw": pyrnn.AdamW,
}


def gradients(parameters):
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(p.shape).astype(p.dtype) for name, p in parameters.items()}


@pytest.mark.one_in(3)
@pytest.mark.parametrize("make_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("first", ["layer", "optimizer"])
def test_optimisers_go_on_with_their_layer(make_optimizer, first, way_together, assert_same_bits):
    layer = pyrnn.LSTM(5, 18, 2, seed=0)
    optimizer = make_optimizer(layer.parameters)
    grads = gradients(layer.parameters)
    optimizer.step(grads)
    things = {"layer": layer, "optimizer": optimizer}
    if first == "optimizer":
        things = {"optimizer": optimizer, "layer": layer}
    travelled, source = way_together(things)
    before, original = source(), copy.deepcopy(dict(layer.parameters))
    travelled["optimizer"].step(grads)
    assert_same_bits(dict(layer.parameters), original)
    optimizer.step(grads)
    assert_same_bits(dict(travelled["layer"].parameters), dict(layer.parameters))
    assert_same_bits(travelled["optimizer"].state_dict()["state"], optimizer.state_dict()["state"])
    assert source() == before


@pytest.mark.one_in(3)
@pytest.mark.parametrize("make_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimisers_alone_have_parameters_of_their_own(make_optimizer, way, assert_own):
    layer = pyrnn.GRU(5, 18, seed=0)
    optimizer = make_optimizer(layer.parameters)
    optimizer.step(gradients(layer.parameters))
    travelled, source = way(optimizer)
    before, kept = source(), copy.deepcopy(dict(layer.parameters))
    for moment, arrays in optimizer._state.items():
        assert_own(travelled._state[moment].values(), arrays.values())
    travelled.step(gradients(layer.parameters))
    for name, array in layer.parameters.items():
        assert np.array_equal(array, kept[name])
    assert source() == before


def test_several_owners_of_the_same_arrays(pickle_way):
    """A model, two optimisers of parts of it, and the dict of one layer's parameters."""
    model = CharacterModel("abcde", "lstm", 18, seed=0)
    one = pyrnn.Adam(model.parameters)
    two = pyrnn.SGD({"w": model.rnn.parameters["weight_hh_l0"], **model.linear.parameters})
    things = [two, model.rnn.parameters, model, one]
    (two, parameters, model, one), _ = pickle_way(things)
    assert parameters is model.rnn.parameters
    live = model.parameters
    for optimizer in (one, two):
        before = copy.deepcopy(dict(live))
        optimizer.step(gradients(optimizer._parameters))
        changed = {name for name, array in live.items() if not np.array_equal(array, before[name])}
        expected = {"rnn.weight_hh_l0", "linear.weight", "linear.bias"}
        assert changed == (expected if optimizer is two else set(live))


def test_layers_in_eval_mode_with_an_optimiser(pickle_way):
    layer = pyrnn.GRU(5, 18, seed=0)
    optimizer = pyrnn.Adam(layer.parameters)
    layer.eval()
    (layer, optimizer), _ = pickle_way((layer, optimizer))
    grads = gradients(layer.parameters)
    with pytest.raises(ValueError, match="read-only; if its layer is in eval mode"):
        optimizer.step(grads)
    layer.train()
    optimizer.step(grads)


# --- streams --------------------------------------------------------------------------------


@pytest.mark.one_in(8, training=4, together=2)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("together", [True, False], ids=["with layer", "alone"])
def test_streams(make_any, training, together, way_together, assert_same_bits):
    layer = make_any(5, 18, 2, seed=0)
    if not training:
        layer.eval()
    stream = layer.stream(2)
    x = np.random.default_rng(0).standard_normal((6, 2, 5)).astype(np.float32)
    expected = layer.eval()(x)[0] if not training else copy.deepcopy(layer).eval()(x)[0]
    got = [stream.step(x_t) for x_t in x[:2]]
    if together:
        (layer, travelled), source = way_together([layer, stream])
    else:
        travelled, source = way_together(stream)
    before = source()
    for change in layer.train().parameters.values():
        change += 1
    more = [travelled.step(x_t) for x_t in x[2:4]]
    again = pickle.loads(pickle.dumps(travelled))
    assert_same_bits(got + more + [again.step(x_t) for x_t in x[4:]], list(expected))
    assert_same_bits([stream.step(x_t) for x_t in x[2:]], list(expected[2:]))  # it has not moved
    assert source() == before


@pytest.mark.parametrize("eval_mode", [False, True])
def test_a_model_in_a_pickle_is_little_larger_than_its_parameters(eval_mode, assert_same_bits):
    """Tasks of Ray, Dask and joblib carry it; packed weights are made where it arrives."""
    model = pyrnn.Sequential(
        rnn=pyrnn.LSTM(5, 100, 2, seed=0), last=pyrnn.LastStep(), out=pyrnn.Linear(100, 3, seed=1)
    )
    if eval_mode:
        model.eval()
    x = np.ones((4, 2, 5), np.float32)
    expected = model(x)[0]  # with weights packed in eval mode
    size = sum(array.nbytes for array in model.parameters.values())
    pickled = pickle.dumps(model)
    assert len(pickled) < size + 4096
    assert_same_bits(pickle.loads(pickled)(x)[0], expected)


def test_many_streams_travel_with_their_weights_once(pickle_way, assert_same_bits):
    layer = pyrnn.GRU(5, 100, seed=0).eval()
    streams = [layer.stream() for _ in range(50)]
    size = sum(array.nbytes for array in layer.parameters.values())
    assert len(pickle.dumps(streams)) < 1.5 * size
    assert len(pickle.dumps((layer, streams))) < 1.5 * size
    (layer, streams), _ = pickle_way((layer, streams))
    assert len(pickle.dumps((streams, layer))) < 1.5 * size
    assert all(stream._weights is layer._fixed for stream in streams)


def test_weights_that_are_shared_again_stay_when_the_layer_changes(pickle_way, assert_same_bits):
    layer = pyrnn.GRU(5, 100, seed=0).eval()
    x = np.ones((4, 1, 5), np.float32)
    expected = layer(x)[0]
    (layer, streams), _ = pickle_way((layer, [layer.stream() for _ in range(3)]))
    layer.train()
    layer.parameters["bias_ih_l0"] += 1
    layer.eval()
    streams.append(pickle.loads(pickle.dumps(streams[0])))
    for stream in streams:
        assert_same_bits(np.stack([stream.step(x_t) for x_t in x]), expected)
    assert not np.array_equal(layer(x)[0], expected)
