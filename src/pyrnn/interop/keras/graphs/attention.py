"""Keras' Attention and AdditiveAttention, of one head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyrnn._types import Array
from pyrnn.interop.keras.graphs.builder import Builder, Tensor
from pyrnn.interop.keras.hdf5 import ContentError

SCORES = ("Attention", "AdditiveAttention")


def attention(
    builder: Builder,
    class_name: str,
    config: Mapping[str, Any],
    tensors: Sequence[Tensor],
    arrays: Sequence[Array],
) -> Tensor:
    """The values, weighted for each step of the query: (N, T, features of a value)."""
    if len(tensors) not in (2, 3) or any(len(one.shape) != 3 for one in tensors):
        raise ContentError("expected query, value and maybe key, each of three axes")
    if config.get("score_mode", "dot") != "dot" or config.get("causal"):
        raise ContentError("expected scores that are products, without a causal mask")
    query, value, key = tensors[0], tensors[1], tensors[-1]
    scale = builder.weight(arrays[0], "scale") if arrays else None
    if class_name == "Attention":
        scores = builder.op("MatMul", query.name, builder.transposed(key.name, 0, 2, 1))
        scores = scores if scale is None else builder.op("Mul", scores, scale)
    else:
        of_query = builder.op("Unsqueeze", query.name, builder.integers(2))
        of_key = builder.op("Unsqueeze", key.name, builder.integers(1))
        both = builder.op("Tanh", builder.op("Add", of_query, of_key))
        both = both if scale is None else builder.op("Mul", both, scale)
        scores = builder.op("ReduceSum", both, builder.integers(-1), keepdims=0)
    if value.mask is not None:
        flags = builder.op("Unsqueeze", value.mask, builder.integers(1))
        less = builder.op("Sub", scores, builder.number(1e9))
        scores = builder.op("Where", flags, scores, less)
    y = builder.op("MatMul", builder.op("Softmax", scores, axis=-1), value.name)
    if query.mask is not None:
        flags = builder.op("Unsqueeze", query.mask, builder.integers(2))
        y = builder.op("Where", flags, y, builder.number(0.0))
    return Tensor(y, (*query.shape[:2], value.features), query.mask)
