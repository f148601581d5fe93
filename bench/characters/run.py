"""``--characters``: whole training steps of a character model, and the classic NumPy loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.characters import min_char_rnn
from bench.characters import models as character_models
from bench.characters.case import CharacterCase
from bench.characters.min_char_rnn import ClassicCase
from bench.contest import timing
from bench.contest.compete import compete
from bench.options import Options
from bench.peers import Peer

PEERS = ("pyrnn", "torch")

_SIZES = [
    ("RNN", 100, 1, 25, 1),
    ("LSTM", 128, 2, 50, 50),
    ("LSTM", 256, 1, 64, 32),
    ("GRU", 256, 2, 64, 32),
]
"""Cell, hidden size, layers, time steps, batch."""

EMBEDDING_DIM = 64

MODELS = [
    CharacterCase(*sizes, embedding_dim) for sizes in _SIZES for embedding_dim in (EMBEDDING_DIM, 0)
]


def cases(options: Options) -> list[CharacterCase | ClassicCase]:
    """What is to be measured."""
    models = MODELS[:2] if options.quick else MODELS
    every: list[CharacterCase | ClassicCase] = [*models, ClassicCase()]
    return [case for case in every if options.wants(case.name)]


def rows(options: Options, peers: Mapping[str, Peer]) -> Iterator[dict[str, Any]]:
    """One row after another, as it is measured."""
    effort = timing.QUICK if options.quick else timing.Effort()
    for case in cases(options):
        if isinstance(case, CharacterCase):
            contenders = character_models.contenders(case, options.threads, "torch" in peers)
        else:
            contenders = min_char_rnn.contenders(case, options.threads)
        yield {
            "name": case.name,
            "threads": options.threads,
            "characters": case.characters,
            **compete(contenders, effort),
        }
