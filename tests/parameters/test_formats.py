"""Which formats a layer takes for its weights, and what they hold."""

import numpy as np
import pytest

from pyrnn.parameters import formats

FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")


def test_formats_of_each_dtype():
    assert formats.storage_of("float32", FLOAT32) == "full"
    assert formats.storage_of("bfloat16", FLOAT32) == "bfloat16"
    assert formats.storage_of("float64", FLOAT64) == "full"


@pytest.mark.parametrize(
    ("weights", "dtype", "message"),
    [
        ("int4", FLOAT32, "weights: expected 'float32', .*, got 'int4'"),
        (np.float32, FLOAT32, "weights: expected 'float32'"),
        ("float64", FLOAT32, "'float16'.* for a layer of float32, got 'float64'"),
        ("bfloat16", FLOAT64, "weights: expected 'float64' for a layer of float64, got 'bfloat16'"),
    ],
)
def test_other_formats_are_refused(weights, dtype, message):
    with pytest.raises(ValueError, match=message):
        formats.storage_of(weights, dtype)


def test_a_weight_beyond_a_format_is_named():
    parameters = {"weight_ih_l0": np.full((1, 2), 65520, "f"), "bias_ih_l0": np.ones(1, "f")}
    with pytest.raises(ValueError, match=r"weights: .*'float16' and 65520.0 in weight_ih_l0"):
        formats.check_range("float16", parameters)
    formats.check_range("bfloat16", parameters)
    formats.check_range("full", parameters)
    formats.check_range("float16", {"weight_ih_l0": np.full((1, 2), 65519, "f")})
    formats.check_range("float16", {"bias_ih_l0": np.full(2, 1e9, "f")})  # stays as it is
    formats.check_range("float16", {"weight_ih_l0": np.full((1, 2), np.inf, "f")})  # it was before


def test_storage_in_a_file_is_what_is_asked_or_what_the_file_noted():
    assert formats.storage_in_file(None, FLOAT32, None, "int8") == "full"
    assert formats.storage_in_file("float16", FLOAT32, None, "int16") == "float16"
    assert formats.storage_in_file("int8", FLOAT32, None, "int8") == "int8_bytes"
    assert formats.storage_in_file("int8", FLOAT32, "int16", "int8") == "int8"
    with pytest.raises(ValueError, match="activations: expected"):
        formats.storage_in_file("int8", FLOAT32, "int4", "int8")


def test_products_of_bfloat16_go_with_full_or_bfloat16_weights():
    formats.check_together("full", "bfloat16")
    formats.check_together("bfloat16", "bfloat16")
    formats.check_together("int8", "full")
    with pytest.raises(ValueError, match=r"beside products of bfloat16 .* got 'float16'"):
        formats.check_together("float16", "bfloat16")


def test_every_weight_is_checked_for_its_range():
    huge = np.full((1, 1), 1e30, np.float32)
    fine = {"weight_ih": np.ones((1, 1), np.float32), "bias": huge[0]}
    formats.check_range("float16", fine)
    with pytest.raises(ValueError, match=r"got 'float16' and 1.* in weight_hh"):
        formats.check_range("float16", fine | {"weight_hh": huge})
