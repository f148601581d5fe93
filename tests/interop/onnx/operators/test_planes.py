"""Convolutions along two axes: onnxruntime's numbers, the bits of each image alone, errors."""

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import onnx as backend
from pyrnn.interop.onnx.operators.planes import TwoAxes
from tests.interop.onnx import graphs
from tests.interop.onnx.graphs import TensorProto, helper, numpy_helper


def drawn(seed, dtype=np.float32):
    """x of any sizes, weights that fit, attributes, and whether a bias comes with them."""
    r = np.random.default_rng(seed)
    groups = int(r.choice([1, 1, 2, 3]))
    channels = groups * int(r.integers(1, 4))
    out = channels if seed % 5 == 0 else groups * int(r.integers(1, 4))
    groups = channels if seed % 5 == 0 else groups
    kernel, strides, dilations = (r.integers(1, top, 2).tolist() for top in (5, 4, 3))
    pads = r.integers(0, 3, 4).tolist()
    sizes = [
        (k - 1) * d + 1 + int(r.integers(0, 8)) for k, d in zip(kernel, dilations, strict=True)
    ]
    x = r.standard_normal((int(r.integers(1, 4)), channels, *sizes)).astype(dtype)
    weights = {"w": r.standard_normal((out, channels // groups, *kernel)).astype(dtype)}
    if seed % 2:
        weights["b"] = r.standard_normal(out).astype(dtype)
    attributes = {"strides": strides, "dilations": dilations, "group": groups}
    if seed % 7 == 0:
        attributes["dilations"] = [1, 1]
        attributes["auto_pad"] = ["SAME_UPPER", "SAME_LOWER"][seed % 2]
    else:
        attributes["pads"] = pads
    return x, weights, attributes


def model_of(x, weights, attributes, behind=None, shape=None, **options):
    """A convolution, with an activation behind it if one is named."""
    nodes = [helper.make_node("Conv", ["x", *weights], ["z" if behind else "y"], **attributes)]
    if behind:
        nodes.append(helper.make_node(behind, ["z"], ["y"], **options))
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape or x.shape)],
        [graphs.value("y", kind)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("seed", range(40))
def test_a_convolution_is_onnxruntimes(seed):
    """Of each group and kind of padding, alone and with what follows it."""
    pytest.importorskip("onnxruntime")
    x, weights, attributes = drawn(seed)
    behind, options = [(None, {}), ("Relu", {}), ("LeakyRelu", {"alpha": 0.2})][seed % 3]
    made = model_of(x, weights, attributes, behind, **options)
    (theirs,) = graphs.session(made).run(None, {"x": x})
    model = backend.prepare(made)
    assert [type(step.run) for step in model._plan._steps] == [TwoAxes]
    (mine,) = model.run(x)
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    with pyrnn.use_backend("reference"):
        np.testing.assert_allclose(model.run(x)[0], theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("slope", [0.0, 1.0, -0.5, 1.5])
def test_slopes_that_are_a_node_of_their_own(slope):
    x, weights, attributes = drawn(3)
    (plain,) = backend.run_model(model_of(x, weights, attributes), x)
    (bent,) = backend.run_model(model_of(x, weights, attributes, "LeakyRelu", alpha=slope), x)
    assert np.array_equal(bent, np.where(plain >= 0, plain, np.float32(slope) * plain))


def test_float64():
    x, weights, attributes = drawn(11, np.float64)
    (mine,) = backend.run_model(model_of(x, weights, attributes), x)
    single = {name: array.astype(np.float32) for name, array in weights.items()}
    given = x.astype(np.float32)
    (theirs,) = backend.run_model(model_of(given, single, attributes), given)
    assert mine.dtype == np.float64
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", [1, 5, 8, 14])
def test_an_image_of_a_batch_has_the_bits_of_that_image_alone(seed):
    x, weights, attributes = drawn(seed)
    x = np.concatenate([x, 2 * x, x - 1])
    model = backend.prepare(model_of(x, weights, attributes, shape=["N", *x.shape[1:]]))
    (whole,) = model.run(x)
    for n in range(len(x)):
        assert np.array_equal(model.run(x[n : n + 1])[0][0], whole[n])
    assert model.run(x[:0])[0].shape == (0, *whole.shape[1:])


LAYOUTS = {
    "channels last": lambda x: x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
    "every second number": lambda x: np.repeat(x, 2, axis=3)[..., ::2],
    "backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
}


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_convolution_of_any_memory(layout, padded):
    x, weights, attributes = drawn(10)
    attributes["pads"] = [int(padded)] * 4
    model = backend.prepare(model_of(x, weights, attributes, "Relu"))
    (expected,) = model.run(x)
    given = LAYOUTS[layout](x)
    before = given.copy()
    assert np.array_equal(model.run(given)[0], expected)
    assert np.array_equal(given, before)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 3, 2, 9), np.float32), "expected at least one window of 3 numbers"),
        (np.zeros((2, 4, 9, 9), np.float32), "expected float32 x of shape .N, 3, H, W., got"),
        (np.zeros((2, 3, 9, 9)), "expected float32 x of shape .N, 3, H, W., got float64"),
        (np.zeros((2, 3, 9), np.float32), "expected float32 x of shape .N, 3, H, W., got float32"),
    ],
)
def test_a_convolution_that_does_not_fit(x, message):
    made = model_of(x, {"w": np.ones((4, 3, 3, 3), np.float32)}, {})
    with pytest.raises(ValueError, match=f"Conv.*{message}"):
        backend.prepare(made).run(x)


def test_padding_past_all_memory_is_refused():
    x = np.zeros((1, 3, 9, 9), np.float32)
    made = model_of(x, {"w": np.ones((4, 3, 3, 3), np.float32)}, {"pads": [0, 1 << 40, 0, 0]})
    with pytest.raises(MemoryError, match="expected at most"):
        backend.prepare(made).run(x)


def test_two_convolutions_and_a_sum_around_them():
    """A block of a residual network, whose second convolution reads what the first one wrote."""
    pytest.importorskip("onnxruntime")
    r = np.random.default_rng(0)
    x = r.standard_normal((2, 4, 7, 6)).astype(np.float32)
    weights = {n: r.standard_normal((4, 4, 3, 3)).astype(np.float32) / 6 for n in ("v", "w")}
    nodes = [
        helper.make_node("Conv", ["x", "v"], ["a"], pads=[1] * 4),
        helper.make_node("LeakyRelu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("Relu", ["d"], ["y"]),
    ]
    made = graphs.model_of(nodes, {"x": x}, [graphs.value("y", TensorProto.FLOAT)], weights)
    (theirs,) = graphs.session(made).run(None, {"x": x})
    np.testing.assert_allclose(backend.run_model(made, x)[0], theirs, rtol=1e-5, atol=1e-5)
