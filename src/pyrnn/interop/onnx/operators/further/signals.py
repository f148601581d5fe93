"""Spectra of signals, as audio models compute them from samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pyrnn.interop.onnx.graph import AnyArray
from pyrnn.interop.onnx.operators._build import (
    Build,
    Builder,
    Function,
    axis_of,
    check_size,
    dtype_of,
    ints,
)


def _complex(x: AnyArray) -> Any:
    """The numbers whose real and imaginary parts the last axis holds; of one alone it is real."""
    if x.shape[-1] not in (1, 2):
        raise ValueError(f"expected a last axis of 1 or 2 numbers, got shape {x.shape}")
    return x[..., 0] if x.shape[-1] == 1 else x[..., 0] + 1j * x[..., 1]


def _parts(values: AnyArray, dtype: np.dtype[Any]) -> Any:
    """Real and imaginary parts as the last axis."""
    return np.stack([values.real, values.imag], axis=-1).astype(dtype)


def _spectrum(build: Build) -> Function:
    """DFT; until version 19 the axis is an attribute that counts the parts as well."""
    inverse, onesided = build.flag("inverse"), build.flag("onesided")
    old = build.opset < 20
    fixed = build.integer("axis", 1) if old else None

    def run(x: AnyArray, length: AnyArray | None = None, axis: AnyArray | None = None) -> Any:
        at = fixed if fixed is not None else (-2 if axis is None else ints(axis)[0])
        at = axis_of(at, x.ndim)
        if at == x.ndim - 1:
            raise ValueError(f"axis: expected one of the signal, got {at} of {x.ndim} axes")
        halved = onesided and inverse
        usual = 2 * (x.shape[at] - 1) if halved else x.shape[at]
        count = usual if length is None else ints(length)[0]
        check_size([count])
        signal = _complex(x)
        if halved:
            return np.fft.irfft(signal, count, at)[..., None].astype(x.dtype)
        if onesided:
            return _parts(np.fft.rfft(signal.real, count, at), x.dtype)
        found = np.fft.ifft(signal, count, at) if inverse else np.fft.fft(signal, count, at)
        return _parts(found, x.dtype)

    return run


def _short_spectra(build: Build) -> Function:
    """STFT: the signal (N, L) or (N, L, 1 or 2) in frames, each multiplied by a window."""
    onesided = build.flag("onesided", True)

    def run(
        x: AnyArray, step: AnyArray, window: AnyArray | None = None, length: AnyArray | None = None
    ) -> Any:
        signal = _complex(x if x.ndim == 3 else x[..., None])
        hop = ints(step)[0]
        if length is not None:
            size = ints(length)[0]
        elif window is not None:
            size = window.size
        else:
            raise ValueError("expected a window or the length of a frame, got neither")
        if hop < 1 or not 1 <= size <= signal.shape[1]:
            raise ValueError(f"expected frames in {signal.shape[1]} numbers, got {size} by {hop}")
        frames = sliding_window_view(signal, size, axis=1)[:, ::hop]
        if window is not None:
            frames = frames * window
        if onesided:
            return _parts(np.fft.rfft(frames.real, axis=-1), x.dtype)
        return _parts(np.fft.fft(frames, axis=-1), x.dtype)

    return run


def _window(weights: Sequence[float]) -> Builder:
    """A window of cosines: Hann's, Hamming's, Blackman's."""

    def build(build: Build) -> Function:
        periodic, number = build.flag("periodic", True), build.integer("output_datatype", 1)
        dtype = dtype_of(build, number)

        def run(size: AnyArray) -> Any:
            (count,) = ints(size)
            check_size([count])
            n = np.arange(count) / max(1, count if periodic else count - 1)
            parts = [w * np.cos(2 * math.pi * k * n) for k, w in enumerate(weights)]
            return np.sum(parts, axis=0).astype(dtype)

        return run

    return build


def _mel(build: Build) -> Function:
    """Triangles over the bins of a spectrum, which are evenly spaced in mel."""
    dtype = dtype_of(build, build.integer("output_datatype", 1))

    def run(bins: AnyArray, size: AnyArray, rate: AnyArray, low: AnyArray, high: AnyArray) -> Any:
        (count,), (length,) = ints(bins), ints(size)
        half = length // 2 + 1
        check_size([half, count])
        sides = [2595 * math.log10(1 + float(f.reshape(())) / 700) for f in (low, high)]
        mels = sides[0] + np.arange(count + 2) * ((sides[1] - sides[0]) / (count + 2))
        hertz = 700 * (10 ** (mels / 2595) - 1)
        places = np.floor((length + 1) * hertz / float(rate.reshape(()))).astype(int)
        weights = np.zeros((half, count))
        for column, (left, middle, right) in enumerate(
            zip(places, places[1:], places[2:], strict=False)
        ):
            if middle == left:
                weights[middle : middle + 1, column] = 1
            else:
                weights[left : middle + 1, column] = (np.arange(left, middle + 1) - left)[
                    : max(0, half - left)
                ] / (middle - left)
            if right > middle:
                weights[middle:right, column] = (right - np.arange(middle, right))[
                    : max(0, half - middle)
                ] / (right - middle)
        return weights.astype(dtype)

    return run


TABLE: Mapping[str, Builder] = {
    "BlackmanWindow": _window((0.42, -0.5, 0.08)),
    "DFT": _spectrum,
    "HammingWindow": _window((25 / 46, -21 / 46)),
    "HannWindow": _window((0.5, -0.5)),
    "MelWeightMatrix": _mel,
    "STFT": _short_spectra,
}
