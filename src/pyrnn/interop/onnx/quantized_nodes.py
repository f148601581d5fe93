"""Layers that an ONNX graph has with weights of 8 bits, as layers of float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pyrnn.interop._made import embedding_of, linear_of
from pyrnn.interop.onnx.graph import AnyArray, Node
from pyrnn.interop.onnx.operators._build import Build
from pyrnn.interop.onnx.operators.quantized import dequantized
from pyrnn.layers._layer import Layer


class Links(NamedTuple):
    """Which nodes read each name of a graph, and which one makes it."""

    readers: Mapping[str, list[Node]]
    makers: Mapping[str, Node]

    def reader(self, node: Node, op: str) -> Node | None:
        """The node that alone reads a node's first output, if it is one of that operator."""
        found = self.readers.get(node.outputs[0], [])
        return found[0] if len(found) == 1 and found[0].op == op else None


def layer(build: Build, links: Links) -> Layer | None:
    """The layer that a node of quantised numbers is; None for other nodes."""
    found = _KINDS.get(build.node.op)
    return None if found is None else found(build, links)


def nodes_of(node: Node, links: Links) -> list[Node]:
    """The nodes behind a product that belong to its layer: its scale, its bias."""
    if node.op == "MatMul" or node.op in ("MatMulIntegerToFloat", "DynamicQuantizeMatMul"):
        found = [links.reader(node, "Add")]
    elif node.op == "MatMulInteger":
        cast = links.reader(node, "Cast")
        scaled = None if cast is None else links.reader(cast, "Mul")
        scale = None
        if cast is not None and scaled is not None:
            scale = links.makers.get(_other(scaled, cast.outputs[0]))
        found = [cast, scaled, scale, None if scaled is None else links.reader(scaled, "Add")]
    else:
        found = []
    return [one for one in found if one is not None]


def bias_behind(node: Node, columns: int, build: Build, links: Links) -> AnyArray | None:
    """What an Add adds to each row that a node gives."""
    added = links.reader(node, "Add")
    bias = None if added is None else build.constants.get(_other(added, node.outputs[0]))
    return bias if bias is not None and bias.shape == (columns,) else None


def _other(node: Node, name: str) -> str:
    """The other one of a node's two inputs."""
    others = [one for one in node.inputs if one != name]
    return others[0] if len(others) == 1 else ""


def _linear(
    q: AnyArray | None, scale: AnyArray | None, zero: AnyArray | None, bias: AnyArray | None
) -> Layer | None:
    """A Linear of a weight (in, out) with a scale of all numbers or of each column."""
    if q is None or scale is None or q.ndim != 2 or not q.size or q.dtype.kind not in "iu":
        return None
    parts = [part for part in (scale, zero) if part is not None]
    if scale.dtype != np.float32 or any(p.size not in (1, q.shape[1]) for p in parts):
        return None
    if bias is not None and (bias.dtype != np.float32 or bias.shape != (q.shape[1],)):
        return None
    flat = [None if part is None else part.reshape(-1) for part in (scale, zero)]
    assert flat[0] is not None
    return linear_of(dequantized(q, flat[0], flat[1]).T, bias)


def _product(build: Build, links: Links) -> Layer | None:
    """The exact product of integers, then Cast and Mul by the product of both scales."""
    weight, zero = build.constant(1), build.constant(3)
    cast = links.reader(build.node, "Cast")
    scaled = None if cast is None else links.reader(cast, "Mul")
    if weight is None or cast is None or scaled is None or (zero is None and build.given(3)):
        return None
    scale = links.makers.get(_other(scaled, cast.outputs[0]))
    if scale is None or scale.op != "Mul":
        return None
    fixed = [found for n in scale.inputs if (found := build.constants.get(n)) is not None]
    if len(fixed) != 1:
        return None
    bias = bias_behind(scaled, weight.shape[-1], build, links)
    return _linear(weight, fixed[0], zero, bias)


def _to_float(build: Build, links: Links) -> Layer | None:
    """A product, its scales and its bias in one node."""
    whole = build.node.op == "MatMulIntegerToFloat"
    scale_at, zero_at, bias_at = (3, 5, 6) if whole else (2, 3, 4)
    weight, scale, zero = (build.constant(at) for at in (1, scale_at, zero_at))
    bias = build.constant(bias_at)
    if (zero is None and build.given(zero_at)) or (bias is None and build.given(bias_at)):
        return None
    if bias is None and weight is not None:
        bias = bias_behind(build.node, weight.shape[-1], build, links)
    return _linear(weight, scale, zero, bias)


def _embedding(build: Build, links: Links) -> Layer | None:
    """Rows of 8 bits, which DequantizeLinear makes floats."""
    table, widened = build.constant(0), links.reader(build.node, "DequantizeLinear")
    if table is None or widened is None or table.ndim != 2 or table.dtype.kind not in "iu":
        return None
    if build.constant(1) is not None or build.integer("axis", 0) != 0 or not table.size:
        return None
    scale, *zeros = (build.constants.get(name) for name in widened.inputs[1:])
    zero = zeros[0] if zeros else None
    if scale is None or (zeros and zero is None) or scale.size != 1 or scale.dtype != np.float32:
        return None
    shift = None if zero is None else zero.reshape(())
    return embedding_of(dequantized(table, scale.reshape(()), shift))


_KINDS = {
    "MatMulInteger": _product,
    "MatMulIntegerToFloat": _to_float,
    "DynamicQuantizeMatMul": _to_float,
    "Gather": _embedding,
}
