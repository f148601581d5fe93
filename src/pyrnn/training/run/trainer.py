"""`Trainer`: trains a model on data with a loss and an optimiser."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn.distributed.exchange import GradientSum
from pyrnn.distributed.ranks import ranks_of
from pyrnn.training._optimizer import Optimizer
from pyrnn.training.clipping import clip_grad_norm as clip
from pyrnn.training.run import _gradients, _model, _several
from pyrnn.training.run._arguments import (
    Loss,
    Precision,
    check_model,
    data_of,
    sequences_of,
)
from pyrnn.training.run._progress import Progress
from pyrnn.training.run._settings import TrainerSettings
from pyrnn.training.run.batches import Data, check_window
from pyrnn.training.run.callbacks.base import Callback, CallbackList
from pyrnn.training.run.history import History
from pyrnn.training.schedules._base import LRScheduler, check_optimizer
from pyrnn.training.schedules.plateau import ReduceLROnPlateau


@public("pyrnn")
class Trainer(TrainerSettings):
    """Trains a model: batches, truncated back-propagation, schedules, callbacks, history.

    Parameters
    ----------
    model : Layer or CharacterModel
        `Sequential`, a recurrent layer, or whatever follows their convention.
    loss : str or callable
        A name of `pyrnn.losses`, with or without "_loss" at its end, or a function
        ``loss(y, targets) -> (value, gradient)``, for instance
        ``functools.partial(losses.cross_entropy, label_smoothing=0.1)``. With sequences of
        different lengths, it is called with ``lengths=`` where each step has a target.
    optimizer : Optimizer
        Of the model's parameters.
    scheduler : LRScheduler, optional
        Stepped after each epoch, `OneCycleLR` after each step; `ReduceLROnPlateau` is given
        "val_loss", or "loss" if there is no validation. A pair ``(scheduler, "step")`` or
        ``(scheduler, "epoch")`` says otherwise.
    clip_grad_norm : float, optional
        The gradients' largest common norm.
    seed : int, optional
        Of the order of batches.
    communicator : mpi4py.MPI.Comm, optional
        Of several processes that train one model together; each makes its trainer and calls its
        methods with the same arguments. Batches are the same as for one process, and each rank
        computes some of their rows. See docs/distributed.md.
    precision : {"float32", "bf16"}, optional
        Of the model's products, in training and evaluation: "bf16" is ``compute="bfloat16"`` of
        `Layer.train`, for a model of float32. Parameters, gradients and the optimiser are float32.
        By default the model's own. The model keeps it after training.

    Attributes
    ----------
    rank : int
        Which one of several processes this is; 0 without a communicator.
    stop_training : bool
        A callback sets it to end `fit` after the step or epoch that it is called in.
    history : History
        Of the last `fit`.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    With a seed, the same model, data and arguments give the same bits, for any number of threads.
    So do several processes, each time that there are as many of them. With a communicator, an
    argument that one rank refuses is an error of all; any other error that only some ranks raise in
    `fit` or `evaluate` ends all of them.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> model = pyrnn.Sequential(
    ...     rnn=pyrnn.GRU(1, 8, seed=0), last=pyrnn.LastStep(), out=pyrnn.Linear(8, 2, seed=1)
    ... )
    >>> x = np.random.default_rng(0).standard_normal((64, 10, 1))
    >>> y = (x.sum(axis=(1, 2)) > 0).astype(int)
    >>> trainer = pyrnn.Trainer(
    ...     model, "cross_entropy", pyrnn.Adam(model.parameters, lr=0.02), seed=0
    ... )
    >>> history = trainer.fit((x, y), epochs=20)
    >>> history["loss"][-1] < 0.3
    True
    >>> trainer.predict(x).shape
    (64, 2)
    """

    def __init__(
        self,
        model: Any,
        loss: str | Loss,
        optimizer: Optimizer,
        *,
        scheduler: LRScheduler | tuple[LRScheduler, str] | None = None,
        clip_grad_norm: float | None = None,
        seed: int | None = None,
        communicator: Any = None,
        precision: Precision | None = None,
    ) -> None:
        self._ranks = ranks_of(communicator)
        with _several.agreed(self._ranks):
            check_model("model", model)
            check_optimizer("optimizer", optimizer)
            self.model = model
            self.loss = loss
            self.optimizer = optimizer
            self.scheduler = scheduler
            self.clip_grad_norm = clip_grad_norm
            self.stop_training = self._agreed_stop = self._agrees_each_step = False
            self.callbacks: list[Callback] = []
            self.history: History = History()
            self.progress: Progress = Progress(np.random.default_rng(_checks.seed(seed)))
            self.precision = precision
            self._sum: GradientSum | None = None
            self._data: Data | None = None
        _several.begin(self)

    @property
    def rank(self) -> int:
        """The number of this process among several."""
        return 0 if self._ranks is None else self._ranks.rank

    # --- training ---------------------------------------------------------------------------

    def fit(
        self,
        train: Any,
        validation: Any = None,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        steps_per_epoch: int | None = None,
        batch_size: int = 32,
        k1: int | None = None,
        k2: int | None = None,
        accumulate: int = 1,
        shuffle: bool = True,
        callbacks: Iterable[Callback] = (),
    ) -> History:
        """Train until the epochs or the steps are done, or a callback stops it.

        Parameters
        ----------
        train : pair (x, targets), archive, or array of int
            Sequences, any indexables: ``x[i]`` is (T_i, features), or (T_i,) of indices;
            ``targets[i]`` is a class or an array, or has a target for each step where the model
            gives an output for each. Or one text (L,), where each step predicts the next token.
            Both may be memory maps. Numbers are converted to the model's dtype. An archive is a
            ``.npz`` file, or its name, with arrays ``x`` and ``targets`` (or ``y``), and
            ``lengths`` if the sequences are padded.
        validation : like ``train``, optional
            Evaluated after each epoch, as "val_loss".
        epochs, steps : int, optional
            The number of epochs, or of optimiser steps; if both are given, the earlier end counts.
        steps_per_epoch : int, optional
            The number of steps of an epoch, instead of one pass over the data.
        batch_size : int
            The number of sequences in a batch, or of streams of a text.
        k1, k2 : int, optional
            Truncated back-propagation: an optimiser step every ``k1`` time steps, with gradients
            over ``k2`` of them, a multiple of k1 (k1 by default). The state is carried along. For
            sequences with a target for each time step, and for a text, where k1 is 32 by default.
        accumulate : int
            The number of batches that make one step together, as one larger batch would.
        shuffle : bool
            Whether each epoch has the sequences in another order. Sequences of similar length are
            put into one batch.
        callbacks : iterable of Callback
            Called during training; see `pyrnn.callbacks`.

        Returns
        -------
        History
            ``history["loss"]``: the mean over each epoch's targets; "val_loss"; "lr".

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong type or value, or a loss is not finite. The parameters are
            then those before that step.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> from pyrnn import losses
        >>> model = pyrnn.Sequential(pyrnn.GRU(2, 4, seed=0), pyrnn.LastStep())
        >>> trainer = pyrnn.Trainer(model, losses.mse_loss, pyrnn.Adam(model.parameters, lr=0.1))
        >>> x, targets = np.ones((6, 5, 2), np.float32), np.zeros((6, 4), np.float32)
        >>> loss = trainer.fit((x, targets), epochs=5).history["loss"]
        >>> loss[-1] < loss[0]
        True
        """
        arguments = {"epochs": epochs, "steps": steps, "steps_per_epoch": steps_per_epoch}
        arguments |= {"k1": k1, "k2": k2, "accumulate": accumulate, "shuffle": shuffle}
        with _several.agreed(self._ranks):
            if epochs is None and steps is None:
                raise ValueError("epochs: expected a number of epochs or of steps, got neither")
            most_epochs = math.inf if epochs is None else _checks.size("epochs", epochs)
            most_steps = math.inf if steps is None else _checks.size("steps", steps)
            length = math.inf
            if steps_per_epoch is not None:
                length = _checks.size("steps_per_epoch", steps_per_epoch)
            count = _checks.size("accumulate", accumulate)
            window = check_window(k1, k2)
            data = data_of(self.model, "train", train, batch_size, window)
            held_out = None
            if validation is not None:
                held_out = data_of(self.model, "validation", validation, batch_size, None)
                held_out = _several.own(self._ranks, held_out, "validation")
            shuffle = _checks.flag("shuffle", shuffle)
            called = CallbackList(callbacks, self)
            self._data = data = _several.own(self._ranks, data, "train")
            self.stop_training = self._agreed_stop = False
            self.progress.begin()
            self.history = self.progress.history
            self.model.train(**self._compute)
        _several.check_equal(self, data, held_out, batch_size, called, arguments)
        with _several.together(self._ranks), _several.summing(self) as self._sum:
            self._run(data, held_out, most_epochs, most_steps, length, count, shuffle, called)
        self._sum = None
        return self.history

    def _run(
        self,
        data: Data,
        held_out: Data | None,
        most_epochs: float,
        most_steps: float,
        length: float,
        count: int,
        shuffle: bool,
        called: CallbackList,
    ) -> None:
        """Epoch after epoch."""
        called.on_train_begin()
        self._agree_to_stop()
        try:
            while (
                self.progress.epoch < most_epochs
                and self.progress.step < most_steps
                and not self._stops
            ):
                last = min(most_steps, self.progress.step_of_epoch + length)
                self._run_epoch(data, shuffle, last, length, count, called)
                if self.progress.batches_of_epoch:
                    self._end_epoch(held_out, called)
        finally:
            self.model.train()
        called.on_train_end()

    def _run_epoch(
        self,
        data: Data,
        shuffle: bool,
        last: float,
        length: float,
        accumulate: int,
        called: CallbackList,
    ) -> None:
        """Continue an epoch until the data or the steps end."""
        progress = self.progress
        if not progress.batches_of_epoch:
            called.on_epoch_begin(progress.epoch)
            self._agree_to_stop()
        while progress.step < last and not self._stops:
            items = _several.same_items(self._ranks, "train", progress.items(data, shuffle))
            while progress.item < len(items):
                group = items[progress.item : progress.item + accumulate]
                self._run_step(data, group, called)
                if progress.step >= last or self._stops:
                    break
            else:
                progress.end_pass()
                if length == math.inf:
                    return
        if progress.item >= len(progress.items(data, shuffle)):
            progress.end_pass()

    def _run_step(self, data: Data, group: Any, called: CallbackList) -> None:
        """One step of the optimiser, from one batch or several."""
        progress = self.progress
        if called.batch_begin:
            called.on_train_batch_begin(progress.batches_of_epoch)
        value, grads = _gradients.of_step(self, data, group)
        logs = {"loss": value}
        if self.clip_grad_norm is not None:
            logs["grad_norm"] = clip(grads, self.clip_grad_norm)
        self.optimizer.step(grads)
        progress.item += len(group)
        progress.step += 1
        if self._each_step and self.scheduler is not None:
            self._step_scheduler({"loss": value})
        if called.batch_end:
            called.on_train_batch_end(progress.batches_of_epoch - 1, logs)
        if self._agrees_each_step:
            self._agree_to_stop()

    def _end_epoch(self, held_out: Data | None, called: CallbackList) -> None:
        """Evaluate, step the scheduler, record the numbers."""
        progress = self.progress
        logs = {"loss": progress.mean_loss()}
        if held_out is not None:
            logs["val_loss"] = _gradients.mean_loss(self, held_out)
        logs["lr"] = self.optimizer.lr
        progress.history.add(progress.epoch, logs)
        if self.scheduler is not None and not self._each_step:
            self._step_scheduler(logs)
        number = progress.epoch
        progress.end_epoch()
        called.on_epoch_end(number, logs)
        self._agree_to_stop()

    def _agree_to_stop(self) -> None:
        """Stop on all ranks if a callback of one rank asks for it."""
        if self._ranks is not None:
            self.stop_training = self._agreed_stop = self._ranks.any(self.stop_training)

    @property
    def _stops(self) -> bool:
        """Whether all ranks stop; a flag that one rank sets counts when all know of it."""
        return self.stop_training if self._ranks is None else self._agreed_stop

    def _step_scheduler(self, logs: Mapping[str, float]) -> None:
        assert self.scheduler is not None
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(logs.get("val_loss", logs["loss"]))
        else:
            self.scheduler.step()

    # --- use --------------------------------------------------------------------------------

    def evaluate(self, data: Any, *, batch_size: int = 32) -> float:
        """Return the mean loss over all targets, in eval mode.

        Parameters
        ----------
        data : pair (x, targets), or array of int
            Sequences and their targets, ``x[i]`` of (T_i, features) or (T_i,) of indices; or a text
            of indices, (L,).
        batch_size : int, default 32
            The number of sequences in a batch, or of streams of a text, whose state is carried
            along.

        Returns
        -------
        float
            The mean loss.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong type or value.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> from pyrnn import losses
        >>> model = pyrnn.Sequential(pyrnn.GRU(2, 4, seed=0), pyrnn.LastStep())
        >>> trainer = pyrnn.Trainer(model, losses.mse_loss, pyrnn.Adam(model.parameters))
        >>> x, targets = np.ones((6, 5, 2), np.float32), np.zeros((6, 4), np.float32)
        >>> trainer.evaluate((x, targets)) > 0
        True
        """
        with _several.agreed(self._ranks):
            found = data_of(self.model, "data", data, batch_size, None)
            found = _several.own(self._ranks, found, "data")
        with _several.together(self._ranks):
            return _gradients.mean_loss(self, found)

    def predict(self, x: Any, *, batch_size: int = 32) -> Any:
        """Return the outputs of the model for sequences, in eval mode.

        Parameters
        ----------
        x : indexable
            The sequences, ``x[i]`` of (T_i, features), or (T_i,) of indices.
        batch_size : int, default 32
            The number of sequences in a batch.

        Returns
        -------
        array or list of arrays
            The outputs, with the axis of the sequences first; a list if each time step has an
            output and the lengths differ.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong type or value.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> from pyrnn import losses
        >>> model = pyrnn.Sequential(pyrnn.GRU(2, 4, seed=0), pyrnn.LastStep())
        >>> trainer = pyrnn.Trainer(model, losses.mse_loss, pyrnn.Adam(model.parameters))
        >>> trainer.predict([np.ones((3, 2), "f"), np.ones((7, 2), "f")]).shape
        (2, 4)
        """
        data = sequences_of(self.model, "x", x, None, _checks.size("batch_size", batch_size), None)
        each_step = not _model.ends_time(self.model)
        outputs: list[Any] = [None] * len(data)
        was_training = getattr(self.model, "training", True)
        self.model.eval(**self._compute)
        try:
            for rows, start in data.items(None):
                batch = data.load((rows, start))
                y, _ = _model.call(self.model, batch.x, None, batch.lengths)
                by_row = y.swapaxes(0, 1) if each_step and not data.batch_first else y
                for number, row in enumerate(rows.tolist()):
                    length = None if batch.lengths is None else batch.lengths[number]
                    outputs[row] = by_row[number, :length] if each_step else by_row[number]
        finally:
            if was_training:
                self.model.train()
        if len({output.shape for output in outputs}) == 1:
            return np.stack(outputs)
        return outputs
