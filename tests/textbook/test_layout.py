"""The checks of arguments and the way between columns and rows."""

import numpy as np
import pytest

from pyrnn import textbook
from pyrnn.textbook import _layout, uwv


def test_flip_turns_columns_into_rows_and_back_without_sharing_memory():
    step = np.arange(6.0).reshape(2, 3)
    sequence = np.arange(24.0).reshape(2, 3, 4)
    assert _layout.flip(step).shape == (3, 2)
    assert _layout.flip(sequence)[3, 1].tolist() == sequence[:, 1, 3].tolist()
    np.testing.assert_array_equal(_layout.flip(_layout.flip(sequence)), sequence)
    single = np.zeros((1, 1))
    assert not np.shares_memory(_layout.flip(single), single)
    assert _layout.flip(sequence).flags.c_contiguous


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("float32", "float32"), "float32"),
        (("float32", "float64"), "float64"),
        (("float32", "int64"), "float32"),
        (("int64", "bool"), "float64"),
        ((">f4", "float32"), "float32"),
    ],
)
def test_arrays_come_in_one_dtype(dtypes, expected):
    values = {name: np.ones((2, 3), dtype) for name, dtype in zip("ab", dtypes, strict=True)}
    arrays = _layout.checked(values, {"a": ("n", "m"), "b": ("n", "m")})
    assert {array.dtype for array in arrays.values()} == {np.dtype(expected)}
    assert all(array.dtype.isnative for array in arrays.values())


@pytest.mark.parametrize("dtype", ["float16", "complex128", "object", "U1"])
def test_other_dtypes_are_refused_by_name(dtype):
    with pytest.raises(TypeError, match=r"b: expected an array of float32 or float64, got "):
        _layout.checked(
            {"a": np.ones(2), "b": np.ones(2).astype(dtype)}, {"a": ("n",), "b": ("n",)}
        )


@pytest.mark.parametrize(
    ("shape", "got", "message"),
    [
        (("n", "m"), (3, 5), r"b: expected shape \(n, m\) = \(2, 5\), got \(3, 5\)"),
        (("n", "k"), (2, 3, 1), r"b: expected shape \(n, k\), got \(2, 3, 1\)"),
        (("n", 1), (2, 2), r"b: expected shape \(n, 1\) = \(2, 1\), got \(2, 2\)"),
        (("k", "k"), (3, 4), r"b: expected shape \(k, k\) = \(3, 3\), got \(3, 4\)"),
        (("n", "k"), (2, 0), r"b: expected shape \(n, k\) with sizes of at least 1, got \(2, 0\)"),
        (("n", "n + k"), (2, 2), r"b: expected shape \(n, n \+ k\) with sizes of at least 1"),
        (("k", "n + m"), (3, 4), r"b: expected shape \(k, n \+ m\) = \(3, 7\), got \(3, 4\)"),
    ],
)
def test_shapes_have_to_fit_together(shape, got, message):
    with pytest.raises(ValueError, match=message):
        _layout.checked({"a": np.ones((2, 5)), "b": np.ones(got)}, {"a": ("n", "m"), "b": shape})


def test_a_sum_of_letters_defines_its_last():
    values = {"W": np.ones((2, 5)), "x": np.ones((3, 4))}
    arrays = _layout.checked(values, {"W": ("n", "n + k"), "x": ("k", "m")})
    assert arrays["x"].shape == (3, 4)


def test_a_missing_parameter_is_named():
    with pytest.raises(KeyError, match="parameters: W is missing; expected U, W, got U"):
        _layout.parameter_arrays({"U": np.ones(1)}, ("U", "W"))
    with pytest.raises(TypeError, match="parameters: expected a dict with U, got list"):
        _layout.parameter_arrays([np.ones(1)], ("U",))


def test_a_cache_has_to_be_the_articles_tuple():
    with pytest.raises(TypeError, match=r"cache: expected the tuple \(a, b\), got ndarray"):
        _layout.unpack("cache", np.ones(2), ("a", "b"))
    with pytest.raises(ValueError, match=r"cache: expected the tuple \(a, b\), got 3 values"):
        _layout.unpack("cache", (1, 2, 3), ("a", "b"))


def _cells(parameters, count=3):
    states = [np.full((2, 1), float(t)) for t in range(count + 1)]
    return [(states[t + 1], states[t], np.ones((3, 1)), parameters) for t in range(count)]


NAMES = ("a_next", "a_prev", "xt", "parameters")


def test_cell_caches_are_one_walk():
    parameters = {"Wax": np.ones((2, 3))}
    cells = _cells(parameters)
    walk = _layout.cell_caches((cells, None), NAMES, states=1, steps=2)
    assert [cell[2] for cell in walk] == [cell[2] for cell in cells[:2]]
    assert _layout.stacked_inputs(walk, 2).shape == (3, 1, 2)


@pytest.mark.parametrize(
    ("position", "part", "message"),
    [
        (0, np.zeros((2, 1)), r"caches\[0\]\[2\]: expected the state after step 1, got another"),
        (3, {"Wax": np.zeros((2, 3))}, r"caches\[0\]\[1\]: its parameters are not those of step 0"),
        (3, None, r"caches\[0\]\[1\]: its parameters are not those of step 0"),
    ],
)
def test_a_broken_walk_is_refused(position, part, message):
    cells = _cells({"Wax": np.ones((2, 3))})
    changed = list(cells[1])
    changed[position] = part
    cells[1] = tuple(changed)
    with pytest.raises(ValueError, match=message):
        _layout.cell_caches((cells, None), NAMES, states=1, steps=3)


def test_equal_parameters_need_not_be_one_object():
    cells = _cells({"Wax": np.ones((2, 3))})
    cells[1] = (*cells[1][:3], {"Wax": np.ones((2, 3))})
    assert len(_layout.cell_caches((cells, None), NAMES, states=1, steps=3)) == 3


def test_inputs_of_different_shapes_are_refused():
    cells = _cells({})
    cells[1] = (cells[1][0], cells[1][1], np.ones((4, 1)), {})
    with pytest.raises(ValueError, match=r"caches\[0\]\[1\]: expected xt of shape \(3, 1\)"):
        _layout.stacked_inputs(cells, 2)


def test_more_steps_than_caches_are_refused():
    with pytest.raises(ValueError, match="da: expected 1 to 3 steps, as in caches, got 4"):
        _layout.cell_caches((_cells({}), None), NAMES, states=1, steps=4)
    with pytest.raises(TypeError, match=r"caches\[0\]: expected a list of cell caches, got int"):
        _layout.cell_caches((3, None), NAMES, states=1, steps=1)
    with pytest.raises(ValueError, match=r"da: expected shape \(n_a, m, T\), got \(2, 3\)"):
        _layout.steps_of("da", np.ones((2, 3)))


ELMAN = {"Wax": (5, 3), "Waa": (5, 5), "Wya": (2, 5), "ba": (5, 1), "by": (2, 1)}
GATED = {"Wy": (2, 5), "by": (2, 1)}
PASSES = {
    "rnn": (textbook.rnn_forward, textbook.rnn_backward, ELMAN),
    "lstm": (
        textbook.lstm_forward,
        textbook.lstm_backward,
        GATED | {f"W{g}": (5, 8) for g in "fico"} | {f"b{g}": (5, 1) for g in "fico"},
    ),
    "gru": (
        textbook.gru_forward,
        textbook.gru_backward,
        GATED | {f"W{g}": (5, 8) for g in "urc"} | {f"b{g}": (5, 1) for g in "urc"},
    ),
    "uwv": (
        uwv.rnn_forward,
        uwv.rnn_backward,
        {"U": (5, 3), "W": (5, 5), "V": (2, 5), "ba": (5, 1), "by": (2, 1)},
    ),
}


@pytest.mark.parametrize("name", PASSES)
def test_a_gradient_in_float64_follows_a_forward_pass_in_float32(name, backend, assert_close):
    """NumPy's arrays are float64 unless one says otherwise; the states were rounded to float32."""
    forward, backward, shapes = PASSES[name]
    generator = np.random.default_rng(0)
    parameters = {n: generator.standard_normal(s).astype("f") for n, s in shapes.items()}
    x, a0 = (generator.standard_normal(s).astype("f") for s in [(3, 4, 6), (5, 4)])
    caches = forward(x, a0, parameters)[-1]
    da = generator.standard_normal((5, 4, 6)).astype("f")
    expected = backward(da, caches)
    got = backward(da.astype("d"), caches)
    assert {array.dtype for array in got.values()} == {np.dtype("d")}
    assert_close({n: a.astype("f") for n, a in got.items()}, expected, 1e-5)
    parameters["ba" if "ba" in parameters else next(n for n in parameters if n[0] == "b")] += 0.1
    other = forward(x, a0 + 1, parameters)[-1]
    mixed = ([(*o[:1], *c[1:]) for o, c in zip(other[0], caches[0], strict=True)], caches[1])
    with pytest.raises(ValueError, match=r"caches"):
        backward(da.astype("d"), mixed)
