"""The classic character loop in plain NumPy, beside pyrnn's training of the same network.

The loop is the algorithm of A. Karpathy, "Minimal character-level language model with a vanilla
recurrent neural network", 2015: one column vector a step, float64, Adagrad, clipping by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

import pyrnn
from bench.characters.case import VOCABULARY
from bench.contest.contender import Contender
from pyrnn.textbook import char_rnn

HIDDEN_SIZE = 100
SEQ_LENGTH = 25
LEARNING_RATE = 0.1
CLIP = 5.0
CHECKED_WINDOWS = 1
"""Weights are compared after so few, because rounding grows a hundredfold in each."""

Array = npt.NDArray[np.floating[Any]]
Weights = dict[str, Array]


@dataclass(frozen=True)
class ClassicCase:
    """So many windows of a text, from the first weights on."""

    windows: int = 1000
    """So many that drawing the first weights does not count."""

    @property
    def name(self) -> str:
        """What ``--only`` looks at."""
        return f"min-char-rnn RNN {HIDDEN_SIZE} T{SEQ_LENGTH} N1 one-hot"

    @property
    def characters(self) -> int:
        """Characters in all windows."""
        return self.windows * SEQ_LENGTH


def contenders(case: ClassicCase, threads: int) -> list[Contender]:
    """Each trains the same network on the same text, for the same number of windows."""
    pyrnn.set_num_threads(threads)
    generator = np.random.default_rng(0)
    drawn = generator.choice(list(VOCABULARY), case.characters + SEQ_LENGTH)
    text = VOCABULARY + "".join(drawn)

    def own(dtype: str, windows: int) -> Weights:
        return char_rnn.train(
            text, HIDDEN_SIZE, SEQ_LENGTH, windows, LEARNING_RATE, clip=CLIP, dtype=dtype
        )[0]

    def contender(column: str, run: Callable[[int], Weights]) -> Contender:
        return Contender(column, "", lambda: run(case.windows), lambda result: run(CHECKED_WINDOWS))

    return [
        contender("pyrnn", partial(own, "float64")),
        contender("pyrnn float32", partial(own, "float32")),
        contender("NumPy loop", partial(train, text)),
    ]


def train(text: str, windows: int) -> Weights:
    """Window after window; the weights afterwards."""
    vocabulary = sorted(set(text))
    index_of = {character: index for index, character in enumerate(vocabulary)}
    weights = _first_weights(len(vocabulary))
    memory = {name: np.zeros_like(array) for name, array in weights.items()}
    h: Array = np.zeros((HIDDEN_SIZE, 1))
    position = 0
    for _ in range(windows):
        if position + SEQ_LENGTH + 1 >= len(text):
            h = np.zeros((HIDDEN_SIZE, 1))
            position = 0
        window = [index_of[c] for c in text[position : position + SEQ_LENGTH + 1]]
        _, grads, h = loss_and_gradients(window[:-1], window[1:], h, weights)
        for name, grad in grads.items():
            memory[name] += grad * grad
            weights[name] -= LEARNING_RATE * grad / np.sqrt(memory[name] + 1e-8)
        position += SEQ_LENGTH
    return weights


def _first_weights(size: int) -> Weights:
    randn = np.random.RandomState(0).randn
    return {
        "Wxh": randn(HIDDEN_SIZE, size) * 0.01,
        "Whh": randn(HIDDEN_SIZE, HIDDEN_SIZE) * 0.01,
        "Why": randn(size, HIDDEN_SIZE) * 0.01,
        "bh": np.zeros((HIDDEN_SIZE, 1)),
        "by": np.zeros((size, 1)),
    }


def loss_and_gradients(
    inputs: Sequence[int], targets: Sequence[int], h: Array, weights: Weights
) -> tuple[float, Weights, Array]:
    """Loss in nats over one window, its clipped gradients, and the state after it."""
    loss = 0.0
    xs, hs, ps = [], [h], []
    for index, target in zip(inputs, targets, strict=True):
        x = np.zeros((weights["Wxh"].shape[1], 1))
        x[index] = 1
        h = np.tanh(np.dot(weights["Wxh"], x) + np.dot(weights["Whh"], hs[-1]) + weights["bh"])
        scores = np.dot(weights["Why"], h) + weights["by"]
        p = np.exp(scores) / np.sum(np.exp(scores))
        loss -= float(np.log(p[target, 0]))
        xs.append(x)
        hs.append(h)
        ps.append(p)
    grads = {name: np.zeros_like(array) for name, array in weights.items()}
    dh_next = np.zeros_like(h)
    for t in reversed(range(len(targets))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        grads["Why"] += np.dot(dy, hs[t + 1].T)
        grads["by"] += dy
        dh = np.dot(weights["Why"].T, dy) + dh_next
        draw = (1 - hs[t + 1] * hs[t + 1]) * dh
        grads["bh"] += draw
        grads["Wxh"] += np.dot(draw, xs[t].T)
        grads["Whh"] += np.dot(draw, hs[t].T)
        dh_next = np.dot(weights["Whh"].T, draw)
    for grad in grads.values():
        np.clip(grad, -CLIP, CLIP, out=grad)
    return loss, grads, hs[-1]
