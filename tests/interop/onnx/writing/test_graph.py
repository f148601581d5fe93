"""Whole graphs written as ONNX files again: the same nodes, constants and outputs."""

import numpy as np
import pytest

from pyrnn.cli import main
from pyrnn.interop import conversion
from pyrnn.interop.onnx.graph import Graph
from tests.interop.onnx.graphs import model_of, session

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from pyrnn.interop import onnx as ours  # noqa: E402

helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto
X = np.linspace(-2, 2, 24, dtype=np.float32).reshape(4, 6)


def tensor(array):
    return numpy_helper.from_array(np.asarray(array))


def branches():
    """Constants of several types, attributes of each kind, a graph within a node."""
    ends = [onnx.ValueInfoProto(name="end")]
    small = helper.make_graph([helper.make_node("Neg", ["h"], ["end"])], "then", [], ends)
    large = helper.make_graph(
        [helper.make_node("Mul", ["h", "own"], ["end"])],
        "else",
        [],
        ends,
        [numpy_helper.from_array(np.float32(3), "own")],
    )
    nodes = [
        helper.make_node("Elu", ["x"], ["e"], alpha=0.5, name="elu"),
        helper.make_node("Transpose", ["e"], ["t"], perm=[1, 0]),
        helper.make_node("Constant", [], ["shift"], value=tensor(np.float32(0.25))),
        helper.make_node("Add", ["t", "shift"], ["h"]),
        helper.make_node("ReduceSum", ["h"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "limit"], ["is_large"]),
        helper.make_node("If", ["is_large"], ["y"], then_branch=small, else_branch=large),
        helper.make_node("Cast", ["is_large"], ["z"], to=TensorProto.INT64),
    ]
    return model_of(nodes, {"x": X}, ["y", "z"], {"limit": np.float32(1)})


def recurrent():
    """A GRU whose states are added to something, and whose activations are named."""
    random = np.random.default_rng(0)
    weights = {
        name: random.standard_normal(shape).astype(np.float32)
        for name, shape in {"w": (2, 9, 6), "r": (2, 9, 3), "b": (2, 18)}.items()
    }
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["xs"]),
        helper.make_node(
            "GRU",
            ["xs", "w", "r", "b", "", "h0"],
            ["", "last"],
            hidden_size=3,
            direction="bidirectional",
            activations=["HardSigmoid", "Tanh"] * 2,
            activation_alpha=[0.25, 0.25],
            activation_beta=[0.5, 0.5],
            linear_before_reset=1,
        ),
        helper.make_node("Add", ["last", "h0"], ["y"]),
    ]
    others = {"axis": np.array([1]), "h0": np.ones((2, 1, 3), np.float32)}
    return model_of(nodes, {"x": X}, ["y"], weights | others)


def old_operators():
    """Forms that later versions do not have: axes as an attribute, an empty list of them."""
    nodes = [
        helper.make_node("Unsqueeze", ["x"], ["u"], axes=[0]),
        helper.make_node("Squeeze", ["u"], ["s"], axes=[0]),
        helper.make_node("Pad", ["s"], ["y"], pads=[0, 1, 0, 2], value=0.5),
    ]
    return model_of(nodes, {"x": X}, ["y"], opset=9)


def quantized():
    weight = np.arange(12, dtype=np.uint8).reshape(6, 2)
    constants = {"w": weight, "scale": np.float32(0.1), "zero": np.uint8(3)}
    node = helper.make_node(
        "DynamicQuantizeMatMul", ["x", "w", "scale", "zero"], ["y"], domain="com.microsoft"
    )
    model = model_of([node], {"x": X}, ["y"], constants)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def numbers_of_16_bits():
    """Microsoft's domain has them in versions in which the standard's operators have 8 bits."""
    constants = {"scale": np.float32(0.001), "zero": np.int16(5)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], domain="com.microsoft"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], domain="com.microsoft"),
    ]
    model = model_of(nodes, {"x": X}, ["y"], constants)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


MODELS = [branches, recurrent, old_operators, quantized, numbers_of_16_bits]


def plain(graph):
    """A graph as values that can be compared."""

    def value_of(attribute):
        if isinstance(attribute, Graph):
            return plain(attribute)
        if isinstance(attribute, np.ndarray):
            return attribute.dtype, attribute.shape, attribute.tobytes()
        return type(attribute), attribute

    return (
        graph.inputs,
        graph.outputs,
        {name: value_of(array) for name, array in graph.constants.items()},
        [
            [n.op, n.name, n.inputs, n.outputs, n.domain]
            + [(name, value_of(one)) for name, one in n.attributes.items()]
            for n in graph.nodes
        ],
    )


@pytest.mark.parametrize("make", MODELS)
def test_a_graph_comes_back(make, tmp_path):
    """Through a converted file as well; onnxruntime computes what it computes of the original."""
    made = make()
    made.metadata_props.add(key="author", value="ß")
    onnx.save(made, tmp_path / "a.onnx")
    first = ours.prepare(tmp_path / "a.onnx")
    ours.save(first, tmp_path / "b.onnx")
    assert main(["convert", str(tmp_path / "a.onnx"), str(tmp_path / "c.safetensors")]) == 0
    assert main(["convert", str(tmp_path / "c.safetensors"), str(tmp_path / "d.onnx")]) == 0
    expected = session(made).run(None, {"x": X})
    for name in ("b.onnx", "d.onnx"):
        again = ours.prepare(tmp_path / name)
        assert plain(again.program.graph) == plain(first.program.graph)
        assert again.program.opset == first.program.opset
        assert name == "d.onnx" or again.program.metadata == {"author": "ß"}
        for ours_of, theirs in zip(
            session(str(tmp_path / name)).run(None, {"x": X}), expected, strict=True
        ):
            np.testing.assert_array_equal(ours_of, theirs)


def test_what_layers_say_goes_on_as_layers(tmp_path, capsys):
    """A graph that is layers one after the other is still written from these."""
    import pyrnn

    ours.save([pyrnn.LSTM(3, 4, seed=0), pyrnn.Linear(4, 2, seed=1)], tmp_path / "a.onnx")
    main(["convert", str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx")])
    assert "2 layers" in capsys.readouterr().out


def test_empty_lists_have_the_kind_that_the_operator_knows():
    node = helper.make_node("Squeeze", ["x"], ["y"])
    attribute = helper.make_attribute("axes", [], attr_type=onnx.AttributeProto.INTS)
    node.attribute.append(attribute)
    model = ours.prepare(model_of([node], {"x": X}, ["y"], opset=9))
    from pyrnn.interop.onnx.writing.graph import to_proto

    (written,) = to_proto(model.program).graph.node
    assert written.attribute[0].type == onnx.AttributeProto.INTS


def test_free_axes_stay_free(tmp_path):
    node = helper.make_node("Relu", ["x"], ["y"])
    model = model_of([node], {"x": X}, ["y"])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, tmp_path / "a.onnx")
    ours.save(ours.prepare(tmp_path / "a.onnx"), tmp_path / "b.onnx")
    again = ours.prepare(tmp_path / "b.onnx")
    assert again.program.graph.inputs[0].shape == (None, 6)
    assert again.run([X[:3]])[0].shape == (3, 6)


def test_operators_that_do_not_run_here_are_not_written(tmp_path):
    node = helper.make_node("Erf", ["x"], ["y"], domain="my.domain")
    model = model_of([node], {"x": X}, ["y"])
    model.opset_import.append(helper.make_opsetid("my.domain", 1))
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(conversion.ConversionError, match="Erf"):
        conversion.write(conversion.read(tmp_path / "a.onnx"), tmp_path / "b.onnx")
    assert not (tmp_path / "b.onnx").exists()
