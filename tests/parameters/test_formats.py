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
