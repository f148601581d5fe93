"""Resemblyzer's voice encoder without torch: the file in its wheel, three layers, NumPy.

Get the wheel first: ``pip download --no-deps resemblyzer==0.1.4``. Then
``python examples/resemblyzer_embedding.py Resemblyzer-0.1.4-py3-none-any.whl``.
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from pyrnn.interop.torch import from_state_dict, read

MEMBER = "resemblyzer/pretrained.pt"


class VoiceEncoder:
    """Mel spectrograms (N, frames, 40) to embeddings (N, 256) of length 1."""

    def __init__(self, path):
        state = read(path)["model_state"]
        self.lstm = from_state_dict(state, "lstm", kind="LSTM", batch_first=True).eval()
        self.linear = from_state_dict(state, "linear", kind="Linear").eval()

    def __call__(self, mels):
        """Embed a batch."""
        _, (h, _) = self.lstm(mels)
        raw = np.maximum(self.linear(h[-1]), 0)
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def from_wheel(wheel):
    """The encoder in Resemblyzer's wheel."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        return VoiceEncoder(archive.extract(MEMBER, folder))


def main(wheel):
    """Compare two noises."""
    encoder = from_wheel(Path(wheel))
    mels = np.random.default_rng(0).random((2, 160, 40), dtype=np.float32) / 20
    one, other = encoder(mels)
    print(f"{encoder.lstm}, {encoder.linear}")
    print(f"similarity of two noises: {one @ other:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
