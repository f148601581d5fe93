"""A character model's training step by pyrnn and by torch, from the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import pyrnn
from bench.characters.case import CLIP, LR, VOCABULARY, CharacterCase, of_losses
from bench.contest.contender import Contender
from pyrnn.text.vocabulary import Vocabulary


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
