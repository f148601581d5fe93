"""Whatever computes is called alike: three results of forward and of backward, in one order."""

import inspect
from functools import partial

import numpy as np
import pytest

import pyrnn
from pyrnn.layers.recurrent._cell import Cell

LAYERS = {
    "RNN": pyrnn.RNN,
    "RNN-both-ways": partial(pyrnn.RNN, num_layers=2, bidirectional=True, batch_first=True),
    "LSTM": pyrnn.LSTM,
    "LSTM-projected": partial(pyrnn.LSTM, proj_size=2, peephole=True),
    "LSTM-coupled": partial(pyrnn.LSTM, coupled=True, zoneout=0.3),
    "LSTM-norm": partial(pyrnn.LSTM, layer_norm=True),
    "GRU": pyrnn.GRU,
    "GRU-dropout": partial(pyrnn.GRU, num_layers=2, dropout=0.5, recurrent_dropout=0.3),
    "GRU-reset": partial(pyrnn.GRU, reset_after=False),
    "GRU-norm": partial(pyrnn.GRU, layer_norm=True),
    "MinGRU": pyrnn.MinGRU,
}
CELLS = {"rnn": pyrnn.RNNCell, "lstm": pyrnn.LSTMCell, "gru": pyrnn.GRUCell}
STATELESS = {
    "linear": pyrnn.Linear,
    "embedding": pyrnn.Embedding,
    "conv": partial(pyrnn.Conv1d, kernel_size=2, stride=2, padding=1),
}
BETWEEN = {
    "last": pyrnn.LastStep,
    "mean": pyrnn.MeanOverTime,
    "dropout": partial(pyrnn.Dropout, seed=0),
    "activation": pyrnn.Activation,
    "softmax": pyrnn.Softmax,
    "norm": partial(pyrnn.LayerNorm, 3, dtype="float64"),
    "batch": partial(pyrnn.BatchNorm1d, 3, dtype="float64"),
    "maximum": partial(pyrnn.MaxPool1d, 2),
    "instance": partial(pyrnn.InstanceNorm1d, 3, affine=True, dtype="float64"),
}
MODELS = {
    f"model-{cell}-{size}": (cell, size) for cell in ("rnn", "lstm", "gru") for size in (None, 2)
}


def values(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def make_model(cell, embedding_dim):
    return pyrnn.CharacterModel(
        "abc", cell, 4, embedding_dim=embedding_dim, dtype="float64", seed=0
    )


def make(name):
    if name in MODELS:
        return make_model(*MODELS[name])
    if name in BETWEEN:
        return BETWEEN[name]()
    if name == "sequential":
        rnn = pyrnn.LSTM(3, 4, dtype="float64", seed=0)
        return pyrnn.Sequential(rnn, pyrnn.Linear(4, 2, dtype="float64", seed=1))
    return (LAYERS | CELLS | STATELESS)[name](3, 4, dtype="float64", seed=0)


@pytest.fixture(params=[*LAYERS, *CELLS, *STATELESS, *BETWEEN, *MODELS, "sequential"])
def target(request):
    """Each layer, with its options; each cell; each model."""
    return make(request.param)


def inputs(target):
    """Arguments for x: floats, or indices, as far as the target takes them."""
    if not isinstance(target, (pyrnn.Embedding, pyrnn.CharacterModel)):
        yield values(2, 3) if isinstance(target, Cell) else values(5, 2, 3)
    if not isinstance(target, (pyrnn.Linear, pyrnn.Conv1d, *map(type, map(make, BETWEEN)))):
        yield np.array([2, 0]) if isinstance(target, Cell) else np.array([[0, 1], [2, 0], [1, 1]])


def has_state(target):
    return not isinstance(
        target, (pyrnn.Linear, pyrnn.Embedding, pyrnn.Conv1d, *map(type, map(make, BETWEEN)))
    )


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def shapes(state):
    return [part.shape for part in parts(state)]


def test_every_public_layer_is_held_to_it():
    public = {getattr(pyrnn, name) for name in pyrnn.__all__}
    layers = {c for c in public if inspect.isclass(c) and issubclass(c, pyrnn.Layer)}
    held = {type(make(name)) for name in (*LAYERS, *CELLS, *STATELESS, *BETWEEN)}
    assert layers - {pyrnn.Layer, pyrnn.Sequential} == held


def test_three_results_in_one_order(target, backend):
    for x in inputs(target):
        results = target.forward(x)
        assert len(results) == 3
        y, state, cache = results
        results = target.backward(cache, np.ones_like(y), state)
        assert len(results) == 3
        dx, dstate0, grads = results
        assert (state is not None) == has_state(target)
        if x.dtype.kind in "iu":
            assert dx is None
        else:
            assert dx.shape == x.shape
        if has_state(target):
            assert type(dstate0) is type(state)
            assert shapes(dstate0) == shapes(state)
        else:
            assert dstate0 is None
        assert {n: g.shape for n, g in grads.items()} == {
            n: p.shape for n, p in target.parameters.items()
        }


def test_arguments_by_name(target):
    forward = inspect.signature(target.forward).parameters
    backward = inspect.signature(target.backward).parameters
    assert list(forward)[1] == "state"
    assert forward["state"].default is None
    assert isinstance(target, Cell) or forward["lengths"].default is None
    cache, _, dstate = backward
    assert (cache, dstate) == ("cache", "dstate")
    assert backward["dstate"].default is None


def test_call_has_no_cache_and_the_same_bits(target, backend):
    target.eval()  # where no dropout is drawn anew
    for x in inputs(target):
        y, state, _ = target.forward(x)
        called = target(x)
        if not has_state(target):
            called = (called, None)
        elif isinstance(target, Cell):  # torch's cells return the state alone
            called = (parts(called)[0], called)
        assert np.array_equal(called[0], y)
        for part, other in zip(parts(called[1]), parts(state), strict=True):
            assert np.array_equal(part, other)


@pytest.mark.parametrize("name", STATELESS)
def test_what_a_stateless_layer_does_not_take(name, backend):
    layer = STATELESS[name](3, 4, dtype="float64", seed=0)
    x = next(inputs(layer))
    kind = type(layer).__name__
    with pytest.raises(TypeError, match=f"state: expected None, since {kind} takes none, got ndar"):
        layer.forward(x, values(2, 4))
    with pytest.raises(TypeError, match=f"lengths: expected None, since {kind} takes none, got l"):
        layer.forward(x, lengths=[1, 2])
    y, _, cache = layer.forward(x, None, lengths=None)
    with pytest.raises(TypeError, match=f"dstate: expected None, since {kind} takes none, got nd"):
        layer.backward(cache, y, values(2, 4))
    layer.backward(cache, y, None)  # what was refused has not used it up


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_model_takes_no_lengths(cell, backend):
    with pytest.raises(TypeError, match="lengths: expected None, since CharacterModel takes none"):
        make_model(cell, None).forward(np.array([[0, 1]]), lengths=[1, 1])


def test_every_target_passes_gradcheck(target, backend):
    for x in inputs(target):
        report = pyrnn.gradcheck(target, x, samples=5)
        assert report, str(report)
        assert ("x" in report.entries) == (x.dtype.kind == "f")
