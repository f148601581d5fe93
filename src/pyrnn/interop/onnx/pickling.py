"""A program as plain values, which is what the pickle or copy of a `Model` holds.

Its packed weights are made anew where it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn._pickling import pickled
from pyrnn.interop.onnx.graph import Graph, Node, Program, Value


def plain(program: Program) -> tuple[Any, ...]:
    """The arguments of `program_of`."""
    return _plain_graph(program.graph), program.opset, dict(program.metadata)


def program_of(graph: Any, opset: int, metadata: Mapping[str, str]) -> Program:
    """The program again."""
    return Program(_graph_of(graph), opset, metadata)


def _plain_graph(graph: Graph) -> tuple[Any, ...]:
    values = [[(v.name, v.dtype, v.shape) for v in each] for each in (graph.inputs, graph.outputs)]
    constants = {name: pickled(array) for name, array in graph.constants.items()}
    nodes = [
        (n.op, n.name, n.inputs, n.outputs, _plain_attributes(n.attributes), n.domain)
        for n in graph.nodes
    ]
    return graph.name, *values, constants, nodes


def _plain_attributes(attributes: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Each with its kind."""
    found: dict[str, tuple[str, Any]] = {}
    for name, value in attributes.items():
        if isinstance(value, Graph):
            found[name] = "graph", _plain_graph(value)
        else:
            array = isinstance(value, np.ndarray)
            found[name] = "value", pickled(value) if array else value
    return found


def _graph_of(given: Any) -> Graph:
    name, inputs, outputs, constants, nodes = given
    return Graph(
        name,
        tuple(Value(*value) for value in inputs),
        tuple(Value(*value) for value in outputs),
        constants,
        tuple(
            Node(op, own_name, read, written, _attributes_of(attributes), domain)
            for op, own_name, read, written, attributes, domain in nodes
        ),
    )


def _attributes_of(given: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    return {n: _graph_of(v) if kind == "graph" else v for n, (kind, v) in given.items()}
