"""Convolutions and layer norm from files of Keras, against Keras' definitions written out."""

import numpy as np
import pytest

from pyrnn.interop import keras
from tests.interop.keras import files

pytestmark = pytest.mark.usefixtures("in_place")
R = np.random.default_rng(0)
X = R.standard_normal((2, 9, 4)).astype(np.float32)


def loaded(tmp_path, class_name, key, arrays, **config):
    described = files.model_config(files.config_of(class_name, "layer", **config))
    path = files.keras3(tmp_path / "m.keras", described, [])
    import io
    import zipfile

    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist() if n != "model.weights.h5"}
    buffer = io.BytesIO()
    with files.h5py.File(buffer, "w") as file:
        files.numbered(file.create_group(f"layers/{key}"), arrays, "layer")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**members, "model.weights.h5": buffer.getvalue()}.items():
            archive.writestr(name, data)
    return keras.load(path)


CONVOLUTIONS = {
    "valid": {},
    "same": {"padding": "same"},
    "causal": {"padding": "causal", "dilation_rate": [2]},
    "strides": {"strides": [2], "dilation_rate": 2},
    "groups": {"groups": 2},
    "no-bias": {"use_bias": False},
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name, tmp_path):
    config = CONVOLUTIONS[name]
    groups, dilation = config.get("groups", 1), np.ravel(config.get("dilation_rate", 1))[0]
    stride = np.ravel(config.get("strides", 1))[0]
    kernel = R.standard_normal((3, 4 // groups, 6)).astype(np.float32)
    bias = R.standard_normal(6).astype(np.float32)
    arrays = [kernel] if name == "no-bias" else [kernel, bias]
    layer = loaded(tmp_path, "Conv1D", "conv1d", arrays, **config)["layer"]
    reach = 2 * dilation
    sides = {"same": (reach // 2, reach - reach // 2), "causal": (reach, 0)}
    x = np.pad(X, ((0, 0), sides.get(config.get("padding"), (0, 0)), (0, 0)))
    parts = []
    for group in range(groups):
        own = slice(group * 4 // groups, (group + 1) * 4 // groups)
        columns = slice(group * 6 // groups, (group + 1) * 6 // groups)
        steps = range(0, x.shape[1] - reach, stride)
        windows = [[x[:, t + k * dilation, own] for k in range(3)] for t in steps]
        parts.append(np.einsum("tknc,kco->nto", windows, kernel[:, :, columns]))
    expected = np.concatenate(parts, axis=2) + (0 if name == "no-bias" else bias)
    found = layer(X)
    assert layer.batch_first
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_layer_norm(tmp_path):
    gamma, beta = R.standard_normal((2, 4)).astype(np.float32)
    arrays, key = [gamma, beta], "layer_normalization"
    layer = loaded(tmp_path, "LayerNormalization", key, arrays, axis=[-1], epsilon=0.01)["layer"]
    mean, var = X.mean(axis=-1, keepdims=True), X.var(axis=-1, keepdims=True)
    expected = (X - mean) / np.sqrt(var + 0.01) * gamma + beta
    np.testing.assert_allclose(layer(X), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("class_name", "shapes", "config", "message"),
    [
        ("Conv1D", [(3, 4, 6)], {"padding": "same", "strides": [2]}, "a stride of 1"),
        ("Conv1D", [(3, 4, 6)], {"data_format": "channels_first"}, "its channels last"),
        ("Conv1D", [(3, 4, 6)], {"strides": [0]}, "strides: expected a whole number"),
        ("Conv1D", [(3, 4)], {}, "expected a kernel"),
        ("Conv1D", [(3, 4, 6)], {"padding": "other"}, "padding: expected"),
        ("LayerNormalization", [(4,)], {}, "expected gamma and beta"),
        ("LayerNormalization", [(4,), (4,)], {"axis": [1]}, "over the last axis, got another"),
    ],
)
def test_what_is_none(class_name, shapes, config, message, tmp_path):
    key = {"Conv1D": "conv1d"}.get(class_name, "layer_normalization")
    arrays = [np.ones(shape, np.float32) for shape in shapes]
    with pytest.warns(UserWarning, match=message):
        assert loaded(tmp_path, class_name, key, arrays, **config) == {}
