"""Training of an estimator's model: weighted sequences, held-out scores, when to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn.layers._options import Part
from pyrnn.parameters.dictionary import arrays_of, set_arrays
from pyrnn.training.run.batches import Batch
from pyrnn.training.run.batches import Sequences as Batches
from pyrnn.training.run.callbacks.base import Callback

Weights = npt.NDArray[np.float64]


class Weighted(NamedTuple):
    """Targets of a batch, and the weight of each of its sequences."""

    targets: Any
    weights: Weights


class WeightedBatches:
    """Batches of sequences whose targets come with weights, for a `Trainer`."""

    batch_first = False

    def __init__(self, batches: Batches, weights: Weights) -> None:
        self._batches = batches
        self._weights = weights

    def items(self, generator: np.random.Generator | None) -> Any:
        """Rows of each batch."""
        return self._batches.items(generator)

    def load(self, item: Any) -> Batch:
        """The batch of an item."""
        batch = self._batches.load(item)
        return batch._replace(targets=Weighted(batch.targets, self._weights[item[0]]))


class WeightedLoss:
    """A loss of `pyrnn.losses` in which each sequence counts as much as its weight.

    Weights have the mean 1 over all steps that count, so that the mean over a batch divides by
    their number: a batch of light sequences makes a small step.
    """

    def __init__(self, loss: Callable[..., tuple[Any, Any]], each_step: bool) -> None:
        self._loss = loss
        self._each_step = each_step

    def __call__(self, y: Any, given: Weighted, lengths: Any = None) -> tuple[float, Any]:
        """The weighted mean and its gradient."""
        options = {} if lengths is None else {"lengths": lengths}
        losses, gradient = self._loss(y, given.targets, reduction="none", **options)
        count = losses.size
        if lengths is not None:
            count = int(np.sum(lengths)) * (losses.size // (losses.shape[0] * losses.shape[1]))
        weights = given.weights[None] if self._each_step else given.weights
        value = float((losses * _like(weights, losses)).sum() / count)
        return value, (gradient * (_like(weights, gradient) / count)).astype(y.dtype)


def _like(weights: Any, array: Any) -> Any:
    return weights.reshape(weights.shape + (1,) * (array.ndim - weights.ndim))


class ScoreStopping(Callback):
    """Scores held-out sequences after each epoch, and stops when the score gets no better.

    Among equal scores, the one with the smaller loss is better, since few sequences give few
    different scores. The weights of the best epoch are restored at the end.
    """

    scores: Part[list[float]] = Part()

    def __init__(self, score: Callable[[], float], tol: float, patience: int) -> None:
        self._score = score
        self._tol = tol
        self._patience = patience
        Part.keep(self, scores=[])
        self._best = -np.inf
        self._best_loss = np.inf
        self._waited = 0
        self._weights: dict[str, Any] = {}

    @property
    def best(self) -> float:
        """The best score so far."""
        return self._best

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Score, keep the best weights, stop."""
        self.model.eval()
        score, loss = self._score(), float(logs["val_loss"])
        self.model.train()
        self.scores.append(score)
        rises = score > self._best + self._tol
        ties = score >= self._best and loss < self._best_loss - self._tol
        self._waited += 1
        if rises or ties or not self._weights:
            self._best, self._best_loss, self._waited = score, loss, 0
            self._weights = {n: p.copy() for n, p in arrays_of(self.model).items()}
        elif self._waited >= self._patience:
            self.trainer.stop_training = True

    def on_train_end(self) -> None:
        """Restore the best weights."""
        set_arrays(self.model, self._weights)


class LossStopping(Callback):
    """Stops when the training loss no longer improves by ``tol``; prints each epoch on request."""

    def __init__(self, tol: float, patience: int) -> None:
        self._tol = tol
        self._patience = patience
        self._best = np.inf
        self._waited = 0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Look at the loss."""
        self._waited = 0 if logs["loss"] < self._best - self._tol else self._waited + 1
        self._best = min(self._best, logs["loss"])
        if self._waited >= self._patience:
            self.trainer.stop_training = True


class Verbose(Callback):
    """Prints a line for each epoch, as scikit-learn's networks do."""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Print the loss."""
        print(f"Iteration {epoch + 1}, loss = {logs['loss']:.8f}", flush=True)
