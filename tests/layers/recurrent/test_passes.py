"""One direction from the end, what two directions are merged to, and sequences without a step."""

from functools import partial

import numpy as np
import pytest

import pyrnn

MERGED = {
    "sum": lambda one, other: one + other,
    "mul": lambda one, other: one * other,
    "ave": lambda one, other: (one + other) * 0.5,
}
LENGTHS = [5, 0, 3, 0, 1]


@pytest.fixture(params=["RNN", "LSTM", "LSTM-projected", "GRU", "MinGRU"])
def make_one(request):
    """A constructor of one of each kind, for what takes long."""
    name, _, projected = request.param.partition("-")
    return partial(getattr(pyrnn, name), **({"proj_size": 2} if projected else {}))


def values(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def whole(arrays):
    return tuple(arrays) if len(arrays) > 1 else arrays[0]


def assert_equal(got, expected):
    for one, other in zip(parts(got), parts(expected), strict=True):
        if isinstance(one, tuple):
            assert_equal(one, other)
            continue
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def backwards_in_time(x, lengths):
    """Each sequence from its end to its start; what lies past it stays."""
    turned = x.copy()
    for row, length in enumerate(lengths):
        turned[:length, row] = x[:length, row][::-1]
    return turned


# --- reverse --------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [None, [6, 2, 4], [6, 0, 4]])
@pytest.mark.parametrize("checkpoint", [None, 2])
def test_reverse_is_forward_over_the_turned_sequence(make_any, lengths, checkpoint, backend):
    forward, layer = (make_any(3, 4, 2, dtype="float64", seed=1, reverse=r) for r in (False, True))
    x = values(6, 3, 3)
    turn = partial(backwards_in_time, lengths=lengths or [6, 6, 6])
    state = whole([values(*part.shape, seed=2) for part in parts(layer(x)[1])])
    y, final, cache = layer.forward(x, state, lengths, checkpoint=checkpoint)
    turned_y, turned_final, turned_cache = forward.forward(turn(x), state, lengths)
    assert_equal(y, turn(turned_y))
    assert_equal(final, turned_final)
    dy = values(*y.shape, seed=3)
    dfinal = whole([values(*part.shape, seed=4) for part in parts(final)])
    dx, dstate, grads = layer.backward(cache, dy, dfinal)
    turned_dx, turned_dstate, turned_grads = forward.backward(turned_cache, turn(dy), dfinal)
    if lengths is None:  # else past a length dx is zero, in whichever order dy was
        assert_equal(dx, turn(turned_dx))
    for one, other in zip(parts(dstate), parts(turned_dstate), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, turned_grads[name], rtol=1e-11, atol=1e-13)


def test_reverse_agrees_with_finite_differences(make_one, backend):
    layer = make_one(2, 3, 2, dtype="float64", seed=0, reverse=True)
    report = pyrnn.gradcheck(layer, values(3, 3, 2), lengths=[3, 0, 2], samples=6)
    assert report, str(report)


def test_reverse_is_the_second_direction(make_any, backend):
    both = make_any(3, 4, bidirectional=True, seed=0)
    layer = make_any(3, 4, reverse=True)
    for name in layer.parameters:
        layer.parameters[name] = both.parameters[f"{name}_reverse"]
    x, lengths = values(5, 3, 3).astype(np.float32), [5, 1, 3]
    y, _ = both(x, lengths=lengths)
    size = y.shape[2] // 2
    np.testing.assert_array_equal(layer(x, lengths=lengths)[0], y[:, :, size:])


def test_reverse_with_zoneout_dropout_and_batch_first(backend):
    layer = pyrnn.LSTM(
        3, 4, 2, batch_first=True, reverse=True, zoneout=0.3, recurrent_dropout=0.2,
        dropout=0.4, dtype="float64", seed=0,
    )  # fmt: skip
    assert pyrnn.gradcheck(layer, values(2, 5, 3), samples=6)
    assert layer(values(2, 5, 3))[0].shape == (2, 5, 4)


def test_what_a_reversed_layer_cannot_do():
    layer = pyrnn.GRU(3, 4, reverse=True)
    with pytest.raises(ValueError, match=r"stream: .* forward in time, got a reversed one"):
        layer.stream()
    y, _, cache = layer.forward(np.ones((3, 1, 3), np.float32))
    with pytest.raises(NotImplementedError, match="forward in time in one direction"):
        layer.backward_truncated(cache, y, 1, 2)
    with pytest.raises(ValueError, match="reverse: expected False for a bidirectional layer"):
        pyrnn.GRU(3, 4, bidirectional=True, reverse=True)
    with pytest.raises(TypeError, match="reverse: expected True or False, got 1"):
        pyrnn.GRU(3, 4, reverse=1)


# --- merge modes ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MERGED)
def test_merged_directions(mode, make_any, backend):
    merged = make_any(3, 4, bidirectional=True, merge_mode=mode, seed=0)
    both = make_any(3, 4, bidirectional=True, seed=0)
    x, lengths = values(5, 3, 3).astype(np.float32), [5, 1, 3]
    y, _ = both(x, lengths=lengths)
    one, other = np.split(y, 2, axis=2)
    got, state = merged(x, lengths=lengths)
    np.testing.assert_array_equal(got, MERGED[mode](one, other))
    assert_equal(state, both(x, lengths=lengths)[1])


@pytest.mark.parametrize("mode", MERGED)
def test_merged_directions_agree_with_finite_differences(mode, make_one, backend):
    layer = make_one(2, 3, 2, bidirectional=True, merge_mode=mode, dtype="float64", seed=0)
    assert layer.parameters["weight_ih_l1"].shape[1] == layer(values(4, 1, 2))[0].shape[2]
    report = pyrnn.gradcheck(layer, values(3, 3, 2), lengths=[3, 0, 2], samples=6)
    assert report, str(report)


def test_wrong_merge_modes():
    with pytest.raises(ValueError, match="merge_mode: expected 'concat', 'sum', 'mul' or 'ave'"):
        pyrnn.GRU(3, 4, bidirectional=True, merge_mode="max")
    with pytest.raises(ValueError, match="merge_mode: expected 'concat' for a layer of one dir"):
        pyrnn.GRU(3, 4, merge_mode="sum")


# --- sequences without a step ---------------------------------------------------------------


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("given", [True, False], ids=["states", "no states"])
def test_sequences_of_length_zero(bidirectional, given, make_any, backend):
    layer = make_any(3, 4, 2, bidirectional=bidirectional, seed=0)
    x = values(5, 5, 3).astype(np.float32)
    state = whole([np.ones_like(part) for part in parts(layer(x)[1])]) if given else None
    y, final, cache = layer.forward(x, state, LENGTHS)
    occupied, empty = np.flatnonzero(LENGTHS), np.flatnonzero(np.array(LENGTHS) == 0)
    chosen = whole([part[:, occupied] for part in parts(state)]) if given else None
    few = np.array(LENGTHS)[occupied]
    y_few, final_few, cache_few = layer.forward(x[:, occupied], chosen, few)
    np.testing.assert_array_equal(y[:, occupied], y_few)
    assert not y[:, empty].any()
    assert_equal(layer(x, state, LENGTHS), (y, final))
    for one, other in zip(parts(final), parts(final_few), strict=True):
        np.testing.assert_array_equal(one[:, occupied], other)
        assert (one[:, empty] == given).all()
    dfinal = whole([np.full_like(part, 2) for part in parts(final)])
    dx, dstate, grads = layer.backward(cache, np.ones_like(y), dfinal)
    dfew = whole([part[:, occupied] for part in parts(dfinal)])
    dx_few, dstate_few, grads_few = layer.backward(cache_few, np.ones_like(y_few), dfew)
    np.testing.assert_array_equal(dx[:, occupied], dx_few)
    assert not dx[:, empty].any()
    for one, other in zip(parts(dstate), parts(dstate_few), strict=True):
        np.testing.assert_array_equal(one[:, occupied], other)
        assert (one[:, empty] == 2).all()
    for name, grad in grads.items():
        np.testing.assert_array_equal(grad, grads_few[name])


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("batch_size", [0, 2], ids=["an empty batch", "empty sequences"])
@pytest.mark.parametrize("indices", [False, True])
def test_nothing_to_compute(batch_size, indices, batch_first, make_any, backend):
    layer = make_any(3, 4, 2, batch_first=batch_first, seed=0)
    lead = (batch_size, 5) if batch_first else (5, batch_size)
    x = np.zeros(lead, int) if indices else np.ones((*lead, 3), np.float32)
    state = whole([np.ones_like(part) for part in parts(layer(x)[1])])
    y, final, cache = layer.forward(x, state, [0] * batch_size)
    assert y.shape[:2] == lead
    assert not y.any()
    assert_equal(final, state)
    dx, dstate, grads = layer.backward(cache, y, state)
    assert dx is None if indices else (dx.shape == x.shape and not dx.any())
    assert_equal(dstate, state)
    assert list(grads) == list(layer.parameters)
    assert not any(grad.any() for grad in grads.values())
    assert layer.gates(x, lengths=[0] * batch_size) == {}


def test_an_empty_batch_without_lengths(backend):
    layer = pyrnn.LSTM(3, 4, seed=0)
    y, (h, c), cache = layer.forward(np.ones((5, 0, 3), np.float32))
    assert (y.shape, h.shape, c.shape) == ((5, 0, 4), (1, 0, 4), (1, 0, 4))
    dx, grads = layer.backward_truncated(cache, y, 1, 2)
    assert dx.shape == (5, 0, 3)
    assert not grads["weight_ih_l0"].any()


def test_gates_of_sequences_of_length_zero():
    layer = pyrnn.GRU(3, 4, seed=0)
    x = values(5, 5, 3).astype(np.float32)
    gates, few = layer.gates(x, lengths=LENGTHS), layer.gates(x[:, [0, 2, 4]], lengths=[5, 3, 1])
    for name, gate in gates.items():
        np.testing.assert_array_equal(gate[:, [0, 2, 4]], few[name])
        assert not gate[:, [1, 3]].any()
