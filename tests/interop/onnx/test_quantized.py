"""Numbers of 8 bits: each operator against onnxruntime, and what its quantizer makes of models."""

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import onnx as backend
from tests.interop.onnx import graphs
from tests.interop.onnx.graphs import helper, numpy_helper, onnx

runtime = pytest.importorskip("onnxruntime")
R = np.random.default_rng(0)


def floats(*shape):
    return R.standard_normal(shape).astype(np.float32)


def whole(dtype, *shape):
    limits = np.iinfo(dtype)
    return R.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def scales(*shape):
    return R.uniform(0.001, 0.02, shape).astype(np.float32)


Q = np.uint8(7)
# Operator, inputs in order, attributes; of com.microsoft where its name begins with a dot.
CASES = {
    "range": ("DynamicQuantizeLinear", [floats(4, 5)], {}),
    "range above": ("DynamicQuantizeLinear", [np.abs(floats(4, 5))], {}),
    "range below": ("DynamicQuantizeLinear", [-np.abs(floats(4, 5))], {}),
    "range of zeros": ("DynamicQuantizeLinear", [np.zeros((2, 2), np.float32)], {}),
    "quantize": ("QuantizeLinear", [floats(4, 5), np.float32(0.02)], {}),
    "quantize to int8": ("QuantizeLinear", [floats(4, 5), np.float32(0.02), np.int8(-3)], {}),
    "quantize rows": (
        "QuantizeLinear", [floats(4, 5), scales(4), whole(np.uint8, 4)], {"axis": 0},
    ),
    "dequantize": ("DequantizeLinear", [whole(np.uint8, 3, 4), np.float32(0.1), Q], {}),
    "dequantize columns": (
        "DequantizeLinear", [whole(np.int8, 3, 4), scales(4), whole(np.int8, 4)], {},
    ),
    "dequantize sums": ("DequantizeLinear", [whole(np.int32, 3, 4) // 99, np.float32(0.1)], {}),
    "product": ("MatMulInteger", [whole(np.uint8, 3, 300), whole(np.uint8, 300, 4)], {}),
    "product from zeros": (
        "MatMulInteger", [whole(np.uint8, 2, 3, 5), whole(np.int8, 5, 4), Q, np.int8(3)], {},
    ),
    "product of columns": (
        "MatMulInteger", [whole(np.uint8, 3, 5), whole(np.int8, 5, 4), Q, whole(np.int8, 4)], {},
    ),
    "convolution": (
        "ConvInteger", [whole(np.uint8, 2, 4, 9), whole(np.uint8, 6, 2, 3), Q, np.uint8(99)],
        {"group": 2, "pads": [1, 2], "strides": [2]},
    ),
    "floats": (
        ".MatMulIntegerToFloat",
        [whole(np.uint8, 3, 5), whole(np.int8, 5, 4), np.float32(0.1), scales(4), Q,
         whole(np.int8, 4), floats(4)],
        {},
    ),
    "floats plainly": (
        ".MatMulIntegerToFloat",
        [whole(np.uint8, 3, 5), whole(np.uint8, 5, 4), np.float32(0.1), np.float32(0.2)],
        {},
    ),
    "all at once": (
        ".DynamicQuantizeMatMul",
        [floats(3, 5), whole(np.int8, 5, 4), scales(4), whole(np.int8, 4), floats(4)], {},
    ),
    "gemm": (
        ".QGemm",
        [whole(np.uint8, 3, 5), np.float32(0.1), Q, whole(np.int8, 4, 5), np.float32(0.03),
         np.int8(0), whole(np.int32, 4) // 100_000],
        {"transB": 1, "alpha": 0.5},
    ),
    "gemm to bytes": (
        ".QGemm",
        [whole(np.uint8, 3, 5), np.float32(0.1), Q, whole(np.int8, 5, 4), np.float32(0.03),
         np.int8(0), None, np.float32(0.7), np.uint8(3)],
        {},
    ),
}  # fmt: skip


def model_of(op, inputs, attributes, count=1, fixed=()):
    """One node; the inputs at the places ``fixed`` are constants of the graph."""
    names = ["" if array is None else f"i{n}" for n, array in enumerate(inputs)]
    domain = "com.microsoft" if op.startswith(".") else ""
    outputs = [f"y{n}" for n in range(count)]
    node = helper.make_node(op.removeprefix("."), names, outputs, domain=domain, **attributes)
    given = {n: np.asarray(a) for n, a in zip(names, inputs, strict=True) if n}
    constants = {n: a for n, a in given.items() if int(n[1:]) in fixed}
    free = {n: a for n, a in given.items() if n not in constants}
    graph = helper.make_graph(
        [node], "g", [graphs.value(n, a) for n, a in free.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(a, n) for n, a in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8), free


@pytest.mark.parametrize("name", CASES)
def test_operators(name):
    op, inputs, attributes = CASES[name]
    count = 3 if op == "DynamicQuantizeLinear" else 1
    later = range(2, len(inputs))
    # ConvInteger takes the zero point of w as a constant alone, QGemm those of both.
    for fixed in ((), (1, *later)) if not op.startswith((".QGemm", "Conv")) else ((1, *later),):
        model, given = model_of(op, inputs, attributes, count, fixed)
        expected = graphs.session(model).run(None, given)
        found = backend.prepare(model).run(given)
        for mine, theirs in zip(found, expected, strict=True):
            assert mine.dtype == theirs.dtype
            assert mine.shape == theirs.shape
            if mine.dtype.kind in "iu":
                assert np.array_equal(mine, theirs)
            else:
                np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


def test_a_sum_with_more_than_24_bits():
    """Where float32 would round, float64 does not."""
    q = np.full((3000, 2), 127, np.int8)
    a = R.integers(200, 256, (2, 3000)).astype(np.uint8)
    model, given = model_of("MatMulInteger", [a, q], {}, fixed=(1,))
    (y,) = backend.prepare(model).run(given)
    assert np.array_equal(y, a.astype(np.int64) @ q.astype(np.int64))
    assert y.max() > 1 << 24


def test_zero_points_of_another_type_are_refused():
    inputs = [whole(np.uint8, 2, 3), whole(np.int8, 3, 4), np.int8(1)]
    model, given = model_of("MatMulInteger", inputs, {}, fixed=(1,))
    with pytest.raises(ValueError, match="expected a zero point of uint8, got int8"):
        backend.prepare(model).run(given)


def test_blocks():
    """As of version 21: a scale for each of several neighbours along an axis."""
    q, scale = whole(np.int8, 6, 2), scales(3, 2)
    node = helper.make_node("DequantizeLinear", ["q", "s"], ["y"], axis=0, block_size=2)
    model = graphs.model_of([node], {"q": q, "s": scale}, ["y"], opset=21)
    model.ir_version = 10
    (y,) = backend.prepare(model).run([q, scale])
    np.testing.assert_allclose(y, q * np.repeat(scale, 2, axis=0), rtol=1e-6)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "plain.onnx"
    model = pyrnn.Sequential(
        pyrnn.Embedding(9, 8, seed=3), pyrnn.LSTM(8, 16, 2, bidirectional=True, seed=0),
        pyrnn.GRU(32, 12, seed=1), pyrnn.Linear(12, 5, seed=2),
    )  # fmt: skip
    backend.save(model, path)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("weight_type", ["QInt8", "QUInt8"])
def test_models_of_the_quantizer(per_channel, weight_type, plain, tmp_path):
    quantization = pytest.importorskip("onnxruntime.quantization")
    path = tmp_path / "quantized.onnx"
    quantization.quantize_dynamic(
        plain, path, per_channel=per_channel,
        weight_type=getattr(quantization.QuantType, weight_type),
    )  # fmt: skip
    ops = {node.op_type for node in onnx.load(path).graph.node}
    assert {"DynamicQuantizeLSTM", "MatMulInteger", "DequantizeLinear"} <= ops
    x = R.integers(0, 9, (6, 3))
    model = backend.prepare(path)
    shapes = {"h_0": (4, 3, 16), "c_0": (4, 3, 16), "h_0_1": (1, 3, 12)}
    inputs = {"x": x, **{name: floats(*shape) / 4 for name, shape in shapes.items()}}
    found = model.run(inputs)
    for exact, mine, theirs in zip(
        backend.prepare(plain).run(inputs), found, graphs.session(str(path)).run(None, inputs),
        strict=True,
    ):  # fmt: skip
        assert abs(mine - theirs).max() < 1e-3
        assert abs(mine - exact).max() < 0.01
        assert abs(mine - exact).max() > 1e-5  # it is the quantised model

    layers = backend.layers(path)
    assert [repr(layer) for layer in layers.values()] == [
        "Embedding(9, 8)", "LSTM(8, 16, bidirectional=True)", "LSTM(32, 16, bidirectional=True)",
        "GRU(32, 12)", "Linear(12, 5)",
    ]  # fmt: skip
    originals = backend.layers(plain)
    for layer, original in zip(layers.values(), originals.values(), strict=True):
        for name, array in original.parameters.items():
            step = np.ptp(array) / 100 if name.startswith("weight") else 1e-7
            assert abs(layer.parameters[name] - array).max() < step
    words, first, second, gru, linear = layers.values()
    h, c, g = (inputs[name] for name in shapes)
    y, _ = first(words(x), (h[:2], c[:2]))
    y, _ = second(y, (h[2:], c[2:]))
    y, _ = gru(y, g)
    assert abs(linear(y) - found[0]).max() < 0.005  # whose activations were rounded too


def test_weights_that_are_no_constants_are_refused():
    parts = [floats(2, 1, 3), whole(np.int8, 1, 3, 16), whole(np.int8, 1, 4, 16), *[None] * 5,
             scales(1), np.zeros(1, np.int8), scales(1), np.zeros(1, np.int8)]  # fmt: skip
    every = tuple(range(1, 12))
    model, given = model_of(".DynamicQuantizeLSTM", parts, {"hidden_size": 4}, 1, every)
    (y,) = backend.prepare(model).run(given)
    assert y.shape == (2, 1, 1, 4)
    model, _ = model_of(".DynamicQuantizeLSTM", parts, {"hidden_size": 4}, 1, every[1:])
    with pytest.raises(NotImplementedError, match="weights that are computed from the inputs"):
        backend.prepare(model)
    for place, wrong in (
        (8, scales(3)), (1, whole(np.int8, 3, 16)), (9, np.zeros(2, np.int8)),
        (2, whole(np.int16, 1, 4, 16)), (9, np.zeros(1, np.uint8)), (8, np.ones(1)),
    ):  # fmt: skip
        model, _ = model_of(
            ".DynamicQuantizeLSTM", [*parts[:place], wrong, *parts[place + 1 :]],
            {"hidden_size": 4}, 1, every,
        )  # fmt: skip
        with pytest.raises(ValueError, match="expected"):
            backend.prepare(model)
