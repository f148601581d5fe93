"""Hashes of what the core computes, one for each cell, option and dtype.

    python tests/core/bits/same_bits.py            # print them, as JSON
    python tests/core/bits/same_bits.py --write    # store them: what every machine is held to
    python tests/core/bits/same_bits.py --drawn SEED COUNT

Needs NumPy and pyrnn alone, so that it runs under emulation too. Arguments come from a generator of
its own, which no version of NumPy changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import pyrnn

STORED = Path(__file__).parents[2] / "data" / "same_bits.json"

DTYPES = ("float32", "float64")
NARROW: dict[str, dict[str, Any]] = {
    "bfloat16": {"weights": "bfloat16"},
    "float16": {"weights": "float16"},
    "int8": {"weights": "int8"},
    "int8 bytes": {"weights": "int8", "activations": "int8"},
}

CELLS: dict[str, Callable[..., Any]] = {
    "rnn_tanh": pyrnn.RNN,
    "rnn_relu": partial(pyrnn.RNN, nonlinearity="relu"),
    "lstm": pyrnn.LSTM,
    "lstm_projected": partial(pyrnn.LSTM, proj_size=5),
    "lstm_peephole": partial(pyrnn.LSTM, peephole=True),
    "lstm_coupled": partial(pyrnn.LSTM, coupled=True),
    "lstm_coupled_peephole": partial(pyrnn.LSTM, coupled=True, peephole=True),
    "lstm_layer_norm": partial(pyrnn.LSTM, layer_norm=True),
    "gru": pyrnn.GRU,
    "gru_reset_before": partial(pyrnn.GRU, reset_after=False),
    "gru_layer_norm": partial(pyrnn.GRU, layer_norm=True),
    "min_gru": pyrnn.MinGRU,
}

# (T, N, I, H) and options of the layer, or of the call.
OPTIONS: dict[str, tuple[tuple[int, int, int, int], dict[str, Any]]] = {
    "plain": ((20, 5, 11, 37), {}),
    "half a block": ((9, 3, 4, 40), {}),
    "small": ((7, 2, 3, 7), {}),
    "wide": ((6, 9, 70, 130), {}),
    "bands": ((40, 32, 5, 12), {}),
    "long": ((700, 3, 2, 6), {}),
    "two directions": ((8, 4, 6, 19), {"num_layers": 2, "bidirectional": True}),
    "lengths": ((30, 11, 6, 21), {"lengths": True}),
    "indices": ((30, 9, 13, 18), {"indices": True}),
    "noise": ((9, 5, 6, 20), {"recurrent_dropout": 0.3, "zoneout": 0.2}),
    "checkpoints": ((50, 5, 6, 20), {"checkpoint": 7}),
    "many rows": ((2200, 8, 3, 6), {}),
    "windows": ((29, 5, 6, 20), {"windows": (3, 8), "num_layers": 2}),
}


class Numbers:
    """Uniform numbers in [-1, 1), by Marsaglia's xorshift, one stream for each name."""

    def __init__(self, name: str) -> None:
        digest = hashlib.sha256(name.encode()).digest()
        self._state = np.frombuffer(digest * 64, dtype=np.uint64).copy()
        self._state ^= np.arange(1, self._state.size + 1, dtype=np.uint64) << np.uint64(33)

    def integers(self, count: int) -> Any:
        parts = []
        for _ in range(-(-count // self._state.size) + 8):
            for shift in (13, -7, 17):
                by = np.uint64(abs(shift))
                self._state ^= self._state << by if shift > 0 else self._state >> by
            parts.append(self._state.copy())
        return np.concatenate(parts[8:])[:count] >> np.uint64(11)

    def uniform(self, *shape: int, dtype: str, bound: float = 1.0) -> Any:
        whole = self.integers(int(np.prod(shape))).astype(np.int64) - 2**52
        numbers: Any = (whole.astype(np.float64) / 2.0**52 * bound).reshape(shape)
        return numbers.astype(dtype)

    def below(self, count: int, *shape: int) -> Any:
        return (
            (self.integers(int(np.prod(shape))) % np.uint64(count)).astype(np.int64).reshape(shape)
        )


def digest(*values: Any) -> str:
    """Of all arrays in some values, their shapes and types."""
    total = hashlib.sha256()
    for array in _arrays(values):
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def _arrays(value: Any) -> Iterator[Any]:
    if value is None:
        return
    if isinstance(value, dict):
        for name in sorted(value):
            yield from _arrays(value[name])
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _arrays(part)
    else:
        yield np.asarray(value)


def set_parameters(layer: Any, numbers: Numbers, bound: float = 0.4) -> None:
    """Parameters of the generator's; gains about 1."""
    for name, array in layer.parameters.items():
        values = numbers.uniform(*array.shape, dtype=str(array.dtype), bound=bound)
        array[...] = values + array.dtype.type("gain" in name)


def recurrent(cell: str, option: str, dtype: str, compute: Any = None) -> dict[str, str]:
    """Hashes of the outputs and of the gradients of a layer."""
    (T, N, features, H), options = OPTIONS[option]
    options = dict(options)
    own = {
        name: options.pop(name, None) for name in ("lengths", "indices", "checkpoint", "windows")
    }
    if cell in ("lstm_projected", "lstm_layer_norm", "gru_layer_norm", "min_gru"):
        for name in ("recurrent_dropout", "zoneout"):
            options.pop(name, None)
    numbers = Numbers(f"{cell} {option} {dtype}")
    layer = CELLS[cell](features, H, dtype=dtype, seed=1, **options).train(compute=compute)
    set_parameters(layer, numbers)
    x = (
        numbers.below(features, T, N)
        if own["indices"]
        else numbers.uniform(T, N, features, dtype=dtype)
    )
    lengths = 1 + numbers.below(T, N) if own["lengths"] else None
    y, state, cache = layer.forward(x, None, lengths, checkpoint=own["checkpoint"])
    dy = numbers.uniform(*y.shape, dtype=dtype)
    if own["windows"]:
        gradients = layer.backward_truncated(cache, dy, *own["windows"])
    else:
        states = state if isinstance(state, tuple) else (state,)
        dstate = tuple(numbers.uniform(*s.shape, dtype=dtype) for s in states)
        gradients = layer.backward(cache, dy, dstate if isinstance(state, tuple) else dstate[0])
    return {"forward": digest(y, state), "backward": digest(gradients)}


def dense(dtype: str, compute: Any = None) -> dict[str, str]:
    """Hashes of the parts of a model around its recurrent layers."""
    numbers = Numbers(f"dense {dtype}")
    hashes = {}
    for rows, inputs, outputs in ((700, 9, 37), (20_000, 5, 3), (5, 300, 70), (1, 40, 3)):
        layer = pyrnn.Linear(inputs, outputs, dtype=dtype, seed=1).train(compute=compute)
        set_parameters(layer, numbers)
        y, _, cache = layer.forward(numbers.uniform(rows, inputs, dtype=dtype))
        gradients = layer.backward(cache, numbers.uniform(*y.shape, dtype=dtype))
        hashes[f"linear {rows} {inputs} {outputs}"] = digest(y, gradients)
    table = pyrnn.Embedding(13, 21, dtype=dtype, seed=1)
    set_parameters(table, numbers)
    y, _, cache = table.forward(numbers.below(13, 500, 3))
    gradients = table.backward(cache, numbers.uniform(*y.shape, dtype=dtype))
    hashes["embedding"] = digest(y, gradients)
    for rows, classes in ((20, 37), (3, 8), (2, 500), (7, 1)):
        logits = numbers.uniform(rows, classes, dtype=dtype, bound=9.0)
        loss, dlogits = pyrnn.softmax_cross_entropy(logits, numbers.below(classes, rows))
        hashes[f"cross-entropy {rows} {classes}"] = digest(np.float64(loss), dlogits)
    return hashes


def convolutions(dtype: str) -> dict[str, str]:
    """Hashes of convolutions along time; rows of several sequences, of one, and of groups."""
    numbers = Numbers(f"convolutions {dtype}")
    hashes = {}
    for T, N, inputs, outputs, options in (
        (300, 1, 1, 37, {"kernel_size": 24, "stride": 3}),
        (20, 5, 11, 70, {"kernel_size": 3, "padding": "same"}),
        (2, 40, 70, 33, {"kernel_size": 3, "padding": 2, "dilation": 2}),
        (30, 3, 12, 18, {"kernel_size": 5, "padding": "causal", "groups": 6}),
        (31, 3, 21, 21, {"kernel_size": 4, "stride": 2, "groups": 21}),
    ):
        layer = pyrnn.Conv1d(inputs, outputs, **options, dtype=dtype, seed=1)
        set_parameters(layer, numbers)
        y, _, cache = layer.forward(numbers.uniform(T, N, inputs, dtype=dtype))
        gradients = layer.backward(cache, numbers.uniform(*y.shape, dtype=dtype))
        hashes[f"{T} {N} {inputs} {outputs}"] = digest(y, gradients)
    return hashes


OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "sgd": partial(pyrnn.SGD, lr=0.1),
    "momentum": partial(pyrnn.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adagrad": partial(pyrnn.Adagrad, lr=0.1),
    "rmsprop": partial(pyrnn.RMSprop, lr=0.01),
    "adam": partial(pyrnn.Adam, lr=0.01, weight_decay=0.01),
    "adamw": partial(pyrnn.AdamW, lr=0.01),
}


def optimizers(dtype: str) -> dict[str, str]:
    """Hashes of parameters and norms after steps with clipped gradients."""
    hashes = {}
    for name, make in OPTIMIZERS.items():
        numbers = Numbers(f"{name} {dtype}")
        parameters = {
            "a": numbers.uniform(37, 5, dtype=dtype),
            "b": numbers.uniform(9, dtype=dtype),
        }
        optimizer, norms = make(parameters), []
        for step in range(60):
            gradients = {
                key: numbers.uniform(*value.shape, dtype=dtype) for key, value in parameters.items()
            }
            norms.append(np.float64(pyrnn.clip_grad_norm(gradients, 1.0)))
            pyrnn.clip_grad_value(gradients, 0.05 + step / 1000)
            optimizer.step(gradients)
        hashes[name] = digest(parameters, norms)
    return hashes


ACTIVATIONS: list[Any] = [
    *("sigmoid", "tanh", "relu", "hard_sigmoid", "identity", "softsign", "leaky_relu", "elu"),
    *(("affine", 0.3, -0.2), ("scaled_tanh", 1.7, 0.6), "thresholded_relu", "softplus"),
]


def activations(dtype: str) -> dict[str, str]:
    """Hashes of each function of an activation layer, and of its gradients."""
    hashes = {}
    for function in ACTIVATIONS:
        numbers = Numbers(f"{function} {dtype}")
        layer = pyrnn.Activation(function)
        y, _, cache = layer.forward(numbers.uniform(9, 137, dtype=dtype, bound=12.0))
        dx = layer.backward(cache, numbers.uniform(*y.shape, dtype=dtype))[0]
        hashes[str(function)] = digest(y, dx)
    return hashes


def losses(dtype: str) -> dict[str, str]:
    """Hashes of values and gradients of the losses that take exponentials and logarithms."""
    numbers = Numbers(f"losses {dtype}")
    y = numbers.uniform(400, 34, dtype=dtype, bound=20.0)
    shares = (numbers.uniform(400, 34, dtype=dtype) + 1) / 2
    targets, weight = numbers.below(34, 400), numbers.uniform(34, dtype=dtype) + 2
    values = numbers.uniform(400, 17, dtype=dtype)
    smoothed = pyrnn.losses.cross_entropy(y, targets, weight=weight, label_smoothing=0.1)
    return {
        "smoothed": digest(smoothed),
        "each": digest(pyrnn.losses.cross_entropy(y, targets, reduction="none")),
        "binary": digest(pyrnn.losses.binary_cross_entropy_with_logits(y, shares)),
        "gaussian": digest(pyrnn.losses.gaussian_nll_loss(y / 4, values)),
    }


TEXT = "the cat sat on the mat, and the dog sat by the door; then both of them ran off. " * 30


def training(cell: str, dtype: str) -> dict[str, str]:
    """Hashes of a small character model, as drawn and after 50 steps, and what it writes then."""
    model = pyrnn.CharacterModel(
        "".join(sorted(set(TEXT))), cell, hidden_size=24, num_layers=2, embedding_dim=7,
        dropout=0.1, dtype=dtype, seed=3,
    )  # fmt: skip
    first = digest(model.parameters)
    optimizer = pyrnn.Adam(model.parameters, lr=0.01)
    text = model.vocabulary.encode(TEXT)
    losses, state, width = [], None, 16
    for step in range(50):
        at = step * 20
        rows = [text[at + 40 * n : at + 40 * n + width + 1] for n in range(8)]
        chunk = np.stack(rows, axis=1)
        logits, state, cache = model.forward(chunk[:-1], state)
        loss, dlogits = pyrnn.softmax_cross_entropy(logits, chunk[1:])
        losses.append(np.float64(loss))
        _, _, gradients = model.backward(cache, dlogits)
        pyrnn.clip_grad_norm(gradients, 1.0)
        optimizer.step(gradients)
    model.eval()
    written = model.sample("the ", 60, temperature=0.7, seed=5)
    return {
        "drawn": first,
        "trained": digest(model.parameters, losses, np.float64(model.bits_per_character(text))),
        "sampled": hashlib.sha256(written.encode()).hexdigest()[:16],
    }


def initial(dtype: str) -> dict[str, str]:
    """Hashes of first values by each scheme."""
    hashes = {}
    for scheme in ("torch", "glorot", "orthogonal"):
        layer = pyrnn.GRU(5, 21, dtype=dtype, seed=2, initialization=scheme)
        hashes[scheme] = digest(layer.parameters)
    layer = pyrnn.RNN(5, 21, nonlinearity="relu", dtype=dtype, seed=2, initialization="identity")
    hashes["identity"] = digest(layer.parameters)
    hashes["embedding"] = digest(pyrnn.Embedding(50, 31, dtype=dtype, seed=2).parameters)
    return hashes


def narrow(cell: str, weights: str) -> dict[str, str]:
    """Hashes of outputs with narrow weights, and of gradients."""
    hashes = {}
    for T, N, features, H in ((7, 5, 11, 37), (5, 1, 20, 130)):
        numbers = Numbers(f"{cell} {weights}")
        layer = CELLS[cell](features, H, seed=1)
        set_parameters(layer, numbers)
        x = numbers.uniform(T, N, features, dtype="float32")
        y, state, cache = layer.eval(**NARROW[weights]).forward(x)
        gradients = layer.backward(cache, numbers.uniform(*y.shape, dtype="float32"))
        hashes[f"forward {H}"] = digest(y, state, layer(x)[0])
        hashes[f"backward {H}"] = digest(gradients)
    return hashes


def all_hashes() -> dict[str, str]:
    """Every hash by its name."""
    hashes: dict[str, str] = {}
    for dtype in DTYPES:
        groups: dict[str, Callable[[], dict[str, str]]] = {
            f"{cell}, {option}": partial(recurrent, cell, option, dtype)
            for cell in CELLS
            for option in OPTIONS
        }
        groups["dense"] = partial(dense, dtype)
        groups["convolutions"] = partial(convolutions, dtype)
        groups["optimizers"] = partial(optimizers, dtype)
        groups["initial"] = partial(initial, dtype)
        groups["activations"] = partial(activations, dtype)
        groups["losses"] = partial(losses, dtype)
        for cell in ("rnn", "lstm", "gru"):
            groups[f"training {cell}"] = partial(training, cell, dtype)
        for name, compute in groups.items():
            for part, value in compute().items():
                hashes[f"{dtype}, {name}, {part}"] = value
    for cell in CELLS:
        for option in OPTIONS if cell in ("lstm", "gru") else ("half a block", "wide", "bands"):
            for part, value in recurrent(cell, option, "float32", "bfloat16").items():
                hashes[f"products of bfloat16, {cell}, {option}, {part}"] = value
    for part, value in dense("float32", "bfloat16").items():
        hashes[f"products of bfloat16, dense, {part}"] = value
    for weights in NARROW:
        for cell in CELLS:
            for part, value in narrow(cell, weights).items():
                hashes[f"{weights}, {cell}, {part}"] = value
    return hashes


def drawn(seed: int, count: int) -> dict[str, str]:
    """Hashes of layers of drawn cells and sizes, each on one to four threads as drawn."""
    hashes, before = {}, pyrnn.get_num_threads()
    for case in range(count):
        numbers = Numbers(f"drawn {seed} {case}")
        cell = sorted(CELLS)[numbers.below(len(CELLS), 1)[0]]
        dtype = DTYPES[numbers.below(2, 1)[0]]
        H, features, N, T = (1 + int(numbers.below(most, 1)[0]) for most in (130, 70, 40, 60))
        options = {"proj_size": 1 + H // 3} if cell == "lstm_projected" else {}
        layer = CELLS[cell](features, H + 1, dtype=dtype, seed=1, **options)
        if dtype == "float32":
            layer.train(compute=("float32", "bfloat16")[numbers.below(2, 1)[0]])
        set_parameters(layer, numbers, bound=1 / (H + 1) ** 0.5)
        # Which machine has how many threads must not matter: the seed does not decide on them.
        pyrnn.set_num_threads(1 + os.getpid() % 4)
        y, _, cache = layer.forward(numbers.uniform(T, N, features, dtype=dtype))
        gradients = layer.backward(cache, numbers.uniform(*y.shape, dtype=dtype))
        hashes[f"{cell} {dtype} {T, N, features, H + 1}"] = digest(y, gradients)
    pyrnn.set_num_threads(before)
    return hashes


def main() -> None:
    """Do what the arguments say."""
    with pyrnn.use_backend("native"):
        hashes = drawn(*map(int, sys.argv[2:])) if "--drawn" in sys.argv else all_hashes()
    text = json.dumps(hashes, indent=0)
    if "--write" in sys.argv:
        STORED.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
