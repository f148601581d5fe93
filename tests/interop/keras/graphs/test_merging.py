"""Masks of merged arrays, which Keras 3 and those before define in different ways."""

import numpy as np
import pytest

from pyrnn.interop import keras
from pyrnn.serialization import ModelFileError
from tests.interop.keras import files
from tests.interop.keras.graphs import models
from tests.interop.keras.graphs.models import called, layer, tensor

pytestmark = pytest.mark.usefixtures("in_place")

R = np.random.default_rng(0)
A, B = R.standard_normal((2, 3, 6, 2)).astype(np.float32)
A[0, 4:], A[1, :2], B[0, 3:], B[2, 0] = 0, 0, 0, 0
ON_A, ON_B = ((array != 0).any(-1) for array in (A, B))
GRU = {width: files.random_arrays("GRU", 3, width) for width in (2, 4)}
STEP = layer("GRU", "g", units=3, return_sequences=True, reset_after=False)


def merged(path, kind, version, masks=(True, True), **options):
    """The outputs of a GRU behind a layer that merges ``a`` and ``b``, masked or not."""
    width = 4 if kind == "Concatenate" and options.get("axis", -1) != 1 else 2
    rows = [
        called(models.given("a", 6, 2)),
        called(models.given("b", 6, 2)),
        *(called(layer("Masking" if mask else "Dropout", f"m{name}", rate=0.5), tensor(name))
          for name, mask in zip("ab", masks, strict=True)),
        called(layer(kind, "merge", **options), [tensor("ma"), tensor("mb")]),
        called(STEP, tensor("merge")),
    ]  # fmt: skip
    config = models.functional(rows, [["a", 0, 0], ["b", 0, 0]], [["g", 0, 0], ["merge", 0, 0]])
    files.keras3(path, config, [("gru", "g", GRU[width])], version)
    return keras.prepare(path).run({"a": A, "b": B}), keras.load(path)["g"]


@pytest.mark.parametrize("version", ["3.15.1", "2.4.0"])
@pytest.mark.parametrize("kind", ["Add", "Average", "Concatenate"])
def test_steps_that_count_in_any_or_in_all(kind, version, tmp_path):
    (y, value), gru = merged(tmp_path / "m.keras", kind, version)
    mask = ON_A | ON_B if version == "3.15.1" else ON_A & ON_B
    plain = {"Add": A + B, "Average": (A + B) / 2, "Concatenate": np.concatenate([A, B], -1)}[kind]
    np.testing.assert_allclose(value, plain, atol=1e-7)
    np.testing.assert_allclose(y, gru(value, mask=mask)[0], atol=1e-6)


@pytest.mark.parametrize("version", ["3.15.1", "2.4.0"])
def test_one_that_has_a_mask(version, tmp_path):
    """Then there is none in Keras 3, and before the mask of that one."""
    (y, value), gru = merged(tmp_path / "m.keras", "Add", version, (True, False))
    mask = None if version == "3.15.1" else ON_A
    np.testing.assert_allclose(y, gru(value, mask=mask)[0], atol=1e-6)


def test_sequences_one_behind_the_other(tmp_path):
    (y, value), gru = merged(tmp_path / "m.keras", "Concatenate", "3.15.1", (False, True), axis=1)
    mask = np.concatenate([np.ones_like(ON_A), ON_B], axis=1)
    assert np.array_equal(value, np.concatenate([A, B], 1))
    np.testing.assert_allclose(y, gru(value, mask=mask)[0], atol=1e-6)


@pytest.mark.parametrize("kind", ["Multiply", "Maximum", "Minimum"])
@pytest.mark.parametrize("masks", [(True, True), (False, True)])
def test_masked_steps_change_nothing_in_keras_3(kind, masks, tmp_path):
    (_, value), _ = merged(tmp_path / "m.keras", kind, "3.15.1", masks)
    on_a, on_b = ON_A | (not masks[0]), ON_B | (not masks[1])
    function = {"Multiply": np.multiply, "Maximum": np.maximum, "Minimum": np.minimum}[kind]
    expected = function(A, B)
    expected[on_a & ~on_b] = A[on_a & ~on_b]
    expected[on_b & ~on_a] = B[on_b & ~on_a]
    expected[~on_a & ~on_b] = 0
    assert np.array_equal(value, expected)


def test_products_of_length_one(tmp_path):
    rows = [
        called(layer("Reshape", "r", target_shape=[3, 8]), tensor("x")),
        called(layer("Dot", "end", axes=[2, 2], normalize=True), [tensor("r"), tensor("r")]),
    ]
    y = models.branches(tmp_path / "m.keras", rows).run(models.X)[0]
    x = models.X.astype(np.float64).reshape(2, 3, 8)
    x /= np.sqrt((x**2).sum(-1, keepdims=True))
    np.testing.assert_allclose(y, x @ x.swapaxes(1, 2), atol=1e-6)


def test_arrays_that_do_not_fit(tmp_path):
    rows = [
        called(layer("Cropping1D", "c", cropping=[5, 0]), tensor("x")),
        called(layer("Concatenate", "end"), [tensor("x"), tensor("c")]),
    ]
    with pytest.raises(ModelFileError, match=r"end: expected arrays that fit, got \(None, 6, 4\)"):
        models.branches(tmp_path / "m.keras", rows)
