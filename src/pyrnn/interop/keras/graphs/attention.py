"""Keras' Attention, AdditiveAttention and MultiHeadAttention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyrnn._types import Array
from pyrnn.interop.keras.graphs.builder import Builder, Tensor, axes_of
from pyrnn.interop.keras.hdf5 import ContentError

SCORES = ("Attention", "AdditiveAttention")
HEADS = "MultiHeadAttention"

Config = Mapping[str, Any]


class Call(NamedTuple):
    """What a call asks for beside its arrays.

    ``allowed`` is an array of flags (N, T, S) or (T, S): which values each step may look at.
    """

    causal: bool = False
    scores: bool = False
    allowed: Tensor | None = None


def attention(
    builder: Builder,
    class_name: str,
    config: Config,
    tensors: Sequence[Tensor],
    arrays: Sequence[Array],
    call: Call,
) -> list[Tensor]:
    """The values, weighted for each step of the query (N, T, features), and maybe the weights."""
    if len(tensors) not in (2, 3) or any(len(one.shape) != 3 for one in tensors):
        raise ContentError("expected query, value and maybe key, each of three axes")
    query, value, key = tensors[0], tensors[1], tensors[2] if len(tensors) == 3 else tensors[1]
    mode = config.get("score_mode", "dot") if class_name == "Attention" else "additive"
    if mode not in ("dot", "concat", "additive"):
        raise ContentError(f"score_mode: expected dot or concat, got {str(mode)[:50]}")
    scores = _scores(builder, mode, query, key, arrays)
    flags = None if value.mask is None else builder.op(
        "Unsqueeze", value.mask, builder.integers(1))  # fmt: skip
    if call.causal or config.get("causal"):
        flags = _both(builder, flags, _causal(builder, scores))
    if flags is not None:
        less = builder.op("Sub", scores, builder.number(1e9))
        scores = builder.op("Where", flags, scores, less)
    weights = builder.op("Softmax", scores, axis=-1)
    y = builder.op("MatMul", weights, value.name)
    if query.mask is not None:
        flags = builder.op("Unsqueeze", query.mask, builder.integers(2))
        y = builder.op("Where", flags, y, builder.number(0.0))
    made = [Tensor(y, (*query.shape[:2], value.features), query.mask)]
    return made + [Tensor(weights, (*query.shape[:2], key.shape[1]))] * call.scores


def _scores(
    builder: Builder, mode: str, query: Tensor, key: Tensor, arrays: Sequence[Array]
) -> str:
    """How much each step of the query has of each key, (N, T, S)."""
    if len(arrays) > 1 + (mode == "concat") or any(one.ndim > 1 for one in arrays):
        raise ContentError("expected at most a scale, and a weight of the scores")
    arrays = list(arrays)
    factor = builder.weight(arrays.pop(), "concat_score_weight") if mode == "concat" and arrays \
        else None  # fmt: skip
    scale = builder.weight(arrays[0], "scale") if arrays else None
    if mode == "dot":
        scores = builder.op("MatMul", query.name, builder.transposed(key.name, 0, 2, 1))
        return scores if scale is None else builder.op("Mul", scores, scale)
    of_query = builder.op("Unsqueeze", query.name, builder.integers(2))
    of_key = builder.op("Unsqueeze", key.name, builder.integers(1))
    both = builder.op("Add", of_query, of_key)
    if mode == "concat" and scale is not None:
        both = builder.op("Mul", both, scale)
    both = builder.op("Tanh", both)
    if mode == "additive" and scale is not None:
        both = builder.op("Mul", both, scale)
    scores = builder.op("ReduceSum", both, builder.integers(-1), keepdims=0)
    return scores if factor is None else builder.op("Mul", scores, factor)


def _both(builder: Builder, first: str | None, second: str) -> str:
    return second if first is None else builder.op("And", first, second)


def _causal(builder: Builder, scores: str) -> str:
    """Flags (T, S), set where a value is not after the query's step."""
    sizes = builder.sliced(builder.op("Shape", scores), 0, -2, int(np.iinfo(np.int64).max))
    ones = builder.op("Expand", builder.integers(1), sizes)
    return builder.cast(builder.op("Trilu", ones, upper=0), np.bool_)


# --- several heads --------------------------------------------------------------------------


class Heads(NamedTuple):
    """Kernel and bias of the projections of query, key and value, (I, heads, size), and the last.

    The last one's kernel is (heads, size, outputs). A bias is None where there is none.
    """

    query: tuple[Array, Array | None]
    key: tuple[Array, Array | None]
    value: tuple[Array, Array | None]
    output: tuple[Array, Array | None]


def heads_of(config: Config, sides: Sequence[Sequence[Array]], parts: Sequence[str]) -> Heads:
    """The arrays of a MultiHeadAttention, by the names of its parts, or in its order.

    ``parts`` are the names of the groups that ``sides`` come from, or empty if all arrays are in
    one list.
    """
    if config.get("use_gate") or config.get("sliding_window"):
        raise ContentError("use_gate and sliding_window are not implemented")
    names = ("query", "key", "value", "output")
    found: dict[str, Sequence[Array]] = {}
    if parts:
        for part, arrays in zip(parts, sides, strict=True):
            name = next((one for one in names if one in part), part)
            found[name] = arrays
    elif len(sides) == 1 and len(sides[0]) in (4, 8):
        each = len(sides[0]) // 4
        found = {name: sides[0][each * n : each * (n + 1)] for n, name in enumerate(names)}
    if set(found) != set(names):
        raise ContentError("expected the projections of query, key, value and output")
    pairs = {}
    for name, arrays in found.items():
        if len(arrays) not in (1, 2) or arrays[0].ndim != 3 or not arrays[0].size:
            raise ContentError(f"expected a kernel of three axes and maybe a bias of the {name}")
        bias = arrays[1] if len(arrays) == 2 else None
        wanted = arrays[0].shape[2:] if name == "output" else arrays[0].shape[1:]
        if bias is not None and bias.shape != wanted:
            raise ContentError(f"expected a bias {wanted} of the {name}, got {bias.shape}")
        pairs[name] = arrays[0], bias
    made = Heads(**pairs)
    query, key, value, output = (one[0].shape for one in made)
    if query[1:] != key[1:] or value[1:] != output[:2] or query[1] != value[1]:
        raise ContentError(
            f"expected projections that fit, got kernels {query}, {key}, {value}, {output}"
        )
    return made


def multi_head(
    builder: Builder, config: Config, tensors: Sequence[Tensor], heads: Heads, call: Call
) -> list[Tensor]:
    """MultiHeadAttention along one axis: its output, and maybe the weights of each head.

    ``tensors`` are query, value and maybe key. Their masks say which steps count, as in Keras.
    """
    if len(tensors) not in (2, 3):
        raise ContentError(f"expected query, value and maybe key, got {len(tensors)} arrays")
    query, value, key = tensors[0], tensors[1], tensors[2] if len(tensors) == 3 else tensors[1]
    axes = len(query.shape)
    if axes < 3 or any(len(one.shape) != axes for one in (value, key)):
        raise ContentError("expected query, value and key of as many axes each, three at least")
    given = config.get("attention_axes")
    over = axes_of(list(range(1, axes - 1)) if given is None else given, axes, "attention_axes")
    if len(over) != 1 or over[0] in (0, axes - 1):
        raise ContentError(f"attention over several axes is not implemented, got {given}")
    flags = _allowed(builder, tensors, call)
    if flags is not None and axes != 3:
        raise ContentError("masks of attention over more than one axis are not implemented")
    own, of_key, of_value = (
        _projected(builder, one, *pair, name)
        for one, pair, name in zip((query, key, value), heads[:3], ("query", "key", "value"),
                                   strict=True)
    )  # fmt: skip
    # (..., T, heads, size), and behind the axes that stay: (heads, T, size).
    rest = [axis for axis in range(axes - 1) if axis != over[0]]
    order = (*rest, axes - 1, over[0], axes)
    turned = (*rest, axes - 1, axes, over[0])
    scale = builder.number(1 / float(np.sqrt(heads.query[0].shape[2])))
    own = builder.op("Mul", builder.transposed(own, *order), scale)
    scores = builder.op("MatMul", own, builder.transposed(of_key, *turned))
    if call.causal:
        flags = _both(builder, flags, _causal(builder, scores))
    if flags is not None:
        scores = builder.op("Where", flags, scores, builder.number(-1e9))
    weights = builder.op("Softmax", scores, axis=-1)
    y = builder.op("MatMul", weights, builder.transposed(of_value, *order))
    y = builder.transposed(y, *np.argsort(order).tolist())
    kernel, bias = heads.output
    y = builder.reshaped(y, *([0] * (axes - 1)), kernel.shape[0] * kernel.shape[1])
    flat = kernel.reshape(-1, kernel.shape[2])
    y = builder.op("MatMul", y, builder.weight(flat, "attention_output/kernel"))
    if bias is not None:
        y = builder.op("Add", y, builder.weight(bias, "attention_output/bias"))
    made = [Tensor(y, (*query.shape[:-1], kernel.shape[2]), query.mask)]
    sizes = (*(query.shape[axis] for axis in rest), kernel.shape[0])
    return (
        made + [Tensor(weights, (*sizes, query.shape[over[0]], key.shape[over[0]]))] * call.scores
    )


def _projected(builder: Builder, x: Tensor, kernel: Array, bias: Array | None, name: str) -> str:
    """An array for each head, (..., heads, size)."""
    if x.features not in (None, len(kernel)):
        raise ContentError(f"expected {len(kernel)} features of the {name}, got {x.features}")
    y = builder.op("MatMul", x.name, builder.weight(kernel.reshape(len(kernel), -1),
                                                    f"{name}/kernel"))  # fmt: skip
    if bias is not None:
        y = builder.op("Add", y, builder.weight(bias.reshape(-1), f"{name}/bias"))
    return builder.reshaped(y, *([0] * (len(x.shape) - 1)), *kernel.shape[1:])


def _allowed(builder: Builder, tensors: Sequence[Tensor], call: Call) -> str | None:
    """Flags (N, 1, T, S) of the masks and of what the call allows; None if all count."""
    flags: str | None = None
    for number, x in enumerate(tensors):
        if x.mask is not None:
            axes = builder.integers(1, 3) if number == 0 else builder.integers(1, 2)
            flags = _both(builder, flags, builder.op("Unsqueeze", x.mask, axes))
    if call.allowed is not None:
        allowed = builder.of_kind(call.allowed, "bool").name
        if len(call.allowed.shape) == 3:
            allowed = builder.op("Unsqueeze", allowed, builder.integers(1))
        elif len(call.allowed.shape) not in (2, 4):
            raise ContentError("attention_mask: expected flags (N, T, S)")
        flags = _both(builder, flags, allowed)
    return flags
