"""Spectra against onnxruntime's: whole signals, frames, windows, mel."""

import numpy as np
import pytest

from pyrnn.interop import onnx as backend
from tests.interop.onnx import graphs

R = np.random.default_rng(0)
SIGNAL = R.standard_normal((2, 400, 1)).astype(np.float32)


@pytest.mark.parametrize("onesided", [0, 1])
def test_frames_are_onnxruntimes(onesided):
    pytest.importorskip("onnxruntime")
    hop, window = np.array(80), np.hanning(128).astype(np.float32)
    for arrays in ([SIGNAL, hop, window], [SIGNAL, hop, None, np.array(128)]):
        model, given = graphs.single("STFT", arrays, range(1, len(arrays)), onesided=onesided)
        graphs.as_onnxruntime(model, given, atol=5e-5)


@pytest.mark.parametrize("length", [256, 512])
@pytest.mark.parametrize("options", [{}, {"inverse": 1}, {"onesided": 1}])
def test_whole_signals_are_onnxruntimes(options, length):
    pytest.importorskip("onnxruntime")
    x = SIGNAL if options.get("onesided") else np.concatenate([SIGNAL, SIGNAL[:, ::-1]], axis=-1)
    model, given = graphs.single("DFT", [x, np.array(length)], [1], axis=1, **options)
    graphs.as_onnxruntime(model, given, atol=5e-5)


def test_lengths_that_are_no_powers_of_two():
    """Exactly, where onnxruntime is wrong from the fourth digit on."""
    (y,) = backend.run_model(*graphs.single("DFT", [SIGNAL], axis=1, onesided=1))
    exact = np.fft.rfft(SIGNAL[..., 0].astype(np.float64), axis=1)
    np.testing.assert_allclose(y[..., 0] + 1j * y[..., 1], exact, rtol=1e-5, atol=1e-4)
    (back,) = backend.run_model(
        *graphs.single("DFT", [y, np.array(400)], [1], axis=1, onesided=1, inverse=1)
    )
    np.testing.assert_allclose(back, SIGNAL, atol=1e-5)


@pytest.mark.parametrize("periodic", [0, 1])
@pytest.mark.parametrize("op", ["HannWindow", "HammingWindow", "BlackmanWindow"])
def test_windows_are_onnxruntimes(op, periodic):
    pytest.importorskip("onnxruntime")
    for size in (1, 2, 5, 160):
        model, given = graphs.single(op, [np.array(size)], periodic=periodic)
        if size > 1 or periodic:
            graphs.as_onnxruntime(model, given, atol=1e-6)


@pytest.mark.parametrize("bins", [8, 40])
def test_mel_is_onnxruntimes(bins):
    pytest.importorskip("onnxruntime")
    arrays = [np.array(bins), np.array(256), np.array(8000), np.float32(20), np.float32(3800)]
    graphs.as_onnxruntime(*graphs.single("MelWeightMatrix", arrays))


def test_what_does_not_fit():
    for op, arrays, message in (
        ("STFT", [SIGNAL, np.array(80), None, np.array(999)], "expected frames in 400 numbers"),
        ("STFT", [SIGNAL, np.array(80)], "expected a window or the length of a frame"),
        ("DFT", [np.ones((2, 9, 3), np.float32)], "expected a last axis of 1 or 2 numbers"),
    ):
        model, given = graphs.single(op, arrays)
        with pytest.raises(ValueError, match=f"{op}.*{message}"):
            backend.run_model(model, given)
