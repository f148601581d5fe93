"""Transposed convolutions: every number of x adds its kernel to the outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn.interop.onnx.graph import AnyArray, GraphError
from pyrnn.interop.onnx.operators._build import Build, Builder, Function, check_size, widened
from pyrnn.interop.onnx.operators._window import Pads, Window, window_of
from pyrnn.interop.onnx.operators.dense import Packed, can_pack, linear


def _transposed(build: Build) -> Function:
    window, groups = window_of(build), build.integer("group", 1)
    more, wanted = build.integers("output_padding"), build.integers("output_shape")
    weight = build.constant(1)
    if groups < 1:
        raise GraphError(f"{build.node}: group: expected a number above 0, got {groups}")
    fixed = weight is not None and can_pack(weight) and weight.ndim > 2 and not len(weight) % groups
    packed = _packed(weight, groups) if fixed and weight is not None else None

    def run(x: AnyArray, w: AnyArray, b: AnyArray | None = None) -> Any:
        axes = x.ndim - 2
        if x.ndim != w.ndim or axes < 1 or x.shape[1] != len(w) or len(w) % groups:
            raise ValueError(
                f"expected x and weights that fit, got {x.shape} and {w.shape} in {groups} groups"
            )
        kernel, sizes = w.shape[2:], x.shape[2:]
        strides, dilations, _ = window.of(kernel, sizes)
        extra = more or (0,) * axes
        if len(extra) != axes or min(extra) < 0:
            raise ValueError(f"output_padding: expected {axes} numbers from 0 on, got {extra}")
        whole = [
            s * (n - 1) + e + (k - 1) * d + 1
            for s, n, e, k, d in zip(strides, sizes, extra, kernel, dilations, strict=True)
        ]
        if wanted is not None and len(wanted) >= axes:  # more than the kernels reach is zero
            whole = [max(n, one) for n, one in zip(whole, wanted[-axes:], strict=True)]
        pads = _pads(window, whole, sizes, strides, wanted)
        check_size([len(x), groups * w.shape[1], *whole])
        used = packed if packed is not None and x.dtype == w.dtype else _packed(w, groups)
        y = _spread(x, used, w.shape[1:], strides, dilations, whole)
        inside = [slice(max(a, 0), n - max(z, 0)) for n, (a, z) in zip(whole, pads, strict=True)]
        y = y[(slice(None), *inside)]
        if b is not None:
            y += b
        return np.moveaxis(y, -1, 1)

    return run


def _packed(weight: AnyArray, groups: int) -> list[Packed]:
    """A product for each group: (rows, C / groups) by (C / groups, M / groups · kernel)."""
    parts = [part.reshape(len(part), -1) for part in np.split(weight, groups)]
    return [linear(part.T) for part in parts]


def _pads(
    window: Window,
    whole: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[int],
    wanted: Sequence[int] | None,
) -> Pads:
    """What is cut off at both ends of each axis."""
    axes = len(whole)
    same = window.auto.startswith("SAME")
    if wanted is None and same:
        wanted = [n * s for n, s in zip(sizes, strides, strict=True)]
    if wanted is None:
        pads = (window.pads if window.auto == "NOTSET" else None) or (0,) * (2 * axes)
        found = list(zip(pads[:axes], pads[axes:], strict=True))
    else:
        if len(wanted[-axes:]) != axes:
            raise ValueError(f"output_shape: expected {axes} numbers, got {tuple(wanted)}")
        found = []
        for total in (n - one for n, one in zip(whole, wanted[-axes:], strict=True)):
            less, more = total // 2, total - total // 2
            found.append((less, more) if window.auto == "SAME_UPPER" else (more, less))
    if any(n - sum(p) < 1 or min(p) < 0 for n, p in zip(whole, found, strict=True)):
        raise ValueError(f"pads: expected less than {tuple(whole)} in all, got {found}")
    return found


def _spread(
    x: AnyArray,
    packed: Sequence[Packed],
    shape: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    whole: Sequence[int],
) -> AnyArray:
    """Every kernel at its place, in an array with the channels last: (N, ..., M)."""
    out, *kernel = shape
    last = np.moveaxis(x, 1, -1)
    each = x.shape[1] // len(packed)
    y = np.zeros((len(x), *whole, len(packed) * out), x.dtype)
    if not x.size:
        return y
    for group, product in enumerate(packed):
        rows = np.ascontiguousarray(last[..., group * each : (group + 1) * each]).reshape(-1, each)
        parts = product.function()(rows).reshape(*last.shape[:-1], out, math.prod(kernel))
        channels = slice(group * out, (group + 1) * out)
        for number, tap in enumerate(np.ndindex(*kernel)):
            places = [
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip(tap, dilations, x.shape[2:], strides, strict=True)
            ]
            y[(slice(None), *places, channels)] += parts[..., number]
    return y


TABLE: Mapping[str, Builder] = {"ConvTranspose": widened(_transposed)}
