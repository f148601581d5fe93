"""Pairs of nodes that are computed together.

A product with its bias; a convolution with its batch normalisation, and with its Relu.

The first node also computes the second, if no other node reads the value between them. The
attribute and the third input that mark it are not part of ONNX and are used only inside a plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pyrnn.interop.onnx.graph import AnyArray, Graph, Node

RELU = "pyrnn.relu"
FACTOR, SHIFT = "pyrnn.factor", "pyrnn.shift"
"""Of each channel of a convolution, after its bias."""
LEAK = "pyrnn.leak"
"""The slope of a LeakyRelu below 0, if it is from 0 to 1."""


MOST_IN_A_ROW = 3
"""A convolution, its normalisation, its Relu."""


def fused(graph: Graph, constants: Mapping[str, AnyArray]) -> tuple[Node, ...]:
    """The nodes of a graph with such pairs as one node each."""
    for _ in range(MOST_IN_A_ROW - 1):
        graph = replace(graph, nodes=_paired(graph, constants))
    return graph.nodes


def _paired(graph: Graph, constants: Mapping[str, AnyArray]) -> tuple[Node, ...]:
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
                # At the place of the second one: its inputs may be computed between the two.
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
    """Both as one node; None if they cannot be fused."""
    if first.op == "Conv" and second.op == "Relu" and LEAK not in first.attributes:
        return replace(first, outputs=second.outputs, attributes={**first.attributes, RELU: 1})
    if first.op == "Conv" and second.op == "LeakyRelu" and RELU not in first.attributes:
        slope = second.attributes.get("alpha", 0.01)
        if not isinstance(slope, float) or not 0 < slope < 1 or LEAK in first.attributes:
            return None
        if not _is_fixed(first, constants) or constants[first.inputs[1]].ndim != 4:
            return None
        return replace(first, outputs=second.outputs, attributes={**first.attributes, LEAK: slope})
    pairs = len(first.inputs) == len(second.inputs) == 2
    if first.op == "Conv" and second.op == "BatchNormalization":
        if RELU in first.attributes or LEAK in first.attributes:
            return None
        found = normalization(second, constants)
        if found is None or len(second.outputs) != 1 or not _is_fixed(first, constants):
            return None
        factor, shift = found
        if FACTOR in first.attributes or len(factor) != len(constants[first.inputs[1]]):
            return None
        attributes = {**first.attributes, FACTOR: factor, SHIFT: shift}
        return replace(first, outputs=second.outputs, attributes=attributes)
    if first.op == "MatMul" and second.op == "Add" and pairs:
        (other,) = [n for n in second.inputs if n != first.outputs[0]] or [""]
        weight, bias = constants.get(first.inputs[1]), constants.get(other)
        if weight is None or bias is None or weight.ndim != 2 or "axis" in second.attributes:
            return None
        if bias.shape == weight.shape[1:] and bias.dtype == weight.dtype:
            return replace(first, inputs=(*first.inputs, other), outputs=second.outputs)
    return None


def _is_fixed(node: Node, constants: Mapping[str, AnyArray]) -> bool:
    """Whether the core computes a convolution: its weights never change, along one axis or two."""
    parts = [constants.get(name) for name in node.inputs[1:] if name]
    if any(part is None for part in parts) or parts[0] is None:
        return False
    weight = parts[0]
    return weight.ndim in (3, 4) and all(p is not None and p.dtype == weight.dtype for p in parts)


def normalization(
    node: Node, constants: Mapping[str, AnyArray]
) -> tuple[AnyArray, AnyArray] | None:
    """What a batch normalisation multiplies each channel with and adds; None if it may change."""
    if node.attributes.get("training_mode") or len(node.inputs) != 5:
        return None
    scale, bias, mean, variance = (constants.get(name) for name in node.inputs[1:])
    if scale is None or bias is None or mean is None or variance is None:
        return None
    parts = (scale, bias, mean, variance)
    if any(p.ndim != 1 or p.shape != scale.shape or p.dtype.kind != "f" for p in parts):
        return None
    epsilon = node.attributes.get("epsilon", 1e-5)
    if not isinstance(epsilon, float):
        return None
    wide = [p.astype(np.float64) for p in parts]
    with np.errstate(all="ignore"):
        factor = wide[0] / np.sqrt(wide[3] + epsilon)
        return factor, wide[1] - wide[2] * factor
