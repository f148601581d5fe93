"""Checks of arguments: what passes, in which form, and what the errors say."""

import numpy as np
import pytest

from pyrnn import _checks

SINGLE = np.dtype("float32")


@pytest.fixture(params=["core", "numpy"])
def asked(request, monkeypatch):
    """Who answers what training steps ask often: the core where there is one, and NumPy."""
    if request.param == "numpy":
        monkeypatch.setattr(_checks, "_CORE", None)


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype(">f4"), "f4"])
def test_float_dtype_in_the_machines_order(dtype):
    assert _checks.float_dtype(dtype) == SINGLE


@pytest.mark.parametrize(
    "dtype", ["float16", "longdouble", int, "nothing", object(), None, "f4,f4", 3, np.zeros(2)]
)
def test_other_dtypes(dtype):
    with pytest.raises(TypeError, match="dtype: expected 'float32' or 'float64', got"):
        _checks.float_dtype(dtype)


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)])
def test_size(value):
    number = _checks.size("n", value)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize("value", [True, np.bool_(True), 3.0, "3", None, [3], np.array([3, 4])])
def test_what_is_not_a_whole_number(value):
    with pytest.raises(TypeError, match="n: expected a whole number, got"):
        _checks.size("n", value)


def test_too_small_sizes():
    assert _checks.size("n", 0, least=0) == 0
    with pytest.raises(ValueError, match="n: expected a whole number of at least 0, got -1"):
        _checks.size("n", -1, least=0)


def test_too_large_sizes():
    assert _checks.size("n", 3, most=3) == 3
    with pytest.raises(ValueError, match="n: expected a whole number of at most 3, got 4"):
        _checks.size("n", 4, most=3)


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5), np.int16(1)])
def test_finite_number(value):
    number = _checks.finite_number("p", value, 0.0, 1.0)
    assert number == value
    assert type(number) is float


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, np.inf, -np.inf, 10**309])
def test_numbers_out_of_range(value):
    with pytest.raises(ValueError, match=r"p: expected a number in \[0\.0, 1\.0\], got"):
        _checks.finite_number("p", value, 0.0, 1.0)


@pytest.mark.parametrize("value", [True, "1", None, 1j, np.complex64(1), [1.0]])
def test_what_is_not_a_number(value):
    with pytest.raises(TypeError, match="p: expected a number, got"):
        _checks.finite_number("p", value, 0.0, 1.0)


def test_float_array_takes_what_has_its_dtype_without_copying():
    array = np.zeros((2, 3), np.float32)
    assert _checks.float_array("a", array, SINGLE) is array
    assert _checks.float_array("a", array, SINGLE, ("N", 3)) is array


def test_float_array_of_the_other_byte_order():
    array = np.arange(3, dtype=">f4")
    checked = _checks.float_array("a", array, SINGLE)
    assert checked.dtype.isnative
    assert checked.tolist() == [0, 1, 2]


def test_float_array_takes_what_speaks_an_array_protocol():
    class Tensor:
        def __init__(self):
            self.array = np.arange(3, dtype=np.float32)

        def __array__(self, dtype=None, copy=None):
            return self.array

    tensor = Tensor()
    assert _checks.float_array("a", tensor, SINGLE) is tensor.array


@pytest.mark.parametrize("shape", [(2, 3), (3,), (2, 2, 4), ()])
def test_shapes_that_do_not_match(shape):
    with pytest.raises(ValueError, match=r"a: expected shape \(T, 2, 3\), got"):
        _checks.float_array("a", np.zeros(shape, np.float32), SINGLE, ("T", 2, 3))


def test_what_fails_to_become_an_array():
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("on another device")

    with pytest.raises(TypeError, match="a: expected an array, got Broken: on another device"):
        _checks.float_array("a", Broken(), SINGLE)


def test_live_float_array():
    array = np.zeros((2, 3))
    assert _checks.live_float_array("a", array) is array
    unaligned = np.zeros(25, np.uint8)[1:].view(np.float64)
    with pytest.raises(ValueError, match="a: expected a contiguous array"):
        _checks.live_float_array("a", unaligned)


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_fits(dtype):
    parameters = [np.zeros((2, 3), dtype), np.zeros(4, dtype), np.zeros((), dtype)]
    gradients = [array.copy() for array in parameters]
    assert _checks.fit(parameters, gradients)
    assert _checks.fit(parameters, parameters)
    assert _checks.fit([], [])
    assert not _checks.fit(parameters, gradients[:2])


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    "other",
    [
        np.zeros((3, 2), np.float32),
        np.zeros(6, np.float32),
        np.zeros((2, 3)),
        np.zeros((2, 3), ">f4"),
        np.zeros((2, 3), np.int32),
        np.zeros((3, 2), np.float32).T,
        np.zeros(25, np.uint8)[1:].view(np.float32).reshape(2, 3),
        read_only(np.zeros((2, 3), np.float32)),
        [[0.0] * 3] * 2,
        None,
    ],
)
def test_what_does_not_fit(other):
    first, second, third, fourth = np.zeros((4, 2, 3), np.float32)
    assert not _checks.fit([first, second], [third, other])
    assert not _checks.fit([first, other], [second, third])
    assert _checks.fit([first, second], [third, fourth])


@pytest.mark.usefixtures("asked")
def test_what_is_changed_shares_no_memory():
    block = np.zeros(8)
    a, b, c = block[:3], block[3:6], block[2:5]
    assert _checks.fit([a, b], [np.zeros(3), np.zeros(3)])
    assert not _checks.fit([a, c], [np.zeros(3), np.zeros(3)])
    assert not _checks.fit([a, a], [np.zeros(3), np.zeros(3)])
    assert not _checks.fit([a, b], [c, np.zeros(3)])
    gradient = np.zeros(3)
    assert _checks.fit([a, b], [gradient, gradient])
    both = [a, a]
    assert not _checks.fit(both, both)
    empty = block[:0]
    assert _checks.fit([empty, empty, block], [np.zeros(0), empty, np.zeros(8)])


def test_overlapping_are_named():
    block = np.zeros(8)
    whole = {"whole": block, "x": np.zeros(2), "first": block[:2], "last": block[6:]}
    assert _checks.overlapping(whole) == ("whole", "first")
    assert _checks.overlapping({"a": block[:4], "b": block[4:], "none": block[2:2]}) is None


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("kind", [np.matrix, np.recarray, np.memmap])
def test_subclasses_are_brought_to_the_base_class(kind):
    array = np.zeros((2, 3), np.float32)
    assert not _checks.fit([array], [array.view(kind)])
    assert not _checks.fit([array.view(kind)], [array])
    assert type(_checks.as_array("a", array.view(kind))) is np.ndarray


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_])
def test_flag(value):
    assert _checks.flag("f", value) is bool(value)


@pytest.mark.parametrize("value", ["no", "False", "", 0, 1, 0.0, None, [], np.array(True), np.nan])
def test_what_is_no_flag(value):
    with pytest.raises(TypeError, match="f: expected True or False, got"):
        _checks.flag("f", value)


def test_choice():
    assert _checks.choice("c", "b", ("a", "b")) == "b"
    for wrong in ("d", None, ["a"], np.array(["a", "b"]), {}):
        with pytest.raises(ValueError, match="c: expected 'a', 'b' or 'c', got "):
            _checks.choice("c", wrong, ("a", "b", "c"))


def test_what_is_shown_is_one_short_line():
    class Silent:
        def __repr__(self):
            raise RuntimeError

    for value in (10**5000, "a" * 1000, np.zeros((100, 100)), [[1] * 1000] * 1000, Silent()):
        shown = _checks.shown(value)
        assert 0 < len(shown) <= 80
        assert "\n" not in shown
    assert _checks.shown("no") == "'no'"


def test_index_array_is_a_copy():
    indices = np.array([0, 2])
    checked = _checks.index_array("x", indices, 3)
    assert checked.dtype == np.intp
    indices[0] = 1
    assert checked.tolist() == [0, 2]


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("integer", ["int8", "uint8", "int64", "uint64", ">i4"])
def test_index_array_of_every_integer_dtype(integer):
    assert _checks.index_array("x", np.array([0, 2], integer), 3).tolist() == [0, 2]
    with pytest.raises(ValueError, match=r"x: expected indices in \[0, 2\), got 2"):
        _checks.index_array("x", np.array([0, 2], integer), 2)


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("wrong", [-1, -(2**63), 3, 2**63 - 1, np.uint64(2**64 - 1)])
def test_indices_out_of_range(wrong):
    array = np.array([[0, 1], [2, 0]], np.asarray(wrong).dtype)
    array[1, 1] = wrong
    for layout in (array, array.T, array[::-1, ::-1]):
        with pytest.raises(ValueError, match=rf"x: expected indices in \[0, 3\), got {wrong}"):
            _checks.index_array("x", layout, 3)


def test_indices_of_any_layout():
    array = np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2)[::-1]
    assert np.array_equal(_checks.index_array("x", array, 24), array)


@pytest.mark.usefixtures("asked")
def test_index_array_may_be_empty():
    assert _checks.index_array("x", np.zeros((0, 2), int), 3).shape == (0, 2)


def test_parameter_shape():
    assert _checks.parameter_shape("w", (2**16, 2**15 - 1)) == (2**16, 2**15 - 1)
    with pytest.raises(ValueError, match=r"w: .* got 2147483648 in shape \(65536, 32768\)"):
        _checks.parameter_shape("w", (2**16, 2**15))


def test_rows_are_copied_only_where_they_lie_apart():
    array = np.arange(12.0).reshape(3, 2, 2)
    assert np.shares_memory(_checks.rows(array), array)
    assert np.array_equal(_checks.rows(array), np.arange(12.0).reshape(6, 2))
    apart = array[:, :, :1]
    assert np.array_equal(_checks.rows(apart), [[0], [2], [4], [6], [8], [10]])


def test_shape_text():
    assert _checks.shape_text(("T", 3)) == "(T, 3)"
    assert _checks.shape_text((3,)) == "(3,)"
    assert _checks.shape_text(()) == "()"


@pytest.mark.parametrize("dtype", ["float16", "int64", "bool", "longdouble"])
def test_any_float_array_is_of_a_layers_dtypes(dtype):
    with pytest.raises(TypeError, match=f"x: expected float32 or float64, got {np.dtype(dtype)}"):
        _checks.any_float_array("x", np.zeros(2, dtype))
    swapped = np.ones(2, ">f4" if np.little_endian else "<f4")
    assert _checks.any_float_array("x", swapped).dtype == SINGLE
