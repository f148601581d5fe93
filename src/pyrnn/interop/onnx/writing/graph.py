"""Whole graphs as ONNX models: the other way round from `pyrnn.interop.onnx.read`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrnn.interop.onnx.graph import DTYPES, AnyArray, Graph, Node, Program, Value, all_nodes
from pyrnn.interop.onnx.operators.quantized import MICROSOFT, OF_MICROSOFT

LEAST_IR_VERSION = 8
"""From 4 on, weights need not be inputs as well; all runtimes of today read 8."""
_NUMBERS = {dtype: number for number, dtype in DTYPES.items()}


def to_proto(program: Program) -> Any:
    """The `onnx.ModelProto` of a program.

    Operators keep their version. Axes of any length have no names.
    """
    from onnx import helper

    versions = {"": program.opset}
    if any(_domain(node) for node in all_nodes(program.graph)):
        versions[MICROSOFT] = 1
    opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    least = helper.find_min_ir_version_for(opsets[:1], ignore_unknown=True)
    version = max(LEAST_IR_VERSION, least)
    model = helper.make_model(
        _graph(program.graph, program.opset), opset_imports=opsets, ir_version=version
    )
    helper.set_model_props(model, dict(program.metadata))
    return model


def _graph(graph: Graph, opset: int) -> Any:
    from onnx import helper

    return helper.make_graph(
        [_node(node, opset) for node in graph.nodes],
        graph.name or "graph",
        [_value(value) for value in graph.inputs],
        [_value(value) for value in graph.outputs],
        [_tensor(array, name) for name, array in graph.constants.items()],
    )


def _value(value: Value) -> Any:
    from onnx import ValueInfoProto, helper

    if value.dtype is None:  # as an output of a graph within a node
        return ValueInfoProto(name=value.name)
    return helper.make_tensor_value_info(value.name, _NUMBERS[value.dtype], value.shape)


def _domain(node: Node) -> str:
    """A converted file of earlier versions has no domain where the name says it."""
    return node.domain or (MICROSOFT if node.op in OF_MICROSOFT else "")


def _node(node: Node, opset: int) -> Any:
    from onnx import helper

    made = helper.make_node(
        node.op, node.inputs, node.outputs, name=node.name, domain=_domain(node)
    )
    for name, value in node.attributes.items():
        made.attribute.append(_attribute(node, opset, name, value))
    return made


def _attribute(node: Node, opset: int, name: str, value: Any) -> Any:
    from onnx import AttributeProto, helper

    if isinstance(value, Graph):
        return helper.make_attribute(name, _graph(value, opset))
    if isinstance(value, np.ndarray):
        return helper.make_attribute(name, _tensor(value, name))
    if value == ():  # which kind of numbers it has none of, the operator knows
        return helper.make_attribute(name, value, attr_type=_declared(node, opset, name))
    if isinstance(value, tuple) and isinstance(value[0], float):
        return helper.make_attribute(name, value, attr_type=AttributeProto.FLOATS)
    return helper.make_attribute(name, value)


def _declared(node: Node, opset: int, name: str) -> int:
    """The type of an attribute as the specification has it; numbers if it does not."""
    from onnx import AttributeProto, defs

    try:
        schema = defs.get_schema(node.op, opset, node.domain)
        return int(schema.attributes[name].type.value)
    except (defs.SchemaError, KeyError):
        return int(AttributeProto.INTS)


def _tensor(array: AnyArray, name: str) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
