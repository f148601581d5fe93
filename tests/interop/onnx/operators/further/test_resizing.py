"""Resize, Upsample and blocks of pixels: drawn settings against onnxruntime."""

import numpy as np
import pytest

from pyrnn.interop import onnx as backend
from tests.interop.onnx import graphs

pytest.importorskip("onnxruntime")
HOW = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
ROUNDING = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def drawn(seed):
    """One Resize; sizes are constants, as exporters write them."""
    r = np.random.default_rng(seed)
    mode = ("nearest", "linear", "cubic")[seed % 3]
    axes = 2 if mode == "cubic" else int(r.integers(1, 3))
    x = r.standard_normal((2, 3, *r.integers(2, 9, axes))).astype(np.float32)
    attributes = {"mode": mode, "coordinate_transformation_mode": str(r.choice(HOW))}
    if mode == "nearest":
        attributes["nearest_mode"] = str(r.choice(ROUNDING))
    elif r.random() < 0.4:
        attributes["antialias"] = 1
    if mode == "cubic" and r.random() < 0.5:
        attributes |= {"cubic_coeff_a": -0.5, "exclude_outside": 1}
    if r.random() < 0.5:
        scales = np.array([1, 1, *r.choice([0.5, 0.6, 1.5, 2, 2.3, 3], axes)], np.float32)
        inputs = [x, None, scales]
    else:
        inputs = [x, None, None, np.array([2, 3, *r.integers(1, 14, axes)])]
    model, given = graphs.single("Resize", inputs, (2, 3), opset=18, **attributes)
    model.ir_version = 9
    return model, given


@pytest.mark.parametrize("seed", range(45))
def test_drawn_settings(seed):
    graphs.as_onnxruntime(*drawn(seed), atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(45, 900, 3))
def test_drawn_interpolations(seed):
    """Without nearest, where a place in the middle between two may be rounded to either."""
    graphs.as_onnxruntime(*drawn(seed + 1), atol=1e-5)
    graphs.as_onnxruntime(*drawn(seed + 2), atol=1e-5)


def test_a_region():
    x = np.random.default_rng(0).standard_normal((1, 2, 5, 7)).astype(np.float32)
    region = np.array([0, 0, 0.21, -0.13, 1, 1, 0.83, 1.2], np.float32)
    for mode in ("nearest", "linear", "cubic"):
        model, given = graphs.single(
            "Resize", [x, region, None, np.array([1, 2, 6, 4])], (1, 3), opset=13, mode=mode,
            coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=3.0,
        )  # fmt: skip
        graphs.as_onnxruntime(model, given)


def test_some_axes_and_a_policy():
    x = np.random.default_rng(1).standard_normal((1, 2, 6, 8)).astype(np.float32)
    for policy, shape in (("not_larger", (1, 2, 3, 4)), ("not_smaller", (1, 2, 7, 9))):
        node = graphs.helper.make_node(
            "Resize", ["x", "", "", "sizes"], ["y"], mode="linear", axes=[3, 2],
            keep_aspect_ratio_policy=policy,
        )  # fmt: skip
        sizes = np.array([9, 3])
        model = graphs.model_of([node], {"x": x}, ["y"], {"sizes": sizes}, opset=18)
        (y,) = backend.run_model(model, x)
        assert y.shape == shape


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_earlier_forms(mode):
    x = np.random.default_rng(2).standard_normal((1, 2, 3, 4)).astype(np.float32)
    scales = np.array([1, 1, 2, 3], np.float32)
    for op, opset in (("Resize", 10), ("Upsample", 9)):
        graphs.as_onnxruntime(*graphs.single(op, [x, scales], (1,), opset=opset, mode=mode))
    attributes = {"mode": mode, "scales": [1.0, 1.0, 2.0, 3.0]}
    graphs.as_onnxruntime(*graphs.single("Upsample", [x], (), opset=8, **attributes))


def test_blocks_of_pixels():
    x = np.random.default_rng(3).standard_normal((2, 12, 4, 6)).astype(np.float32)
    for mode in ("DCR", "CRD"):
        graphs.as_onnxruntime(*graphs.single("DepthToSpace", [x], blocksize=2, mode=mode))
    graphs.as_onnxruntime(*graphs.single("SpaceToDepth", [x], blocksize=2))


@pytest.mark.parametrize(
    ("attributes", "inputs", "says"),
    [
        ({"mode": "round"}, [None, np.ones(3, np.float32)], "mode: expected nearest, linear or"),
        ({"coordinate_transformation_mode": "?"}, [None, np.ones(3, np.float32)], "half_pixel"),
        ({}, [None, np.ones(2, np.float32)], "expected scales or sizes of 3 axes"),
        ({}, [None, np.array([1, 1, -2], np.float32)], "expected numbers above 0"),
        ({}, [None, None, np.array([1, 1, -2])], "expected 3 from 0 on"),
        ({}, [None, None, np.array([1 << 20, 1 << 20, 9])], "expected at most"),
    ],
)
def test_what_does_not_fit(attributes, inputs, says):
    x = np.ones((1, 1, 4), np.float32)
    model, given = graphs.single("Resize", [x, *inputs], (1, 2, 3), opset=13, **attributes)
    with pytest.raises((ValueError, MemoryError), match=says):
        backend.run_model(model, given)
