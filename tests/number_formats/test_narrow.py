"""Numbers of 16 bits: rounding to nearest, ties to even, and what they stand for."""

import numpy as np
import pytest

from pyrnn._number_formats import narrow

ALL = np.arange(1 << 16, dtype=np.uint16)
FORMATS = ["bfloat16", "float16"]


def is_nan(storage):
    exponent, digits = (0x7F80, 0x7F) if storage == "bfloat16" else (0x7C00, 0x3FF)
    return ((exponent & ALL) == exponent) & ((digits & ALL) != 0)


def test_bfloat16_is_the_upper_half_of_a_float32():
    bits = narrow.widened("bfloat16", ALL).view(np.uint32)
    assert np.array_equal(bits, ALL.astype(np.uint32) << 16)


@pytest.mark.parametrize("storage", FORMATS)
def test_every_number_comes_back(storage):
    numbers = ALL[~is_nan(storage)]
    assert np.array_equal(narrow.narrowed(storage, narrow.widened(storage, numbers)), numbers)
    assert np.isnan(narrow.widened(storage, ALL[is_nan(storage)])).all()


@pytest.mark.parametrize("storage", FORMATS)
def test_nearest_and_ties_to_even(storage):
    """Between all neighbours: the middle, and a unit in the last place to each side of it."""
    infinity = {"bfloat16": 0x7F80, "float16": 0x7C00}[storage]
    low = np.arange(infinity - 1, dtype=np.uint16)
    values = narrow.widened(storage, low), narrow.widened(storage, low + np.uint16(1))
    middle = ((values[0].astype(np.float64) + values[1]) / 2).astype(np.float32)
    even = np.where(low % 2 == 0, low, low + np.uint16(1))
    # The smallest bfloat16 are so close that float32 has no number between the middle and them.
    for x, expected in (
        (middle, even),
        (np.nextafter(middle, np.float32(0)), low),
        (np.nextafter(middle, np.float32(np.inf)), low + np.uint16(1)),
    ):
        assert np.array_equal(narrow.narrowed(storage, x), expected)
        assert np.array_equal(narrow.narrowed(storage, -x), expected | np.uint16(0x8000))


@pytest.mark.parametrize("storage", FORMATS)
def test_a_nan_stays_one(storage):
    bits = np.array([0x7F800001, 0x7FFFFFFF, 0xFF800001, 0xFFFFFFFF, 0x7FC00000], np.uint32)
    assert np.isnan(narrow.rounded(storage, bits.view(np.float32))).all()


def test_full_leaves_an_array_as_it_is():
    array = np.ones((2, 3))
    assert narrow.rounded("full", array) is array
