"""Each operator against onnx's own cases for nodes; and the 18 of RNN, LSTM and GRU by name."""

import functools
import importlib
import pkgutil
import warnings

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import onnx as backend
from pyrnn.interop.onnx.operators import OPERATORS
from tests.interop.onnx import graphs
from tests.interop.onnx.graphs import TensorProto, helper, numpy_helper

RECURRENT = {
    "test_gru_batchwise", "test_gru_bidirectional", "test_gru_defaults", "test_gru_reverse",
    "test_gru_seq_length", "test_gru_with_initial_bias", "test_lstm_batchwise",
    "test_lstm_bidirectional", "test_lstm_defaults", "test_lstm_reverse",
    "test_lstm_with_initial_bias", "test_lstm_with_peepholes", "test_rnn_seq_length",
    "test_simple_rnn_batchwise", "test_simple_rnn_bidirectional", "test_simple_rnn_defaults",
    "test_simple_rnn_reverse", "test_simple_rnn_with_initial_bias",
}  # fmt: skip
AROUND = (
    "add", "argmax", "batchnorm", "blackmanwindow", "cast", "clip", "concat", "constant",
    "constantofshape", "conv", "convtranspose", "cumsum", "depthtospace", "dft", "div", "dropout",
    "einsum", "elu", "erf", "expand", "eyelike", "flatten",
    "gather", "gatherelements", "gathernd", "gelu", "gemm", "globalaveragepool",
    "groupnormalization", "hammingwindow", "hannwindow", "hardmax", "hardsigmoid", "identity",
    "if", "instancenorm", "layernormalization", "leakyrelu", "logsoftmax", "loop",
    "lpnormalization", "matmul", "meanvariancenormalization", "melweightmatrix",
    "mul", "onehot", "pad", "pow", "qlinearconv", "qlinearmatmul", "range", "reducemean",
    "reducesum", "relu", "rmsnormalization", "shrink", "stft", "swish", "trilu",
    "reshape", "resize", "reversesequence", "scan", "scatternd", "shape", "sigmoid", "slice",
    "softmax", "spacetodepth", "split", "sqrt", "squeeze", "sub", "tanh", "tile", "topk",
    "transpose", "unique", "unsqueeze", "where",
)  # fmt: skip
"""Files of onnx's cases; the long form takes all."""


@functools.cache
def cases(everything=False):
    """onnx's cases by name; a file of them makes its cases when it is imported."""
    from onnx.backend.test.case import node as package

    names = {"gru", "lstm", "rnn", *AROUND}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in pkgutil.iter_modules(package.__path__):
            if everything or module.name in names:
                importlib.import_module(f"{package.__name__}.{module.name}")
    return {case.name: case for case in package._NodeTestCases}


def array_of(value):
    """What a case holds as an array; anything else as it is."""
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


UNLIKE_ONNXRUNTIME = (
    "test_resize_downsample_scales_cubic_align_corners",
    "test_resize_downsample_scales_linear_align_corners",
)
"""Here the last numbers of both sizes do not meet; for onnxruntime, PyTorch and pyrnn they do."""


def check(case):
    """Whether a case can be run; if so its outputs are right."""
    if case.name in UNLIKE_ONNXRUNTIME or case.name.startswith("test_bernoulli"):  # random
        return False
    try:
        model = backend.prepare(case.model)
    except backend.UnsupportedError:
        return False
    for inputs, expected in case.data_sets:
        found = model.run([array_of(value) for value in inputs])
        for mine, theirs in zip(found, map(array_of, expected), strict=True):
            assert mine.dtype == theirs.dtype, case.name
            assert mine.shape == np.shape(theirs), case.name
            np.testing.assert_allclose(
                mine, theirs, rtol=case.rtol, atol=case.atol, err_msg=case.name
            )
    return True


@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_recurrent_node(name):
    assert check(cases()[name])


def test_nodes_around():
    """What cannot be run has types that NumPy has not, or other operators in it."""
    done = [name for name, case in cases().items() if check(case)]
    assert len(done) >= 570


@pytest.mark.long
def test_all_nodes():
    done = [name for name, case in cases(everything=True).items() if check(case)]
    assert len(done) >= 1200


def test_the_operators_of_recurrent_models_are_there():
    assert set(OPERATORS) >= {
        "Add", "BatchNormalization", "Cast", "Concat", "Constant", "ConstantOfShape", "Conv", "Div",
        "Dropout", "Expand", "GRU", "Gather", "Gemm", "Identity", "LSTM", "LeakyRelu", "LogSoftmax",
        "MatMul", "Mul", "Pad", "Pow", "RNN", "ReduceMean", "Relu", "Reshape", "Shape", "Sigmoid",
        "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze",
    }  # fmt: skip


# --- older forms, which onnx's cases no longer have -----------------------------------------


def run(op, inputs, opset, **attributes):
    node = helper.make_node(op, list(inputs), ["out"], **attributes)
    (out,) = backend.run_model(graphs.model_of([node], inputs, ["out"], opset=opset), inputs)
    return out


X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("op", "opset", "attributes", "expected"),
    [
        ("Squeeze", 11, {"axes": [1]}, X[:, 1]),
        ("Unsqueeze", 11, {"axes": [0, -1]}, X[None, ..., None]),
        ("ReduceMean", 13, {"axes": [1], "keepdims": 0}, X.mean(axis=1)),
        ("ReduceSum", 11, {"axes": [2]}, X.sum(axis=2, keepdims=True)),
        ("Slice", 9, {"starts": [1, -3], "ends": [9, -1], "axes": [0, 2]}, X[1:, :, 1:3]),
        ("Softmax", 12, {}, np.exp(X) / np.exp(X).sum(axis=(1, 2), keepdims=True)),
        ("Softmax", 13, {}, np.exp(X) / np.exp(X).sum(axis=2, keepdims=True)),
        ("Split", 11, {"axis": 2, "split": [1]}, X[:, :, :1]),
        ("Clip", 6, {"min": 3.0, "max": 5.0}, X.clip(3, 5)),
        ("Pad", 2, {"pads": [0, 0, 1, 0, 0, 0]}, np.pad(X, ((0, 0), (0, 0), (1, 0)))),
        ("Reshape", 1, {"shape": [0, -1]}, X.reshape(2, 12)),
        ("Dropout", 6, {"is_test": 1}, X),
    ],
)
def test_an_older_form(op, opset, attributes, expected):
    given = X[:, :1] if op == "Squeeze" else X
    given = X[:, :, :1] if op == "Split" else given
    expected = given[:, 0] if op == "Squeeze" else expected
    np.testing.assert_allclose(run(op, {"x": given}, opset, **attributes), expected, rtol=1e-6)


def test_the_old_addition_along_an_axis():
    b = np.array([1, 2, 3], np.float32)
    out = run("Add", {"x": X, "b": b}, 6, axis=1, broadcast=1)
    assert np.array_equal(out, X + b[:, None])


# --- activations ----------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 0.01, 1.0, 1.5, -0.5])
def test_leaky_relu_of_any_slope(alpha):
    x = np.array([-np.inf, -2.0, -0.0, 0.0, 3.0, np.inf, np.nan], np.float32)
    with np.errstate(invalid="ignore"):
        expected = np.where(x >= 0, x, np.float32(alpha) * x)
    assert np.array_equal(run("LeakyRelu", {"x": x}, 16, alpha=alpha), expected, equal_nan=True)


# --- pools and norms over one axis ----------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize("op", ["MaxPool", "InstanceNormalization"])
def test_over_one_axis_as_onnxruntime(op, turned):
    pytest.importorskip("onnxruntime")
    r = np.random.default_rng(0)
    x = r.standard_normal((3, 5, 40)).astype(np.float32)
    constants, attributes = {}, {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}
    if op == "InstanceNormalization":
        constants = {n: r.standard_normal(5).astype(np.float32) for n in ("scale", "bias")}
        attributes = {"epsilon": 1e-3}
    node = helper.make_node(op, ["x", *constants], ["y"], **attributes)
    outputs = [graphs.value("y", TensorProto.FLOAT)]
    made, alone = (graphs.model_of([node], {"x": some}, outputs, constants) for some in (x, x[1:2]))
    (theirs,) = graphs.session(made).run(None, {"x": x})
    model = backend.prepare(made)
    given = x.transpose(0, 2, 1).copy().transpose(0, 2, 1) if turned else x
    (mine,) = model.run(given)
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    assert np.array_equal(backend.prepare(alone).run(x[1:2])[0][0], mine[1])
    with pyrnn.use_backend("reference"):
        np.testing.assert_allclose(model.run(given)[0], theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("axes", [1, 2])
def test_a_batch_normalisation_as_onnxruntime(axes, bias, relu):
    """Alone, behind a convolution and before its Relu; read by another node, and not constant."""
    pytest.importorskip("onnxruntime")
    r = np.random.default_rng(0)
    x = r.standard_normal((2, 4, *(9,) * axes)).astype(np.float32)
    constants = {n: r.standard_normal(6).astype(np.float32) for n in ("s", "c", "m")}
    constants["v"] = r.uniform(0.5, 2, 6).astype(np.float32)
    constants["w"] = r.standard_normal((6, 2, *(3,) * axes)).astype(np.float32)
    if bias:
        constants["b"] = r.standard_normal(6).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w", *["b"] * bias], ["z"], group=2, pads=(1, 1) * axes),
        helper.make_node("BatchNormalization", ["z", "s", "c", "m", "v"], ["n"], epsilon=1e-3),
        helper.make_node("Relu" if relu else "Identity", ["n"], ["y"]),
        helper.make_node("BatchNormalization", ["y", "s", "c", "m", "v"], ["q"]),
    ]
    infos = [graphs.value(name, TensorProto.FLOAT) for name in ("y", "q")]
    free = {name: constants.pop(name) for name in ("s", "m")}
    for given, fixed in (({}, constants | free), (free, constants)):
        for outputs in (infos, [graphs.value("z", TensorProto.FLOAT), *infos]):
            made = graphs.model_of(nodes, {"x": x} | given, outputs, fixed)
            theirs = graphs.session(made).run(None, {"x": x} | given)
            for mine, other in zip(backend.run_model(made, {"x": x} | given), theirs, strict=True):
                np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


# --- convolutions ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(24))
def test_a_convolution_is_onnxruntimes(seed):
    """Along one axis; weights that never change go to the core, others do not."""
    pytest.importorskip("onnxruntime")
    r = np.random.default_rng(seed)
    groups = int(r.choice([1, 1, 2]))
    channels, out = groups * int(r.integers(1, 5)), groups * int(r.integers(1, 6))
    kernel, stride, dilation = (int(r.integers(1, top)) for top in (5, 4, 3))
    pads = [int(n) for n in r.integers(0, 4, 2)]
    length = (kernel - 1) * dilation + 1 + int(r.integers(0, 9))
    x = r.standard_normal((int(r.integers(1, 4)), channels, length)).astype(np.float32)
    weights = {"w": r.standard_normal((out, channels // groups, kernel)).astype(np.float32)}
    if seed % 2:
        weights["b"] = r.standard_normal(out).astype(np.float32)
    attributes = {"strides": [stride], "dilations": [dilation], "group": groups}
    attributes |= {"auto_pad": "SAME_UPPER"} if seed % 7 == 0 and dilation == 1 else {"pads": pads}
    node = helper.make_node("Conv", ["x", *weights], ["y"], **attributes)
    y = graphs.value("y", TensorProto.FLOAT)
    fixed = graphs.model_of([node], {"x": x}, [y], weights)
    free = graphs.model_of([node], {"x": x, **weights}, [y])
    (theirs,) = graphs.session(fixed).run(None, {"x": x})
    for mine in (backend.run_model(fixed, {"x": x}), backend.run_model(free, {"x": x, **weights})):
        np.testing.assert_allclose(mine[0], theirs, rtol=1e-5, atol=1e-5)


def test_a_row_of_a_batch_has_the_bits_of_that_row_alone():
    r = np.random.default_rng(0)
    x = r.standard_normal((5, 3, 11)).astype(np.float32)
    w = r.standard_normal((4, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1])
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 11])
    graph = helper.make_graph(
        [node], "g", [info], [graphs.value("y", TensorProto.FLOAT)],
        [numpy_helper.from_array(w, "w")],
    )  # fmt: skip
    model = backend.prepare(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
    (whole,) = model.run(x)
    for n in range(5):
        assert np.array_equal(model.run(x[n : n + 1])[0][0], whole[n])


def unaligned(array):
    room = np.zeros(array.nbytes + 1, np.uint8)[1:]
    found = room.view(array.dtype).reshape(array.shape)
    found[...] = array
    assert not found.flags.aligned
    return found


LAYOUTS = {
    "channels last": lambda x: x.transpose(0, 2, 1).copy().transpose(0, 2, 1),
    "time first": lambda x: x.transpose(2, 0, 1).copy().transpose(1, 2, 0),
    "every second number": lambda x: np.repeat(x, 2, axis=2)[..., ::2],
    "backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
    "between numbers": unaligned,
}


@pytest.mark.parametrize("pads", [(0, 0), (2, 1)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_convolution_of_any_memory(layout, pads):
    """With its Relu; whatever lies where, the bits are the same."""
    r = np.random.default_rng(0)
    x = r.standard_normal((2, 6, 13)).astype(np.float32)
    weights = {"w": r.standard_normal((4, 3, 3)).astype(np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["z"], pads=pads, group=2, strides=[2]),
        helper.make_node("Relu", ["z"], ["y"]),
    ]
    made = graphs.model_of(nodes, {"x": x}, [graphs.value("y", TensorProto.FLOAT)], weights)
    model = backend.prepare(made)
    (expected,) = model.run(x)
    assert expected.flags.c_contiguous
    assert expected.min() == 0 < expected.max()
    given = LAYOUTS[layout](x)
    assert np.array_equal(given, x)
    assert np.array_equal(model.run(given)[0], expected)
    with pyrnn.use_backend("reference"):
        np.testing.assert_allclose(model.run(given)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "pads", "message"),
    [
        (np.zeros((2, 3, 2), np.float32), (0, 0), "expected at least one window of 3 steps, got"),
        (np.zeros((2, 4, 9), np.float32), (0, 0), "expected x of 3 channels, got shape"),
        (np.zeros((2, 3, 9)), (0, 0), "expected float32 x of shape .N, 3, L., got float64"),
        (np.zeros((2, 3), np.float32), (0, 0), "expected x of 3 channels, got shape"),
    ],
)
def test_a_convolution_that_does_not_fit(x, pads, message):
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=pads)
    weights = {"w": np.ones((4, 3, 3), np.float32)}
    made = graphs.model_of([node], {"x": x}, [graphs.value("y", TensorProto.FLOAT)], weights)
    with pytest.raises(ValueError, match=f"Conv.*{message}"):
        backend.prepare(made).run(x)


def test_padding_past_all_memory_is_refused():
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1 << 40, 0])
    x, weights = np.zeros((1, 3, 9), np.float32), {"w": np.ones((4, 3, 3), np.float32)}
    made = graphs.model_of([node], {"x": x}, [graphs.value("y", TensorProto.FLOAT)], weights)
    with pytest.raises(MemoryError, match="expected at most"):
        backend.prepare(made).run(x)
