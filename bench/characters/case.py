"""What steps of character models have in common: the case, and how losses are found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.contest.contender import Outputs

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


def of_losses(step: Callable[[], Any]) -> tuple[Callable[[], Any], Callable[[Any], Outputs]]:
    """A step, and how the losses of the first ones are found out."""

    def outputs(first: Any) -> Outputs:
        later = [step() for _ in range(CHECKED_STEPS - 1)]
        return {"losses": np.array([float(loss) for loss in (first, *later)])}

    return step, outputs
