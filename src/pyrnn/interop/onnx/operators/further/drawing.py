"""Random numbers, as generators of speech add them: each run draws others, also of one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pyrnn.interop.onnx.graph import AnyArray
from pyrnn.interop.onnx.operators._build import Build, Builder, Function, check_size, dtype_of

SINGLE = 1
"""ONNX's number of float32."""
Draw = Callable[[Any, "tuple[int, ...]"], AnyArray]


def _generator(build: Build) -> np.random.Generator:
    """Seeded by the node's attribute if it has one."""
    if "seed" not in build.node.attributes:
        return np.random.default_rng()
    bits = np.array(build.number("seed", 0.0), np.float64).view(np.uint64)
    return np.random.default_rng(int(bits))


def _normal(build: Build) -> Draw:
    mean, scale = build.number("mean", 0.0), build.number("scale", 1.0)
    return lambda generator, shape: mean + scale * generator.standard_normal(shape)


def _uniform(build: Build) -> Draw:
    low, high = build.number("low", 0.0), build.number("high", 1.0)
    return lambda generator, shape: low + (high - low) * generator.random(shape)


def _of_shape(draw: Callable[[Build], Draw]) -> Builder:
    def build_it(build: Build) -> Function:
        drawn, generator = draw(build), _generator(build)
        shape, dtype = (
            build.integers("shape") or (),
            dtype_of(build, build.integer("dtype", SINGLE)),
        )

        def run() -> Any:
            check_size(shape)
            return np.asarray(drawn(generator, shape)).astype(dtype)

        return run

    return build_it


def _like(draw: Callable[[Build], Draw]) -> Builder:
    def build_it(build: Build) -> Function:
        drawn, generator = draw(build), _generator(build)
        number = build.integer("dtype", 0)
        dtype = dtype_of(build, number) if number else None
        return lambda x: np.asarray(drawn(generator, x.shape)).astype(dtype or x.dtype)

    return build_it


def _bernoulli(build: Build) -> Function:
    """1 with the probability that x says, else 0."""
    generator, number = _generator(build), build.integer("dtype", 0)
    dtype = dtype_of(build, number) if number else None
    return lambda x: np.asarray(generator.random(x.shape) < x).astype(dtype or x.dtype)


TABLE: Mapping[str, Builder] = {
    "Bernoulli": _bernoulli,
    "RandomNormal": _of_shape(_normal),
    "RandomNormalLike": _like(_normal),
    "RandomUniform": _of_shape(_uniform),
    "RandomUniformLike": _like(_uniform),
}
