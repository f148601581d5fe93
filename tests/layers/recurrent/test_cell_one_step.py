"""A cell called in eval mode: the bits of `forward`, by one call of the core."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn
from pyrnn.backend import selection

CELLS = {
    "rnn": (pyrnn.RNNCell, {"nonlinearity": "relu"}),
    "lstm": (pyrnn.LSTMCell, {}),
    "lstm-projected": (pyrnn.LSTMCell, {"proj_size": 4}),
    "lstm-peephole": (pyrnn.LSTMCell, {"peephole": True, "coupled": True}),
    "lstm-layer-norm": (pyrnn.LSTMCell, {"layer_norm": True}),
    "lstm-activations": (pyrnn.LSTMCell, {"recurrent_activation": "hard_sigmoid", "clip": 0.5}),
    "gru": (pyrnn.GRUCell, {}),
    "gru-reset-before": (pyrnn.GRUCell, {"reset_after": False}),
    "gru-layer-norm": (pyrnn.GRUCell, {"layer_norm": True}),
}
INPUTS, UNITS = 5, 19


def random(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def made(name, **options):
    """The same cell in eval and in train mode."""
    kind, own = CELLS[name]
    one, other = (kind(INPUTS, UNITS, seed=1, **own, **options) for _ in range(2))
    return one.eval(), other


def watch(cell):
    """Of each call from here on, whether it took the short way."""
    usual, found = cell._one_step(), []

    def counted(x, state):
        result = usual(x, state)
        found.append(result is not None)
        return result

    cell._ready = selection.chosen(), counted
    return found


def assert_same(got, expected):
    assert isinstance(got, tuple) == isinstance(expected, tuple)
    for one, other in zip(parts(got), parts(expected), strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert np.array_equal(one, other)
        assert one.flags.writeable
        assert one.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CELLS)
def test_the_bits_are_those_of_forward(name, dtype, backend):
    cell, training = made(name, dtype=dtype)
    taken = watch(cell)
    for batch_size in (1, 3, 64):
        x = random(batch_size, INPUTS, dtype=dtype, seed=batch_size)
        indices = np.arange(batch_size) % INPUTS
        for given in (x, indices):
            state = None
            for _ in range(3):
                after = cell(given, state)
                assert_same(after, training.forward(given, state)[1])
                state = after
    row, state = random(INPUTS, dtype=dtype), None
    for _ in range(3):
        after = cell(row, state)
        assert_same(after, training.forward(row, state)[1])
        state = after
    assert set(taken) == {backend == "native"}


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_what_is_not_exact_goes_the_long_way(name):
    if "native" not in selection.available():
        pytest.skip("the compiled core is not built")
    cell, training = made(name)
    taken = watch(cell)
    x = random(3, INPUTS)
    state = cell(x)
    turned = np.asfortranarray(x)
    for given in (turned, x.astype(">f4"), np.arange(3, dtype=np.int32), random(65, INPUTS)):
        before = state if np.shape(given)[0] == 3 else None
        assert_same(cell(given, before), training.forward(given, before)[1])
    assert taken == [True] + 2 * 4 * [False]  # the shortcut asks, then the method
    if name == "lstm":
        assert_same(cell(x, (state[0], None)), training.forward(x, (state[0], None))[1])


@pytest.mark.parametrize(
    ("x", "state"),
    [
        (random(2, INPUTS + 1), None), (random(0, INPUTS), None), (random(1, 2, INPUTS), None),
        (np.array([0, INPUTS]), None), (np.array([-1]), None), (np.array(1), None),
        (random(2, INPUTS, dtype="float64"), None), (random(2, INPUTS), random(1, UNITS)),
        (random(2, INPUTS), random(1, 2, UNITS)), (random(INPUTS), random(1, UNITS)),
        (random(2, INPUTS), (random(2, UNITS), random(2, UNITS))),
    ],
)  # fmt: skip
def test_errors_are_those_of_forward(x, state):
    cell, training = made("gru")
    with pytest.raises((TypeError, ValueError)) as expected:
        training.forward(x, state)
    with pytest.raises(type(expected.value)) as raised:
        cell(x, state)
    assert str(raised.value) == str(expected.value)


def test_a_state_is_neither_kept_nor_changed():
    cell, training = made("lstm")
    x, state = random(2, INPUTS), (random(2, UNITS, seed=1), random(2, UNITS, seed=2))
    before = copy.deepcopy(state)
    first = cell(x, state)
    kept = copy.deepcopy(first)
    cell(random(2, INPUTS, seed=4), first)
    for one, other in zip((*state, *first), (*before, *kept), strict=True):
        assert np.array_equal(one, other)
    assert_same(cell(x), training.forward(x)[1])


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_narrow_weights(weights):
    cell, training = made("gru")
    x, state = random(2, INPUTS), random(2, UNITS)
    full = cell(x, state)
    cell.eval(weights=weights)
    assert not np.array_equal(cell(x, state), full)
    assert_same(cell(x, state), cell._forward(x, state, keep=False)[1])
    assert_same(full, training.forward(x, state)[1])


def test_changed_weights_are_seen(backend):
    cell, _ = made("gru")
    x = random(2, INPUTS)
    before = cell(x)
    cell.train().parameters["weight_ih"][...] *= 2
    in_training = cell(x)
    assert not np.array_equal(in_training, before)
    assert np.array_equal(cell.eval()(x), in_training)
    for copied in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert np.array_equal(copied(x), in_training)


def test_the_active_backend_computes():
    if "native" not in selection.available():
        pytest.skip("the compiled core is not built")
    cell, _ = made("lstm", dtype="float64")
    x = random(2, INPUTS, dtype="float64")
    h, _ = cell(x)
    taken = watch(cell)
    with pyrnn.use_backend("reference"):
        plain, _ = cell(x)
    assert not taken
    np.testing.assert_allclose(plain, h, rtol=1e-12)
