"""Dropout between layers, and the noise within one: drawn here, so that backends share its bits.

Nothing is drawn where a rate is 0, so that other draws of the same seed stay what they are.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn import _warnings
from pyrnn._pieces import drawn, mapped
from pyrnn._types import Array, Noise
from pyrnn.layers import _options


def rate_or_pair(name: str, value: Any) -> float | tuple[float, ...]:
    """A rate for both states of an LSTM, or one for each."""
    if not isinstance(value, (tuple, list)):
        return _options.rate(name, value)
    if len(value) != 2:
        raise ValueError(f"{name}: expected a number or the pair (p_h, p_c), got {value!r}")
    rates = tuple(_options.rate(name, rate) for rate in value)
    return _options.same_tuple(value, rates)


def zoneout_rates(zoneout: float | tuple[float, ...], states: int) -> tuple[float, ...]:
    """The rate of each state; empty where all are 0."""
    rates = zoneout if isinstance(zoneout, tuple) else (zoneout,) * states
    return rates if any(rates) else ()


def dropout_mask(
    generator: np.random.Generator, shape: tuple[int, ...], rate: float, dtype: np.dtype[Any]
) -> Array:
    """Zeros with probability ``rate``, else 1 / (1 - rate)."""
    scale = dtype.type(0.0 if rate == 1 else 1 / (1 - rate))
    return drawn(lambda some: (generator.random(some) >= rate).astype(dtype) * scale, shape, dtype)


def masked(y: Array, mask: Array) -> Array:
    """y times a mask; what is dropped of an infinity is NaN, as in PyTorch."""
    with _warnings.unwarned():
        return mapped(np.multiply, y, mask)


def draw(
    generator: np.random.Generator,
    shapes: tuple[tuple[int, int, int], ...],
    recurrent_dropout: float,
    zoneout: tuple[float, ...],
    dtype: np.dtype[Any],
) -> Noise | None:
    """The noise of one layer in one direction in train mode; None where there is none.

    ``shapes`` are (T, N, size) of each state, h first.
    """
    mask = None
    if recurrent_dropout:
        mask = dropout_mask(generator, shapes[0][1:], recurrent_dropout, dtype)
    kept = tuple(
        drawn(partial(_below, generator, rate), shape, dtype) if rate else 0.0
        for rate, shape in zip(zoneout, shapes, strict=False)
    )
    return Noise(mask, kept or None) if recurrent_dropout or kept else None


def _below(
    generator: np.random.Generator, rate: float, shape: tuple[int, ...]
) -> npt.NDArray[np.bool_]:
    return generator.random(shape) < rate


def expected(zoneout: tuple[float, ...]) -> Noise | None:
    """What replaces the noise in eval mode: its mean."""
    return Noise(None, zoneout) if zoneout else None
