"""Silero's voice activity detector without onnxruntime: a whole ONNX model, at once or as a stream.

Get the wheel first: ``pip download --no-deps silero-vad==6.2.3``, and the extra: ``pip install
'pyrnn[onnx]'``. Then ``python examples/silero_vad.py silero_vad-6.2.3-py3-none-any.whl FILE.wav``,
with a file of 16 or 48 kHz. After ``pyrnn convert silero_vad_16k_sequence.onnx vad.safetensors``,
``Detector(interop.load("vad.safetensors"))`` needs NumPy alone.
"""

import sys
import wave
import zipfile

import numpy as np

from pyrnn.interop import onnx

MEMBER = "silero_vad/data/silero_vad_16k_sequence.onnx"
FRAME, CONTEXT, UNITS = 512, 64, 128
"""Samples of a frame of 32 ms, samples of the frame before that the model sees too; units."""


class Detector:
    """Probabilities of speech, one for each frame of 512 samples at 16 kHz."""

    def __init__(self, model):
        self.model = model
        self.reset()

    def reset(self):
        """Forget what was heard."""
        self.h = np.zeros((1, 1, UNITS), np.float32)
        self.c = np.zeros((1, 1, UNITS), np.float32)
        self.window = np.zeros((1, CONTEXT + FRAME), np.float32)

    def step(self, frame):
        """The probability of the next 512 samples."""
        self.window[0, :CONTEXT] = self.window[0, -CONTEXT:]
        self.window[0, CONTEXT:] = frame
        found, self.h, self.c = self.model.run([self.window, self.h, self.c])
        return found[0]

    def whole(self, samples):
        """The probabilities of a recording; its end is filled up with zeros."""
        padded = np.zeros(CONTEXT + -(-len(samples) // FRAME) * FRAME, np.float32)
        padded[CONTEXT : CONTEXT + len(samples)] = samples
        starts = range(0, len(padded) - CONTEXT, FRAME)
        frames = np.stack([padded[start : start + CONTEXT + FRAME] for start in starts])
        zeros = np.zeros((1, 1, UNITS), np.float32)
        return self.model.run([frames, zeros, zeros])[0]


def from_wheel(wheel):
    """The detector in silero-vad's wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return Detector(onnx.prepare(archive.read(MEMBER)))


def samples_of(path):
    """A mono .wav file of 16 bits at 16 or 48 kHz, as floats at 16 kHz."""
    with wave.open(str(path)) as file:
        step = file.getframerate() // 16000
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    whole = len(data) // step * step
    return (data[:whole].reshape(-1, step).mean(axis=1) / 32768).astype(np.float32)


def main(wheel, path):
    """Draw a line of the probabilities."""
    detector = from_wheel(wheel)
    found = detector.whole(samples_of(path))
    print("".join(" ▁▂▃▄▅▆▇█"[int(8 * p)] for p in found))
    print(f"speech in {np.mean(found > 0.5):.0%} of {len(found)} frames")


if __name__ == "__main__":
    main(*sys.argv[1:])
