"""What recurrent layers refuse besides wrong shapes of x: dtypes, parameters, stale things, sizes.

`test_layers_arguments` has the shapes and values of each argument.
"""

import copy
import math
import pickle

import numpy as np
import pytest

import pyrnn

X = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)

WRONG_DTYPES = [
    "float16", "float64", "longdouble", "complex64", "bool", "int64", "uint8", "object", "U3",
    "S3", "M8[s]", "m8[s]", "V4", [("a", "f4")],
]  # fmt: skip


def pair(layer, part, other):
    """A state whose last array is ``part``."""
    return (other, part) if isinstance(layer, pyrnn.LSTM) else part


def parameters_of(layer):
    return {name: array.copy() for name, array in layer.parameters.items()}


def assert_unchanged(layer, before):
    for name, array in before.items():
        assert np.array_equal(layer.parameters[name], array)


# --- dtypes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", WRONG_DTYPES, ids=str)
def test_dtypes(make_layer, dtype, backend):
    layer = make_layer(3, 4)
    y, state, cache = layer.forward(X)
    good = np.zeros((1, 2, 4), np.float32)
    wrong_x, wrong_dy, wrong_state = (
        np.zeros(shape, dtype) for shape in ((5, 2, 3), y.shape, good.shape)
    )
    integers = np.dtype(dtype).kind in "iu"  # as x they are indices
    with pytest.raises(TypeError, match="x: an integer" if integers else "x: expected dtype float"):
        layer(wrong_x)
    name = "'s c" if isinstance(layer, pyrnn.LSTM) else ""
    with pytest.raises(TypeError, match=f"^state{name}: expected dtype float32, got "):
        layer(X, pair(layer, wrong_state, good))
    with pytest.raises(TypeError, match=r"^dy: expected dtype float32, got "):
        layer.backward(cache, wrong_dy)
    with pytest.raises(TypeError, match=f"^dstate{name}: expected dtype float32, got "):
        layer.backward(cache, np.zeros_like(y), pair(layer, wrong_state, good))
    layer.backward(cache, np.zeros_like(y), state)  # what was refused has not used it up


def test_the_other_float_is_refused_in_a_layer_of_either(make_layer, backend):
    layer = make_layer(3, 4, dtype="float64")
    with pytest.raises(TypeError, match="x: expected dtype float64, got float32"):
        layer(X)
    before = parameters_of(layer)
    with pytest.raises(TypeError, match="bias_hh_l0: expected dtype float64, got float32"):
        layer.parameters["bias_hh_l0"] = before["bias_hh_l0"].astype(np.float32)
    assert_unchanged(layer, before)


@pytest.mark.parametrize("dtype", ["bool", "float32", "complex64", "object", "U3", "M8[s]"])
def test_dtypes_of_lengths(make_layer, dtype, backend):
    with pytest.raises(TypeError, match="lengths: expected integers, got dtype "):
        make_layer(3, 4)(X, lengths=np.ones(2).astype(dtype))


@pytest.mark.parametrize("lengths", [[2, None], [2, 2**70], [[1], [2, 3]], "ab", 1.5], ids=str)
def test_what_are_no_lengths(make_layer, lengths, backend):
    with pytest.raises(TypeError, match="lengths: expected "):
        make_layer(3, 4)(X, lengths=lengths)


def test_lengths_do_not_wrap_around(make_layer, backend):
    for wrong in (2**64 - 1, 2**63, 2**32 + 1):
        with pytest.raises(ValueError, match=r"lengths: expected values in \[0, 5\], got "):
            make_layer(3, 4)(X, lengths=np.array([1, wrong], np.uint64))


@pytest.mark.parametrize("state", ["ab", 3, object(), [[1.0], [1.0, 2.0]]], ids=str)
def test_what_is_no_state(make_layer, state, backend):
    layer = make_layer(3, 4)
    with pytest.raises(TypeError, match=r"state.*: expected "):
        layer(X, state)
    y, _, cache = layer.forward(X)
    with pytest.raises(TypeError, match=r"dstate.*: expected "):
        layer.backward(cache, np.zeros_like(y), state)


# --- parameters -----------------------------------------------------------------------------


def test_parameters_of_wrong_shape_dtype_or_name(make_layer, backend):
    layer = make_layer(3, 4, 2)
    before = parameters_of(layer)
    rows = before["weight_hh_l1"].shape[0]
    for name, value, error, message in [
        ("weight_hh_l1", np.zeros((rows, 5), "f4"), ValueError, rf"expected shape \({rows}, 4\)"),
        ("weight_hh_l1", np.float32(0), ValueError, r"got \(\)"),
        ("weight_ih_l0", np.zeros((rows, 4), "f4"), ValueError, rf"expected shape \({rows}, 3\)"),
        ("bias_ih_l0", np.zeros(rows), TypeError, "expected dtype float32, got float64"),
        ("bias_ih_l0", np.zeros(rows, int), TypeError, "expected dtype float32, got int64"),
        ("bias_ih_l0", np.zeros(rows, object), TypeError, "expected dtype float32, got object"),
        ("bias_ih_l0", "zero", TypeError, "expected dtype float32, got <U4"),
    ]:
        with pytest.raises(error, match=f"^{name}: .*{message}"):
            layer.parameters[name] = value
    for name in ("weight_ih_l2", "weight_ih_l0_reverse", "weight_ih", "", 0, None):
        with pytest.raises(KeyError, match=r"unknown parameter .*there are weight_ih_l0, "):
            layer.parameters[name] = np.zeros(1, np.float32)
    assert_unchanged(layer, before)


def test_nothing_changes_parameters_in_eval_mode(make_layer, backend):
    layer = make_layer(3, 4, seed=0).eval()
    before = parameters_of(layer)
    value = np.zeros_like(before["weight_hh_l0"])

    def in_place(parameters):
        parameters["weight_hh_l0"] += 1

    for change in (
        in_place,
        lambda p: p.__setitem__("weight_hh_l0", value),
        lambda p: p.update(weight_hh_l0=value),
        lambda p: p.__ior__({"weight_hh_l0": value}),
        lambda p: np.copyto(p["weight_hh_l0"], value),
        lambda p: pyrnn.SGD(p, lr=0.1).step(before),
    ):
        with pytest.raises(ValueError, match=r"read-only|eval mode"):
            change(layer.parameters)
    assert_unchanged(layer, before)


# --- caches and copies ----------------------------------------------------------------------


def test_cache_of_a_layer_of_another_kind(make_layer, backend):
    layer = make_layer(3, 4)
    y, _, cache = layer.forward(X)
    others = [kind(3, 4) for kind in (pyrnn.RNN, pyrnn.LSTM, pyrnn.GRU)]
    for other in (*others, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        with pytest.raises(ValueError, match=r"cache: it came from another layer, .*, not "):
            other.backward(cache, np.zeros_like(y))
    cell = pyrnn.GRUCell(3, 4)
    with pytest.raises(ValueError, match="cache: it came from another layer"):
        layer.backward(cell.forward(X[0])[2], np.zeros_like(y))
    layer.backward(cache, np.zeros_like(y))


def test_a_copy_of_a_cache_is_no_second_use(make_layer, backend):
    layer = make_layer(3, 4)
    y, _, cache = layer.forward(X)
    twin = copy.copy(cache)
    layer.backward(cache, np.zeros_like(y))
    with pytest.raises(ValueError, match="cache: it was used by an earlier backward"):
        layer.backward(twin, np.zeros_like(y))


# --- sizes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes", [(2**31, 1), (1, 2**15), (1, 2**31), (2**62, 2**62), (2**70, 1)], ids=str
)
def test_sizes_whose_product_is_too_large(make_layer, sizes):
    with pytest.raises(ValueError, match=r"weight_.h_l0: expected at most 2147483647 elements"):
        make_layer(sizes[0], 2 * sizes[1])


@pytest.mark.parametrize("num_layers", [10_001, 10**9, 2**70])
def test_too_many_layers(make_layer, num_layers):
    with pytest.raises(ValueError, match=r"num_layers: .* at most 10000, got "):
        make_layer(1, 1, num_layers)


@pytest.mark.parametrize("batch_size", [2**29, 2**60, 2**62, 2**63, 2**70])
def test_streams_whose_state_is_too_large(make_layer, batch_size, backend):
    """The number of their numbers, in 64 bits, may well be 0."""
    with pytest.raises(ValueError, match=r"batch_size: expected at most 2147.*shape \(1, \d+, 4\)"):
        make_layer(3, 4).stream(batch_size)


def test_windows_longer_than_the_sequence_are_the_sequence(make_layer, backend):
    layer = make_layer(3, 4, seed=0)
    for k1, k2, same in [(2, 2**70, (2, 6)), (2**70, 2**71, (5, 5)), (6, 7, (5, 5))]:
        results = []
        for windows in ((k1, k2), same):
            y, _, cache = layer.forward(X)
            dx, grads = layer.backward_truncated(cache, np.ones_like(y), *windows)
            results.append([dx, *grads.values()])
        for one, other in zip(*results, strict=True):
            assert np.array_equal(one, other)


# --- options that may be set --------------------------------------------------------------------


def test_zoneout_is_checked_where_it_is_set(make_layer, backend):
    layer = make_layer(3, 4, zoneout=0.5, seed=0)
    with pytest.raises(ValueError, match=r"zoneout: expected a number in \[0.0, 1.0\], got 1.5"):
        layer.zoneout = 1.5
    assert layer.zoneout == 0.5
    layer.zoneout = 0
    assert np.array_equal(layer(X)[0], make_layer(3, 4, seed=0)(X)[0])


# --- NaN ------------------------------------------------------------------------------------


def test_options_are_not_nan(make_layer):
    message = r"dropout: expected a number in \[0.0, 1.0\], got "
    for wrong in (math.nan, math.inf, -0.1, 1.1):
        with pytest.raises(ValueError, match=message):
            make_layer(3, 4, 2, dropout=wrong)
        layer = make_layer(3, 4, 2, dropout=0.25)
        with pytest.raises(ValueError, match=message):
            layer.dropout = wrong
        assert layer.dropout == 0.25
    layer.dropout = 0
    assert layer.dropout == 0
    for optimiser in (pyrnn.SGD, pyrnn.Adagrad, pyrnn.RMSprop, pyrnn.Adam, pyrnn.AdamW):
        with pytest.raises(ValueError, match=r"lr: expected a number in .*, got nan"):
            optimiser(layer.parameters, lr=math.nan)


def test_nan_elsewhere_comes_through(make_layer, backend):
    """Of a state, of a parameter, of dy: a NaN is a result, and no error."""
    layer = make_layer(3, 4, seed=0)
    state = np.zeros((1, 2, 4), np.float32)
    state[0, 1, 2] = np.nan
    y, _ = layer(X, pair(layer, state, np.zeros_like(state)))
    assert np.isnan(y[:, 1]).any()
    assert np.isfinite(y[:, 0]).all()
    y, _, cache = layer.forward(X)
    dy = np.zeros_like(y)
    dy[-1, 0] = np.nan
    dx, _, _ = layer.backward(cache, dy)
    assert np.isnan(dx[:, 0]).any()
    assert np.isfinite(dx[:, 1]).all()
    layer.parameters["bias_ih_l0"][...] = np.nan
    assert np.isnan(layer(X)[0]).all()
