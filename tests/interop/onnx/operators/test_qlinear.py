"""Quantised operators with quantised outputs against onnxruntime; ties may round to either side."""

import numpy as np
import pytest

from tests.interop.onnx import graphs

pytest.importorskip("onnxruntime")
R = np.random.default_rng(0)


def whole(dtype, *shape):
    limits = np.iinfo(dtype)
    return R.integers(limits.min, limits.max + 1, shape).astype(dtype)


def number(scale, zero=7, dtype=np.uint8):
    return [np.float32(scale), dtype(zero)]


X, W = whole(np.uint8, 2, 4, 9), whole(np.int8, 6, 2, 3)
IMAGE, KERNEL = whole(np.uint8, 2, 3, 8, 7), whole(np.int8, 5, 3, 3, 2)
CASES = {
    "convolution": (
        "QLinearConv",
        [X, *number(0.02), W, R.uniform(0.01, 0.02, 6).astype(np.float32), np.zeros(6, np.int8),
         *number(0.1, 100), R.integers(-900, 900, 6).astype(np.int32)],
        {"group": 2, "pads": [1, 2], "strides": [2]},
    ),
    "images": (
        "QLinearConv",
        [IMAGE, *number(0.02), KERNEL, *number(0.01, 0, np.int8), *number(0.2, 128)], {},
    ),
    "product": (
        "QLinearMatMul",
        [whole(np.uint8, 3, 50), *number(0.02), whole(np.int8, 50, 4), *number(0.01, 3, np.int8),
         *number(0.2, 128)],
        {},
    ),
    "sum": (
        ".QLinearAdd",
        [whole(np.uint8, 3, 5), *number(0.02), whole(np.uint8, 5), *number(0.03), *number(0.05)],
        {},
    ),
    "factor": (
        ".QLinearMul",
        [whole(np.int8, 3, 5), *number(0.02, -3, np.int8), whole(np.int8, 3, 5),
         *number(0.03, 4, np.int8), *number(0.05, 1, np.int8)],
        {},
    ),
    "sigmoid": (".QLinearSigmoid", [whole(np.uint8, 3, 5), *number(0.05), *number(1 / 256, 0)], {}),
    "slope": (
        ".QLinearLeakyRelu", [whole(np.uint8, 3, 5), *number(0.05, 128), *number(0.04, 90)],
        {"alpha": 0.2},
    ),
    "mean": (
        ".QLinearGlobalAveragePool", [IMAGE, *number(0.05), *number(0.03)], {"channels_last": 0},
    ),
    "side by side": (
        ".QLinearConcat",
        [*number(0.05), whole(np.uint8, 3, 5), *number(0.02), whole(np.uint8, 3, 2), *number(0.07)],
        {"axis": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_operator_is_onnxruntimes(name):
    op, inputs, attributes = CASES[name]
    domain = "com.microsoft" if op.startswith(".") else ""
    variable = [n for n, a in enumerate(inputs) if np.ndim(a) > 1 and np.asarray(a).itemsize == 1]
    constants = [n for n in range(len(inputs)) if n not in variable]
    weights = variable[1:] if "Conv" in op or "MatMul" in op else []
    for fixed in (constants, constants + weights):
        plain = op.removeprefix(".")
        model, given = graphs.single(plain, inputs, fixed, domain=domain, **attributes)
        graphs.as_onnxruntime(model, given, rounding=1)
