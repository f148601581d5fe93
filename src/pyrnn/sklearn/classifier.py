"""`RNNClassifier`: a class for each sequence, or for each of its steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn.backend.probabilities import log_softmax, softmax
from pyrnn.sklearn._base import BaseRNN, Examples, read_weights, taken
from pyrnn.sklearn._sequences import Sequences, read_sequences
from pyrnn.sklearn._targets import joined, read_labels, stacked
from pyrnn.training.losses import cross_entropy


@public("pyrnn.sklearn")
class RNNClassifier(ClassifierMixin, BaseRNN):  # type: ignore[misc]
    """Recurrent network that classifies sequences, as a scikit-learn estimator.

    Parameters
    ----------
    cell : {"gru", "lstm", "rnn", "min_gru"}, default "gru"
        The kind of recurrent layer.
    hidden_size : int, default 64
        The number of units of each layer.
    num_layers : int, default 1
        The number of recurrent layers.
    bidirectional : bool, default True
        Whether each layer reads the sequence in both directions. With False, the answer at a step
        does not depend on later steps.
    pooling : {"last", "mean"}, default "last"
        What the class of a sequence is computed from: the last step of the recurrent layer (of each
        direction), or the mean over all steps.
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
    classes_ : array
        The labels, sorted.
    model_ : Sequential
        The network, in eval mode. It takes standardised sequences.
    scaler_ : Scaler
        ``mean`` and ``scale`` of the features.
    loss_curve_ : list of float
        The loss of each epoch.
    loss_, best_loss_ : float
        The last loss, and the smallest one.
    validation_scores_ : list of float or None
        The held-out accuracy after each epoch, with ``early_stopping``.
    best_validation_score_ : float or None
        The accuracy of the weights that were kept.
    n_iter_ : int
        The number of epochs.
    n_features_in_ : int
        The number of features; of a table, the number of its columns.

    Notes
    -----
    X is an array (N, T, features), or a list of N arrays (T_i, features), or of (T_i,). A table
    (N, T), as most of scikit-learn takes, is read as N sequences of one feature: each row from left
    to right.

    y has N labels, one for each sequence; or a label for each time step, as an array (N, T) or a
    list of N arrays (T_i,), and so have predictions then.

    The same ``random_state`` gives the same bits, for any number of threads. A worker of joblib
    uses one thread, or as many as joblib allows a worker process (``inner_max_num_threads``), or
    what the environment variable PYRNN_NUM_THREADS says.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.sklearn import RNNClassifier
    >>> generator = np.random.default_rng(0)
    >>> X = [generator.standard_normal((length, 2)) for length in generator.integers(5, 20, 80)]
    >>> y = np.array(["up" if x[:, 0].sum() > 0 else "down" for x in X])
    >>> classifier = RNNClassifier(hidden_size=16, random_state=0).fit(X, y)
    >>> classifier.score(X, y) > 0.9
    True
    >>> classifier.predict_proba(X[:3]).shape
    (3, 2)
    """

    classes_: npt.NDArray[Any]

    def __init__(
        self,
        cell: str = "gru",
        hidden_size: int = 64,
        num_layers: int = 1,
        *,
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> RNNClassifier:
        """Train on sequences and their labels.

        Parameters
        ----------
        X : array or list of arrays
            The sequences, (N, T, features), or a list of (T_i, features); or a table (N, T).
        y : array or list of arrays
            A label for each sequence, (N,); or for each time step, (N, T) or a list of (T_i,).
        sample_weight : array, optional
            The weight of each sequence in the loss, (N,). Sequences of weight 0 are left out.

        Returns
        -------
        RNNClassifier
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            If an argument or a parameter has a wrong type, shape or value.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNClassifier
        >>> X = np.random.default_rng(0).standard_normal((40, 6, 1))
        >>> y = (X > 0)[..., 0].astype(int)  # a label for each step
        >>> RNNClassifier(hidden_size=8, random_state=0).fit(X, y).predict(X).shape
        (40, 6)
        """
        return self._learn(X, y, sample_weight, None, incremental=False)

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> RNNClassifier:
        """Train for one epoch on some sequences, starting from the present weights.

        Parameters
        ----------
        X : array or list of arrays
            The sequences, (N, T, features), or a list of (T_i, features); or a table (N, T).
        y : array or list of arrays
            A label for each sequence, (N,); or for each time step, (N, T) or a list of (T_i,).
        classes : array, optional
            All labels that may ever occur. Required in the first call.
        sample_weight : array, optional
            The weight of each sequence in the loss, (N,). Sequences of weight 0 are left out.

        Returns
        -------
        RNNClassifier
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            If an argument or a parameter has a wrong type, shape or value, or y has a label that is
            not in ``classes``.

        Notes
        -----
        Features are standardised by the mean and standard deviation of the first call. The learning
        rate is constant, and nothing is held out.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNClassifier
        >>> X = np.random.default_rng(0).standard_normal((40, 6, 1))
        >>> y = (X.sum(axis=(1, 2)) > 0).astype(int)
        >>> classifier = RNNClassifier(hidden_size=8, random_state=0)
        >>> for _ in range(3):
        ...     classifier = classifier.partial_fit(X, y, classes=[0, 1])
        >>> classifier.n_iter_
        3
        """
        if classes is None and not hasattr(self, "classes_"):
            raise ValueError("classes: expected all labels in the first call of partial_fit")
        return self._learn(X, y, sample_weight, classes, incremental=True)

    def _learn(
        self, X: Any, y: Any, sample_weight: Any, classes: Any, *, incremental: bool
    ) -> RNNClassifier:
        continues = self._continues(incremental)
        sequences = read_sequences(self, X, reset=not continues)
        labels, each_step = read_labels(self, y, sequences)
        weights = read_weights(sample_weight, len(sequences.lengths))
        rows = np.flatnonzero(weights)
        sequences, labels = sequences.take(rows), taken(labels, rows)
        found = np.unique(joined(labels) if each_step else labels)
        if continues:
            if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                raise ValueError("classes: expected those of the first call of partial_fit")
        else:
            self.classes_ = found if classes is None else np.unique(classes)
        unknown = np.setdiff1d(found, self.classes_)
        if len(unknown):
            known = "those of the fit before" if classes is None else "those in classes"
            raise ValueError(f"y: expected {known}, got {_checks.shown(unknown.tolist())}")
        self._train(
            Examples(sequences, self._encoded(labels), weights[rows]),
            each_step,
            len(self.classes_),
            cross_entropy,
            incremental=incremental,
            score=self._accuracy,
            labels=labels,
            stratify=not each_step,
        )
        return self

    def _encoded(self, labels: Any) -> Any:
        if isinstance(labels, np.ndarray):
            return np.searchsorted(self.classes_, labels)
        return [np.searchsorted(self.classes_, part) for part in labels]

    # --- use --------------------------------------------------------------------------------

    def predict(self, X: Any) -> Any:
        """Return the most probable class of each sequence, or of each time step.

        Parameters
        ----------
        X : array or list of arrays
            The sequences, (N, T, features), or a list of (T_i, features); or a table (N, T).

        Returns
        -------
        array or list of arrays
            Labels (N,). If the training had a label for each step: (N, T) for an array, a list of
            (T_i,) for a list.

        Raises
        ------
        TypeError, ValueError
            If X has a wrong type, shape or value.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNClassifier
        >>> X = np.random.default_rng(0).standard_normal((40, 6, 1))
        >>> y = np.where(X.sum(axis=(1, 2)) > 0, "up", "down")
        >>> RNNClassifier(hidden_size=8, random_state=0).fit(X, y).predict(X[:1] + 2)
        array(['up'], dtype='<U4')
        """
        sequences = self._read(X)
        return self._predicted(sequences)

    def _predicted(self, sequences: Sequences) -> Any:
        outputs = self._outputs_of(sequences)
        if not self._each_step:
            return self.classes_[outputs.argmax(axis=-1)]
        return stacked([self.classes_[part.argmax(axis=-1)] for part in outputs], sequences)

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class.

        Parameters
        ----------
        X : array or list of arrays
            The sequences, (N, T, features), or a list of (T_i, features); or a table (N, T).

        Returns
        -------
        array or list of arrays
            Probabilities (N, classes), in the order of ``classes_``. If the training had a label
            for each step: (N, T, classes) for an array, a list of (T_i, classes) for a list.

        Raises
        ------
        TypeError, ValueError
            If X has a wrong type, shape or value.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNClassifier
        >>> X = np.random.default_rng(0).standard_normal((40, 6, 1))
        >>> y = (X.sum(axis=(1, 2)) > 0).astype(int)
        >>> probabilities = RNNClassifier(hidden_size=8, random_state=0).fit(X, y).predict_proba(X)
        >>> bool(np.allclose(probabilities.sum(axis=1), 1))
        True
        """
        sequences = self._read(X)
        outputs = self._outputs_of(sequences)
        if not self._each_step:
            return softmax(outputs)
        return stacked([softmax(part) for part in outputs], sequences)

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : array or list of arrays
            The sequences, (N, T, features), or a list of (T_i, features); or a table (N, T).

        Returns
        -------
        array or list of arrays
            In the shape of `predict_proba`, in nats.

        Raises
        ------
        TypeError, ValueError
            If X has a wrong type, shape or value.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNClassifier
        >>> X = np.random.default_rng(0).standard_normal((40, 6, 1))
        >>> y = (X.sum(axis=(1, 2)) > 0).astype(int)
        >>> classifier = RNNClassifier(hidden_size=8, random_state=0).fit(X, y)
        >>> bool((classifier.predict_log_proba(X) <= 0).all())
        True
        """
        sequences = self._read(X)
        outputs = self._outputs_of(sequences)
        if not self._each_step:
            return log_softmax(outputs)
        return stacked([log_softmax(part) for part in outputs], sequences)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of right labels; of all time steps if each has a label.

        Parameters
        ----------
        X : array or list of arrays
            The sequences, (N, T, features), or a list of (T_i, features); or a table (N, T).
        y : array or list of arrays
            The right labels, (N,); or for each time step, (N, T) or a list of (T_i,).
        sample_weight : array, optional
            The weight of each sequence, (N,).

        Returns
        -------
        float
            From 0 to 1.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong type, shape or value.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.sklearn import RNNClassifier
        >>> X = np.random.default_rng(0).standard_normal((40, 6, 1))
        >>> y = (X.sum(axis=(1, 2)) > 0).astype(int)
        >>> RNNClassifier(hidden_size=8, random_state=0).fit(X, y).score(X, y) > 0.8
        True
        """
        sequences = self._read(X)
        labels, each_step = read_labels(self, y, sequences)
        if each_step != self._each_step:
            each = "step" if self._each_step else "sequence"
            raise ValueError(f"y: expected a label for each {each}, as in the training")
        return self._accuracy(sequences, labels, read_weights(sample_weight, len(labels)))

    def _accuracy(self, sequences: Sequences, labels: Any, weights: Any) -> float:
        predicted = self._predicted(sequences)
        if self._each_step:
            weights = np.repeat(weights, sequences.lengths)
            labels, predicted = joined(labels), joined(predicted)
        return float(accuracy_score(labels, predicted, sample_weight=weights))
