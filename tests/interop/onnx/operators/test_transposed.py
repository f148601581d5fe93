"""Transposed convolutions against onnxruntime's, and what does not fit."""

import numpy as np
import pytest

from pyrnn.interop import onnx as backend
from tests.interop.onnx import graphs


def drawn(seed):
    r = np.random.default_rng(seed)
    axes, groups = 1 + seed % 2, int(r.choice([1, 1, 2]))
    channels = groups * int(r.integers(1, 4))
    kernel, strides, dilations = (r.integers(1, top, axes).tolist() for top in (5, 4, 3))
    sizes = r.integers(2, 7, axes).tolist()
    x = r.standard_normal((int(r.integers(1, 3)), channels, *sizes)).astype(np.float32)
    w = r.standard_normal((channels, int(r.integers(1, 4)), *kernel)).astype(np.float32)
    inputs = [x, w]
    if seed % 3:
        inputs.append(r.standard_normal(groups * w.shape[1]).astype(np.float32))
    attributes = {"strides": strides, "dilations": dilations, "group": groups}
    if seed % 4 == 0:
        attributes["pads"] = r.integers(0, 2, 2 * axes).tolist()
        attributes["output_padding"] = [min(1, s - 1) for s in strides]
    elif seed % 4 == 1:
        attributes["auto_pad"] = ["SAME_UPPER", "SAME_LOWER"][seed % 8 // 4]
        attributes["dilations"] = [1] * axes
        attributes["strides"] = [min(s, k) for s, k in zip(strides, kernel, strict=True)]
    elif seed % 4 == 2:
        whole = [
            s * (n - 1) + (k - 1) * d + 1
            for s, n, k, d in zip(strides, sizes, kernel, dilations, strict=True)
        ]
        attributes["output_shape"] = [max(1, n - 1) for n in whole]
    return inputs, attributes


@pytest.mark.parametrize("seed", range(32))
def test_a_transposed_convolution_is_onnxruntimes(seed):
    pytest.importorskip("onnxruntime")
    inputs, attributes = drawn(seed)
    for fixed in ((), range(1, len(inputs))):
        graphs.as_onnxruntime(*graphs.single("ConvTranspose", inputs, fixed, **attributes))


@pytest.mark.parametrize(
    ("shape", "attributes", "message"),
    [
        ((1, 3, 5), {}, "expected x and weights that fit"),
        ((1, 2, 5), {"pads": [4, 4]}, "pads: expected less than"),
        ((1, 2, 5), {"output_padding": [-1]}, "output_padding: expected 1 numbers from 0 on"),
    ],
)
def test_what_does_not_fit(shape, attributes, message):
    arrays = [np.zeros(shape, np.float32), np.ones((2, 1, 3), np.float32)]
    model, given = graphs.single("ConvTranspose", arrays, (1,), **attributes)
    with pytest.raises(ValueError, match=f"ConvTranspose.*{message}"):
        backend.run_model(model, given)


def test_an_implausible_size_is_refused():
    arrays = [np.zeros((1, 2, 5), np.float32), np.ones((2, 1, 3), np.float32)]
    model, given = graphs.single("ConvTranspose", arrays, (1,), strides=[1 << 40])
    with pytest.raises(MemoryError, match="expected at most"):
        backend.run_model(model, given)
