"""Normalisations of groups and over other axes than the last, against their definitions."""

import numpy as np
import pytest

from tests.interop.keras.graphs import models
from tests.interop.keras.graphs.models import X, floats, layer

pytestmark = pytest.mark.usefixtures("in_place")


def normalised(x, axes, eps=1e-3):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def in_groups(x, groups):
    return normalised(x.reshape(2, 6, groups, -1), (1, 3)).reshape(x.shape)


GAMMA, BETA = floats(0, (4,), (4,))
STEPS = floats(1, (6,), (6,), (6,))
BOTH = floats(2, (6, 4), (6, 4))
CASES = {
    "groups": (layer("GroupNormalization", groups=2), "group_normalization", [GAMMA, BETA],
               lambda x: in_groups(x, 2) * GAMMA + BETA),
    "one-group": (layer("GroupNormalization", groups=1, scale=False), "group_normalization",
                  [BETA], lambda x: in_groups(x, 1) + BETA),
    "each": (layer("GroupNormalization", groups=-1, center=False), "group_normalization",
             [GAMMA], lambda x: in_groups(x, 4) * GAMMA),
    "groups-plain": (layer("GroupNormalization", groups=2, scale=False, center=False),
                     None, [], lambda x: in_groups(x, 2)),
    "two-axes": (layer("LayerNormalization", axis=[1, 2]), "layer_normalization", BOTH,
                 lambda x: normalised(x, (1, 2)) * BOTH[0] + BOTH[1]),
    "steps": (layer("LayerNormalization", axis=1), "layer_normalization", STEPS[:2],
              lambda x: normalised(x, 1) * STEPS[0][:, None] + STEPS[1][:, None]),
    "no-mean": (layer("LayerNormalization", rms_scaling=True), "layer_normalization", [GAMMA],
                lambda x: x / np.sqrt(x.var(-1, keepdims=True) + 1e-3) * GAMMA),
    "batch-steps": (layer("BatchNormalization", axis=1, scale=False), "batch_normalization",
                    [*STEPS[:2], STEPS[2] ** 2],
                    lambda x: (x - STEPS[1][:, None]) / np.sqrt(STEPS[2][:, None] ** 2 + 1e-3)
                    + STEPS[0][:, None]),
    "means": (layer("Normalization", axis=[1, 2], mean=BOTH[0].tolist(),
                    variance=(BOTH[1] ** 2).tolist()), None, [],
              lambda x: (x - BOTH[0]) / np.abs(BOTH[1])),
    "means-steps": (layer("Normalization", axis=1), "normalization",
                    [STEPS[0], STEPS[1] ** 2, np.array(7)],
                    lambda x: (x - STEPS[0][:, None]) / np.abs(STEPS[1][:, None])),
    "unit": (layer("UnitNormalization", axis=[1, 2]), None, [],
             lambda x: x / np.sqrt((x**2).sum((1, 2), keepdims=True))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_normalisations(name, tmp_path):
    row, key, arrays, expected = CASES[name]
    model = models.sequential(tmp_path / "m.keras", [row], [(key, arrays)] if key else [])
    np.testing.assert_allclose(
        model.run(X)[0], expected(X.astype(np.float64)), rtol=1e-5, atol=5e-6
    )


@pytest.mark.parametrize("name", ["batch-steps", "means-steps"])
def test_a_variance_below_zero_gives_nan_without_a_warning(name, tmp_path):
    """As the layer itself does; a file may have any numbers."""
    row, key, arrays, expected = CASES[name]
    plain = expected(X.astype(np.float64))
    variance = 2 if name == "batch-steps" else 1
    changed = [np.array(array) for array in arrays]
    changed[variance][3] = -1
    model = models.sequential(tmp_path / "m.keras", [row], [(key, changed)])
    y = model.run(X)[0]
    assert np.isnan(y[:, 3]).all()
    others = [step for step in range(6) if step != 3]
    np.testing.assert_allclose(y[:, others], plain[:, others], rtol=1e-5, atol=5e-6)
