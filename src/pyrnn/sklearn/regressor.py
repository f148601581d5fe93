"""`RNNRegressor`: numbers for each sequence, or for each of its steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn.sklearn._base import BaseRNN, Examples, read_weights, taken
from pyrnn.sklearn._sequences import (
    Scaler,
    Sequences,
    no_scaler,
    read_sequences,
    scaler_of,
)
from pyrnn.sklearn._targets import joined, read_numbers, stacked
from pyrnn.training.losses import huber_loss, l1_loss, mse_loss

LOSSES = {"squared_error": mse_loss, "absolute_error": l1_loss, "huber": huber_loss}


@public("pyrnn.sklearn")
class RNNRegressor(RegressorMixin, BaseRNN):  # type: ignore[misc]
    """Recurrent network that gives numbers for sequences, as a scikit-learn estimator.

    Parameters
    ----------
    cell : {"gru", "lstm", "rnn", "min_gru"}, default "gru"
        The kind of recurrent layer.
    hidden_size : int, default 64
        The number of units of each layer.
    num_layers : int, default 1
        The number of recurrent layers.
    loss : {"squared_error", "absolute_error", "huber"}, default "squared_error"
        The loss to minimise, on standardised targets.
    bidirectional : bool, default True
        Whether each layer reads the sequence in both directions. With False, the answer at a step
        does not depend on later steps.
    pooling : {"last", "mean"}, default "last"
        What the targets of a sequence are computed from: the last step of the recurrent layer (of
        each direction), or the mean over all steps.
    dropout : float, default 0.0
        The share of elements that are set to 0 in training, between layers and before the output.
    solver : {"adam", "sgd"}, default "adam"
        The optimiser; "sgd" has momentum 0.9.
    alpha : float, default 0.0
        Weight decay.
    batch_size : int, default 32
        The number of sequences in a batch.
    learning_rate : {"one_cycle", "constant", "adaptive"}, default "one_cycle"
        "one_cycle" rises to ``learning_rate_init`` and falls to almost 0 within ``max_iter``
        epochs. "adaptive" divides the rate by 5 when the loss stops falling.
    learning_rate_init : float, default 0.01
        The learning rate; the largest one with "one_cycle".
    max_iter : int, default 30
        The largest number of epochs.
    shuffle : bool, default True
        Whether each epoch has the sequences in another order.
    random_state : int, RandomState or None, default None
        Draws the initial weights, the order, what is dropped, and the held-out sequences.
    tol : float, default 1e-4
        The least change of the loss, or of the held-out score, that is an improvement.
    verbose : bool, default False
        Whether each epoch prints its loss.
    warm_start : bool, default False
        Whether `fit` continues from the weights of the fit before.
    early_stopping : bool, default False
        Whether training stops when the score of held-out sequences stops rising. The best weights
        are kept; of equal scores those with the smaller loss.
    validation_fraction : float, default 0.1
        The share of sequences that are held out for ``early_stopping``.
    n_iter_no_change : int, default 10
        The number of epochs without an improvement after which training stops.
    clip_grad_norm : float or None, default 1.0
        The largest norm of the gradients.
    standardize : bool, default True
        Whether features are brought to mean 0 and standard deviation 1, over all time steps of the
        training sequences.
    dtype : {"float32", "float64"}, default "float32"
        What the network computes in.

    Attributes
    ----------
    n_outputs_ : int
        The number of targets of a sequence or step.
    model_ : Sequential
        The network, in eval mode. It takes and gives standardised numbers.
    scaler_, target_scaler_ : Scaler
        ``mean`` and ``scale`` of the features, and of the targets.
    loss_curve_ : list of float
        The loss of each epoch, of standardised targets.
    loss_, best_loss_ : float
        The last loss, and the smallest one.
    validation_scores_ : list of float or None
        R² of the held-out sequences after each epoch, with ``early_stopping``.
    best_validation_score_ : float or None
        R² with the weights that were kept.
    n_iter_ : int
        The number of epochs.
    n_features_in_ : int
        The number of features; of a table, the number of its columns.

    Notes
    -----
    X is an array (N, T, features), or a list of N arrays (T_i, features), or of (T_i,). A table
    (N, T), as most of scikit-learn takes, is read as N sequences of one feature: each row from left
    to right.

    y has numbers for each sequence, (N,) or (N, K); or for each time step, as an array (N, T, K) or
    a list of N arrays (T_i,) or (T_i, K), and so have predictions then. An array (N, T) means T
    numbers for each sequence.

    The same ``random_state`` gives the same bits, for any number of threads. A worker of joblib
    uses one thread, or as many as joblib allows a worker process (``inner_max_num_threads``), or
    what the environment variable PYRNN_NUM_THREADS says.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.sklearn import RNNRegressor
    >>> generator = np.random.default_rng(0)
    >>> X = [generator.standard_normal((length, 2)) for length in generator.integers(5, 20, 80)]
    >>> y = np.array([x[:, 0].mean() for x in X])
    >>> regressor = RNNRegressor(hidden_size=16, random_state=0).fit(X, y)
    >>> regressor.score(X, y) > 0.7
    True
    """

    def __init__(
        self,
        cell: str = "gru",
        hidden_size: int = 64,
        num_layers: int = 1,
        *,
        loss: str = "squared_error",
        bidirectional: bool = True,
        pooling: str = "last",
        dropout: float = 0.0,
        solver: str = "adam",
        alpha: float = 0.0,
        batch_size: int = 32,
        learning_rate: str = "one_cycle",
        learning_rate_init: float = 0.01,
        max_iter: int = 30,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        clip_grad_norm: float | None = 1.0,
        standardize: bool = True,
        dtype: str = "float32",
    ) -> None:
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.loss = loss
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.dropout = dropout
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.clip_grad_norm = clip_grad_norm
        self.standardize = standardize
        self.dtype = dtype

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> RNNRegressor:
        """Train on sequences and their targets.

        Parameters
        ----------
        X : array or list of arrays
            The sequences, (N, T, features), or a list of (T_i, features); or a table (N, T).
        y : array or list of arrays
            Targets of each sequence, (N,) or (N, K); or of each time step, (N, T, K) or a list of
            (T_i,) or (T_i, K).
        sample_weight : array, optional
            The weight of each sequence in the loss, (N,). Sequences of weight 0 are left out.

        Returns
        -------
        RNNRegressor
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            If an argument or a parameter has a wrong type, shape or value.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNRegressor
        >>> X = np.random.default_rng(0).standard_normal((40, 6, 1))
        >>> y = X.cumsum(axis=1)  # a target for each step
        >>> RNNRegressor(hidden_size=8, random_state=0).fit(X, y).predict(X).shape
        (40, 6, 1)
        """
        return self._learn(X, y, sample_weight, incremental=False)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> RNNRegressor:
        """Train for one epoch on some sequences, starting from the present weights.

        Parameters
        ----------
        X : array or list of arrays
            The sequences, (N, T, features), or a list of (T_i, features); or a table (N, T).
        y : array or list of arrays
            Targets of each sequence, (N,) or (N, K); or of each time step, (N, T, K) or a list of
            (T_i,) or (T_i, K).
        sample_weight : array, optional
            The weight of each sequence in the loss, (N,). Sequences of weight 0 are left out.

        Returns
        -------
        RNNRegressor
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            If an argument or a parameter has a wrong type, shape or value.

        Notes
        -----
        Features and targets are standardised as the first call found them. The learning rate is
        constant, and nothing is held out.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNRegressor
        >>> X = np.random.default_rng(0).standard_normal((40, 6, 1))
        >>> regressor = RNNRegressor(hidden_size=8, random_state=0)
        >>> for _ in range(3):
        ...     regressor = regressor.partial_fit(X, X.mean(axis=(1, 2)))
        >>> regressor.n_iter_
        3
        """
        return self._learn(X, y, sample_weight, incremental=True)

    def _learn(self, X: Any, y: Any, sample_weight: Any, *, incremental: bool) -> RNNRegressor:
        loss = LOSSES[_checks.choice("loss", self.loss, LOSSES)]
        continues = self._continues(incremental)
        sequences = read_sequences(self, X, reset=not continues)
        numbers, each_step = read_numbers(self, y, sequences)
        weights = read_weights(sample_weight, len(sequences.lengths))
        rows = np.flatnonzero(weights)
        sequences, numbers, weights = sequences.take(rows), taken(numbers, rows), weights[rows]
        columns = _as_columns(numbers)
        outputs = (columns if isinstance(columns, np.ndarray) else columns[0]).shape[-1]
        if not continues:
            self.target_scaler_: Scaler = no_scaler(outputs)
            if self.standardize:
                self.target_scaler_ = scaler_of(columns, weights)
            self._flat = (numbers if isinstance(numbers, np.ndarray) else numbers[0]).ndim == 1
            self.n_outputs_: int = outputs
        elif outputs != self.n_outputs_:
            raise ValueError(f"y: expected {self.n_outputs_} targets as before, got {outputs}")
        self._train(
            Examples(sequences, self.target_scaler_.apply(columns, self.dtype), weights),
            each_step,
            outputs,
            loss,
            incremental=incremental,
            score=self._r2,
            labels=numbers,
            stratify=False,
        )
        return self

    # --- use --------------------------------------------------------------------------------

    def predict(self, X: Any) -> Any:
        """Return the numbers of each sequence, or of each time step.

        Parameters
        ----------
        X : array or list of arrays
            The sequences, (N, T, features), or a list of (T_i, features); or a table (N, T).

        Returns
        -------
        array or list of arrays
            (N,) or (N, K), as the targets of the training were. If these were for each time step:
            (N, T) or (N, T, K) for an array, a list of (T_i,) or (T_i, K) for a list.

        Raises
        ------
        TypeError, ValueError
            If X has a wrong type, shape or value.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNRegressor
        >>> X = np.random.default_rng(0).standard_normal((40, 6, 1))
        >>> y = np.stack([X.mean(axis=(1, 2)), X.max(axis=(1, 2))], axis=1)
        >>> RNNRegressor(hidden_size=8, random_state=0).fit(X, y).predict(X).shape
        (40, 2)
        """
        return self._predicted(self._read(X))

    def _predicted(self, sequences: Sequences) -> Any:
        outputs = self._outputs_of(sequences)
        if not self._each_step:
            numbers = self.target_scaler_.undo(outputs)
            return numbers[:, 0] if self._flat else numbers
        parts = [self.target_scaler_.undo(part) for part in outputs]
        return stacked([part[:, 0] if self._flat else part for part in parts], sequences)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R², the coefficient of determination; over all time steps if each has targets.

        Parameters
        ----------
        X : array or list of arrays
            The sequences, (N, T, features), or a list of (T_i, features); or a table (N, T).
        y : array or list of arrays
            The true targets, as for `fit`.
        sample_weight : array, optional
            The weight of each sequence, (N,).

        Returns
        -------
        float
            1 at best; 0 if the mean of y would do as well. Several targets have their mean R².

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong type, shape or value.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNRegressor
        >>> X = np.random.default_rng(0).standard_normal((40, 6, 1))
        >>> y = X.mean(axis=(1, 2))
        >>> RNNRegressor(hidden_size=8, random_state=0).fit(X, y).score(X, y) > 0.7
        True
        """
        sequences = self._read(X)
        numbers, each_step = read_numbers(self, y, sequences)
        if each_step != self._each_step:
            each = "step" if self._each_step else "sequence"
            raise ValueError(f"y: expected targets for each {each}, as in the training")
        return self._r2(sequences, numbers, read_weights(sample_weight, len(numbers)))

    def _r2(self, sequences: Sequences, numbers: Any, weights: Any) -> float:
        predicted = self._predicted(sequences)
        if self._each_step:
            weights = np.repeat(weights, sequences.lengths)
            numbers, predicted = joined(numbers), joined(predicted)
        return float(r2_score(numbers, predicted, sample_weight=weights))


def _as_columns(numbers: Any) -> Any:
    """(N, K), or a list of (T_i, K), where K may be left out."""
    if isinstance(numbers, np.ndarray):
        return numbers[:, None] if numbers.ndim == 1 else numbers
    return [part[:, None] if part.ndim == 1 else part for part in numbers]
