"""Operators that join the numbers along axes: sums, means, extremes, sorting, running sums."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn.interop.onnx.graph import AnyArray
from pyrnn.interop.onnx.operators._build import Build, Builder, Function, axis_of, ints


def _reduce(function: Function, since: int = 18) -> Builder:
    """``function(x, axes, keepdims)``; the axes were an attribute before version ``since``."""

    def build(build: Build) -> Function:
        keep = build.flag("keepdims", True)
        nothing = build.flag("noop_with_empty_axes")
        given = build.integers("axes") if build.opset < since else None

        def run(x: AnyArray, axes: AnyArray | None = None) -> Any:
            which = list(given or ()) if axes is None else ints(axes)
            if not which:
                if nothing:
                    return x
                which = list(range(x.ndim))
            places = tuple(axis_of(axis, x.ndim) for axis in which)
            result = function(x, places, keep)
            return np.asarray(result).astype(x.dtype, copy=False)

        return run

    return build


def _mean(x: AnyArray, axes: tuple[int, ...], keep: bool) -> Any:
    count = math.prod(x.shape[axis] for axis in axes)
    return x.sum(axis=axes, keepdims=keep) / x.dtype.type(count)


def _log_sum_exp(x: AnyArray, axes: tuple[int, ...], keep: bool) -> Any:
    if not x.size:
        return np.log(np.sum(x, axis=axes, keepdims=keep))
    largest = x.max(axis=axes, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0)
    total = np.log(np.exp(x - largest).sum(axis=axes, keepdims=True)) + largest
    return total if keep else total.squeeze(axis=axes)


def _extreme(function: Function, empty: float) -> Function:
    """The largest or smallest element; of no elements, the limit of the dtype."""

    def run(x: AnyArray, axes: tuple[int, ...], keep: bool) -> Any:
        if x.dtype.kind == "f":
            return function(x, axis=axes, keepdims=keep, initial=empty)
        if x.dtype.kind == "b":
            return function(x, axis=axes, keepdims=keep, initial=empty < 0 and x.dtype.type(0))
        info = np.iinfo(x.dtype)
        return function(x, axis=axes, keepdims=keep, initial=info.min if empty < 0 else info.max)

    return run


def _max(x: AnyArray, axes: tuple[int, ...], keep: bool) -> Any:
    if x.dtype.kind == "b":
        return np.any(x, axis=axes, keepdims=keep)
    return _extreme(np.max, -np.inf)(x, axes, keep)


def _min(x: AnyArray, axes: tuple[int, ...], keep: bool) -> Any:
    if x.dtype.kind == "b":
        return np.all(x, axis=axes, keepdims=keep)
    return _extreme(np.min, np.inf)(x, axes, keep)


def _argument(largest: bool) -> Builder:
    def build(build: Build) -> Function:
        axis, keep = build.integer("axis", 0), build.flag("keepdims", True)
        last = build.flag("select_last_index")
        find = np.argmax if largest else np.argmin

        def run(x: AnyArray) -> Any:
            if last:
                found = x.shape[axis] - 1 - find(np.flip(x, axis), axis=axis, keepdims=keep)
            else:
                found = find(x, axis=axis, keepdims=keep)
            return np.asarray(found, np.int64)

        return run

    return build


def _top_k(build: Build) -> Function:
    axis, largest = build.integer("axis", -1), build.flag("largest", True)
    fixed = build.integer("k", 0)

    def run(x: AnyArray, k: AnyArray | None = None) -> Any:
        count = fixed if k is None else ints(k)[0]
        if largest:  # of equal elements the first one comes first
            order = np.flip(
                x.shape[axis] - 1 - np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis
            )
        else:
            order = np.argsort(x, axis=axis, kind="stable")
        chosen = np.take(order, np.arange(count), axis=axis)
        return np.take_along_axis(x, chosen, axis=axis), chosen.astype(np.int64)

    return run


def _cumulative(build: Build) -> Function:
    exclusive, reverse = build.flag("exclusive"), build.flag("reverse")

    def run(x: AnyArray, axis: AnyArray) -> Any:
        (place,) = ints(axis)
        given = np.flip(x, place) if reverse else x
        total = np.cumsum(given, axis=place, dtype=x.dtype)
        if exclusive:
            total = total - given
        return np.flip(total, place) if reverse else total

    return run


def _reverse_sequence(build: Build) -> Function:
    batch, time = build.integer("batch_axis", 1), build.integer("time_axis", 0)

    def run(x: AnyArray, lengths: AnyArray) -> Any:
        rows = np.moveaxis(x, (time, batch), (0, 1))
        t = np.arange(len(rows))[:, None]
        places = np.where(t < lengths, lengths - 1 - t, t)
        return np.moveaxis(rows[places, np.arange(rows.shape[1])], (0, 1), (time, batch))

    return run


TABLE: Mapping[str, Builder] = {
    "ArgMax": _argument(True),
    "ArgMin": _argument(False),
    "CumSum": _cumulative,
    "ReduceL1": _reduce(lambda x, axes, keep: np.sum(np.abs(x), axis=axes, keepdims=keep)),
    "ReduceL2": _reduce(
        lambda x, axes, keep: np.sqrt(np.sum(np.square(x), axis=axes, keepdims=keep))
    ),
    "ReduceLogSum": _reduce(lambda x, axes, keep: np.log(np.sum(x, axis=axes, keepdims=keep))),
    "ReduceLogSumExp": _reduce(_log_sum_exp),
    "ReduceMax": _reduce(_max),
    "ReduceMean": _reduce(_mean),
    "ReduceMin": _reduce(_min),
    "ReduceProd": _reduce(lambda x, axes, keep: np.prod(x, axis=axes, keepdims=keep)),
    "ReduceSum": _reduce(lambda x, axes, keep: np.sum(x, axis=axes, keepdims=keep), since=13),
    "ReduceSumSquare": _reduce(
        lambda x, axes, keep: np.sum(np.square(x), axis=axes, keepdims=keep)
    ),
    "ReverseSequence": _reverse_sequence,
    "TopK": _top_k,
}
