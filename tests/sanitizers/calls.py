"""Every call that the core has, over every cell and every way of sharing it out over threads.

Each is a function of no arguments that gives the same bits every time, from whatever thread.
"""

import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import pyrnn

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import NOISY, VARIANTS

Call = Callable[[], Any]

CELLS = {"rnn-relu": partial(pyrnn.RNN, nonlinearity="relu")} | NOISY | VARIANTS

# name: (time steps, sequences, inputs, units): what two threads or more share. One thread of few
# sequences leaves others the sums; many sequences go to one each; many units as well.
SHAPES = {"alone": (5, 3, 4, 9), "rows": (30, 48, 8, 24), "units": (5, 2, 20, 300)}
DIRECTIONS = (300, 1, 8, 40)
REST = ("linear", "embedding", "loss", "optimizer", "convolution")
OPTIMIZERS = {
    "sgd": partial(pyrnn.optim.SGD, momentum=0.9),
    "adagrad": pyrnn.optim.Adagrad,
    "rmsprop": pyrnn.optim.RMSprop,
    "adam": pyrnn.optim.Adam,
    "adamw": pyrnn.optim.AdamW,
}


def random(*shape: int, dtype: str = "float32") -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def bits(result: Any) -> list[bytes]:
    """The bytes of all arrays and numbers in nested tuples, lists and dicts."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        return [one for each in result for one in bits(each)]
    return [] if result is None else [np.asarray(result).tobytes()]


def train(layer: Any, x: Any, back: str = "backward", arguments: Any = (), **options: Any) -> Any:
    """What a training step gives."""
    y, state, cache = layer.forward(x, **options)
    return y, state, getattr(layer, back)(cache, np.cos(y), *arguments)


def steps(layer: Any, x: Any) -> Any:
    """What a stream gives, with its state set on the way."""
    stream = layer.stream(x.shape[1])
    outputs = [stream.step(x_t) for x_t in x[:2]]
    stream.state = stream.state
    return outputs, stream.step(x[2]), stream.state


def narrowed(layer: Any, x: Any) -> Any:
    """What a layer with narrow weights gives, for whole sequences and in a stream."""
    return layer(x), steps(layer, x)


def learn(make: Any, parameters: Any) -> Any:
    """What two clipped steps of an optimiser give."""
    ours = {name: array.copy() for name, array in parameters.items()}
    gradients = {name: np.cos(array) for name, array in ours.items()}
    optimizer = make(ours, lr=0.1)
    for _ in range(2):
        pyrnn.clip_grad_norm(gradients, 1.0)
        optimizer.step(gradients)
        pyrnn.clip_grad_value(gradients, 0.01)
    return ours


def of_cell(make: Any) -> Iterator[tuple[str, Call]]:
    """The calls of one cell's layers."""
    for name, shape in SHAPES.items():
        for kind, call in of_shape(make, *shape, ("float16", "int8")):
            yield f"{name} {kind}", call
    T, N, inputs, units = DIRECTIONS
    both = make(inputs, units, bidirectional=True, seed=0)
    yield "directions", partial(train, both, random(T, N, inputs))
    deep = make(6, 70, 2, bidirectional=True, dropout=0.5, dtype="float64", seed=0)
    yield "stack", partial(train, deep.eval(), random(20, 9, 6, dtype="float64"))


def of_shape(
    make: Any, T: int, N: int, inputs: int, units: int, formats: Sequence[str]
) -> Iterator[tuple[str, Call]]:
    """The calls of layers of one shape, some with weights of narrow formats."""
    x = random(T, N, inputs)
    layer, fixed = make(inputs, units, seed=0), make(inputs, units, seed=0).eval()
    yield "inference", partial(fixed, x)
    yield "training", partial(train, layer, x)
    yield "stream", partial(steps, fixed, x)
    yield "windows", partial(train, layer, x, "backward_truncated", (2, 3))
    yield "checkpoints", partial(train, layer, x, checkpoint=2)
    lengths = np.arange(N) % T + 1
    yield "lengths", partial(train, layer, x, lengths=lengths)
    back = "backward_truncated", (2, 4)
    yield "windows of lengths", partial(train, layer, x, *back, lengths=lengths)
    yield "one step", partial(fixed, x[:1])
    for weights in formats:
        narrow = make(inputs, units, seed=0).eval(weights=weights)
        yield weights, partial(narrowed, narrow, x)
    indices = np.arange(T * N).reshape(T, N) % inputs
    yield "indices", partial(train, layer, indices)


def around() -> Iterator[tuple[str, Call]]:
    """The calls of all else: layers without time, losses, optimisers."""
    for rows, inputs, outputs in [(3, 5, 7), (1, 700, 400), (300, 100, 90)]:
        x = random(rows, inputs)
        linear = pyrnn.Linear(inputs, outputs, seed=0)
        yield f"linear {rows}", partial(apply, linear, x)
        yield f"linear {rows} fixed", partial(pyrnn.Linear(inputs, outputs, seed=0).eval(), x)
        indices = np.arange(rows) % outputs
        embedding = pyrnn.Embedding(outputs, inputs, seed=0)
        yield f"embedding {rows}", partial(apply, embedding, indices)
        logits = random(rows, outputs)
        yield f"loss {rows}", partial(pyrnn.softmax_cross_entropy, logits, indices)
        likely = partial(pyrnn.losses.binary_cross_entropy_with_logits, logits, 0 * logits)
        yield f"loss binary {rows}", likely
        for weights in ("float16", "int8"):
            narrow = pyrnn.Linear(inputs, outputs, seed=0).eval(weights=weights)
            yield f"linear {rows} {weights}", partial(narrow, x)
    for steps_of, rows, channels in [(9, 2, 6), (60, 40, 24), (400, 1, 96)]:
        x = random(steps_of, rows, channels)
        for name, layer in convolutions(channels).items():
            # Not backward, which is NumPy's work: NumPy crashes where its own allocations fail.
            yield f"convolution {name} {rows}", partial(layer, x)
            yield f"convolution {name} {rows} fixed", partial(copy.deepcopy(layer).eval(), x)
    for units in (5, 300):
        parameters = pyrnn.LSTM(units, units, seed=0).parameters
        for name, make in OPTIMIZERS.items():
            yield f"optimizer {name} {units}", partial(learn, make, parameters)


def convolutions(channels: int) -> dict[str, Any]:
    """Layers over windows of time, alone and in a row; all take and give so many channels."""
    conv = partial(pyrnn.Conv1d, channels, channels, seed=0)
    return {
        "plain": conv(3),
        "strided": conv(4, 2, 1, 2),
        "groups": conv(3, padding="causal", groups=channels // 2),
        "depthwise": conv(5, padding="same", groups=channels),
        "normalised": pyrnn.InstanceNorm1d(channels, affine=True),
        "row": pyrnn.Sequential(
            conv(3), pyrnn.BatchNorm1d(channels), pyrnn.Activation("relu"), conv(3, padding="same")
        ),
    }


def apply(layer: Any, x: Any) -> Any:
    """What a training step of a layer without time gives."""
    y, _, cache = layer.forward(x)
    return y, layer.backward(cache, np.cos(y))


def all_calls() -> dict[str, Call]:
    """Calls by name."""
    found = {f"{cell} {name}": call for cell in CELLS for name, call in of_cell(CELLS[cell])}
    return found | dict(around())
