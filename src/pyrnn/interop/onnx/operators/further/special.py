"""Functions of single numbers, and patterns, that few models have."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn.interop.onnx import equations
from pyrnn.interop.onnx.graph import AnyArray
from pyrnn.interop.onnx.operators._build import (
    HALF,
    Build,
    Builder,
    Function,
    axis_of,
    check_size,
    dtype_of,
    ints,
    plain,
)

POINTS = 512
"""Points in 1 at which the error function is known; a polynomial of degree 4 joins them."""
END = 6
"""From here on the error function is 1 in float64."""


@functools.cache
def _polynomials() -> AnyArray:
    """Taylor's coefficients around each point: erf, and its derivatives by Hermite's recurrence."""
    x = np.arange(END * POINTS + 1) / POINTS
    slope = 2 / math.sqrt(math.pi) * np.exp(-x * x)
    rows = [
        np.array([math.erf(one) for one in x]),
        slope,
        -x * slope,
        (2 * x * x - 1) / 3 * slope,
        (3 * x - 2 * x**3) / 6 * slope,
    ]
    table = np.ascontiguousarray(np.array(rows))
    table.setflags(write=False)
    return table


def erf(x: AnyArray) -> Any:
    """The error function of each number, in its dtype; in float64 within 3e-16."""
    table = _polynomials()
    y = np.empty_like(x)
    given, out = x.reshape(-1), np.empty(x.size, x.dtype)
    for begin in range(0, given.size, 1 << 14):  # what stays in the cache
        some = given[begin : begin + (1 << 14)].astype(np.float64)
        size = np.minimum(np.abs(some), END)
        nearest = np.rint(np.where(np.isnan(size), 0, size) * POINTS).astype(np.intp)
        d = size - nearest / POINTS
        values = table[4].take(nearest)
        for row in table[3::-1]:
            values *= d
            values += row.take(nearest)
        out[begin : begin + some.size] = np.copysign(values, some)
    y[...] = out.reshape(x.shape)
    return y


def _in_single(function: Function) -> Function:
    """float16 in float32, rounded once."""

    def rounded(x: AnyArray) -> Any:
        return function(x.astype(np.float32)).astype(HALF) if x.dtype == HALF else function(x)

    return rounded


def _gelu(build: Build) -> Function:
    how = build.text("approximate", "none")
    if how not in ("none", "tanh"):
        raise build.unsupported(f"approximate={how!r}")

    def gelu(x: AnyArray) -> Any:
        kind = x.dtype.type
        if how == "tanh":
            inner = kind(math.sqrt(2 / math.pi)) * (x + kind(0.044715) * x * x * x)
            return kind(0.5) * x * (1 + np.tanh(inner))
        return kind(0.5) * x * (1 + erf(x * kind(math.sqrt(0.5))))

    return _in_single(gelu)


def _swish(build: Build) -> Function:
    alpha = build.number("alpha", 1.0)
    return _in_single(lambda x: x * equations.sigmoid(x.dtype.type(alpha) * x))


def _shrink(build: Build) -> Function:
    bias, limit = build.number("bias", 0.0), build.number("lambd", 0.5)

    def shrink(x: AnyArray) -> Any:
        kept = np.where(x < -limit, x + bias, np.where(x > limit, x - bias, 0))
        return kept.astype(x.dtype, copy=False)

    return shrink


def _hardmax(build: Build) -> Function:
    """1 at the first largest number; before version 13 of all axes from one (1) on."""
    old = build.opset < 13
    axis = build.integer("axis", 1 if old else -1)

    def hardmax(x: AnyArray) -> Any:
        place = axis_of(axis, x.ndim)
        rows = x.reshape(math.prod(x.shape[:place]), -1) if old and x.size else x
        along = 1 if old else place
        y = np.zeros_like(rows)
        if x.size:
            first = np.expand_dims(rows.argmax(axis=along), along)
            np.put_along_axis(y, first, 1, along)
        return y.reshape(x.shape)

    return hardmax


def _trilu(build: Build) -> Function:
    upper = build.flag("upper", True)

    def trilu(x: AnyArray, k: AnyArray | None = None) -> Any:
        diagonal = 0 if k is None else ints(k)[0]
        return np.triu(x, diagonal) if upper else np.tril(x, diagonal)

    return trilu


def _eye_like(build: Build) -> Function:
    k, number = build.integer("k", 0), build.integer("dtype", 0)
    dtype = dtype_of(build, number) if number else None

    def eye(x: AnyArray) -> Any:
        rows, columns = x.shape
        check_size(x.shape)
        return np.eye(rows, columns, k, dtype or x.dtype)

    return eye


def _unique(build: Build) -> Function:
    """The different numbers, or slices of an axis; the first of each, which is where, how many."""
    ordered = build.flag("sorted", True)
    along = build.integer("axis", 0) if "axis" in build.node.attributes else None

    def unique(x: AnyArray) -> Any:
        y, first, inverse, counts = np.unique(
            x, return_index=True, return_inverse=True, return_counts=True, axis=along
        )
        if not ordered:
            order = first.argsort()
            y, first, counts = y.take(order, along), first[order], counts[order]
            inverse = order.argsort()[inverse.reshape(-1)]
        whole = [part.astype(np.int64).reshape(-1) for part in (first, inverse, counts)]
        return (y, *whole) if len(build.node.outputs) > 1 else y

    return unique


TABLE: Mapping[str, Builder] = {
    "Erf": plain(erf),
    "EyeLike": _eye_like,
    "Gelu": _gelu,
    "Hardmax": _hardmax,
    "Shrink": _shrink,
    "Swish": _swish,
    "Trilu": _trilu,
    "Unique": _unique,
}
