"""Narrow weights: speed at batch 1 beside float32 and ONNX Runtime, and bits a character.

    python -m bench.narrow [speed] [quality] [training]

Speed is a ratio to pyrnn's own float32: calls take turns, round after round, on one thread, and the
median of the rounds counts. Quality is that of small character models of every cell, trained on the
topics of Python's help. "training" trains them with products of bfloat16 too, and is not run unless
it is asked for.
"""

from __future__ import annotations

import logging
import os
import pydoc_data.topics
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import pyrnn
from bench.contest import problem as problems
from bench.contest.shapes import INFERENCE, Case

FORMATS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"weights": "bfloat16"},
    "float16": {"weights": "float16"},
    "int8": {"weights": "int8"},
    "int8, x too": {"weights": "int8", "activations": "int8"},
}
NARROW = list(FORMATS)[1:]
SIZES = (64, 128, 256, 512, 1024)
TIME_STEPS, ROUNDS, ROUND_SECONDS = 40, 15, 0.05

CELLS: dict[str, Callable[..., Any]] = {
    "RNN": pyrnn.RNN,
    "LSTM": pyrnn.LSTM,
    "LSTM, projected": partial(pyrnn.LSTM, proj_size=48),
    "LSTM, peepholes": partial(pyrnn.LSTM, peephole=True),
    "LSTM, layer norm": partial(pyrnn.LSTM, layer_norm=True),
    "GRU": pyrnn.GRU,
    "GRU, reset before": partial(pyrnn.GRU, reset_after=False),
    "GRU, layer norm": partial(pyrnn.GRU, layer_norm=True),
    "MinGRU": pyrnn.MinGRU,
}
UNITS, STEPS, UNSEEN, BATCH, WIDTH = 96, 350, 20_000, 32, 64
SEEDS = (0, 10, 20)


# --- speed ----------------------------------------------------------------------------------


def speed() -> None:
    """Print a row for each cell and size."""
    pyrnn.set_num_threads(1)
    columns = [*NARROW, "ORT float32", "ORT int8"]
    print(f"{'T 40, N 1':<14}" + "".join(f"{name:>12}" for name in columns) + "  times float32")
    for cell in ("LSTM", "GRU"):
        for size in SIZES:
            calls = contenders(Case(INFERENCE, False, cell, TIME_STEPS, 1, size, size))
            seconds = medians(calls)
            row = "".join(
                f"{seconds['float32'] / seconds[name]:>12.2f}" if name in seconds else f"{'-':>12}"
                for name in columns
            )
            print(f"{cell} {size:<{13 - len(cell)}}{row}", flush=True)


def contenders(case: Case) -> dict[str, Callable[[], Any]]:
    """Calls by name, of the same layer."""
    numbers = problems.make(case)
    calls: dict[str, Callable[[], Any]] = {}
    for name, arguments in FORMATS.items():
        layer = CELLS[case.cell](case.input_size, case.hidden_size)
        layer.load_state_dict({f"{key}_l0": array for key, array in numbers.weights.items()})
        calls[name] = partial(layer.eval(**arguments), numbers.x)
    return calls | sessions(case, numbers)


def sessions(case: Case, numbers: problems.Problem) -> dict[str, Callable[[], Any]]:
    """ONNX Runtime in float32 and, for an LSTM, with int8 weights of its own; none without it."""
    try:
        import onnxruntime
        from onnxruntime.quantization import QuantType, quantize_dynamic

        from bench.peers import onnx_model
    except ImportError:
        return {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    logging.getLogger().setLevel(logging.ERROR)  # it asks for a step that changes nothing here
    calls: dict[str, Callable[[], Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        plain, narrow = (os.path.join(folder, name) for name in ("plain.onnx", "narrow.onnx"))
        with open(plain, "wb") as file:
            file.write(onnx_model.build(case, numbers))
        quantize_dynamic(plain, narrow, weight_type=QuantType.QInt8)
        for name, path in (("ORT float32", plain), ("ORT int8", narrow)):
            if name == "ORT int8" and case.cell != "LSTM":  # which it leaves in float32
                continue
            session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
            calls[name] = partial(session.run, None, {"X": numbers.x})
    return calls


def medians(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Seconds of a call, all of them in turns."""
    counts = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        counts[name] = max(1, round(ROUND_SECONDS / (time.perf_counter() - start)))
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(counts[name]):
                call()
            found[name].append((time.perf_counter() - start) / counts[name])
    return {name: statistics.median(times) for name, times in found.items()}


# --- quality --------------------------------------------------------------------------------


def quality() -> None:
    """Print a row for each cell: bits a character, and what each format adds."""
    text = "\n".join(pydoc_data.topics.topics.values())
    vocabulary = pyrnn.text.Vocabulary("".join(sorted(set(text))))
    numbers = np.asarray(vocabulary.encode(text))
    print("| | float32 | " + " | ".join(NARROW) + " |\n|---|---|---|---|---|---|")
    for name, make in CELLS.items():
        model = trained(make, numbers[:-UNSEEN], len(vocabulary))
        bits = {}
        for weights, arguments in FORMATS.items():
            model.train().eval(**arguments)
            bits[weights] = bits_per_character(model, numbers[-UNSEEN:])
        added = " | ".join(f"{bits[weights] - bits['float32']:+.5f}" for weights in NARROW)
        print(f"| {name} | {bits['float32']:.5f} | {added.replace('-', '−')} |", flush=True)


def training() -> None:
    """Print a row for each cell: bits a character, and what products of bfloat16 in training add.

    Of several seeds the mean, and how far the seeds of float32 are apart.
    """
    text = "\n".join(pydoc_data.topics.topics.values())
    vocabulary = pyrnn.text.Vocabulary("".join(sorted(set(text))))
    numbers = np.asarray(vocabulary.encode(text))
    print("| | float32 | between seeds | trained with bfloat16 |\n|---|---|---|---|")
    for name, make in CELLS.items():
        bits = {}
        for compute in ("float32", "bfloat16"):
            bits[compute] = []
            for seed in SEEDS:
                model = trained(make, numbers[:-UNSEEN], len(vocabulary), compute, seed)
                bits[compute].append(bits_per_character(model.eval(), numbers[-UNSEEN:]))
        full, added = bits["float32"], np.mean(bits["bfloat16"]) - np.mean(bits["float32"])
        row = f"| {name} | {np.mean(full):.3f} | ±{np.std(full):.3f} | {added:+.3f} |"
        print(row.replace("-", "−"), flush=True)


def trained(
    make: Callable[..., Any], text: Any, characters: int, compute: Any = "float32", seed: int = 0
) -> pyrnn.Sequential:
    """A small model after some steps of Adam."""
    cell = make(characters, UNITS, seed=seed)
    size = getattr(cell, "proj_size", 0) or UNITS
    model = pyrnn.Sequential(cell, pyrnn.Linear(size, characters, seed=seed + 1))
    model.train(compute=compute)
    optimizer = pyrnn.Adam(model.parameters, lr=0.01)
    draw = np.random.default_rng(seed)
    for _ in range(STEPS):
        starts = draw.integers(0, len(text) - WIDTH - 1, BATCH)
        rows = np.stack([text[start : start + WIDTH + 1] for start in starts], axis=1)
        logits, _, cache = model.forward(rows[:-1])
        _, dlogits = pyrnn.softmax_cross_entropy(logits, rows[1:])
        gradients = model.backward(cache, dlogits)[2]
        pyrnn.clip_grad_norm(gradients, 1.0)
        optimizer.step(gradients)
    return model


def bits_per_character(model: pyrnn.Sequential, text: Any) -> float:
    """Of a text as one sequence."""
    logits = model(text[:-1, None])[0]
    loss, _ = pyrnn.softmax_cross_entropy(logits, text[1:, None])
    return float(loss) / float(np.log(2))


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["speed", "quality"]
    if "speed" in wanted:
        speed()
    if "quality" in wanted:
        quality()
    if "training" in wanted:
        training()
