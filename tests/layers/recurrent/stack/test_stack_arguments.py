"""Wrong arguments of recurrent layers: errors name the argument, what came, what was expected."""

import numpy as np
import pytest

import pyrnn

X = np.zeros((5, 2, 3), np.float32)


def state_of(layer, shape, dtype=np.float32):
    h = np.zeros(shape, dtype)
    return (h, h.copy()) if isinstance(layer, pyrnn.LSTM) else h


def name_of_state(layer, name):
    return f"{name}'s h" if isinstance(layer, pyrnn.LSTM) else name


# --- construction ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"input_size": 0}, ValueError, "input_size: expected a whole number of at least 1, got 0"),
        ({"input_size": 2.0}, TypeError, r"input_size: expected a whole number, got 2\.0"),
        ({"hidden_size": -3}, ValueError, "hidden_size: .* at least 1, got -3"),
        ({"hidden_size": True}, TypeError, "hidden_size: expected a whole number, got True"),
        ({"num_layers": 0}, ValueError, "num_layers: .* at least 1, got 0"),
        ({"num_layers": "2"}, TypeError, "num_layers: expected a whole number, got '2'"),
        ({"dropout": 1.5}, ValueError, r"dropout: expected a number in \[0.0, 1.0\], got 1.5"),
        ({"dropout": float("nan")}, ValueError, "dropout: .* got nan"),
        ({"dropout": "a"}, TypeError, "dropout: expected a number, got 'a'"),
        ({"dtype": "float16"}, TypeError, "dtype: expected 'float32' or 'float64', got 'float16'"),
        ({"dtype": "nonsense"}, TypeError, "dtype: .* got 'nonsense'"),
        ({"dtype": int}, TypeError, "dtype: expected 'float32' or 'float64'"),
        ({"seed": -1}, ValueError, "seed: .* at least 0, got -1"),
        ({"seed": 1.5}, TypeError, r"seed: expected a whole number, got 1\.5"),
        ({"hidden_size": 10**6}, ValueError, r"weight_hh_l0: expected at most 2147483647 elements"),
    ],
)
def test_construction(make_layer, options, error, message):
    with pytest.raises(error, match=message):
        make_layer(**({"input_size": 3, "hidden_size": 4} | options))


def test_nonlinearity():
    with pytest.raises(ValueError, match=r"nonlinearity: expected one of 'sigmoid', .* 'gelu'"):
        pyrnn.RNN(3, 4, nonlinearity="gelu")


# --- x --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (X.astype(np.float64), TypeError, "x: expected dtype float32, got float64"),
        (X.astype(np.float16), TypeError, "x: expected dtype float32, got float16"),
        (X.astype(np.complex64), TypeError, "x: expected dtype float32, got complex64"),
        (X.astype(bool), TypeError, "x: expected dtype float32, got bool"),
        (X.astype(object), TypeError, "x: expected dtype float32, got object"),
        (None, TypeError, "x: expected dtype float32, got NoneType"),
        ([[1.0], [1.0, 2.0]], TypeError, "x: expected an array, got list"),
        (X.astype(int), TypeError, r"x: an integer array .*\(T, N\) or \(T,\), got \(5, 2, 3\)"),
        (X[..., :2], ValueError, r"x: expected shape \(T, N, 3\) or \(T, 3\), got \(5, 2, 2\)"),
        (X[0, 0], ValueError, r"x: expected shape .* got \(3,\)"),
        (X[None], ValueError, r"x: expected shape .* got \(1, 5, 2, 3\)"),
        (X[:0], ValueError, r"x: expected at least one step, got shape \(0, 2, 3\)"),
        (np.array([0, 3]), ValueError, r"x: expected indices in \[0, 3\), got 3"),
        (np.array([[0, -1]]), ValueError, r"x: expected indices in \[0, 3\), got -1"),
        (np.array([2**64 - 1], np.uint64), ValueError, r"x: expected indices in \[0, 3\)"),
        (np.array([], int), ValueError, r"x: expected at least one step"),
    ],
    ids=str,
)
def test_x(make_layer, x, error, message, backend):
    layer = make_layer(3, 4)
    for call in (layer, layer.forward):
        with pytest.raises(error, match=message):
            call(x)


def test_x_batch_first(make_layer, backend):
    layer = make_layer(3, 4, batch_first=True)
    with pytest.raises(ValueError, match=r"x: expected shape \(N, T, 3\) or \(T, 3\)"):
        layer(X[..., :2])
    with pytest.raises(TypeError, match=r"has shape \(N, T\) or \(T,\)"):
        layer(X.astype(int))


# --- state and dstate -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((2, 4), r"\(2, 2, 4\)"), ((1, 2, 4), r"\(2, 2, 4\)"), ((2, 2, 5), r"\(2, 2, 4\)")],
)
def test_shape_of_state(make_layer, shape, expected, backend):
    layer = make_layer(3, 4, 2)
    y, _, cache = layer.forward(X)
    for name, call in {
        "state": lambda state: layer(X, state),
        "dstate": lambda state: layer.backward(cache, np.zeros_like(y), state),
    }.items():
        where = name_of_state(layer, name)
        message = rf"{where}: expected shape {expected}, got \({', '.join(map(str, shape))}\)"
        with pytest.raises(ValueError, match=message):
            call(state_of(layer, shape))


def test_shape_of_state_without_a_batch(make_layer, backend):
    layer = make_layer(3, 4)
    with pytest.raises(ValueError, match=r"expected shape \(1, 4\), got \(1, 1, 4\)"):
        layer(X[:, 0], state_of(layer, (1, 1, 4)))


def test_dtype_of_state(make_layer, backend):
    layer = make_layer(3, 4)
    where = name_of_state(layer, "state")
    with pytest.raises(TypeError, match=f"{where}: expected dtype float32, got float64"):
        layer(X, state_of(layer, (1, 2, 4), np.float64))


@pytest.mark.parametrize(
    ("state", "got"),
    [
        (np.zeros((1, 2, 4), np.float32), "ndarray"),
        ((np.zeros((1, 2, 4), np.float32),), "1 parts"),
    ],
)
def test_state_of_lstm_is_a_pair(state, got, backend):
    layer = pyrnn.LSTM(3, 4)
    with pytest.raises(TypeError, match=rf"state: expected the pair \(h, c\), got {got}"):
        layer(X, state)
    y, _, cache = layer.forward(X)
    with pytest.raises(TypeError, match=rf"dstate: expected the pair \(h, c\), got {got}"):
        layer.backward(cache, np.zeros_like(y), state)


# --- lengths --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([5.0, 2.0], TypeError, "lengths: expected integers, got dtype float64"),
        ([5], ValueError, r"lengths: expected shape \(2,\), got \(1,\)"),
        (5, ValueError, r"lengths: expected shape \(2,\), got \(\)"),
        ([6, 1], ValueError, r"lengths: expected values in \[0, 5\], got \[6, 1\]"),
        ([5, -1], ValueError, r"lengths: expected values in \[0, 5\], got \[5, -1\]"),
    ],
    ids=str,
)
def test_lengths(make_layer, lengths, error, message, backend):
    with pytest.raises(error, match=message):
        make_layer(3, 4)(X, lengths=lengths)


# --- backward -------------------------------------------------------------------------------


def test_dy(make_layer, backend):
    layer = make_layer(3, 4)
    _, _, cache = layer.forward(X)
    with pytest.raises(ValueError, match=r"dy: expected shape \(5, 2, 4\), got \(5, 2, 3\)"):
        layer.backward(cache, X)
    with pytest.raises(TypeError, match="dy: expected dtype float32, got float64"):
        layer.backward(cache, np.zeros((5, 2, 4)))
    layer.backward(cache, np.zeros((5, 2, 4), np.float32))  # refused ones have not used it up


def test_dy_of_other_layouts(make_layer, backend):
    layer = make_layer(3, 4, batch_first=True)
    _, _, cache = layer.forward(X)
    with pytest.raises(ValueError, match=r"dy: expected shape \(5, 2, 4\), got \(2, 5, 4\)"):
        layer.backward(cache, np.zeros((2, 5, 4), np.float32))
    _, _, cache = layer.forward(X[0])
    with pytest.raises(ValueError, match=r"dy: expected shape \(2, 4\), got \(2, 1, 4\)"):
        layer.backward(cache, np.zeros((2, 1, 4), np.float32))


def test_cache_serves_once_and_only_its_own_layer(make_layer, backend):
    layer, other = make_layer(3, 4, seed=0), make_layer(3, 4, seed=0)
    y, _, cache = layer.forward(X)
    dy = np.zeros_like(y)
    with pytest.raises(ValueError, match="cache: it came from another layer"):
        other.backward(cache, dy)
    layer.backward(cache, dy)
    for again in (
        lambda: layer.backward(cache, dy),
        lambda: layer.backward_truncated(cache, dy, 1, 2),
    ):
        with pytest.raises(ValueError, match="cache: it was used by an earlier backward"):
            again()
    with pytest.raises(TypeError, match="cache: expected what forward returned last, got dict"):
        layer.backward({}, dy)


def test_backward_truncated(make_layer, backend):
    layer = make_layer(3, 4)
    y, _, cache = layer.forward(X)
    dy = np.zeros_like(y)
    with pytest.raises(ValueError, match="k2: expected at least k1 = 3, got 2"):
        layer.backward_truncated(cache, dy, 3, 2)
    with pytest.raises(ValueError, match=r"k1: .* at least 1, got 0"):
        layer.backward_truncated(cache, dy, 0, 2)
    with pytest.raises(TypeError, match=r"k2: expected a whole number, got 2\.0"):
        layer.backward_truncated(cache, dy, 1, 2.0)
    with pytest.raises(ValueError, match=r"dy: expected shape \(5, 2, 4\)"):
        layer.backward_truncated(cache, dy[1:], 1, 2)
    with pytest.raises(TypeError, match="cache: expected what forward returned last"):
        layer.backward_truncated(None, dy, 1, 2)
    layer.backward_truncated(cache, dy, 1, 2)


def test_backward_truncated_wants_one_direction_and_whole_sequences(make_layer, backend):
    both = make_layer(3, 4, bidirectional=True)
    y, _, cache = both.forward(X)
    with pytest.raises(NotImplementedError, match="one direction"):
        both.backward_truncated(cache, np.zeros_like(y), 1, 2)
    layer = make_layer(3, 4)
    mask = np.ones(X.shape[:2], bool)
    mask[1] = False
    y, _, cache = layer.forward(X, mask=mask)
    with pytest.raises(NotImplementedError, match="without mask or reset"):
        layer.backward_truncated(cache, np.zeros_like(y), 1, 2)
