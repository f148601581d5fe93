"""Silero's voice activity detector, whole and as a stream, beside onnxruntime on real speech."""

import importlib.util
import runpy
from pathlib import Path

import numpy as np
import pytest

from pyrnn import interop
from pyrnn.interop import converted, onnx
from pyrnn.interop.onnx.read import read
from tests.interop.onnx import graphs

EXAMPLE = Path(__file__).parents[3] / "examples" / "silero_vad.py"
SPEECH = sorted(Path("/usr/share/sounds/alsa").glob("*_*.wav"))
"""Of Debian's alsa-utils: "front center" and the like."""
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def folder():
    """Where the package has its models; nothing of it is imported."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None:
        pytest.skip("silero-vad is not there; pip install --no-deps silero-vad==6.2.3 brings it")
    return Path(spec.submodule_search_locations[0]) / "data"


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(EXAMPLE))


def recordings(example):
    """Real speech where it is there, and a sound that rises and falls."""
    t = np.arange(40000) / 16000
    made = np.sin(2 * np.pi * (200 + 80 * np.sin(9 * t)) * t) * np.sin(3 * t) * 0.3
    return [*map(example["samples_of"], SPEECH[:3]), made.astype(np.float32)]


def frames_of(samples, example):
    """Windows as the package makes them: each frame with the end of the one before."""
    frame, context = example["FRAME"], example["CONTEXT"]
    count = -(-len(samples) // frame)
    padded = np.zeros(context + count * frame, np.float32)
    padded[context : context + len(samples)] = samples
    return np.stack([padded[n * frame : n * frame + context + frame] for n in range(count)])


def test_whole_and_frame_by_frame(folder, example):
    pytest.importorskip("onnxruntime")
    path = folder / "silero_vad_16k_sequence.onnx"
    detector, session = example["Detector"](onnx.prepare(path)), graphs.session(str(path))
    zeros = np.zeros((1, 1, 128), np.float32)
    for samples in recordings(example):
        windows = frames_of(samples, example)
        theirs = session.run(None, {"input": windows, "h": zeros, "c": zeros})[0]
        whole = detector.whole(samples)
        assert np.abs(whole - theirs).max() <= TOLERANCE
        detector.reset()
        ends = range(0, len(samples) // 512 * 512, 512)
        streamed = np.array([detector.step(samples[n : n + 512]) for n in ends])
        assert np.array_equal(streamed, whole[: len(streamed)])  # to the bit
    if SPEECH:
        assert detector.whole(example["samples_of"](SPEECH[0])).max() > 0.9


def test_converted_once(folder, example, tmp_path):
    path = tmp_path / "vad.safetensors"
    converted.save_model(read(folder / "silero_vad_16k_sequence.onnx"), path)
    (samples, *_) = recordings(example)
    here = example["Detector"](onnx.prepare(folder / "silero_vad_16k_sequence.onnx"))
    again = example["Detector"](interop.load(path))
    assert np.array_equal(here.whole(samples), again.whole(samples))


@pytest.mark.parametrize("name", ["silero_vad", "silero_vad_half", "silero_vad_16k_op15"])
def test_the_models_with_branches(name, folder, example):
    """Those that choose by the sampling rate, and keep two states in one array."""
    pytest.importorskip("onnxruntime")
    path = folder / f"{name}.onnx"
    model, session = onnx.prepare(path), graphs.session(str(path))
    samples = recordings(example)[0][:8192]
    state = theirs_state = np.zeros((2, 1, 128), np.float32)
    for window in frames_of(samples, example)[:12]:
        inputs = {"input": window[None], "sr": np.array(16000)}
        inputs = {name: array for name, array in inputs.items() if name in model.inputs}
        mine, state = model.run(inputs | {"state": state})
        theirs, theirs_state = session.run(None, inputs | {"state": theirs_state})
        assert np.abs(mine - theirs).max() <= TOLERANCE


def test_the_example(folder, tmp_path, capsys):
    import zipfile

    wheel = tmp_path / "silero.whl"
    name = "silero_vad_16k_sequence.onnx"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(folder / name, f"silero_vad/data/{name}")
    if not SPEECH:
        pytest.skip("alsa-utils has brought no speech")
    runpy.run_path(str(EXAMPLE))["main"](wheel, SPEECH[0])
    assert "speech in" in capsys.readouterr().out
