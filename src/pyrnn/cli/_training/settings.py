"""The settings of ``pyrnn train``: optimisers, schedules, how long, which model is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyrnn.training.functions import raised_cosine
from pyrnn.training.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop

OPTIMIZERS: dict[str, Any] = {
    "sgd": SGD,
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}

SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "linear": lambda progress: 1 - progress,
    "cosine": lambda progress: raised_cosine(progress / 2),
    "constant": lambda progress: 1.0,
}
"""The learning rate after a part of the run, as a share of the highest."""

WARM_UP_STEPS = 20
"""The number of steps in which the learning rate rises, while Adam's moments settle."""

EVALUATIONS = 8
"""How often the held-out text is scored during training."""


@dataclass(frozen=True)
class Settings:
    """Settings of a training, which ends at ``steps`` or ``seconds``, whichever comes first."""

    batch_size: int
    seq_len: int
    lr: float
    clip: float
    steps: int | None
    seconds: float | None
    seed: int = 0
    optimizer: str = "adam"
    evaluations: int = EVALUATIONS
    keep: str = "last"
    patience: int | None = None
    log: str | None = None
    schedule: str = "linear"
    k2: int | None = None
    """How far gradients go back, a multiple of ``seq_len``, which is also the default."""
    precision: str = "float32"
    """Of products: "bf16" rounds what they multiply to bfloat16."""
