"""Pairs of nodes that are computed together: a product with its bias, a convolution with its Relu.

The first node takes over the second one's part, where nobody else reads what lies between them. The
attribute and the third input that say so are no part of ONNX and never leave a plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from pyrnn.interop.onnx.graph import AnyArray, Graph, Node

RELU = "pyrnn.relu"


def fused(graph: Graph, constants: Mapping[str, AnyArray]) -> tuple[Node, ...]:
    """The nodes of a graph with such pairs as one node each."""
    readers = _readers(graph)
    makers = {name: node for node in graph.nodes for name in node.outputs}
    changed: dict[int, Node] = {}
    dropped: set[int] = set()
    for second in graph.nodes:
        for name in second.inputs:
            first = makers.get(name)
            if first is None or readers[name] != 1 or len(first.outputs) != 1:
                continue
            if id(first) in changed or id(first) in dropped or second.domain or first.domain:
                continue
            node = _together(first, second, constants)
            if node is not None:
                # Where the second one stood: what it reads may be made between the two.
                changed[id(second)] = node
                dropped.add(id(first))
                break
    return tuple(changed.get(id(node), node) for node in graph.nodes if id(node) not in dropped)


def _readers(graph: Graph) -> Counter[str]:
    """How often each name is read, by graphs inside and as an output too."""
    found: Counter[str] = Counter(value.name for value in graph.outputs)
    for node in graph.nodes:
        found.update(node.inputs)
        for inner in node.subgraphs():
            found.update(_readers(inner))
    return found


def _together(first: Node, second: Node, constants: Mapping[str, AnyArray]) -> Node | None:
    """Both as one node; None if they are no such pair."""
    if first.op == "Conv" and second.op == "Relu":
        return replace(first, outputs=second.outputs, attributes={**first.attributes, RELU: 1})
    pairs = len(first.inputs) == len(second.inputs) == 2
    if first.op == "MatMul" and second.op == "Add" and pairs:
        (other,) = [n for n in second.inputs if n != first.outputs[0]] or [""]
        weight, bias = constants.get(first.inputs[1]), constants.get(other)
        if weight is None or bias is None or weight.ndim != 2 or "axis" in second.attributes:
            return None
        if bias.shape == weight.shape[1:] and bias.dtype == weight.dtype:
            return replace(first, inputs=(*first.inputs, other), outputs=second.outputs)
    return None
