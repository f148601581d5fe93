"""What a file may hold besides a graph: functions, whose nodes take the place of their calls."""

import numpy as np
import pytest

from pyrnn.interop import onnx as backend
from pyrnn.interop.onnx.graph import GraphError
from tests.interop.onnx import graphs
from tests.interop.onnx.graphs import helper

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]


def with_functions(nodes, functions, outputs):
    x = np.array([[-1.0, 2.0]], np.float32)
    model = graphs.model_of(nodes, {"x": x}, outputs)
    model.opset_import.append(OPSETS[1])
    model.functions.extend(functions)
    return model, x


def function(name, inputs, outputs, nodes, attributes=()):
    return helper.make_function(
        "own", name, inputs, outputs, nodes, opset_imports=OPSETS, attributes=list(attributes)
    )


def test_functions_that_call_others():
    """As PyTorch's exporter writes them; also with an attribute that its caller gives."""
    leaky = helper.make_node("LeakyRelu", ["a"], ["b"])
    reference = helper.make_attribute("alpha", 0.0)
    reference.ref_attr_name, reference.f = "slope", 0.0
    leaky.attribute.append(reference)
    inner = function("Inner", ["a"], ["b"], [leaky], ["slope"])
    outer = function(
        "Outer", ["a"], ["c"],
        [helper.make_node("Inner", ["a"], ["b"], domain="own", slope=0.5),
         helper.make_node("Add", ["b", "a"], ["c"])],
    )  # fmt: skip
    nodes = [
        helper.make_node("Outer", ["x"], ["h"], domain="own"),
        helper.make_node("Inner", ["h"], ["y"], domain="own", slope=0.1),
    ]
    model, x = with_functions(nodes, [inner, outer], ["y"])
    (y,) = backend.prepare(model).run(x)
    np.testing.assert_allclose(y, [[-0.15, 4.0]], rtol=1e-6)
    assert backend.is_compatible(model)


def test_a_function_that_calls_itself_is_an_error():
    again = function("F", ["a"], ["b"], [helper.make_node("F", ["a"], ["b"], domain="own")])
    model, _ = with_functions([helper.make_node("F", ["x"], ["y"], domain="own")], [again], ["y"])
    with pytest.raises(GraphError, match="F"):
        backend.prepare(model)
