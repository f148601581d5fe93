"""Resemblyzer's voice encoder: the example gives torch's embedding, and does so without torch."""

import importlib.util
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "resemblyzer_embedding.py"


@pytest.fixture(scope="module")
def weights():
    """The file of the installed package, which is not imported."""
    spec = importlib.util.find_spec("resemblyzer")
    if spec is None or spec.origin is None:
        pytest.skip("resemblyzer is not there; pip install --no-deps resemblyzer==0.1.4 brings it")
    return Path(spec.origin).with_name("pretrained.pt")


@pytest.fixture
def mels():
    """Three stretches of 1.6 s, as loud as speech."""
    return np.random.default_rng(0).random((3, 160, 40), dtype=np.float32) ** 4


def test_torchs_embedding(weights, mels, backend):
    torch = pytest.importorskip("torch")
    state = torch.load(weights, map_location="cpu", weights_only=False)["model_state"]
    net = torch.nn.ModuleDict(
        {"lstm": torch.nn.LSTM(40, 256, 3, batch_first=True), "linear": torch.nn.Linear(256, 256)}
    )
    net.load_state_dict(state, strict=False)
    with torch.no_grad():
        _, (h, _) = net["lstm"](torch.from_numpy(mels))
        raw = torch.relu(net["linear"](h[-1]))
        expected = (raw / torch.norm(raw, dim=1, keepdim=True)).numpy()
    encoder = runpy.run_path(str(EXAMPLE))["VoiceEncoder"](weights)
    got = encoder(mels)
    assert got.dtype == np.float32
    assert np.abs(got - expected).max() < 1e-5


def test_the_example_without_torch(weights, tmp_path):
    wheel = tmp_path / "resemblyzer.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(weights, "resemblyzer/pretrained.pt")
    code = f"""
import runpy, sys
sys.argv = ["example", {str(wheel)!r}]
runpy.run_path({str(EXAMPLE)!r}, run_name="__main__")
assert not {{"torch", "resemblyzer", "onnx", "h5py", "safetensors"}} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("LSTM(40, 256, num_layers=3, batch_first=True), Linear(256, 256)")
