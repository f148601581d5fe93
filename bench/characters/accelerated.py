"""``--accelerate``: a training step of torch's character model, before and after `accelerate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import pyrnn
from bench.characters.case import VOCABULARY, CharacterCase, of_losses
from bench.contest import timing
from bench.contest.compete import compete
from bench.contest.contender import Contender
from bench.options import Options
from bench.peers import Peer

PEERS = ("pyrnn", "torch")

MODELS = [
    CharacterCase(cell, 256, 1, 64, 32, embedding_dim)
    for cell in ("LSTM", "GRU", "RNN")
    for embedding_dim in (64, 0)
]


def cases(options: Options) -> list[CharacterCase]:
    """What is to be measured."""
    models = MODELS[:1] if options.quick else MODELS
    return [case for case in models if options.wants(case.name)]


def rows(options: Options, peers: Mapping[str, Peer]) -> Iterator[dict[str, Any]]:
    """One row after another, as it is measured; none without torch."""
    effort = timing.QUICK if options.quick else timing.Effort()
    for case in cases(options) if "torch" in peers else []:
        yield {
            "name": f"torch's {case.name}",
            "threads": options.threads,
            "characters": case.characters,
            **compete(contenders(case, options.threads), effort),
        }


def contenders(case: CharacterCase, threads: int) -> list[Contender]:
    """The same step of the same model, with its recurrent layers by pyrnn and by torch.

    What is not recurrent is torch's in both, and has each number of threads.
    """
    import torch

    from bench.characters import torch_models as character_torch
    from pyrnn.interop.torch import accelerate

    pyrnn.set_num_threads(threads)
    torch.manual_seed(0)
    shape = (2, case.time_steps, case.batch_size)
    characters = np.random.default_rng(0).integers(len(VOCABULARY), size=shape)
    first = character_torch.Model(case).state_dict()
    weights = {name: tensor.numpy().copy() for name, tensor in first.items()}
    swaps: dict[str, Callable[[Any], Any]] = {"pyrnn": accelerate, "torch": lambda model: model}
    return [
        Contender(column, setting, *of_losses(step), context)
        for column, swap in swaps.items()
        for setting, step, context in character_torch.steps(
            case, weights, characters, threads, swap
        )
    ]
