"""The progress of a training: what it needs to continue, besides model, optimiser and schedule."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyrnn.training.run.batches import Batch, Data
from pyrnn.training.run.history import History


class Progress:
    """Counts, the order of this pass through the data, the carried state, the history.

    Attributes
    ----------
    step, epoch : int
        Steps and epochs that are done.
    item : int
        How many items of this pass through the data are done.
    generator : numpy.random.Generator
        Draws the order of each pass. ``before`` is its state before the present pass.
    states : deque
        The states at the ends of the latest batches, which gradients may reach.
    """

    step: int
    epoch: int
    item: int
    step_of_epoch: int
    batches_of_epoch: int
    total: float
    weight: float
    history: History

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        self.before: Any = generator.bit_generator.state
        self.step = 0
        self.begin()

    def begin(self) -> None:
        """Start a new `fit`."""
        self.step = self.epoch = self.item = 0
        self.step_of_epoch = 0
        self.batches_of_epoch = 0
        self.total, self.weight = 0.0, 0.0
        self.states: deque[Any] = deque()
        self.history = History()
        self._items: Sequence[Any] | None = None

    def items(self, data: Data, shuffle: bool) -> Sequence[Any]:
        """The items of this pass, in its order."""
        if self._items is None:
            self.before = copy.deepcopy(self.generator.bit_generator.state)
            self._items = data.items(self.generator if shuffle else None)
        return self._items

    def end_pass(self) -> None:
        """Begin another pass through the data, with another order."""
        self.item, self._items = 0, None
        self.states.clear()

    def count(self, total: float, weight: float) -> None:
        """Add a batch to the epoch's mean loss: the sum over its targets, and their weight."""
        self.total += total
        self.weight += weight
        self.batches_of_epoch += 1

    def mean_loss(self) -> float:
        """The mean loss of this epoch so far."""
        return self.total / self.weight if self.weight else float("nan")

    def end_epoch(self) -> None:
        """Count the epoch, and begin the next."""
        self.epoch += 1
        self.step_of_epoch = self.step
        self.batches_of_epoch = 0
        self.total, self.weight = 0.0, 0.0

    def state_for(self, batch: Batch) -> Any:
        """The initial state of a batch, for the rows that continue."""
        if not batch.back or not batch.rows:
            return None
        state = self.states[-batch.back]
        if isinstance(state, tuple):
            return tuple(part[:, : batch.rows] for part in state)
        return None if state is None else state[:, : batch.rows]

    def carry(self, batch: Batch, state: Any) -> None:
        """Keep the final state of a batch for the batches that continue from it."""
        if not batch.keep:
            return
        if not batch.before and not batch.back:
            self.states.clear()
        self.states.append(state)
        while len(self.states) > batch.keep:
            self.states.popleft()
