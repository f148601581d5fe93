"""A backward that is refused leaves its cache as it was; None stands for zeros."""

import numpy as np
import pytest

import pyrnn
from pyrnn.text.character_model import CharacterModel

N, F, H, T = 2, 3, 4, 5
OPTIONS = [{}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True}]


def values(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def like(state, make=np.ones_like):
    arrays = tuple(make(part) for part in parts(state))
    return arrays if isinstance(state, tuple) else arrays[0]


def flat(results):
    """All arrays of a backward's results, one after the other."""
    for part in results:
        if isinstance(part, dict):
            yield from part.values()
        elif isinstance(part, tuple):
            yield from part
        elif part is not None:
            yield part


def assert_same(some, others):
    for one, other in zip(flat(some), flat(others), strict=True):
        assert np.array_equal(one, other)


WRONG = [
    lambda a: a[..., :-1],
    lambda a: a.astype("float32"),
    lambda a: "no",
    lambda a: np.ma.masked_less(a, 2),
    lambda a: [[1], [1, 2]],
]


@pytest.fixture(params=OPTIONS, ids=str)
def layer(request, make_any):
    return make_any(F, H, dtype="float64", seed=0, **request.param)


@pytest.mark.parametrize("wrong", WRONG)
def test_layers(layer, wrong, backend):
    x = values(T, N, F).swapaxes(0, 1) if layer.batch_first else values(T, N, F)
    y, state, cache = layer.forward(x)
    dy, dstate = values(*y.shape), like(state)
    with pytest.raises((TypeError, ValueError), match="dy: expected"):
        layer.backward(cache, wrong(dy), dstate)
    broken = (*parts(dstate)[:-1], wrong(parts(dstate)[-1]))
    with pytest.raises((TypeError, ValueError), match="dstate"):
        layer.backward(cache, dy, broken if isinstance(dstate, tuple) else broken[0])
    if not layer.bidirectional:
        with pytest.raises((TypeError, ValueError), match="dy: expected"):
            layer.backward_truncated(cache, wrong(dy), 1, 2)
        with pytest.raises(TypeError, match="dy: expected an array, got None"):
            layer.backward_truncated(cache, None, 1, 2)
        for k1, k2 in ((0, 2), (3, 2), ("1", 2), (1, None)):
            with pytest.raises((TypeError, ValueError), match=r"k[12]: expected"):
                layer.backward_truncated(cache, dy, k1, k2)
    assert_same(layer.backward(cache, dy, dstate), layer.backward(layer.forward(x)[2], dy, dstate))


def test_no_gradient_of_y_is_zero(layer, backend):
    x = values(N, T, F) if layer.batch_first else values(T, N, F)
    y, state, cache = layer.forward(x)
    dstate = like(state)
    with pytest.raises(TypeError, match="dy: expected a gradient, of y or of the final state"):
        layer.backward(cache, None)
    with pytest.raises(TypeError, match="dy: expected a gradient, of y or of the final state"):
        layer.backward(cache, None, tuple(None for _ in parts(state)))
    zero = layer.backward(layer.forward(x)[2], np.zeros_like(y), dstate)
    assert_same(layer.backward(cache, None, dstate), zero)


def test_no_gradient_of_y_of_one_sequence(make_any, backend):
    layer = make_any(F, H, dtype="float64", seed=0)
    x = values(T, F)
    y, state, cache = layer.forward(x)
    zero = layer.backward(layer.forward(x)[2], np.zeros_like(y), like(state))
    assert_same(layer.backward(cache, None, like(state)), zero)


@pytest.mark.parametrize("missing", [0, 1])
def test_none_in_a_pair_is_zero(missing, backend):
    layer = pyrnn.LSTM(F, H, dtype="float64", seed=0)
    cell = pyrnn.LSTMCell(F, H, dtype="float64", seed=0)
    x = values(T, N, F)
    whole = [values(1, N, H), values(1, N, H, seed=2)]
    given, zeros = list(whole), list(whole)
    given[missing], zeros[missing] = None, np.zeros((1, N, H))
    assert_same(layer(x, tuple(given)), layer(x, tuple(zeros)))
    y, _, cache = layer.forward(x)
    other = layer.forward(x)[2]
    assert_same(layer.backward(cache, y, tuple(given)), layer.backward(other, y, tuple(zeros)))
    given, zeros = ([None if s is None else s[0] for s in pair] for pair in (given, zeros))
    assert_same(cell(x[0], tuple(given)), cell(x[0], tuple(zeros)))
    caches = [cell.forward(x[0])[2] for _ in "ab"]
    results = [
        cell.backward(c, None, tuple(d)) for c, d in zip(caches, (given, zeros), strict=True)
    ]
    assert_same(*results)


@pytest.mark.parametrize("wrong", WRONG)
def test_cells(make_cell, wrong, backend):
    cell = make_cell(F, H, dtype="float64", seed=0)
    x = values(N, F)
    h, state, cache = cell.forward(x)
    dy, dstate = values(*h.shape), like(state)
    broken = (*parts(dstate)[:-1], wrong(parts(dstate)[-1]))
    with pytest.raises((TypeError, ValueError), match="dstate"):
        cell.backward(cache, dy, broken if isinstance(dstate, tuple) else broken[0])
    for none in (None, tuple(None for _ in parts(state))):
        with pytest.raises(TypeError, match="dy: expected a gradient, of h or of the next state"):
            cell.backward(cache, None, none)
    with pytest.raises((TypeError, ValueError), match="dy: expected"):
        cell.backward(cache, wrong(dy), dstate)
    assert_same(cell.backward(cache, dy, dstate), cell.backward(cell.forward(x)[2], dy, dstate))


@pytest.mark.parametrize("wrong", [*WRONG, lambda a: None])
@pytest.mark.parametrize("kind", [pyrnn.Linear, pyrnn.Embedding])
def test_linear_and_embedding(kind, wrong, backend):
    layer = kind(F, H, dtype="float64", seed=0)
    x = np.array([0, 1, 0]) if kind is pyrnn.Embedding else values(N, F)
    y, _, cache = layer.forward(x)
    with pytest.raises((TypeError, ValueError), match="dy: expected"):
        layer.backward(cache, wrong(y))
    with pytest.raises(TypeError, match=f"dstate: expected None, since {kind.__name__} takes none"):
        layer.backward(cache, y, y)
    assert_same(layer.backward(cache, y), layer.backward(layer.forward(x)[2], y))


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("embedding_dim", [None, 2])
def test_models(cell, embedding_dim, backend):
    def make(seed=0):
        return CharacterModel(
            "abc", cell, H, embedding_dim=embedding_dim, dtype="float64", seed=seed
        )

    model = make()
    x = np.array([[0, 1], [2, 0], [1, 1]])
    logits, state, cache = model.forward(x)
    dstate = like(state)
    for wrong in WRONG:
        with pytest.raises((TypeError, ValueError), match="dlogits: expected"):
            model.backward(cache, wrong(logits), dstate)
        broken = (*parts(dstate)[:-1], wrong(parts(dstate)[-1]))
        with pytest.raises((TypeError, ValueError), match="dstate"):
            model.backward(cache, logits, broken if isinstance(dstate, tuple) else broken[0])
    with pytest.raises(TypeError, match="dlogits: expected a gradient"):
        model.backward(cache, None)
    with pytest.raises(ValueError, match="cache: it came from another layer"):
        make(1).backward(cache, logits)
    again = model.backward(model.forward(x)[2], logits, dstate)
    assert_same(model.backward(cache, logits, dstate), again)
    with pytest.raises(ValueError, match="cache: it was used"):
        model.backward(cache, logits, dstate)
    zero = model.backward(model.forward(x)[2], np.zeros_like(logits), dstate)
    assert_same(model.backward(model.forward(x)[2], None, dstate), zero)
