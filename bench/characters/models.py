"""A character model's training step by pyrnn and by torch, from the same weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import pyrnn
from bench.contest.contender import Contender, Outputs
from pyrnn.text.vocabulary import Vocabulary

VOCABULARY = "".join(chr(code) for code in range(32, 97))
"""65 characters."""

LR = 1e-3
CLIP = 5.0
CHECKED_STEPS = 3
"""After so many steps, losses agree only if gradients and updates do."""


@dataclass(frozen=True)
class CharacterCase:
    """A model and its batches: characters, embedded or one-hot, recurrent layers, linear layer."""

    cell: str
    hidden_size: int
    num_layers: int
    time_steps: int
    batch_size: int
    embedding_dim: int
    """0 for one-hot characters."""

    @property
    def name(self) -> str:
        """``LSTM 2x128 T50 N50 embedding 64``."""
        layers = f"{self.num_layers}x" if self.num_layers > 1 else ""
        entry = f"embedding {self.embedding_dim}" if self.embedding_dim else "one-hot"
        shape = f"T{self.time_steps} N{self.batch_size}"
        return f"{self.cell} {layers}{self.hidden_size} {shape} {entry}"

    @property
    def characters(self) -> int:
        """Characters in a step."""
        return self.time_steps * self.batch_size


def contenders(case: CharacterCase, threads: int, with_torch: bool) -> list[Contender]:
    """Forward, cross-entropy, backward, clipping and Adam; the state is carried along."""
    pyrnn.set_num_threads(threads)
    characters = np.random.default_rng(0).integers(
        len(VOCABULARY), size=(2, case.time_steps, case.batch_size)
    )
    model = pyrnn.CharacterModel(
        Vocabulary(VOCABULARY),
        case.cell.lower(),
        case.hidden_size,
        case.num_layers,
        case.embedding_dim or None,
        seed=0,
    )
    weights = {name: array.copy() for name, array in model.parameters.items()}
    found = [Contender("pyrnn", "", *of_losses(_own_step(model, *characters)))]
    if with_torch:
        from bench.characters import torch_models as character_torch

        found += [
            Contender("torch", setting, *of_losses(step), context)
            for setting, step, context in character_torch.steps(case, weights, characters, threads)
        ]
    return found


def of_losses(step: Callable[[], Any]) -> tuple[Callable[[], Any], Callable[[Any], Outputs]]:
    """A step, and how the losses of the first ones are found out."""

    def outputs(first: Any) -> Outputs:
        later = [step() for _ in range(CHECKED_STEPS - 1)]
        return {"losses": np.array([float(loss) for loss in (first, *later)])}

    return step, outputs


def _own_step(model: pyrnn.CharacterModel, x: Any, y: Any) -> Callable[[], float]:
    optimizer = pyrnn.Adam(model.parameters, lr=LR)
    state = None

    def step() -> float:
        nonlocal state
        logits, state, cache = model.forward(x, state)
        loss, dlogits = pyrnn.softmax_cross_entropy(logits, y)
        _, _, grads = model.backward(cache, dlogits)
        pyrnn.clip_grad_norm(grads, CLIP)
        optimizer.step(grads)
        return loss

    return step
