"""Each layer of Keras as a graph, against its definition in NumPy."""

import json

import numpy as np
import pytest

from pyrnn.interop import conversion, keras
from pyrnn.interop import load as load_converted
from pyrnn.interop.keras import read
from pyrnn.serialization import ModelFileError
from tests.interop.keras import files
from tests.interop.keras.graphs import models
from tests.interop.keras.graphs.models import X, called, floats, layer, tensor

pytestmark = pytest.mark.usefixtures("in_place")


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def windows(x, size, stride, same):
    """The steps of each window, of which some may be missing at the ends."""
    steps = x.shape[1]
    count = -(-steps // stride) if same else (steps - size) // stride + 1
    missing = max(0, (count - 1) * stride + size - steps) if same else 0
    begins = [n * stride - missing // 2 for n in range(count)]
    return [x[:, max(0, begin) : begin + size] for begin in begins]


def pooled(function, size, stride, same):
    return lambda x: np.stack([function(w, axis=1) for w in windows(x, size, stride, same)], 1)


def mean_square(x):
    return np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)


WITHOUT_WEIGHTS = {
    "flatten": (layer("Flatten"), lambda x: x.reshape(2, -1)),
    "reshape": (layer("Reshape", target_shape=[3, -1]), lambda x: x.reshape(2, 3, 8)),
    "permute": (layer("Permute", dims=[2, 1]), lambda x: x.swapaxes(1, 2)),
    "zeros": (layer("ZeroPadding1D", padding=[2, 1]),
              lambda x: np.pad(x, [(0, 0), (2, 1), (0, 0)])),
    "crop": (layer("Cropping1D", cropping=[1, 2]), lambda x: x[:, 1:-2]),
    "crop-begin": (layer("Cropping1D", cropping=[2, 0]), lambda x: x[:, 2:]),
    "up": (layer("UpSampling1D", size=3), lambda x: x.repeat(3, axis=1)),
    "mean-pool": (layer("AveragePooling1D", pool_size=[4], strides=[3]),
                  pooled(np.mean, 4, 3, False)),
    "mean-pool-same": (layer("AveragePooling1D", pool_size=3, strides=2, padding="same"),
                       pooled(np.mean, 3, 2, True)),
    "max-pool-same": (layer("MaxPooling1D", pool_size=4, strides=None, padding="same"),
                      pooled(np.max, 4, 4, True)),
    "max": (layer("GlobalMaxPooling1D"), lambda x: x.max(1)),
    "max-kept": (layer("GlobalMaxPooling1D", keepdims=True), lambda x: x.max(1, keepdims=True)),
    "mean-kept": (layer("GlobalAveragePooling1D", keepdims=True),
                  lambda x: x.mean(1, keepdims=True)),
    "relu": (layer("ReLU", max_value=0.8, threshold=0.2, negative_slope=0.1),
             lambda x: np.minimum(np.where(x >= 0.2, x, 0.1 * (x - 0.2)), 0.8)),
    "leaky": (layer("LeakyReLU"), lambda x: np.where(x > 0, x, 0.3 * x)),
    "elu": (layer("ELU", alpha=0.5), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    "threshold": (layer("ThresholdedReLU", theta=0.3), lambda x: np.where(x > 0.3, x, 0)),
    "shares": (layer("Softmax", axis=1), lambda x: softmax(x, 1)),
    "unit": (layer("UnitNormalization"),
             lambda x: x / np.sqrt((x**2).sum(-1, keepdims=True))),
    "norm": (layer("Normalization", mean=[[1, 2, 3, 4]], variance=[[1, 4, 9, 16]]),
             lambda x: (x - [1, 2, 3, 4]) / [1, 2, 3, 4]),
    "scale": (layer("Rescaling", scale=2.0, offset=[1, 2, 3, 4]), lambda x: 2 * x + [1, 2, 3, 4]),
    "none": (layer("SpatialDropout1D", rate=0.5), lambda x: x),
    "layer-norm": (layer("LayerNormalization", scale=False, center=False, epsilon=1e-3),
                   lambda x: (x - x.mean(-1, keepdims=True))
                   / np.sqrt(x.var(-1, keepdims=True) + 1e-3)),
    "swish": (layer("Activation", activation="silu"), lambda x: x / (1 + np.exp(-x))),
    "mish": (layer("Activation", activation="mish"), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    "selu": (layer("Activation", activation="selu"), lambda x: 1.0507009873554805
             * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))),
    "hard": (layer("Activation", activation="hard_sigmoid"), lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    "exp": (layer("Activation", activation="exponential"), np.exp),
    "six": (layer("Activation", activation="relu6"), lambda x: np.clip(x, 0, 6)),
    "log": (layer("Activation", activation="log_softmax"), lambda x: np.log(softmax(x))),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_layers_without_weights(name, tmp_path):
    row, expected = WITHOUT_WEIGHTS[name]
    (y,) = models.sequential(tmp_path / "m.keras", [row]).run(X)
    wanted = expected(X.astype(np.float64))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, wanted, rtol=2e-6, atol=2e-6)


KERNEL, POINT, BIAS = floats(1, (3, 4, 2), (1, 8, 5), (5,))


def convolved(x, kernel, groups=1):
    """A convolution with zeros around, by its definition."""
    x = np.pad(x.astype(np.float64), [(0, 0), (1, 1), (0, 0)])
    parts = []
    for group in range(groups):
        own = x[..., group * kernel.shape[1] : (group + 1) * kernel.shape[1]]
        each = kernel.shape[2] // groups
        side = kernel[..., group * each : (group + 1) * each]
        parts.append(sum(own[:, k : k + 6] @ side[k] for k in range(3)))
    return np.concatenate(parts, axis=-1)


def by_channel(x):
    return convolved(x, KERNEL.reshape(3, 1, 8), groups=4)


ONE, TWO = floats(2, (4, 3), (3,))
WEIGHTED = {
    "dense": (layer("Dense", activation="softmax"), "dense", [ONE, TWO],
              lambda x: softmax(x @ ONE + TWO)),
    "strided": (layer("Conv1D", padding="same", strides=[3], use_bias=False), "conv1d",
                [KERNEL], lambda x: convolved(x, KERNEL)[:, 1::3]),
    "separable": (layer("SeparableConv1D", padding="same", activation="relu"), "separable_conv1d",
                  [KERNEL, POINT, BIAS], lambda x: np.maximum(by_channel(x) @ POINT[0] + BIAS, 0)),
    "depthwise": (layer("DepthwiseConv1D", padding="same"), "depthwise_conv1d", [KERNEL],
                  by_channel),
    "slope": (layer("PReLU"), "p_re_lu", floats(3, (1, 4)),
              lambda x: np.where(x > 0, x, x * floats(3, (1, 4))[0])),
    "rms": (layer("RMSNormalization"), "rms_normalization", floats(4, (4,)),
            lambda x: x / mean_square(x) * floats(4, (4,))[0]),
    "batch": (layer("BatchNormalization", scale=False), "batch_normalization",
              [*floats(5, (4,), (4,)), np.arange(1, 5, dtype=np.float32)],
              lambda x: (x - floats(5, (4,), (4,))[1]) / np.sqrt(np.arange(1, 5) + 1e-3)
              + floats(5, (4,))[0]),
    "adapted": (layer("Normalization"), "normalization",
                [np.ones(4, np.float32), np.full(4, 4, np.float32), np.array(7)],
                lambda x: (x - 1) / 2),
}  # fmt: skip


@pytest.mark.parametrize("name", WEIGHTED)
def test_layers_with_weights(name, tmp_path):
    row, key, arrays, expected = WEIGHTED[name]
    model = models.sequential(tmp_path / "m.keras", [row], [(key, arrays)])
    wanted = expected(X.astype(np.float64))
    np.testing.assert_allclose(model.run(X)[0], wanted, rtol=3e-6, atol=3e-6)


def test_images_before_recurrent_layers(tmp_path):
    """Convolutions of two axes, whose columns become steps."""
    r = np.random.default_rng(0)
    x = r.standard_normal((2, 8, 4, 1)).astype(np.float32)
    (kernel,), gru = floats(6, (3, 3, 1, 2)), files.random_arrays("GRU", 3, 4)
    rows = [
        layer("Conv2D", "c", padding="same", activation="relu", use_bias=False),
        layer("MaxPooling2D", "p", pool_size=[2, 2]),
        layer("Reshape", "r", target_shape=[4, 4]),
        layer("GRU", "g", units=3, return_sequences=True, reset_after=False),
    ]
    path = tmp_path / "m.keras"
    model = models.sequential(path, rows, [("conv2d", [kernel]), ("gru", gru)], (8, 4, 1))
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    y = sum(padded[:, i : i + 8, j : j + 4] @ kernel[i, j] for i in range(3) for j in range(3))
    y = np.maximum(y, 0).reshape(2, 4, 2, 2, 2, 2).max((2, 4)).reshape(2, 4, 4)
    expected = read.find(path).layers["g"](np.ascontiguousarray(y))[0]
    np.testing.assert_allclose(model.run(x)[0], expected, rtol=1e-5, atol=1e-6)


def test_a_model_at_each_step(tmp_path):
    """A model inside of TimeDistributed, before a recurrent layer."""
    inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": [
        models.given("i", 2, 2), layer("Flatten", "f"),
        layer("Dense", "d", units=3, activation="relu", use_bias=False)]}}  # fmt: skip
    rows = [
        layer("Reshape", "r", target_shape=[6, 2, 2]),
        layer("TimeDistributed", "each", layer=inner),
        layer("TimeDistributed", "soft", layer=layer("Softmax", "s", axis=-1)),
        layer("LSTM", "l", units=4),
    ]
    (kernel,), lstm = floats(7, (4, 3)), files.random_arrays("LSTM", 4, 3)
    path = tmp_path / "m.keras"
    entries = [("time_distributed/layer/dense", [kernel]), ("lstm", lstm)]
    model = models.sequential(path, rows, entries)
    expected = keras.load(path)["l"](softmax(np.maximum(X @ kernel, 0)))[0][:, -1]
    np.testing.assert_allclose(model.run(X)[0], expected, rtol=1e-5, atol=1e-6)


def test_masks_of_index_zero(tmp_path):
    """As the mask of the layer; a mean is over the steps that count."""
    (words,), gru = floats(8, (5, 4)), files.random_arrays("GRU", 3, 4)
    rows = [
        layer("Embedding", "e", input_dim=5, mask_zero=True),
        layer("GRU", "g", units=3, return_sequences=True, reset_after=False),
        layer("Dropout", "d", rate=0.5),
        layer("GlobalAveragePooling1D", "m"),
    ]
    path = tmp_path / "m.keras"
    model = models.sequential(path, rows, [("embedding", [words]), ("gru", gru)], (7,))
    x = np.array([[0, 0, 3, 4, 0, 1, 2], [1, 2, 3, 0, 0, 0, 0]])
    y = keras.load(path)["g"](words[x], mask=x != 0)[0]
    expected = [y[n, x[n] != 0].mean(0) for n in range(2)]
    np.testing.assert_allclose(model.run(x)[0], expected, rtol=1e-6, atol=1e-6)


def test_masks_of_a_value(tmp_path):
    gru = files.random_arrays("GRU", 3, 4)
    rows = [layer("Masking", "m", mask_value=7.0), layer("GRU", "g", units=3, reset_after=False)]
    path = tmp_path / "m.keras"
    model = models.sequential(path, rows, [("gru", gru)])
    x = X.copy()
    x[0, 4:], x[1, :2], x[1, 3, :2] = 7, 7, 7
    mask = (x != 7).any(-1)
    expected = keras.load(path)["g"](x, mask=mask)[0][:, -1]
    assert np.array_equal(model.run(x)[0], expected)


# --- several arrays -------------------------------------------------------------------------


A, B = floats(9, (4, 4), (4, 4))
MERGES = {
    "Add": lambda a, b: a + b,
    "Subtract": lambda a, b: a - b,
    "Multiply": lambda a, b: a * b,
    "Average": lambda a, b: (a + b) / 2,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Concatenate": lambda a, b: np.concatenate([a, b], axis=1),
    "Dot": lambda a, b: np.einsum("nti,ntj->nij", a, b),
    "Attention": lambda a, b: softmax(a @ b.swapaxes(1, 2)) @ b,
    "AdditiveAttention": lambda a, b: softmax(np.tanh(a[:, :, None] + b[:, None]).sum(-1)) @ b,
}


@pytest.mark.parametrize("kind", MERGES)
def test_layers_of_two_arrays(kind, tmp_path):
    options = {"axis": 1} if kind == "Concatenate" else {"axes": [1, 1]} if kind == "Dot" else {}
    rows = [
        called(layer("Dense", "a", use_bias=False), tensor("x")),
        called(layer("Dense", "b", use_bias=False), tensor("x")),
        called(layer(kind, "end", **options), [tensor("a"), tensor("b")]),
    ]
    entries = [("dense", "a", [A]), ("dense_1", "b", [B])]
    model = models.branches(tmp_path / "m.keras", rows, entries=entries)
    wide = X.astype(np.float64)
    np.testing.assert_allclose(model.run(X)[0], MERGES[kind](wide @ A, wide @ B), atol=3e-6)


def test_operations_and_numbers(tmp_path):
    rows = [
        called(layer("Multiply", "m"), tensor("x"), 3.0),
        called(layer("Sum", "s", axis=-1, keepdims=False), tensor("m")),
        called(layer("Mean", "end", axis=1, keepdims=True), tensor("s")),
        called(layer("Subtract", "other"), 1, tensor("s")),
    ]
    model = models.branches(tmp_path / "m.keras", rows, [("end", 0, 0), ("other", 0, 0)])
    assert (model.inputs, model.outputs) == (["x"], ["end", "other"])
    first, second = model.run(X)
    total = 3 * X.astype(np.float64).sum(-1)
    np.testing.assert_allclose(first, total.mean(1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(second, 1 - total, atol=1e-5)


def test_a_layer_that_is_called_twice_and_a_model_in_a_model(tmp_path):
    shared = called(layer("Dense", "shared", use_bias=False), tensor("x"))
    shared["inbound_nodes"] = [*shared["inbound_nodes"], {"args": [tensor("shared")], "kwargs": {}}]
    inner = {"name": "inner", **models.functional(
        [called(models.given("i", 6, 4)),
         called(layer("Dense", "deep", use_bias=False), tensor("i"))],
        ["i", 0, 0], ["deep", 0, 0])}  # fmt: skip
    inner["config"]["name"] = "inner"
    rows = [
        shared,
        called(inner, tensor("shared", call=1)),
        called(layer("Flatten", "end"), tensor("inner")),
    ]
    entries = [("dense", "shared", [A]), ("functional/dense", None, [B])]
    model = models.branches(tmp_path / "m.keras", rows, entries=entries)
    expected = (X.astype(np.float64) @ A @ A @ B).reshape(2, -1)
    np.testing.assert_allclose(model.run(X)[0], expected, rtol=1e-5, atol=2e-5)


# --- what is refused ------------------------------------------------------------------------


REFUSED = {
    "kind": ([layer("Mine", "odd")], "odd: no graph is made of a Mine"),
    "activation": ([layer("Activation", "odd", activation="sparsemax")],
                   "odd: no operator is its activation sparsemax"),
    "code": ([layer("Lambda", "odd", function={"class_name": "__lambda__"})],
             "odd: no graph is made of a Lambda, which is Python code"),
    "words": ([layer("TextVectorization", "odd")], "odd: no graph is made of a TextVectorization"),
    "weights": ([layer("Dense", "odd")], "odd: expected weights of it in the file"),
    "axis": ([layer("Softmax", "odd", axis=3)], "odd: axis: expected one of 3 axes"),
    "shape": ([layer("Reshape", "odd", target_shape="no")], "odd: target_shape"),
    "sizes": ([layer("MaxPooling1D", "odd", pool_size=-1)], "odd: pool_size"),
    "channels": ([layer("Flatten", "odd", data_format="channels_first")], "odd: expected the chan"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_graph_is_named(name, tmp_path):
    rows, message = REFUSED[name]
    with pytest.raises(ModelFileError, match=message):
        models.sequential(tmp_path / "m.keras", rows)


def test_circles_and_calls_that_there_are_not(tmp_path):
    path = tmp_path / "m.keras"
    turning = [called(layer("Add", n), tensor("x"), tensor(m)) for n, m in (("a", "b"), ("b", "a"))]
    with pytest.raises(ModelFileError, match="do not go in a circle"):
        models.branches(path, turning, [("a", 0, 0)])
    with pytest.raises(ModelFileError, match="expected a call of each layer, got none of 'gone'"):
        models.branches(path, [called(layer("Flatten", "end"), tensor("gone"))])
    with pytest.raises(ModelFileError, match="an output of 'x' that there is"):
        models.branches(path, [called(layer("Flatten", "end"), tensor("x", 3))])
    for other in ("no", ["no"], None):
        files.keras3(path, {"class_name": "Functional", "config": other}, [])
        with pytest.raises(ModelFileError, match="a functional model with a configuration"):
            keras.prepare(path)
    files.weights3(tmp_path / "w.weights.h5", [("dense", "d", [A])])
    with pytest.raises(ModelFileError, match="a configuration, got weights alone"):
        keras.prepare(tmp_path / "w.weights.h5")


# --- converted ------------------------------------------------------------------------------


def autoencoder(path):
    rows = [
        layer("LSTM", "encoder", units=3, activation="relu"),
        layer("RepeatVector", "repeat", n=6),
        layer("LSTM", "decoder", units=3, return_sequences=True),
        layer("TimeDistributed", "out", layer=layer("Dense", "d", units=4)),
    ]
    first, second = files.random_arrays("LSTM", 3, 4), files.random_arrays("LSTM", 3, 3)
    entries = [("lstm", first), ("lstm_1", second),
               ("time_distributed/layer", floats(0, (3, 4), (4,)))]  # fmt: skip
    return models.sequential(path, rows, entries)


@pytest.mark.parametrize("kind", [".safetensors", ".onnx"])
def test_a_whole_model_is_converted(kind, tmp_path):
    (y,) = autoencoder(tmp_path / "m.keras").run(X)
    holding = conversion.read(tmp_path / "m.keras")
    assert holding.whole
    assert list(holding.layers) == ["encoder", "encoder_last", "decoder", "out"]
    assert holding.left == {"repeat": "no layer of pyrnn is a RepeatVector"}
    target = tmp_path / f"m{kind}"
    if kind == ".onnx":
        onnx = pytest.importorskip("onnx")
    assert conversion.write(holding, target).startswith("the whole model")
    if kind == ".onnx":
        onnx.checker.check_model(onnx.load(target), full_check=True)
        again = conversion.read(target).program
        assert json.loads(json.dumps(dict(again.metadata)))["source"] == "Keras 3.15.1"
        from pyrnn.interop.onnx import prepare

        model = prepare(target)
    else:
        model = load_converted(target)
    assert (model.inputs, model.outputs) == (["x"], ["out"])
    assert np.array_equal(model.run(X)[0], y)


def test_onnxruntime_agrees(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    from pyrnn.interop.onnx.write import to_model

    mask = np.random.default_rng(0).random((5, 6)) < 0.6
    x = np.random.default_rng(1).standard_normal((5, 6, 3)).astype(np.float32)
    arrays = files.random_arrays("GRU", 4, 3)
    row = layer("Bidirectional", layer=layer("GRU", "g", units=4, reset_after=False,
                return_sequences=True), merge_mode="mul")  # fmt: skip
    model = models.masked(tmp_path / "m.keras", row, [("bidirectional", "it", (arrays, arrays))], 3)
    data = to_model(model).SerializeToString()
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    inputs = {"x": x, "flags": mask.astype(np.float32)}
    np.testing.assert_allclose(model.run(inputs)[0], session.run(None, inputs)[0], atol=1e-6)
