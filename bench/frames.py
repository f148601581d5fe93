"""``python -m bench.frames [FILE]``: a frame of an ONNX model by pyrnn and by ONNX Runtime.

Calls take turns, round after round, on one thread; what counts is their CPU time. A file's free
sizes are 1 (or ``--size``), its inputs random, and outputs are compared first. Without a file it is
silero-vad's model of 16 kHz (``pip install --no-deps silero-vad==6.2.3``).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import pyrnn
from pyrnn.interop import onnx
from pyrnn.interop.onnx.graph import Value

MODEL = "silero_vad_16k_sequence.onnx"
CALLS = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Print the time of a call, the least and the median, and what share of the other's it is."""
    parser = argparse.ArgumentParser(prog="python -m bench.frames", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--size", type=int, default=1, help="what free sizes are (1)")
    parser.add_argument("--rounds", type=int, default=100)
    arguments = parser.parse_args(argv)
    path = arguments.file or silero()
    if path is None:
        print(f"bench.frames: no silero-vad; {parser.description}", file=sys.stderr)
        return 1
    pyrnn.set_num_threads(1)
    calls = contenders(path, arguments.size)
    mine, theirs = (call() for call in calls.values())
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    print(report(microseconds(calls, arguments.rounds)))
    return 0


def silero() -> Path | None:
    """The model in silero-vad's package, of which nothing is imported."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "data" / MODEL


def contenders(path: Path, size: int) -> dict[str, Callable[[], Any]]:
    """By name, what computes the outputs for one and the same inputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        os.fspath(path), options, providers=["CPUExecutionProvider"]
    )
    model = onnx.prepare(path)
    rng = np.random.default_rng(0)
    inputs = {value.name: _random(value, size, rng) for value in model.program.graph.inputs}
    arrays = list(inputs.values())
    return {
        "pyrnn": lambda: model.run(arrays),
        "ONNX Runtime": lambda: session.run(None, inputs),
    }


def _random(value: Value, size: int, rng: np.random.Generator) -> Any:
    shape = [size if n is None else n for n in value.shape or ()]
    return (rng.standard_normal(shape) / 10).astype(value.dtype or np.float32)


def microseconds(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """CPU time of a call, round by round."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begun = time.process_time_ns()
            for _ in range(CALLS):
                call()
            found[name].append((time.process_time_ns() - begun) / CALLS / 1e3)
    return found


def report(times: dict[str, list[float]]) -> str:
    """A line for each, and the ratios of the first to the second."""
    lines = [
        f"{name:<14}{min(found):>8.1f} µs at least, {statistics.median(found):>8.1f} in the median"
        for name, found in times.items()
    ]
    mine, theirs = times.values()
    least, median = min(mine) / min(theirs), statistics.median(mine) / statistics.median(theirs)
    return "\n".join([*lines, f"pyrnn's share{least:>9.2f} at least, {median:>11.2f}"])


if __name__ == "__main__":
    raise SystemExit(main())
