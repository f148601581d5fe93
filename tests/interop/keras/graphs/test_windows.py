"""Transposed convolutions, padded as TensorFlow does, and what is moved in images."""

import numpy as np
import pytest

from pyrnn.serialization import ModelFileError
from tests.interop.keras.graphs import models
from tests.interop.keras.graphs.models import X, floats, layer

pytestmark = pytest.mark.usefixtures("in_place")


def spread(x, kernel, stride, before, steps):
    """Every step of x adds its kernel (k, out, in); of that, so many steps from one on."""
    n, t, _ = x.shape
    whole = np.zeros((n, before + steps + t * stride + len(kernel), kernel.shape[1]))
    for place in range(t):
        for k, part in enumerate(kernel):
            whole[:, place * stride + k] += x[:, place] @ part.T
    return whole[:, before : before + steps]


# Kernel, stride, padding, output_padding; TensorFlow's steps cut off before, and steps left.
CASES = [
    (3, 1, "valid", None, 0, 8),
    (3, 4, "valid", None, 0, 24),
    (3, 1, "same", None, 1, 6),
    (3, 2, "same", None, 0, 12),
    (7, 2, "same", None, 2, 12),
    (4, 2, "same", None, 1, 12),
    (2, 3, "same", None, 0, 18),
    (3, 2, "valid", 1, 0, 14),
    (3, 2, "same", 0, 1, 11),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_transposed_convolutions(case, tmp_path):
    size, stride, padding, more, before, steps = case
    kernel, bias = floats(0, (size, 3, 4), (3,))
    row = layer("Conv1DTranspose", strides=[stride], padding=padding, activation="relu",
                output_padding=None if more is None else [more])  # fmt: skip
    model = models.sequential(tmp_path / "m.keras", [row], [("conv1d_transpose", [kernel, bias])])
    expected = spread(X.astype(np.float64), kernel, stride, before, steps) + bias
    np.testing.assert_allclose(model.run(X)[0], np.maximum(expected, 0), atol=1e-5)


def test_images(tmp_path):
    rows = [
        layer("ZeroPadding2D", "z", padding=[[1, 0], [2, 1]]),
        layer("Cropping2D", "c", cropping=[[0, 2], [1, 0]]),
        layer("UpSampling2D", "u", size=[2, 3]),
    ]
    x = np.random.default_rng(0).standard_normal((2, 6, 5, 3)).astype(np.float32)
    y = models.sequential(tmp_path / "m.keras", rows, (), (6, 5, 3)).run(x)[0]
    expected = np.pad(x, [(0, 0), (1, 0), (2, 1), (0, 0)])[:, :-2, 1:]
    assert np.array_equal(y, expected.repeat(2, axis=1).repeat(3, axis=2))


WRONG = {
    "padding": (layer("Conv1DTranspose", padding="causal"), "padding: expected valid or same"),
    "pairs": (layer("ZeroPadding1D", padding=[1, 2, 3]), "padding: expected 2 whole numbers"),
    "all": (layer("Cropping1D", cropping=[3, 3]), "cropping: expected less than"),
    "smooth": (layer("UpSampling1D", interpolation="bilinear"), "interpolation: expected nearest"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name, tmp_path):
    row, message = WRONG[name]
    entries = [("conv1d_transpose", floats(0, (3, 3, 4)))] if name == "padding" else []
    with pytest.raises(ModelFileError, match=f"it: {message}"):
        models.sequential(tmp_path / "m.keras", [row], entries)
