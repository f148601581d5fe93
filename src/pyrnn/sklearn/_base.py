"""What `RNNClassifier` and `RNNRegressor` share: training, outputs, fitted attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from pyrnn import _checks
from pyrnn.layers.composition.sequential import Sequential
from pyrnn.sklearn import _network
from pyrnn.sklearn._errors import naming
from pyrnn.sklearn._estimator import Estimator
from pyrnn.sklearn._sequences import (
    Scaler,
    Sequences,
    no_scaler,
    read_sequences,
    scaler_of,
)
from pyrnn.sklearn._threads import threads_of_worker
from pyrnn.sklearn._training import (
    LossStopping,
    ScoreStopping,
    Verbose,
    WeightedBatches,
    WeightedLoss,
    Weights,
)
from pyrnn.training._optimizer import Optimizer
from pyrnn.training.run.batches import Sequences as Batches
from pyrnn.training.run.trainer import Trainer
from pyrnn.training.schedules._base import LRScheduler
from pyrnn.training.schedules.one_cycle import OneCycleLR
from pyrnn.training.schedules.plateau import ReduceLROnPlateau


class Examples(NamedTuple):
    """Sequences, the targets as the loss takes them, and the weight of each sequence."""

    sequences: Sequences
    targets: Any
    weights: Weights

    def take(self, rows: npt.NDArray[np.intp]) -> Examples:
        """Some of them."""
        return Examples(self.sequences.take(rows), taken(self.targets, rows), self.weights[rows])


def taken(parts: Any, rows: npt.NDArray[np.intp]) -> Any:
    """Some rows of an array, or some members of a list."""
    return parts[rows] if isinstance(parts, np.ndarray) else [parts[row] for row in rows.tolist()]


def read_weights(sample_weight: Any, count: int) -> Weights:
    """The weight of each sequence; 1 without any."""
    if sample_weight is None:
        return np.ones(count)
    with naming("sample_weight"):
        given = np.asarray(sample_weight)
        if given.dtype.kind == "c":
            raise ValueError("sample_weight: expected real numbers, got complex ones")
        weights = given.astype(np.float64)
    if weights.shape != (count,):
        raise ValueError(f"sample_weight: expected shape ({count},), got {weights.shape}")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("sample_weight: expected finite numbers of at least 0")
    if not weights.any():
        raise ValueError("sample_weight: expected a weight above 0, got zero weights only")
    return weights


class BaseRNN(Estimator):
    """Base class of both estimators; each has its own constructor, as scikit-learn requires."""

    _each_step: bool
    _outputs: int
    _optimizer: Optimizer

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _continues(self, incremental: bool) -> bool:
        """Whether training continues from the present weights."""
        return hasattr(self, "model_") and (incremental or bool(self.warm_start))

    def _train(
        self,
        examples: Examples,
        each_step: bool,
        outputs: int,
        loss: Callable[..., tuple[Any, Any]],
        *,
        incremental: bool,
        score: Callable[[Sequences, Any, Weights], float],
        labels: Any,
        stratify: bool,
    ) -> None:
        """Train on examples; held-out scores compare with their ``labels``."""
        continues = self._continues(incremental)
        if not continues:
            with naming("random_state"):
                random = check_random_state(self.random_state)
            self._seeds = np.random.default_rng(int(random.randint(2**31 - 1)))
        elif (each_step, outputs) != (self._each_step, self._outputs):
            raise ValueError(
                f"y: expected targets as in the fit before, {self._outputs} for each "
                f"{'step' if self._each_step else 'sequence'}"
            )
        held_out = None
        if self._stops_early(incremental):
            train, test = self._split(labels, len(examples.weights), stratify)
            held_out, labels = examples.take(test), taken(labels, test)
            examples = examples.take(train)
        if not continues:
            scales = _checks.flag("standardize", self.standardize)
            features = examples.sequences.features
            self.scaler_: Scaler = no_scaler(features)
            if scales:
                self.scaler_ = scaler_of(examples.sequences.parts, examples.weights)
            self._each_step, self._outputs = each_step, outputs
            self.model_: Sequential = _network.build(
                self, features, outputs, each_step, self._seeds
            )
            self.loss_curve_: list[float] = []
            self.validation_scores_: list[float] | None = None
            self.best_validation_score_: float | None = None
        if continues and incremental:  # a fit may have left the rate at almost 0
            self._optimizer.lr = _network.rate_of(self)
        else:
            self._optimizer = _network.optimizer_of(self, self.model_)
        self.model_.train()
        try:
            with threads_of_worker():
                self._run(examples, loss, incremental, held_out, score, labels)
        finally:
            self.model_.eval()

    def _run(
        self,
        examples: Examples,
        loss: Callable[..., tuple[Any, Any]],
        incremental: bool,
        held_out: Examples | None,
        score: Callable[[Sequences, Any, Weights], float],
        labels: Any,
    ) -> None:
        epochs = 1 if incremental else _checks.size("max_iter", self.max_iter)
        size = min(_checks.size("batch_size", self.batch_size), len(examples.weights))
        clip = self.clip_grad_norm
        trainer = Trainer(
            self.model_,
            WeightedLoss(loss, self._each_step),
            self._optimizer,
            scheduler=self._schedule(incremental, epochs * -(-len(examples.weights) // size)),
            clip_grad_norm=clip,
            seed=int(self._seeds.integers(2**31)),
        )
        tol = _checks.finite_number("tol", self.tol, -np.inf)
        patience = _checks.size("n_iter_no_change", self.n_iter_no_change)
        callbacks: list[Any] = [Verbose()] if self.verbose else []
        stop, validation = None, None
        if held_out is not None:
            sequences, weights = held_out.sequences, held_out.weights
            stop = ScoreStopping(lambda: score(sequences, labels, weights), tol, patience)
            callbacks.append(stop)
            validation = self._data(held_out, size)
        elif not incremental:
            callbacks.append(LossStopping(tol, patience))
        shuffle = _checks.flag("shuffle", self.shuffle)
        history = trainer.fit(
            self._data(examples, size),
            validation,
            epochs=epochs,
            shuffle=shuffle,
            callbacks=callbacks,
        )
        self.loss_curve_ = self.loss_curve_ + [float(value) for value in history["loss"]]
        self.loss_: float = self.loss_curve_[-1]
        self.best_loss_: float = min(self.loss_curve_)
        self.n_iter_: int = len(self.loss_curve_)
        if stop is not None:
            self.validation_scores_ = [*(self.validation_scores_ or []), *stop.scores]
            self.best_validation_score_ = float(stop.best)

    def _data(self, examples: Examples, size: int) -> WeightedBatches:
        parts = self.scaler_.apply(examples.sequences.parts, self.model_.dtype)
        targets, weights = examples.targets, examples.weights
        heavy = weights
        if self._each_step:
            heavy = weights * (examples.sequences.lengths / examples.sequences.lengths.mean())
        batches = Batches(
            parts, targets, size, each_step=self._each_step, dtype=self.model_.dtype, name="X"
        )
        return WeightedBatches(batches, weights / heavy.mean())

    def _stops_early(self, incremental: bool) -> bool:
        return _checks.flag("early_stopping", self.early_stopping) and not incremental

    def _split(
        self, labels: Any, count: int, stratify: bool
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        fraction = _checks.finite_number("validation_fraction", self.validation_fraction, 0.0, 1.0)
        train, test = train_test_split(
            np.arange(count),
            test_size=fraction,
            random_state=int(self._seeds.integers(2**31)),
            stratify=labels if stratify else None,
        )
        return train, test

    def _schedule(self, incremental: bool, steps: int) -> LRScheduler | None:
        kinds = ("one_cycle", "constant", "adaptive")
        kind = _checks.choice("learning_rate", self.learning_rate, kinds)
        if incremental or kind == "constant":
            return None
        if kind == "adaptive":
            tol = max(float(self.tol), 0.0)
            return ReduceLROnPlateau(
                self._optimizer, factor=0.2, patience=1, threshold=tol, threshold_mode="abs"
            )
        return OneCycleLR(
            self._optimizer, self._optimizer.lr, total_steps=steps + 1, cycle_momentum=False
        )

    # --- use --------------------------------------------------------------------------------

    def _read(self, X: Any) -> Sequences:
        check_is_fitted(self, "model_")
        return read_sequences(self, X, reset=False)

    def _outputs_of(self, sequences: Sequences) -> Any:
        """What the model gives: (N, outputs), or a list of (T_i, outputs)."""
        parts = self.scaler_.apply(sequences.parts, self.model_.dtype)
        with threads_of_worker():
            return _network.outputs_of(self.model_, parts, self._each_step)
