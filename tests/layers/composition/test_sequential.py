"""Layers one after the other: the bits of calling them by hand, states, modes, errors."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def classifier(dtype="float64", **options):
    return pyrnn.Sequential(
        rnn=pyrnn.GRU(3, 5, dtype=dtype, seed=0, **options),
        last=pyrnn.LastStep(**options),
        drop=pyrnn.Dropout(0.2, seed=1),
        out=pyrnn.Linear(5, 2, dtype=dtype, seed=2),
    )


def tagger(dtype="float64"):
    return pyrnn.Sequential(
        pyrnn.Embedding(7, 3, dtype=dtype, seed=0),
        pyrnn.LSTM(3, 4, dtype=dtype, seed=1),
        pyrnn.LayerNorm(4, dtype=dtype),
        pyrnn.GRU(4, 5, 2, dropout=0.3, dtype=dtype, seed=2),
        pyrnn.Activation("tanh"),
        pyrnn.Linear(5, 2, dtype=dtype, seed=3),
    )


def nested(dtype="float64"):
    inner = pyrnn.Sequential(a=pyrnn.LSTM(3, 4, dtype=dtype, seed=0), b=pyrnn.Activation("relu"))
    return pyrnn.Sequential(
        inner=inner, rnn=pyrnn.RNN(4, 3, dtype=dtype, seed=1), mean=pyrnn.MeanOverTime()
    )


MODELS = {"classifier": classifier, "tagger": tagger, "nested": nested}
EACH = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def inputs(model):
    if isinstance(next(iter(model.layers.values())), pyrnn.Embedding):
        return np.random.default_rng(0).integers(0, 7, (6, 4))
    return random(6, 4, 3, dtype=model.dtype)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def by_hand(model, x, dy, lengths):
    """The layers one by one, as a user would without `Sequential`."""
    caches, states = [], []
    for layer in model.layers.values():
        takes = isinstance(layer, (pyrnn.GRU, pyrnn.LSTM, pyrnn.RNN, pyrnn.LastStep,
                                   pyrnn.MeanOverTime, pyrnn.Sequential))  # fmt: skip
        options = {"lengths": lengths} if takes else {}
        x, state, cache = layer.forward(x, **options)
        caches.append(cache)
        states += parts(state) if state is not None else ()
    grads, dstates = {}, []
    for name, layer in reversed(model.layers.items()):
        dy, dstate, own = layer.backward(caches.pop(), dy)
        grads |= {f"{name}.{key}": grad for key, grad in own.items()}
        dstates = [*(parts(dstate) if dstate is not None else ()), *dstates]
    return x, states, dy, dstates, grads


@EACH
@pytest.mark.parametrize("lengths", [None, [6, 2, 5, 1]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_has_the_bits_of_its_layers(make, lengths, dtype, backend):
    model, twin = make(dtype), make(dtype)
    x = inputs(model)
    y, state, cache = model.forward(x, lengths=lengths)
    dy = random(*y.shape, dtype=dtype)
    dx, dstate0, grads = model.backward(cache, dy)
    expected = by_hand(twin, x, dy, lengths)
    assert np.array_equal(y, expected[0])
    assert all(map(np.array_equal, parts(state), expected[1]))
    assert (dx is None) == (expected[2] is None)
    if dx is not None:
        assert np.array_equal(dx, expected[2])
    assert all(map(np.array_equal, parts(dstate0), expected[3]))
    assert len(parts(dstate0)) == len(parts(state)) == len(expected[1])
    assert list(grads) == list(model.parameters)
    for name, grad in grads.items():
        assert np.array_equal(grad, expected[4][name])


@EACH
def test_gradients_agree_with_finite_differences(make, backend):
    model = make()
    report = pyrnn.gradcheck(model, inputs(model), lengths=[6, 2, 5, 3], samples=8)
    assert report, str(report)


@EACH
def test_a_call_has_the_bits_of_forward(make, backend):
    model = make().eval()
    x = inputs(model)
    for lengths in (None, [6, 2, 5, 1]):
        y, state = model(x, lengths=lengths)
        expected, final, _ = model.forward(x, lengths=lengths)
        assert np.array_equal(y, expected)
        assert all(map(np.array_equal, parts(state), parts(final)))


MASK = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 0, 0]], bool)
RESET = np.array([[0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 1]], bool)


@pytest.mark.parametrize("zero", [False, True])
def test_masks_and_resets_reach_the_layers(zero, backend):
    inner = pyrnn.LSTM(4, 5, reverse=True, dtype="float64", seed=1)
    layers = (
        pyrnn.GRU(2, 4, dtype="float64", seed=0),
        pyrnn.Sequential(pyrnn.Activation("tanh"), inner),
        pyrnn.LastStep(),
    )
    model = pyrnn.Sequential(*layers)
    x = random(4, 3, 2)
    given = {"mask": MASK, "reset": RESET, "zero_output_for_mask": zero}
    y, state, cache = model.forward(x, **given)
    first, h, _ = layers[0].forward(x, **given)
    second, after, _ = inner.forward(pyrnn.Activation("tanh")(first), **given)
    start = np.argmax(MASK, axis=0)  # what a reversed layer computes last
    assert np.array_equal(y, second[start, range(3)])
    assert all(map(np.array_equal, state, (h, *after)))
    called, final = model(x, **given)
    assert np.array_equal(called, y)
    assert all(map(np.array_equal, final, state))
    dx, _, grads = model.backward(cache, np.ones_like(y))
    name, step = "0.weight_ih_l0", 1e-6
    model.parameters[name][0, 0] += step
    up = model(x, **given)[0].sum()
    model.parameters[name][0, 0] -= 2 * step
    down = model(x, **given)[0].sum()
    assert np.isclose(grads[name][0, 0], (up - down) / (2 * step), rtol=1e-6)
    assert not dx[~MASK].any()


def test_the_last_step_of_a_reversed_layer(backend):
    layer = pyrnn.GRU(2, 4, reverse=True, dtype="float64", seed=0)
    model = pyrnn.Sequential(layer, pyrnn.LayerNorm(4, dtype="float64"), pyrnn.LastStep())
    x, lengths = random(4, 3, 2), [4, 2, 3]
    y, h = model(x, lengths=lengths)
    assert np.array_equal(y, pyrnn.LayerNorm(4, dtype="float64")(h[0]))
    report = pyrnn.gradcheck(model, x, lengths=lengths, samples=5)
    assert report, str(report)


@EACH
def test_a_state_goes_in_and_comes_out(make, backend):
    """Two halves with carried state are the whole; pooling looks at the second half alone."""
    model = make().eval()
    x = inputs(model)
    whole, final = model(x)
    _, middle = model(x[:3])
    last, end = model(x[3:], middle)
    assert all(map(np.array_equal, parts(end), parts(final)))
    if make is not nested:
        assert np.array_equal(last, whole[3:] if make is tagger else whole)


def test_the_parts_of_a_state():
    x = np.zeros((2, 1), int)
    assert [part.shape for part in tagger()(x)[1]] == [(1, 1, 4), (1, 1, 4), (2, 1, 5)]
    assert classifier()(random(2, 1, 3))[1].shape == (1, 1, 5)
    stateless = pyrnn.Sequential(pyrnn.Linear(3, 2, seed=0), pyrnn.Activation())
    y, state = stateless(random(4, 3, dtype="float32"))
    assert state is None
    around = pyrnn.Sequential(a=stateless, b=pyrnn.Dropout(0.0))
    again, state = around(random(4, 3, dtype="float32"))
    assert state is None
    assert np.array_equal(again, y)


def test_batch_first(backend):
    x = random(4, 6, 3)
    model = classifier(batch_first=True).eval()
    other = classifier().eval()
    lengths = [6, 2, 5, 1]
    y = model(x, lengths=lengths)[0]
    assert np.array_equal(y, other(x.swapaxes(0, 1), lengths=lengths)[0])
    assert model.batch_first
    with pytest.raises(ValueError, match="last: expected batch_first=True, as of the layers befor"):
        pyrnn.Sequential(rnn=pyrnn.GRU(2, 3, batch_first=True), last=pyrnn.LastStep())


def test_dstate_alone(backend):
    model = tagger()
    x = inputs(model)
    _, state, cache = model.forward(x)
    dx, _, grads = model.backward(cache, None, (None, None, np.ones_like(state[2])))
    assert dx is None
    assert grads["3.weight_hh_l0"].any()
    assert not grads["5.weight"].any()


# --- parameters and modes -------------------------------------------------------------------


def test_parameters_are_those_of_the_layers():
    model = classifier()
    assert list(model.parameters) == [
        *(f"rnn.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")),
        "out.weight", "out.bias",
    ]  # fmt: skip
    assert model.parameters["out.bias"] is model["out"].parameters["bias"]
    assert model.num_parameters == sum(p.size for p in model.parameters.values())
    model.parameters["out.bias"] = [1.0, 2.0] * np.ones(2)
    assert model["out"].parameters["bias"].tolist() == [1, 2]
    assert (len(model), list(model)) == (4, ["rnn", "last", "drop", "out"])


def test_names_of_nested_layers():
    assert "inner.a.weight_ih_l0" in nested().parameters


@EACH
def test_an_optimiser_takes_its_gradients(make, backend):
    model = make()
    optimizer = pyrnn.Adam(model.parameters)
    y, _, cache = model.forward(inputs(model))
    _, _, grads = model.backward(cache, np.ones_like(y))
    optimizer.step(grads)
    _, _, cache = make().forward(inputs(model))
    twin = make()
    y, _, cache = twin.forward(inputs(model))
    _, _, others = twin.backward(cache, np.ones_like(y))
    with pytest.raises(ValueError, match="grads: expected the gradients of the optimiser's param"):
        optimizer.step(others)


def test_modes_reach_all_layers():
    model = nested()
    assert model.eval() is model
    inner = model["inner"]
    assert not any(layer.training for layer in (model, inner, inner["a"], model["rnn"]))
    assert not model.parameters["rnn.weight_ih_l0"].flags.writeable
    assert model.train() is model
    assert all(layer.training for layer in (model, inner, inner["a"], model["rnn"]))
    model.eval()
    together = pyrnn.Sequential(model, pyrnn.Linear(3, 1, dtype="float64"))
    assert together.training
    assert model.training  # a new composition begins in train mode, with all its layers


def test_state_dicts(backend):
    model, other = classifier(), classifier()
    for array in other.parameters.values():
        array[...] = 0
    saved = model.state_dict()
    other.load_state_dict(saved)
    saved["out.bias"][:] = 9  # a copy
    for name, array in model.parameters.items():
        assert np.array_equal(other.parameters[name], array)
    saved.pop("out.bias")
    with pytest.raises(KeyError, match=r"state_dict: missing \['out.bias'\], unknown \[\]"):
        other.load_state_dict(saved)
    with pytest.raises(KeyError, match=r"unknown \['extra'\]"):
        other.load_state_dict(model.state_dict() | {"extra": 1})
    with pytest.raises(ValueError, match=r"out\.bias: expected shape \(2,\), got \(3,\)"):
        other.load_state_dict(model.state_dict() | {"out.bias": np.ones(3)})
    with pytest.raises(TypeError, match="state_dict: expected a dict, got list"):
        other.load_state_dict([])


@EACH
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_share_nothing(make, way, backend):
    model = make()
    twin = way(model)
    x = inputs(model)
    for one, other in zip(model.parameters.values(), twin.parameters.values(), strict=True):
        assert np.array_equal(one, other)
        assert not np.shares_memory(one, other)
    first, second = (m.parameters[next(iter(m.parameters))] for m in (model, twin))
    second[...] = 0
    assert first.any()
    name, layer = next((n, v) for n, v in twin.layers.items() if v.parameters)
    key = next(iter(layer.parameters))
    assert twin.parameters[f"{name}.{key}"] is layer.parameters[key]
    y, _, cache = twin.forward(x)
    _, _, grads = twin.backward(cache, np.ones_like(y))
    pyrnn.SGD(model.parameters).step(grads)  # a copy's gradients are of the same family


# --- errors ---------------------------------------------------------------------------------


def test_a_refused_backward_leaves_its_cache_usable(backend):
    model = tagger()
    y, state, cache = model.forward(inputs(model))
    wrong = [
        ((y[1:],), "dy: expected shape"),
        ((y.astype("float32"),), "dy: expected dtype float64"),
        ((None,), "dy: expected a gradient, of y or of the final state, got None for both"),
        ((y, state[:2]), r"dstate: expected the pair|dstate: expected"),
        ((y, (state[0], state[1], state[0])), "dstate"),
    ]
    for arguments, words in wrong:
        with pytest.raises((TypeError, ValueError), match=words):
            model.backward(cache, *arguments)
    model.backward(cache, y, state)
    with pytest.raises(ValueError, match="cache: it was used"):
        model.backward(cache, y, state)
    _, _, cache = tagger().forward(inputs(model))
    with pytest.raises(ValueError, match="cache: it came from another layer"):
        model.backward(cache, y)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: pyrnn.Sequential(), ValueError, "layers: expected one or more, got none"),
        (
            lambda: pyrnn.Sequential(a=3),
            TypeError,
            "a: expected a layer that takes sequences, g",
        ),
        (
            lambda: pyrnn.Sequential(pyrnn.GRUCell(2, 3)),
            TypeError,
            "0: expected a layer that",
        ),
        (
            lambda: pyrnn.Sequential(a=pyrnn.GRU(2, 3), b=pyrnn.Linear(3, 1, dtype="float64")),
            TypeError,
            "b: expected dtype float32, as of the layers before, got float64",
        ),
    ],
)
def test_what_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_layer_twice():
    layer = pyrnn.Linear(3, 3)
    with pytest.raises(ValueError, match=r"a: expected each layer once, got Linear\(3, 3\) twice"):
        pyrnn.Sequential(a=layer, b=layer)


def test_states_that_do_not_fit():
    model = classifier()
    with pytest.raises(ValueError, match="state: expected shape"):
        model.forward(random(2, 1, 3), np.ones((1, 2, 5)))
    stateless = pyrnn.Sequential(pyrnn.Linear(3, 2))
    with pytest.raises(TypeError, match="state: expected None, since Sequential takes none"):
        stateless.forward(random(2, 3, dtype="float32"), 1)


def test_a_layer_of_ones_own(backend):
    class Double(pyrnn.Layer):
        def __init__(self):
            super().__init__({}, "float64")

        def forward(self, x, state=None):
            return 2 * x, None, None

        def backward(self, cache, dy, dstate=None):
            return 2 * dy, None, {}

    model = pyrnn.Sequential(rnn=pyrnn.GRU(3, 4, dtype="float64", seed=0), twice=Double())
    assert pyrnn.gradcheck(model, random(5, 2, 3))
    assert np.array_equal(model(random(5, 2, 3))[0], 2 * model["rnn"](random(5, 2, 3))[0])


def test_repr():
    assert repr(classifier("float32")) == (
        "Sequential(rnn=GRU(3, 5), last=LastStep(), drop=Dropout(p=0.2), out=Linear(5, 2))"
    )
    assert repr(pyrnn.Sequential(pyrnn.Dropout())) == "Sequential(Dropout())"
