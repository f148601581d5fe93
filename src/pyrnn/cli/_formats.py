"""The speed and the error of narrow weights on this machine, for ``pyrnn compare --weights``."""

from __future__ import annotations

import statistics
import time
from typing import Any, NamedTuple

import numpy as np

import pyrnn
from pyrnn.cli._comparison import Sizes

FORMATS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"weights": "bfloat16"},
    "float16": {"weights": "float16"},
    "int8": {"weights": "int8"},
    "int8, x too": {"weights": "int8", "activations": "int8"},
}
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1, "int8, x too": 1}
CELLS: dict[str, Any] = {"RNN": pyrnn.RNN, "LSTM": pyrnn.LSTM, "GRU": pyrnn.GRU}
ROUNDS = 9
ROUND_SECONDS = 0.02


class Row(NamedTuple):
    """One cell in one format, beside float32."""

    cell: str
    weights: str
    mebibytes: float  # of the matrices
    speed: float  # times float32
    largest: float  # difference of y
    mean: float


def measure(sizes: Sizes, seed: int) -> list[Row]:
    """Run each cell in each format alternately; the median of the rounds counts."""
    rows = []
    x = np.random.default_rng(seed).standard_normal(
        (sizes.seq_len, sizes.batch_size, sizes.input_size), np.float32
    )
    for cell, make in CELLS.items():
        layers = {
            name: make(sizes.input_size, sizes.hidden_size, seed=seed).eval(**arguments)
            for name, arguments in FORMATS.items()
        }
        numbers = sum(a.size for a in layers["float32"].parameters.values() if a.ndim == 2)
        seconds = _seconds(layers, x)
        for weights, layer in layers.items():
            off = layer.quantization_error(x)
            mebibytes = numbers * BYTES[weights] / 2**20
            speed = seconds["float32"] / seconds[weights]
            rows.append(Row(cell, weights, mebibytes, speed, off.largest, off.mean))
    return rows


def _seconds(layers: dict[str, Any], x: Any) -> dict[str, float]:
    calls = {weights: _calls(layer, x) for weights, layer in layers.items()}
    found: dict[str, list[float]] = {weights: [] for weights in layers}
    for _ in range(ROUNDS):
        for weights, layer in layers.items():
            start = time.perf_counter()
            for _ in range(calls[weights]):
                layer(x)
            found[weights].append((time.perf_counter() - start) / calls[weights])
    return {weights: statistics.median(times) for weights, times in found.items()}


def _calls(layer: Any, x: Any) -> int:
    """How many calls make a round long enough to be timed."""
    layer(x)  # which packs the weights
    start = time.perf_counter()
    layer(x)
    return max(1, round(ROUND_SECONDS / max(time.perf_counter() - start, 1e-9)))


def table(rows: list[Row]) -> str:
    """Return the table of all rows."""
    lines = [
        f"{'cell':<6}{'weights':<12}{'MiB':>8}{'speed':>8}{'largest':>11}{'mean':>11}",
        *(
            f"{row.cell:<6}{row.weights:<12}{row.mebibytes:>8.2f}{row.speed:>7.2f}x"
            f"{row.largest:>11.1e}{row.mean:>11.1e}"
            for row in rows
        ),
        "",
        "MiB: matrices of weights; speed: times float32, median of rounds in turn.",
        "int8: x and h in products have 16 bits; x too: 8.",
        "largest, mean: difference of y from float32, of weights as they are drawn.",
    ]
    return "\n".join(lines)
