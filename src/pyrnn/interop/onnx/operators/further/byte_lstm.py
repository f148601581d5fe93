"""The LSTM with weights of 8 bits that `onnxruntime.quantization.quantize_dynamic` makes.

It runs as one of float32 with what the weights stand for: x and h are not rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pyrnn.interop.onnx.graph import AnyArray, Node
from pyrnn.interop.onnx.operators import recurrent
from pyrnn.interop.onnx.operators._build import Build, Builder, Function
from pyrnn.interop.onnx.operators.quantized import LSTM, dequantized


class Bytes(NamedTuple):
    """W or R of an LSTM: (directions, ·, 4·H) quantised numbers, their scale and zero point."""

    q: AnyArray
    scale: AnyArray
    zero: AnyArray | None

    def checked(self) -> Bytes:
        """Itself, if the shapes fit: a scale of each direction, or of each of its columns."""
        q = self.q
        if q.ndim != 3 or q.dtype.kind not in "iu" or self.scale.dtype != np.float32:
            raise ValueError(f"expected whole numbers of 3 axes, got {q.dtype} of {q.shape}")
        directions, _, columns = q.shape
        for name, part in (("scale", self.scale), ("zero point", self.zero)):
            if part is not None and part.shape not in ((directions,), (directions, columns)):
                raise ValueError(
                    f"{name}: expected shape ({directions},) or ({directions}, {columns}), "
                    f"got {part.shape}"
                )
        return self

    def floats(self) -> AnyArray:
        """What they stand for, as ONNX's LSTM has it: (directions, 4·H, ·)."""
        parts = [None if p is None else p.reshape(len(p), 1, -1) for p in (self.scale, self.zero)]
        assert parts[0] is not None
        return np.ascontiguousarray(dequantized(self.q, parts[0], parts[1]).swapaxes(1, 2))


def weights_in(build: Build) -> tuple[Bytes, Bytes]:
    """W and R of a node, which have to be constants."""
    found = []
    for place, scale_at in ((1, 8), (2, 10)):
        q, scale, zero = (build.constant(at) for at in (place, scale_at, scale_at + 1))
        if q is None or scale is None or (zero is None and build.given(scale_at + 1)):
            raise build.unsupported("quantised weights that are computed from the inputs")
        found.append(Bytes(q, scale, zero).checked())
    return found[0], found[1]


def lstm_of(build: Build) -> Build:
    """The LSTM of floats that a quantised one stands for."""
    node = build.node
    inputs = list(node.inputs[:8])
    constants = dict(build.constants)
    for place, part in zip((1, 2), weights_in(build), strict=True):
        inputs[place] = f"{inputs[place]} dequantized"
        constants[inputs[place]] = part.floats()
    plain_node = Node("LSTM", node.name, tuple(inputs), node.outputs, node.attributes)
    return Build(plain_node, build.opset, constants)


def _lstm(build: Build) -> Function:
    of_floats = lstm_of(build)
    run = recurrent.TABLE["LSTM"](of_floats)
    weights = [of_floats.constant(place) for place in (1, 2)]

    def quantized(x: AnyArray, w: Any, r: Any, *rest: Any) -> Any:
        return run(x, *weights, *rest[:5])

    return quantized


TABLE: Mapping[str, Builder] = {LSTM: _lstm}
