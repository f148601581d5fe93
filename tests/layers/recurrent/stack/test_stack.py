"""Recurrent layers: gradients by finite differences, layouts, modes, dropout, copies."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn

OPTIONS = [
    {},
    {"bias": False},
    {"num_layers": 3},
    {"bidirectional": True},
    {"num_layers": 2, "bidirectional": True, "batch_first": True},
    {"num_layers": 3, "dropout": 0.4},
    {"num_layers": 2, "dropout": 1.0},
]


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def same_bits(one, other):
    if isinstance(one, tuple):
        return all(same_bits(a, b) for a, b in zip(one, other, strict=True))
    return one.dtype == other.dtype and np.array_equal(one, other)


# --- gradients ------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradients_agree_with_finite_differences(make_layer, options, backend):
    layer = make_layer(3, 5, **options, dtype="float64", seed=1)
    report = pyrnn.gradcheck(layer, random(4, 2, 3), samples=8)
    assert report, str(report)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
@pytest.mark.parametrize("lengths", [[5, 5, 5], [5, 1, 3]], ids=str)
def test_gradients_with_lengths(make_layer, options, lengths, backend):
    layer = make_layer(3, 4, **options, dtype="float64", seed=1)
    report = pyrnn.gradcheck(layer, random(5, 3, 3), lengths=lengths, samples=8)
    assert report, str(report)


def test_gradients_of_one_sequence(make_layer, backend):
    layer = make_layer(3, 4, 2, dtype="float64", seed=1)
    report = pyrnn.gradcheck(layer, random(5, 3), samples=8)
    assert report, str(report)


@pytest.mark.parametrize("shape", [(6, 3), (6,)])
def test_gradients_for_indices(make_layer, shape, backend):
    layer = make_layer(4, 5, 2, dtype="float64", seed=1)
    indices = np.random.default_rng(0).integers(0, 4, shape)
    report = pyrnn.gradcheck(layer, indices, samples=8)
    assert report, str(report)
    assert "x" not in report.entries


# --- layouts --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_shapes_and_dtypes(make_layer, dtype, num_layers, bidirectional, backend):
    layer = make_layer(3, 4, num_layers, bidirectional=bidirectional, dtype=dtype)
    directions = 1 + bidirectional
    y, state, cache = layer.forward(random(5, 2, 3, dtype=dtype))
    dx, dstate0, grads = layer.backward(cache, np.ones_like(y))
    assert y.shape == (5, 2, 4 * directions)
    assert dx.shape == (5, 2, 3)
    assert all(s.shape == (num_layers * directions, 2, 4) for s in (*parts(state), *parts(dstate0)))
    assert {name: g.shape for name, g in grads.items()} == {
        name: p.shape for name, p in layer.parameters.items()
    }
    assert list(grads) == list(layer.parameters)
    assert {a.dtype for a in (y, dx, *parts(state), *parts(dstate0), *grads.values())} == {
        np.dtype(dtype)
    }


def test_batch_first_is_the_same_with_axes_swapped(make_layer, backend, assert_close):
    options = {"num_layers": 2, "bidirectional": True, "dtype": "float64", "seed": 0}
    time_first = make_layer(3, 4, **options)
    batch_first = make_layer(3, 4, batch_first=True, **options)
    x, dy = random(5, 2, 3), random(5, 2, 8)
    y, state, cache = time_first.forward(x)
    dx, dstate0, grads = time_first.backward(cache, dy)
    y_b, state_b, cache_b = batch_first.forward(x.swapaxes(0, 1))
    dx_b, dstate0_b, grads_b = batch_first.backward(cache_b, dy.swapaxes(0, 1))
    assert_close(y_b.swapaxes(0, 1), y, 1e-15)
    assert_close(dx_b.swapaxes(0, 1), dx, 1e-15)
    assert_close((state_b, dstate0_b, grads_b), (state, dstate0, grads), 1e-15)


def test_one_sequence_is_a_batch_of_one(make_layer, backend, assert_close):
    layer = make_layer(3, 4, 2, dtype="float64", seed=0)
    x, dy = random(5, 3), random(5, 4)
    y, state, cache = layer.forward(x)
    dx, dstate0, grads = layer.backward(cache, dy)
    y_b, state_b, cache_b = layer.forward(x[:, None])
    dx_b, dstate0_b, grads_b = layer.backward(cache_b, dy[:, None])
    assert y.shape == (5, 4)
    assert_close(y, y_b[:, 0], 0.0)
    assert_close(dx, dx_b[:, 0], 0.0)
    assert_close(parts(state), tuple(s[:, 0] for s in parts(state_b)), 0.0)
    assert_close(parts(dstate0), tuple(s[:, 0] for s in parts(dstate0_b)), 0.0)
    assert_close(grads, grads_b, 0.0)


@pytest.mark.parametrize("integer", ["int8", "uint16", "int64"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_indices_stand_for_one_hot_rows(make_layer, integer, batch_first, backend, assert_close):
    layer = make_layer(4, 5, batch_first=batch_first, dtype="float64", seed=0)
    indices = np.random.default_rng(0).integers(0, 4, (6, 3)).astype(integer)
    dy = random(6, 3, 5)
    y, state, cache = layer.forward(indices)
    dx, _, grads = layer.backward(cache, dy)
    y_hot, state_hot, cache_hot = layer.forward(np.eye(4)[indices])
    _, _, grads_hot = layer.backward(cache_hot, dy)
    assert dx is None
    assert_close((y, state, grads), (y_hot, state_hot, grads_hot), 1e-14)


def test_lengths_are_sequences_run_alone(make_layer, backend, assert_close):
    layer = make_layer(3, 4, 2, bidirectional=True, dtype="float64", seed=0)
    x, lengths = random(6, 3, 3), [4, 6, 1]
    y, state = layer(x, lengths=lengths)
    for row, length in enumerate(lengths):
        alone, state_alone = layer(x[:length, row])
        assert_close(y[:length, row], alone, 1e-14)
        assert not y[length:, row].any()
        assert_close(tuple(s[:, row] for s in parts(state)), parts(state_alone), 1e-14)


def test_past_a_length_nothing_matters(make_layer, backend):
    layer = make_layer(3, 4, bidirectional=True, dtype="float64", seed=0)
    x, dy = random(5, 2, 3), random(5, 2, 8)
    results = []
    for value in (0.0, np.nan):
        x[3:, 1] = dy[3:, 1] = value
        y, state, cache = layer.forward(x, lengths=[5, 3])
        dx, dstate0, grads = layer.backward(cache, dy)
        results.append((y, *parts(state), dx, *parts(dstate0), *grads.values()))
        assert not dx[3:, 1].any()
    assert same_bits(*results)


def test_nan_is_not_hidden(make_layer, backend):
    layer = make_layer(3, 9, 2, seed=0)
    x = random(5, 2, 3, dtype="float32")
    x[2, 0, 1] = np.nan
    y, state = layer(x)
    assert np.isnan(y[2:, 0]).all()
    assert np.isfinite(y[:2]).all()
    assert np.isfinite(y[:, 1]).all()
    assert all(np.isnan(s[:, 0]).all() for s in parts(state))


def test_state_carries_on(make_layer, backend, assert_close):
    layer = make_layer(3, 4, 2, dtype="float64", seed=0)
    x = random(6, 2, 3)
    whole, final = layer(x)
    first, state = layer(x[:4])
    second, state = layer(x[4:], state)
    assert_close(np.concatenate([first, second]), whole, 1e-15)
    assert_close(state, final, 1e-15)


def test_no_state_is_zero_state(make_layer, backend):
    layer = make_layer(3, 4, seed=0)
    x = random(3, 2, 3, dtype="float32")
    zeros = np.zeros((1, 2, 4), np.float32)
    state = (zeros, zeros) if isinstance(layer, pyrnn.LSTM) else zeros
    assert same_bits(layer(x), layer(x, state))
    y, _, cache = layer.forward(x)
    dx, dstate, grads = layer.backward(layer.forward(x, state)[2], y, state)
    expected_dx, expected_dstate, expected = layer.backward(cache, y)
    assert same_bits((dx, dstate), (expected_dx, expected_dstate))
    assert same_bits(tuple(grads.values()), tuple(expected.values()))


def test_other_memory_layouts_give_the_same(make_layer, backend):
    layer = make_layer(3, 4, dtype="float64", seed=0)
    x = random(5, 2, 3)
    expected = layer(x)
    strided = np.zeros((5, 2, 6))[:, :, ::2]
    strided[...] = x
    swapped = x.astype(x.dtype.newbyteorder())
    read_only = x.copy()
    read_only.flags.writeable = False
    unaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    for other in (strided, np.asfortranarray(x), swapped, read_only, unaligned, x.tolist()):
        assert same_bits(layer(other), expected)


def test_arguments_are_not_changed(make_layer, backend):
    layer = make_layer(3, 4, 2, bidirectional=True, dtype="float64", seed=0)
    x, dy = random(5, 2, 3), random(5, 2, 8)
    h = random(4, 2, 4, seed=1)
    state = (h, h.copy()) if isinstance(layer, pyrnn.LSTM) else h
    before = copy.deepcopy((x, dy, *parts(state)))
    parameters = {name: array.copy() for name, array in layer.parameters.items()}
    _, _, cache = layer.forward(x, state, lengths=[5, 2])
    layer.backward(cache, dy, state)
    assert same_bits((x, dy, *parts(state)), before)
    assert same_bits(tuple(layer.parameters.values()), tuple(parameters.values()))


# --- modes, dropout, caches -----------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_call_and_forward_give_the_same_bits(make_layer, training, backend):
    layer = make_layer(3, 4, 2, bidirectional=True, seed=0)
    x = random(5, 2, 3, dtype="float32")
    expected = layer(x)
    if not training:
        layer.eval()
    assert same_bits(layer(x), expected)
    assert same_bits(layer.forward(x)[:2], expected)


def test_eval_makes_parameters_read_only_and_train_undoes_it(make_layer, backend):
    layer = make_layer(3, 4, seed=0)
    x = random(5, 2, 3, dtype="float32")
    before, _ = layer(x)
    assert layer.eval() is layer
    assert not layer.training
    with pytest.raises(ValueError, match="read-only"):
        layer.parameters["weight_ih_l0"][...] = 0
    with pytest.raises(ValueError, match="weight_ih_l0: the layer is in eval mode"):
        layer.parameters["weight_ih_l0"] = np.zeros_like(layer.parameters["weight_ih_l0"])
    assert same_bits(layer(x)[0], before)
    assert layer.train() is layer
    assert layer.training
    layer.parameters["weight_ih_l0"][...] = 0
    assert not same_bits(layer(x)[0], before)


def test_train_while_another_thread_packs_for_eval(make_layer, backend, monkeypatch):
    layer = make_layer(3, 4, seed=0)
    x = random(5, 2, 3, dtype="float32")
    before, _ = layer(x)
    pack = layer._pack

    def pack_meanwhile(backend):
        packed = pack(backend)
        layer.train()
        return packed

    monkeypatch.setattr(layer, "_pack", pack_meanwhile)
    layer.eval()
    monkeypatch.undo()
    assert layer.training
    assert same_bits(layer(x)[0], before)
    layer.parameters["weight_ih_l0"][...] = 0
    assert not same_bits(layer(x)[0], before)


def test_each_call_in_train_mode_sees_the_parameters_as_they_are(make_layer, backend):
    layer, other = (
        make_layer(3, 4, num_layers=2, bidirectional=True, dtype="float64", seed=seed)
        for seed in (0, 1)
    )
    x = random(5, 2, 3)
    expected, found = other(x)[0], [layer(x)[0], layer.forward(x)[0]]
    assert same_bits(*found)
    assert not same_bits(found[0], expected)
    for name, array in layer.parameters.items():
        array[...] = other.parameters[name]
    assert same_bits(layer(x)[0], expected)
    y, _, cache = layer.forward(x)
    assert same_bits(y, expected)
    dx, _, grads = layer.backward(cache, np.ones_like(y))
    dx_other, _, grads_other = other.backward(other.forward(x)[2], np.ones_like(y))
    assert list(grads) == list(layer.parameters)
    assert same_bits((dx, *grads.values()), (dx_other, *grads_other.values()))


def test_cache_keeps_the_parameters_of_its_forward(make_layer, backend):
    layer = make_layer(3, 4, dtype="float64", seed=0)
    x, dy = random(5, 2, 3), random(5, 2, 4)
    results = []
    for change in (False, True):
        _, _, cache = layer.forward(x)
        if change:
            for array in layer.parameters.values():
                array[...] = 7
        dx, dstate0, grads = layer.backward(cache, dy)
        results.append((dx, *parts(dstate0), *grads.values()))
    assert same_bits(*results)


def test_cache_keeps_the_backend_of_its_forward(make_layer, backend):
    layer = make_layer(3, 4, dtype="float64", seed=0)
    y, _, cache = layer.forward(random(5, 2, 3))
    with pyrnn.use_backend("reference"):
        dx, _, _ = layer.backward(cache, np.ones_like(y))
    assert dx.shape == (5, 2, 3)


def test_output_of_forward_is_read_only(make_layer, backend):
    y, _, _ = make_layer(3, 4).forward(random(5, 2, 3, dtype="float32"))
    with pytest.raises(ValueError, match="read-only"):
        y[0] = 0


def test_dropout_between_layers_only_and_in_train_mode_only(make_layer, backend):
    x = random(5, 2, 3, dtype="float32")
    plain = make_layer(3, 4, 2, seed=0)
    dropping = make_layer(3, 4, 2, dropout=0.5, seed=0)
    assert not same_bits(dropping(x)[0], plain(x)[0])
    assert not same_bits(dropping(x)[0], dropping(x)[0])
    assert same_bits(dropping.eval()(x), plain(x))
    with pytest.warns(UserWarning, match="expects num_layers greater than 1"):
        single = make_layer(3, 4, 1, dropout=0.5, seed=0)
    assert same_bits(single(x), make_layer(3, 4, seed=0)(x))


def test_dropout_is_repeatable_and_keeps_the_mean(backend):
    layers = [pyrnn.RNN(2, 50, 2, "relu", dropout=0.25, dtype="float64", seed=4) for _ in "ab"]
    x = random(20, 10, 2)
    assert same_bits(layers[0](x)[0], layers[1](x)[0])
    masks, _ = layers[0]._draw_for(1, np.empty((200, 50, 50)))
    assert set(np.unique(masks)) == {0, 1 / 0.75}
    assert abs(masks.mean() - 1) < 0.005


def test_seed_repeats_the_first_parameters(make_layer):
    one, two, other = (make_layer(3, 4, 2, seed=seed) for seed in (5, 5, 6))
    for name, array in one.parameters.items():
        assert np.array_equal(array, two.parameters[name])
        assert not np.array_equal(array, other.parameters[name])
        assert np.abs(array).max() <= 0.5
        assert np.abs(array).max() > 0.2


@pytest.mark.parametrize("eval_mode", [False, True])
def test_pickle_and_deepcopy_keep_layer_and_mode(make_layer, eval_mode, backend):
    layer = make_layer(3, 4, 2, dropout=0.5, seed=0)
    if eval_mode:
        layer.eval()
    x = random(5, 2, 3, dtype="float32")
    copies = [pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)]
    expected = layer(x)
    for other in copies:
        assert same_bits(other(x), expected)
        assert other.training is not eval_mode
        assert other.parameters["weight_ih_l0"].flags.writeable is not eval_mode
        assert not np.shares_memory(
            other.parameters["weight_ih_l0"], layer.parameters["weight_ih_l0"]
        )


def test_repr_shows_what_is_not_the_default():
    assert repr(pyrnn.RNN(3, 4)) == "RNN(3, 4)"
    layer = pyrnn.RNN(3, 4, 2, "relu", bias=False, dtype="float64")
    assert (
        repr(layer) == "RNN(3, 4, num_layers=2, nonlinearity='relu', bias=False, dtype='float64')"
    )
    assert layer.num_parameters == 4 * 3 + 3 * 4 * 4


@pytest.mark.parametrize("time_steps", [1, 4])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_states_belong_to_the_caller(make_layer, time_steps, num_layers, backend):
    """They may be changed, and neither outputs, nor what backward needs, nor arguments change."""
    layer = make_layer(3, 4, num_layers, seed=0)
    x = random(time_steps, 2, 3, dtype="float32")
    _, start = layer(x)
    y, state, cache = layer.forward(x, start)
    expected = layer.backward(cache, np.ones_like(y), state)
    y, state, cache = layer.forward(x, start)
    kept = y.copy()
    dstate = copy.deepcopy(state)
    for part in parts(state):
        assert part.flags.writeable
        assert not any(np.shares_memory(part, other) for other in (y, *parts(start)))
        part[...] = 99
    assert np.array_equal(y, kept)
    dx, dstart, grads = layer.backward(cache, np.ones_like(y), dstate)
    assert np.array_equal(dx, expected[0])
    for name in grads:
        assert np.array_equal(grads[name], expected[2][name])
    for part in parts(dstart):
        assert part.flags.writeable
        assert not any(np.shares_memory(part, other) for other in (dx, *parts(dstate)))
