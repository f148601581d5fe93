"""Chains of convolutions: the bits of the nodes one by one, and their errors; what is no chain."""

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import onnx as backend
from pyrnn.interop.onnx import plan
from pyrnn.interop.onnx.planning.convolutions import Chain
from tests.interop.onnx import graphs
from tests.interop.onnx.graphs import helper

END = np.iinfo(np.int64).max


class Nodes:
    """Nodes one behind the other, the constants that they read, the name of the last value."""

    def __init__(self, dtype=np.float32, seed=0):
        self.dtype, self.rng = dtype, np.random.default_rng(seed)
        self.nodes, self.constants, self.last = [], {}, "x"

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def node(self, op, *inputs, **attributes):
        self.last = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [self.last], **attributes))
        return self.last

    def conv(self, channels, out, kernel, groups=1, relu=False, **attributes):
        shape = (out, channels // groups, kernel)
        weight = self.constant(self.rng.standard_normal(shape).astype(self.dtype) / kernel)
        bias = self.constant(self.rng.standard_normal(out).astype(self.dtype))
        self.node("Conv", self.last, weight, bias, group=groups, **attributes)
        if relu:
            self.node("Relu", self.last)

    def slice(self, value, start, end, axis):
        numbers = [self.constant(np.array([n])) for n in (start, end, axis, 1)]
        return self.node("Slice", value, *numbers)

    def magnitude(self, channels, skipped=0, by_product=False):
        spectrum, squares = self.last, []
        for start, end in ((0, channels), (channels, END)):
            part = self.slice(spectrum, start, end, 1)
            if skipped:
                part = self.slice(part, skipped, END, 2)
            other = part if by_product else self.constant(np.array(2, self.dtype))
            squares.append(self.node("Mul" if by_product else "Pow", part, other))
        self.node("Sqrt", self.node("Add", *squares))

    def model(self, x, *outputs):
        return graphs.model_of(self.nodes, {"x": x}, list(outputs) or [self.last], self.constants)


def prepared(model, monkeypatch):
    """As users have it, and with every node for itself."""
    with monkeypatch.context() as patch:
        patch.setattr(plan, "chained", lambda steps, *_: list(steps))
        apart = backend.prepare(model)
    return backend.prepare(model), apart


def chains_of(model):
    return [step for step in model._plan._steps if isinstance(step.run, Chain)]


def spectrum(nodes):
    nodes.conv(1, 18, 16, strides=[8])
    nodes.magnitude(9, skipped=1)
    nodes.conv(9, 33, 3, relu=True, pads=[1, 1])
    nodes.conv(33, 5, 3, relu=True, pads=[1, 1], strides=[2])


def spectrum_alone(nodes):
    nodes.conv(1, 10, 16, pads=[3, 3], strides=[4])
    nodes.magnitude(5, by_product=True)


def spectrum_inside(nodes):
    nodes.conv(1, 4, 3)
    nodes.conv(4, 140, 5, strides=[2], pads=[0, 2])
    nodes.magnitude(70)
    nodes.conv(70, 7, 3, pads=[2, 0])


def kinds(nodes):
    nodes.conv(1, 6, 3, relu=True)
    nodes.conv(6, 6, 5, groups=6, pads=[2, 2])
    nodes.conv(6, 4, 3, groups=2, dilations=[2], pads=[2, 2])
    nodes.conv(4, 3, 1, relu=True)


@pytest.fixture
def threads():
    """Set their number until the test ends."""
    before = pyrnn.get_num_threads()
    yield pyrnn.set_num_threads
    pyrnn.set_num_threads(before)


MODELS = {f.__name__: f for f in (spectrum, spectrum_alone, spectrum_inside, kinds)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [0, 1, 3, 300])
@pytest.mark.parametrize("name", MODELS)
def test_the_bits_are_those_of_the_nodes(name, rows, dtype, monkeypatch, threads):
    nodes = Nodes(dtype)
    MODELS[name](nodes)
    for steps in (64, 97):
        x = nodes.rng.standard_normal((rows, 1, steps)).astype(dtype)
        chain, apart = prepared(nodes.model(x), monkeypatch)
        assert len(chains_of(chain)) == len(chain._plan._steps) == 1
        (expected,) = apart.run(x)
        for count in (1, 2):
            threads(count)
            (y,) = chain.run(x)
            assert np.array_equal(y, expected)
            assert y.flags.c_contiguous
            assert y.flags.writeable


@pytest.mark.parametrize("name", MODELS)
def test_the_reference(name, monkeypatch):
    nodes = Nodes()
    MODELS[name](nodes)
    x = nodes.rng.standard_normal((2, 1, 64)).astype(np.float32)
    chain, apart = prepared(nodes.model(x), monkeypatch)
    (fast,) = chain.run(x)
    with pyrnn.use_backend("reference"):
        (plain,) = chain.run(x)
        assert np.array_equal(plain, apart.run(x)[0])
    np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-19, 1e-21, 1e19, np.inf, np.nan])
def test_squares_that_are_no_usual_numbers(scale, monkeypatch):
    """Subnormal ones count, as in NumPy, though they do not in a convolution."""
    nodes = Nodes()
    spectrum_alone(nodes)
    bias = nodes.constants["c1"]
    bias[:] = 0
    x = (nodes.rng.standard_normal((1, 1, 64)) * scale).astype(np.float32)
    chain, apart = prepared(nodes.model(x), monkeypatch)
    (y,) = chain.run(x)
    assert np.array_equal(y, apart.run(x)[0], equal_nan=True)
    assert scale != 1e-21 or 0 < np.abs(y[y > 0]).min() < 1e-20


def test_a_view_with_other_strides(monkeypatch):
    nodes = Nodes()
    spectrum(nodes)
    x = nodes.rng.standard_normal((64, 1, 6)).astype(np.float32).T[::2]
    chain, apart = prepared(nodes.model(x), monkeypatch)
    assert np.array_equal(chain.run(x)[0], apart.run(x)[0])


def test_what_others_read_ends_a_chain(monkeypatch):
    x = np.ones((1, 1, 64), np.float32)
    nodes = Nodes()
    nodes.conv(1, 4, 3)
    nodes.conv(4, 4, 3)
    between = nodes.last
    nodes.conv(4, 4, 3)
    nodes.conv(4, 4, 3)
    end = nodes.last
    chain, apart = prepared(nodes.model(x, between, end), monkeypatch)
    assert len(chains_of(chain)) == 2
    for mine, theirs in zip(chain.run(x), apart.run(x), strict=True):
        assert np.array_equal(mine, theirs)
    nodes.node("Add", between, between)  # by another node
    total = nodes.last
    chain, apart = prepared(nodes.model(x, end, total), monkeypatch)
    assert len(chains_of(chain)) == 2
    for mine, theirs in zip(chain.run(x), apart.run(x), strict=True):
        assert np.array_equal(mine, theirs)


def test_a_graph_inside_reads_it_too(monkeypatch):
    x = np.ones((1, 1, 64), np.float32)
    nodes = Nodes()
    nodes.conv(1, 4, 3)
    between = nodes.last
    nodes.conv(4, 4, 3)
    branches = [
        helper.make_graph(
            [helper.make_node(op, [between], ["o"])], "g", [],
            [helper.make_empty_tensor_value_info("o")],
        )
        for op in ("Neg", "Abs")
    ]  # fmt: skip
    end, condition = nodes.last, nodes.node("ReduceMax", "x", keepdims=0)
    nodes.node("Cast", condition, to=9)
    nodes.node("If", nodes.last, then_branch=branches[0], else_branch=branches[1])
    model, apart = prepared(nodes.model(x, end, nodes.last), monkeypatch)
    assert not chains_of(model)
    for mine, theirs in zip(model.run(x), apart.run(x), strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("what", "chains"),
    [
        ("usual", 1), ("one more reader", 0), ("root of one square", 0), ("other lengths", 0),
        ("other frames", 0), ("every other channel", 0), ("cut at the end", 0), ("no root", 0),
    ],
)  # fmt: skip
def test_what_is_a_magnitude(what, chains, monkeypatch):
    x = np.random.default_rng(1).standard_normal((1, 1, 64)).astype(np.float32)
    nodes = Nodes()
    nodes.conv(1, 8, 16, strides=[8])
    first, two = nodes.last, nodes.constant(np.array(2, np.float32))
    if what == "every other channel":
        numbers = [nodes.constant(np.array([n])) for n in (0, 8, 1, 2)]
        parts = [nodes.node("Slice", first, *numbers) for _ in range(2)]
    elif what == "other lengths":
        parts = [nodes.slice(first, 0, 1, 1), nodes.slice(first, 1, 8, 1)]
    else:
        parts = [nodes.slice(first, 0, 4, 1), nodes.slice(first, 4, 8, 1)]
    if what == "other frames":
        parts = [nodes.slice(parts[0], 0, 2, 2), nodes.slice(parts[1], 1, 3, 2)]
    elif what == "cut at the end":
        parts = [nodes.slice(part, 0, -1, 2) for part in parts]
    squares = [nodes.node("Pow", part, two) for part in parts]
    if what == "root of one square":
        squares[1] = parts[1]
    end = nodes.node("Add", *squares)
    if what != "no root":
        end = nodes.node("Sqrt", end)
    outputs = [end, parts[0]] if what == "one more reader" else [end]
    chain, apart = prepared(nodes.model(x, *outputs), monkeypatch)
    assert len(chains_of(chain)) == chains
    for mine, theirs in zip(chain.run(x), apart.run(x), strict=True):
        assert np.array_equal(mine, theirs, equal_nan=True)


@pytest.mark.parametrize("steps", [3, 17])
def test_too_few_steps_are_refused_by_the_node_that_wants_more(steps, monkeypatch):
    nodes = Nodes()
    nodes.conv(1, 4, 5)
    nodes.conv(4, 4, 5)
    nodes.conv(4, 4, 11)
    x = np.ones((1, 1, 40), np.float32)
    model = nodes.model(x)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "T"
    chain, apart = prepared(model, monkeypatch)
    messages = []
    for one in (chain, apart):
        with pytest.raises(ValueError, match="node 'Conv_") as raised:
            one.run(x[:, :, :steps])
        messages.append(str(raised.value))
    assert messages[0] == messages[1]
    assert len(chains_of(chain)) == 1


def test_weights_of_another_dtype_begin_a_chain_of_their_own():
    nodes = Nodes()
    nodes.conv(1, 4, 3)
    nodes.dtype = np.float64
    nodes.conv(4, 4, 3)
    x = np.ones((1, 1, 64), np.float32)
    model = backend.prepare(nodes.model(x))
    assert not chains_of(model)
    with pytest.raises(ValueError, match=r"node 'Conv_1' .*: expected float64 x"):
        model.run(x)
