"""Images and sequences of another size: Resize and Upsample, and blocks of pixels as channels.

Each axis is resized by itself: a number of the output is a sum of a few neighbours, whose places
and factors depend on the sizes alone. Coordinates are in float32, as onnxruntime has them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn.interop.onnx.graph import AnyArray, GraphError
from pyrnn.interop.onnx.operators._build import (
    HALF,
    Build,
    Builder,
    Function,
    axis_of,
    check_size,
    ints,
)

ROUNDINGS: Mapping[str, Callable[[AnyArray], Any]] = {
    "round_prefer_floor": lambda x: np.ceil(x - np.float32(0.5)),
    "round_prefer_ceil": lambda x: np.floor(x + np.float32(0.5)),
    "floor": np.floor,
    "ceil": np.ceil,
}
COORDINATES = (
    "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric",
    "tf_half_pixel_for_nn", "tf_crop_and_resize",
)  # fmt: skip
_STRETCH = "stretch"
_POLICIES: Mapping[str, Callable[[Any], Any]] = {
    "not_larger": min,
    "not_smaller": max,
}


def _where(
    how: str, size: int, wanted: int, scale: np.float32, region: tuple[float, float]
) -> AnyArray:
    """The place in the input of each number of the output."""
    x = np.arange(wanted, dtype=np.float32)
    half, one = np.float32(0.5), np.float32(1)
    if how == "asymmetric":
        return x / scale
    if how == "align_corners":
        return x * np.float32(size - 1) / np.float32(max(wanted - 1, 1))
    if how == "tf_crop_and_resize":
        begin, end = (np.float32(part) for part in region)
        last = np.float32(size - 1)
        if wanted == 1:
            return np.full(1, half * (begin + end) * last)
        return begin * last + x * (end - begin) * last / np.float32(wanted - 1)
    if how == "pytorch_half_pixel" and wanted == 1:
        return np.zeros(1, np.float32)
    if how == "tf_half_pixel_for_nn":
        return (x + half) / scale
    centred = (x + half) / scale - half
    if how == "half_pixel_symmetric":
        adjustment = np.float32(wanted) / (scale * np.float32(size))
        centred += np.float32(size / 2) * (one - adjustment)
    return centred


def _hat(distance: AnyArray, a: float) -> Any:
    """The factor of a neighbour at this distance, in linear interpolation."""
    return np.maximum(1 - distance, 0)


def _cubic(distance: AnyArray, a: float) -> Any:
    """The same of cubic convolution (Keys, 1981), which has a parameter a."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


KERNELS = {"linear": (_hat, 1), "cubic": (_cubic, 2)}
"""By mode: the factors of neighbours, and how far they reach."""


def _neighbours(
    place: AnyArray, size: int, kernel: Any, a: float, inside: bool, stretch: float
) -> tuple[AnyArray, AnyArray]:
    """The indices (out, taps) and factors (out, taps) of the sums.

    ``stretch``, 1 or more, is how much wider than usual the kernel is, against aliasing. What lies
    outside is the number at the edge, or where ``inside`` is set left out.
    """
    function, reach = kernel
    first = np.floor(place)
    taps = np.arange(math.floor(1 - reach * stretch), math.ceil(reach * stretch) + 1)
    distance = np.abs((place - first)[:, None] - taps.astype(np.float32)) / np.float32(stretch)
    factors = function(distance, np.float32(a)).astype(np.float32)
    indices = first.astype(np.intp)[:, None] + taps
    if inside:
        factors[(indices < 0) | (indices >= size)] = 0
    if inside or stretch != 1:
        factors /= factors.sum(axis=1, keepdims=True)
    used = (factors != 0).any(axis=0)
    return np.clip(indices[:, used], 0, size - 1), factors[:, used]


def _along(x: AnyArray, axis: int, indices: AnyArray, factors: AnyArray | None) -> AnyArray:
    """The sums over neighbours of one axis."""
    if factors is None:
        return x.take(indices[:, 0], axis)
    shape = (-1, *(1,) * (x.ndim - axis - 1))
    y: AnyArray | None = None
    for tap in range(indices.shape[1]):
        part = x.take(indices[:, tap], axis) * factors[:, tap].reshape(shape).astype(x.dtype)
        y = part if y is None else np.add(y, part, out=y)
    assert y is not None
    return y


class _Resizing:
    """The attributes of a node."""

    def __init__(self, build: Build, mode: str, how: str, rounding: Any) -> None:
        if mode != "nearest" and mode not in KERNELS:
            raise GraphError(f"{build.node}: mode: expected nearest, linear or cubic, got {mode!r}")
        if how not in COORDINATES:
            raise GraphError(
                f"{build.node}: coordinate_transformation_mode: expected one of "
                f"{', '.join(COORDINATES)}, got {how!r}"
            )
        self.mode, self.how, self.rounding = mode, how, rounding
        self.cubic = build.number("cubic_coeff_a", -0.75)
        self.inside = build.flag("exclude_outside")
        self.outside = build.number("extrapolation_value", 0.0)
        self.antialias = build.flag("antialias")
        self.plan = functools.lru_cache(maxsize=64)(self._plan)

    def _plan(
        self, size: int, wanted: int, scale: float, region: tuple[float, float]
    ) -> tuple[Any, Any, Any]:
        place = _where(self.how, size, wanted, np.float32(scale), region)
        out = None
        if self.how == "tf_crop_and_resize":
            out = (place < 0) | (place > size - 1)
        if self.mode == "nearest":
            nearest = np.clip(self.rounding(place), 0, size - 1).astype(np.intp)
            return nearest[:, None], None, out
        stretch = max(1.0, 1 / scale) if self.antialias else 1.0
        kernel = KERNELS[self.mode]
        numbers = _neighbours(place, size, kernel, self.cubic, self.inside, stretch)
        return *numbers, out

    def run(
        self,
        x: AnyArray,
        axes: Sequence[int],
        sizes: Sequence[int],
        scales: Sequence[np.float32],
        regions: Sequence[tuple[float, float]],
    ) -> Any:
        """Resize these axes of x."""
        whole = list(x.shape)
        for axis, size in zip(axes, sizes, strict=True):
            whole[axis] = size
        check_size(whole)
        if 0 in whole or not x.size:
            if math.prod(whole) and not x.size:
                raise ValueError(f"expected numbers to resize to {tuple(whole)}, got {x.shape}")
            return np.zeros(whole, x.dtype)
        floats = self.mode != "nearest" and (x.dtype.kind != "f" or x.dtype == HALF)
        y: AnyArray = x.astype(np.float32) if floats else x
        outside = []
        for axis, size, scale, region in zip(axes, sizes, scales, regions, strict=True):
            if size == x.shape[axis] and scale == 1 and self.how != "tf_crop_and_resize":
                continue
            indices, factors, out = self.plan(x.shape[axis], size, float(scale), region)
            y = _along(y, axis, indices, factors)
            if out is not None and out.any():
                outside.append((axis, out))
        y = y.astype(x.dtype, copy=False)
        for axis, out in outside:
            y = y.copy()
            y[(slice(None),) * axis + (out,)] = self.outside
        return y


def _resize(build: Build) -> Function:
    old = build.opset < 11
    mode = build.text("mode", "nearest")
    how = "asymmetric" if old else build.text("coordinate_transformation_mode", "half_pixel")
    name = "floor" if old else build.text("nearest_mode", "round_prefer_floor")
    policy = build.text("keep_aspect_ratio_policy", _STRETCH)
    if name not in ROUNDINGS or (policy != _STRETCH and policy not in _POLICIES):
        raise GraphError(f"{build.node}: expected a known nearest_mode and policy, got {name!r}")
    resizing = _Resizing(build, mode, how, ROUNDINGS[name])
    given_axes = build.integers("axes")

    def sized(
        x: AnyArray, roi: AnyArray | None, scales: AnyArray | None, sizes: AnyArray | None
    ) -> Any:
        every = range(x.ndim) if given_axes is None else given_axes
        axes = [axis_of(axis, x.ndim) for axis in every]
        now = [x.shape[axis] for axis in axes]
        if sizes is not None and sizes.size:
            wanted = ints(sizes)
            if len(wanted) != len(axes) or min(wanted, default=0) < 0:
                raise ValueError(f"sizes: expected {len(axes)} from 0 on, got {wanted}")
            factors = [
                np.float32(w / n) if n else np.float32(1) for w, n in zip(wanted, now, strict=True)
            ]
            if policy != _STRETCH:
                one = _POLICIES[policy](factors)
                wanted = [math.floor(one * n + 0.5) for n in now]
                factors = [one] * len(axes)
        elif scales is not None and scales.size == len(axes):
            factors = list(scales.reshape(-1).astype(np.float32))
            if not all(0 < factor < np.inf for factor in factors):
                raise ValueError(f"scales: expected numbers above 0, got {scales}")
            wanted = [math.floor(np.float32(n) * f) for n, f in zip(now, factors, strict=True)]
        else:
            raise ValueError(f"expected scales or sizes of {len(axes)} axes")
        regions = [(0.0, 1.0)] * len(axes)
        if roi is not None and roi.size == 2 * len(axes):
            ends = [float(number) for number in roi.reshape(-1)]
            regions = list(zip(ends[: len(axes)], ends[len(axes) :], strict=True))
        return resizing.run(x, axes, wanted, factors, regions)

    if old:
        return lambda x, scales: sized(x, None, scales, None)
    return lambda x, roi=None, scales=None, sizes=None: sized(x, roi, scales, sizes)


def _upsample(build: Build) -> Function:
    resizing = _Resizing(build, build.text("mode", "nearest"), "asymmetric", np.floor)
    attribute = build.numbers("scales")

    def run(x: AnyArray, scales: AnyArray | None = None) -> Any:
        numbers = attribute if scales is None else scales.reshape(-1).tolist()
        if numbers is None or len(numbers) != x.ndim or not all(1 <= n < 1e9 for n in numbers):
            raise ValueError(f"scales: expected {x.ndim} numbers from 1 on, got {numbers}")
        factors = [np.float32(number) for number in numbers]
        sizes = [math.floor(np.float32(n) * f) for n, f in zip(x.shape, factors, strict=True)]
        return resizing.run(x, range(x.ndim), sizes, factors, [(0.0, 1.0)] * x.ndim)

    return run


# --- blocks of pixels -----------------------------------------------------------------------


def _block(build: Build) -> int:
    size = build.integer("blocksize", 0)
    if size < 1:
        raise GraphError(f"{build.node}: blocksize: expected a whole number above 0, got {size}")
    return size


def _depth_to_space(build: Build) -> Function:
    size, mode = _block(build), build.text("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise GraphError(f"{build.node}: mode: expected DCR or CRD, got {mode!r}")

    def run(x: AnyArray) -> Any:
        n, c, h, w = x.shape
        if mode == "DCR":
            parts = x.reshape(n, size, size, c // size**2, h, w).transpose(0, 3, 4, 1, 5, 2)
        else:
            parts = x.reshape(n, c // size**2, size, size, h, w).transpose(0, 1, 4, 2, 5, 3)
        return parts.reshape(n, c // size**2, h * size, w * size)

    return run


def _space_to_depth(build: Build) -> Function:
    size, mode = _block(build), build.text("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise GraphError(f"{build.node}: mode: expected DCR or CRD, got {mode!r}")
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)

    def run(x: AnyArray) -> Any:
        n, c, h, w = x.shape
        parts = x.reshape(n, c, h // size, size, w // size, size).transpose(order)
        return parts.reshape(n, c * size**2, h // size, w // size)

    return run


TABLE: Mapping[str, Builder] = {
    "DepthToSpace": _depth_to_space,
    "Resize": _resize,
    "SpaceToDepth": _space_to_depth,
    "Upsample": _upsample,
}
