"""int8 weights: the whole numbers of the reference, and the same bits however they are computed."""

import numpy as np
import pytest

import pyrnn
from pyrnn._number_formats import int8
from pyrnn.backend import selection
from tests.core.number_formats.cells import CELLS, drawn

# (T, N, I, H): one row, tiles of rows, units that fill no vector, several panels at once, k in
# two spans
SIZES = [(5, 1, 3, 7), (4, 3, 33, 40), (3, 17, 5, 70), (3, 1, 20, 300), (2, 4, 517, 530)]
# Of x and h of 16 bits, and of 8: what is the fastest here, and what every instruction set takes.
LAYOUTS = ["int8", "int8_pairs", "int8_bytes", "int8_plain_bytes"]
PLAIN = {"int16": "int8_pairs", "int8": "int8_plain_bytes"}
ACTIVATIONS = list(PLAIN)


def most_of(layout):
    """The largest whole number of x."""
    return 127 if "bytes" in layout else 32767


def reference_of(layout):
    return "int8_bytes" if "bytes" in layout else "int8"


def whole(low, high, *shape):
    numbers = np.random.default_rng((9, *shape)).integers(low, high + 1, shape)
    return numbers.astype(np.float32)


def linear(weight, x, layout="int8", bias=None):
    return selection.find("native").pack_linear(weight, bias, layout)(x)


def assert_near(got, expected, tolerance):
    """As numbers that may be on the other side of a rounding edge, of 16 bits, are."""
    if isinstance(expected, (tuple, list)):
        for one, other in zip(got, expected, strict=True):
            assert_near(one, other, tolerance)
    elif isinstance(expected, dict):
        for name, array in expected.items():
            assert_near(got[name], array, tolerance)
    elif expected is not None:
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


# --- the whole numbers ----------------------------------------------------------------------


@pytest.mark.kernels
@pytest.mark.parametrize("layout", LAYOUTS)
def test_sums_are_those_of_whole_numbers(layout):
    """With scales that are powers of two, and sums that float32 holds, nothing is rounded."""
    for rows, k, outputs in [
        (1, 1, 1),
        (1, 37, 70),
        (2, 40, 3),
        (3, 5, 130),
        (4, 31, 64),
        (9, 30, 33),
    ]:
        most = most_of(layout)
        weight, x = whole(-127, 127, outputs, k), whole(-most // 11, most // 11, rows, k)
        weight[:, 0], x[:, -1] = 127, most
        weight[:, -1] = 127 if k == 1 else 1
        assert np.array_equal(linear(weight / 4, x / 8, layout) * 32, x @ weight.T)


@pytest.mark.kernels
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("k", [511, 512, 513, 1024, 1500])
def test_the_largest_sums_do_not_overflow(layout, k):
    most = most_of(layout)
    weight, x = np.full((5, k), 127, np.float32), np.full((4, k), most, np.float32)
    weight[1], x[1] = -127, -most
    weight[2, k // 2 :] *= -1
    x[3, ::2] *= -1
    with pyrnn.use_backend("reference"):
        expected = selection.current().pack_linear(weight, None, reference_of(layout))(x)
    assert np.array_equal(linear(weight, x, layout), expected)
    np.testing.assert_allclose(expected, x.astype(np.float64) @ weight.T, rtol=1e-6, atol=0.5)


@pytest.mark.kernels
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_x_are_rounded_as_the_reference_does(layout):
    """A matrix of 127 on its diagonal shows them: ties, signs, the scale's own rounding."""
    ties = (np.arange(-60, 60) + 0.5).astype(np.float32)
    most = np.float32(most_of(layout))
    rows = [np.append(ties, most), drawn(121), drawn(121) * 1e-25, drawn(121) * 1e30]
    x = np.array(rows, np.float32)
    expected = int8.activations(x, most)
    assert np.array_equal(expected.numbers[0, :-1], np.rint(ties))
    y = linear(np.eye(121, dtype=np.float32) * 127, x, layout)
    assert np.array_equal(y, expected.numbers * np.float32(127) * expected.scales[:, None])


@pytest.mark.kernels
@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_are_rounded_as_the_reference_does(layout):
    weight = drawn(300, 40) * np.exp(5 * drawn(300, 1))
    weight[3], weight[4] = 0, 1e-38
    expected = int8.widened(int8.weights(weight))
    unit = np.zeros((40, 40), np.float32)
    most = np.float32(most_of(layout))
    np.fill_diagonal(unit, most)
    assert np.array_equal(linear(weight, unit, layout), (expected * most).T)
    table = pyrnn.Embedding(300, 40)
    table.parameters["weight"] = weight
    assert np.array_equal(table.eval(weights="int8")(np.arange(300)), expected)


def test_quantising_what_was_quantised_changes_nothing():
    weight = drawn(2000, 30) * np.exp(8 * drawn(2000, 1))
    rows = int8.weights(weight)
    again = int8.weights(int8.widened(rows))
    assert np.array_equal(again.numbers, rows.numbers)
    assert np.array_equal(again.scales, rows.scales)
    assert (np.abs(rows.numbers).max(axis=1) == 127).all()
    off = np.abs(int8.widened(rows) - weight)
    assert (off <= 0.5001 * rows.scales[:, None]).all()


@pytest.mark.kernels
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_gives_nan_and_spoils_no_other(layout, special):
    weight, x, bias = drawn(37, 20), drawn(7, 20), drawn(37)
    clean = linear(weight, x, layout, bias)
    x[4, 11] = special
    y = linear(weight, x, layout, bias)
    assert np.isnan(y[4]).all()
    others = np.arange(7) != 4
    assert np.array_equal(y[others], clean[others])
    with pyrnn.use_backend("reference"):
        packed = selection.current().pack_linear(weight, bias, reference_of(layout))
        assert np.array_equal(np.isnan(packed(x)), np.isnan(y))


@pytest.mark.kernels
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_too_small_for_a_scale_count_as_zeros(layout):
    weight, bias = drawn(9, 20), drawn(9)
    x = np.stack([np.zeros(20), np.full(20, 1e-31), np.full(20, 1e-40)]).astype(np.float32)
    assert np.array_equal(linear(weight, x, layout, bias), np.stack([bias] * 3))


# --- whole layers ---------------------------------------------------------------------------


@pytest.mark.kernels
@pytest.mark.parametrize("activations", ACTIVATIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_one_step_of_the_core_and_of_the_reference(cell, activations):
    """x and h are the same, so their whole numbers are."""
    for _, N, features, H in SIZES:
        layer = CELLS[cell](features, H, seed=1).eval(weights="int8", activations=activations)
        x, state = drawn(1, N, features), layer(drawn(2, N, features))[1]
        y = layer(x, state)
        with pyrnn.use_backend("reference"):
            assert_near(y, layer(x, state), 1e-5)


@pytest.mark.kernels
@pytest.mark.parametrize("activations", ACTIVATIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_the_core_and_the_reference(cell, activations, same_bits):
    near = {"int16": (1e-4, 1e-3), "int8": (0.02, 0.1)}[activations]
    for T, N, features, H in SIZES if activations == "int16" else SIZES[1:4]:
        layer = CELLS[cell](features, H, 2, seed=1)
        layer.eval(weights="int8", activations=activations)
        x = drawn(T, N, features)
        y, state, cache = layer.forward(x)
        same_bits(layer(x), (y, state))
        dy = drawn(*y.shape)
        gradients = layer.backward(cache, dy, state)
        with pyrnn.use_backend("reference"):
            expected, expected_state, cache = layer.forward(x)
            expected_gradients = layer.backward(cache, dy, expected_state)
        assert_near((y, state), (expected, expected_state), near[0])
        assert_near(gradients, expected_gradients, near[1])


@pytest.mark.kernels
@pytest.mark.parametrize("activations", ACTIVATIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_rows_streams_chunks_indices_and_layouts(cell, activations, same_bits):
    form = {"weights": "int8", "activations": activations}
    for T, N, features, H in SIZES[:4]:
        layer = CELLS[cell](features, H, seed=1).eval(**form)
        x = drawn(T, N, features)
        y, state = layer(x)
        same_bits(layer(x[:, -1:])[0], y[:, -1:])  # a row alone
        first, between = layer(x[:2])
        rest, last = layer(x[2:], between)
        same_bits((np.concatenate([first, rest]), last), (y, state))
        stream = layer.stream(N)
        same_bits([stream.step(x_t) for x_t in x], list(y))
        native = selection.find("native")
        packed = native.pack(layer.cell, _plain(layer), storage=PLAIN[activations])
        same_bits(native.forward(packed, x, None)[0], y)
    indices = np.random.default_rng(3).integers(0, 9, (6, 3))
    layer = CELLS[cell](9, 37, seed=1).eval(**form)
    y, _ = layer(indices, lengths=[6, 2, 4])
    stream = layer.stream(1)
    same_bits([stream.step(x_t) for x_t in indices[:, :1]], list(y[:, :1]))
    with pyrnn.use_backend("reference"):
        near = {"int16": 1e-4, "int8": 0.02}[activations]
        assert_near(y, layer(indices, lengths=[6, 2, 4])[0], near)


def _plain(layer):
    return {name.removesuffix("_l0"): array for name, array in layer.parameters.items()}


@pytest.mark.parametrize("activations", ACTIVATIONS)
@pytest.mark.parametrize("cell", ["lstm", "projected", "gru_reset_before", "gru_layer_norm"])
def test_threads_change_no_bit(cell, activations, same_bits, num_threads):
    for T, N, features, H in [(6, 1, 33, 300), (6, 40, 30, 128)]:
        layer, x = CELLS[cell](features, H, seed=1), drawn(T, N, features)
        results = []
        for threads in (1, 2, 3):
            with num_threads(threads):
                stream = layer.train().eval(weights="int8", activations=activations).stream(N)
                y, _, cache = layer.forward(x)
                results.append(
                    [[stream.step(x_t) for x_t in x], y, *layer.backward(cache, y)[2].values()]
                )
        same_bits(results[1:], results[:1] * 2)
        same_bits(results[0][0], list(results[0][1]))


@pytest.mark.parametrize(("activations", "most"), [("int16", 0.05), ("int8", 1.2)])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_bits_of_many_steps_stay_near_the_reference(cell, activations, most, backend):
    """Rounding x and h costs little beside rounding the weights to 8 bits, or as much."""
    layer, x = CELLS[cell](20, 48, seed=2), drawn(100, 2, 20)
    full = layer(x)[0]
    rounded = type(layer).from_config(layer.config())
    rounded.load_state_dict(
        {
            name: int8.widened(int8.weights(array)) if array.ndim == 2 else array
            for name, array in layer.parameters.items()
        }
    )
    y = layer.eval(weights="int8", activations=activations)(x)[0]
    own, of_weights = np.abs(y - rounded(x)[0]).mean(), np.abs(y - full).mean()
    assert most / 50 * of_weights < own < most * of_weights
    assert of_weights < 0.02 * np.abs(full).mean()


@pytest.mark.parametrize(("activations", "off"), [("int16", 1e-3), ("int8", 0.03)])
def test_linear_and_its_gradients(activations, off, backend):
    layer, x = pyrnn.Linear(300, 70, seed=1), drawn(5, 300)
    layer.eval(weights="int8", activations=activations)
    y, _, cache = layer.forward(x)
    assert np.array_equal(layer(x), y)
    out = np.empty_like(y)
    assert np.array_equal(layer(x, out=out), y)
    dx, _, grads = layer.backward(cache, y)
    weight = int8.widened(int8.weights(layer.parameters["weight"]))
    np.testing.assert_allclose(y, x @ weight.T + layer.parameters["bias"], atol=off)
    np.testing.assert_allclose(dx, y @ weight, atol=1e-4)
    np.testing.assert_allclose(grads["weight"], y.T @ x, atol=1e-4)


@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(special):
    layer = pyrnn.GRU(3, 4, seed=0)
    layer.parameters["weight_hh_l0"][2, 1] = special
    with pytest.raises(ValueError, match=rf"'int8' and {special} in weight_hh_l0"):
        layer.eval(weights="int8")
    assert layer.training
