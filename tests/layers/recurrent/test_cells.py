"""Cells: equal to a layer of one step, gradients, layouts, modes, errors."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def is_lstm(cell):
    return isinstance(cell, pyrnn.LSTMCell)


def random_state(cell, *shape, dtype="float64"):
    if is_lstm(cell):
        return random(*shape, dtype=dtype, seed=1), random(*shape, dtype=dtype, seed=2)
    return random(*shape, dtype=dtype, seed=1)


def layer_of(cell):
    """The layer of one step with the cell's parameters."""
    if isinstance(cell, pyrnn.RNNCell):
        layer = pyrnn.RNN(3, 4, nonlinearity=cell.nonlinearity, bias=cell.bias, dtype=cell.dtype)
    else:
        kind = pyrnn.LSTM if is_lstm(cell) else pyrnn.GRU
        layer = kind(3, 4, bias=cell.bias, dtype=cell.dtype)
    layer.parameters.update({f"{n}_l0": a for n, a in cell.parameters.items()})
    return layer


@pytest.mark.parametrize("bias", [True, False])
def test_is_a_layer_of_one_step(make_cell, bias, backend, assert_close):
    cell = make_cell(3, 4, bias, dtype="float64", seed=0)
    layer = layer_of(cell)
    x, state, dstate = random(2, 3), random_state(cell, 2, 4), random_state(cell, 2, 4)
    dy = random(2, 4, seed=5)
    h, after, cache = cell.forward(x, state)
    dx, dbefore, grads = cell.backward(cache, dy, dstate)

    def lift(s):
        return tuple(a[None] for a in s) if is_lstm(cell) else s[None]

    y, last, layer_cache = layer.forward(x[None], lift(state))
    dx_l, dbefore_l, grads_l = layer.backward(layer_cache, dy[None], lift(dstate))
    assert_close((h[None], lift(after)), (y, last), 1e-15)
    assert_close((dx[None], lift(dbefore)), (dx_l, dbefore_l), 1e-15)
    assert_close({f"{n}_l0": g for n, g in grads.items()}, grads_l, 1e-15)
    assert_close(cell(x, state), after, 0.0)


def plus(dstate, dy):
    """A gradient of the state with that of the output added to h."""
    return (dstate[0] + dy, dstate[1]) if isinstance(dstate, tuple) else dstate + dy


@pytest.mark.parametrize("lead", [(), (2,)], ids=str)
def test_gradients_of_output_and_state_add_up(make_cell, lead, backend, assert_close):
    cell = make_cell(3, 4, dtype="float64", seed=0)
    x, dstate, dy = random(*lead, 3), random_state(cell, *lead, 4), random(*lead, 4, seed=5)
    zeros = tuple(map(np.zeros_like, dstate)) if is_lstm(cell) else np.zeros_like(dstate)

    def gradients(dy, dstate=None):
        return cell.backward(cell.forward(x)[2], dy, dstate)

    assert_close(gradients(dy, dstate), gradients(None, plus(dstate, dy)), 0.0)
    assert_close(gradients(dy), gradients(None, plus(zeros, dy)), 0.0)
    if is_lstm(cell):
        assert_close(gradients(dy, (None, dstate[1])), gradients(None, (dy, dstate[1])), 0.0)


def test_output_is_h_and_stands_alone(make_cell, backend, assert_close):
    cell = make_cell(3, 4, dtype="float64", seed=0)
    x, dy = random(2, 3), random(2, 4)
    expected = cell.backward(cell.forward(x)[2], dy)
    h, state, cache = cell.forward(x)
    assert np.array_equal(h, parts(state)[0])
    kept = h.copy()
    with pytest.raises(ValueError, match="read-only"):
        h[...] = 7
    for part in parts(state):
        part[...] = 7
    assert np.array_equal(h, kept)
    assert_close(cell.backward(cache, dy), expected, 0.0)


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_agree_with_finite_differences(make_cell, bias, backend):
    cell = make_cell(3, 4, bias, dtype="float64", seed=0)
    for x in (random(2, 3), random(3), np.array([2, 0])):
        report = pyrnn.gradcheck(cell, x)
        assert report, str(report)


def test_agrees_with_torch(make_cell, backend, assert_close):
    torch = pytest.importorskip("torch")
    cell = make_cell(3, 4, dtype="float64", seed=0)
    options = {"nonlinearity": cell.nonlinearity} if isinstance(cell, pyrnn.RNNCell) else {}
    peer = getattr(torch.nn, type(cell).__name__)(3, 4, **options).double()
    peer.load_state_dict({n: torch.tensor(a) for n, a in cell.parameters.items()})
    x, state = random(2, 3), random_state(cell, 2, 4)
    tensors = tuple(torch.tensor(s) for s in parts(state))
    with torch.no_grad():
        expected = peer(torch.tensor(x), tensors if is_lstm(cell) else tensors[0])
    expected = tuple(e.numpy() for e in expected) if is_lstm(cell) else expected.numpy()
    assert_close(cell(x, state), expected, 1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shapes_and_dtypes(make_cell, dtype, backend):
    cell = make_cell(3, 4, dtype=dtype)
    for lead in ((), (2,)):
        _, state, cache = cell.forward(random(*lead, 3, dtype=dtype))
        dx, dstate, grads = cell.backward(cache, None, state)
        assert dx.shape == (*lead, 3)
        assert all(s.shape == (*lead, 4) for s in (*parts(state), *parts(dstate)))
        assert {n: g.shape for n, g in grads.items()} == {
            n: p.shape for n, p in cell.parameters.items()
        }
        assert {a.dtype for a in (dx, *parts(state), *parts(dstate), *grads.values())} == {
            np.dtype(dtype)
        }


def test_one_row_is_a_batch_of_one(make_cell, backend, assert_close):
    cell = make_cell(3, 4, dtype="float64", seed=0)
    x, state = random(3), random_state(cell, 4)
    lifted = tuple(s[None] for s in state) if is_lstm(cell) else state[None]
    alone, batch = cell(x, state), cell(x[None], lifted)
    assert_close(parts(alone), tuple(b[0] for b in parts(batch)), 0.0)


def test_other_memory_layouts_give_the_same(make_cell, backend, assert_close):
    cell = make_cell(3, 4, dtype="float64", seed=0)
    x, state, dstate = random(2, 3), random_state(cell, 2, 4), random_state(cell, 2, 4)
    _, after, cache = cell.forward(x, state)
    expected = after, *cell.backward(cache, None, dstate)

    def turned(s):
        return tuple(map(np.asfortranarray, s)) if is_lstm(cell) else np.asfortranarray(s)

    _, after, cache = cell.forward(np.asfortranarray(x), turned(state))
    assert_close((after, *cell.backward(cache, None, turned(dstate))), expected, 1e-13)


def test_indices_stand_for_one_hot_rows(make_cell, backend, assert_close):
    cell = make_cell(3, 4, dtype="float64", seed=0)
    indices = np.array([2, 0, 2], np.int8)
    _, after, cache = cell.forward(indices)
    dx, dbefore, grads = cell.backward(cache, None, after)
    _, expected, cache = cell.forward(np.eye(3)[indices])
    _, dbefore_hot, grads_hot = cell.backward(cache, None, after)
    assert dx is None
    assert_close((after, dbefore, grads), (expected, dbefore_hot, grads_hot), 1e-14)


def test_parameters_are_named_and_drawn_as_in_torch(make_cell):
    cell, again = make_cell(3, 4, seed=5), make_cell(3, 4, seed=5)
    gates = cell.parameters["weight_hh"].shape[0]
    assert {n: a.shape for n, a in cell.parameters.items()} == {
        "weight_ih": (gates, 3),
        "weight_hh": (gates, 4),
        "bias_ih": (gates,),
        "bias_hh": (gates,),
    }
    for name, array in cell.parameters.items():
        assert np.array_equal(array, again.parameters[name])
        assert np.abs(array).max() <= 0.5


def test_modes(make_cell, backend, assert_close):
    cell = make_cell(3, 4, dtype="float64", seed=0)
    x = random(2, 3)
    expected = cell(x)
    cell.eval()
    assert_close(cell(x), expected, 0.0)
    with pytest.raises(ValueError, match="bias_hh: the layer is in eval mode"):
        cell.parameters["bias_hh"] = cell.parameters["bias_hh"] + 1
    cell.train()
    cell.parameters["bias_ih"] = cell.parameters["bias_ih"] + 1
    assert not np.array_equal(parts(cell(x))[0], parts(expected)[0])


@pytest.mark.parametrize("duplicate", [lambda a: pickle.loads(pickle.dumps(a)), copy.deepcopy])
def test_copies(make_cell, duplicate, backend, assert_close):
    cell = make_cell(3, 4, dtype="float64", seed=0).eval()
    other = duplicate(cell)
    assert_close(other(random(2, 3)), cell(random(2, 3)), 0.0)
    assert not other.training


def test_repr():
    assert (
        repr(pyrnn.RNNCell(3, 4, False, "relu")) == "RNNCell(3, 4, bias=False, nonlinearity='relu')"
    )
    assert repr(pyrnn.LSTMCell(3, 4, dtype="float64")) == "LSTMCell(3, 4, dtype='float64')"


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"input_size": 0}, ValueError, "input_size: .* at least 1, got 0"),
        ({"hidden_size": 1.5}, TypeError, r"hidden_size: .* got 1\.5"),
        ({"dtype": "float16"}, TypeError, "dtype: .* got 'float16'"),
        ({"seed": -1}, ValueError, "seed: .* got -1"),
    ],
)
def test_construction(make_cell, options, error, message):
    with pytest.raises(error, match=message):
        make_cell(**({"input_size": 3, "hidden_size": 4} | options))


def test_nonlinearity():
    with pytest.raises(ValueError, match=r"nonlinearity: expected one of 'sigmoid', .* 'gelu'"):
        pyrnn.RNNCell(3, 4, nonlinearity="gelu")


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (random(2, 4), ValueError, r"x: expected shape \(N, 3\) or \(3,\), got \(2, 4\)"),
        (random(1, 2, 3), ValueError, r"x: expected shape .* got \(1, 2, 3\)"),
        (random(0, 3), ValueError, r"x: expected at least one row, got shape \(0, 3\)"),
        (random(2, 3, dtype="float32"), TypeError, "x: expected dtype float64, got float32"),
        (np.zeros((2, 3), int), TypeError, r"x: an integer array .* \(N,\), got \(2, 3\)"),
        (np.array([3]), ValueError, r"x: expected indices in \[0, 3\), got 3"),
        (np.array([], int), ValueError, r"x: expected at least one row, got shape \(0,\)"),
        (1, TypeError, r"x: an integer array .* \(N,\), got \(\)"),
        (None, TypeError, "x: expected dtype float64, got NoneType"),
    ],
    ids=str,
)
def test_x(make_cell, x, error, message, backend):
    cell = make_cell(3, 4, dtype="float64")
    for call in (cell, cell.forward):
        with pytest.raises(error, match=message):
            call(x)


def test_state_and_dstate(make_cell, backend):
    cell = make_cell(3, 4, dtype="float64")
    x = random(2, 3)
    _, _, cache = cell.forward(x)
    for name, call in {
        "state": lambda s: cell(x, s),
        "dstate": lambda s: cell.backward(cache, None, s),
    }.items():
        where = f"{name}'s h" if is_lstm(cell) else name
        with pytest.raises(ValueError, match=rf"{where}: expected shape \(2, 4\), got \(2, 5\)"):
            call(random_state(cell, 2, 5))
        with pytest.raises(TypeError, match=f"{where}: expected dtype float64, got float32"):
            call(random_state(cell, 2, 4, dtype="float32"))
    with pytest.raises(ValueError, match=r"dy: expected shape \(2, 4\), got \(2, 5\)"):
        cell.backward(cache, random(2, 5))
    with pytest.raises(TypeError, match="dy: expected a gradient, of h or of the next state"):
        cell.backward(cache, None)
    with pytest.raises(ValueError, match=r"expected shape \(4,\), got \(1, 4\)"):
        cell(x[0], random_state(cell, 1, 4))


def test_state_of_lstm_is_a_pair(backend):
    with pytest.raises(TypeError, match=r"state: expected the pair \(h, c\), got ndarray"):
        pyrnn.LSTMCell(3, 4, dtype="float64")(random(2, 3), random(2, 4))


def test_cache_serves_once_and_only_its_own_cell(make_cell, backend):
    cell, other = make_cell(3, 4, dtype="float64"), make_cell(3, 4, dtype="float64")
    _, state, cache = cell.forward(random(2, 3))
    with pytest.raises(ValueError, match="cache: it came from another layer"):
        other.backward(cache, None, state)
    cell.backward(cache, None, state)
    with pytest.raises(ValueError, match="cache: it was used by an earlier backward"):
        cell.backward(cache, None, state)
    with pytest.raises(TypeError, match="cache: expected what forward returned last"):
        cell.backward(None, None, state)
