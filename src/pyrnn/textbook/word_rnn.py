"""A language model over words: embedding E, recurrence U, W, ba, softmax over V s + by.

A sentence is a sequence of word indices. Arrays hold one time step per column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks, _warnings
from pyrnn._types import Array, Indices
from pyrnn.backend import selection
from pyrnn.parameters import dictionary
from pyrnn.textbook import _layout, _output
from pyrnn.textbook._elman import core_parameters
from pyrnn.textbook._layout import Shape
from pyrnn.training.divergence import (
    JUDGED,
    DivergenceError,
    check_loss,
    check_weights,
    warn_if_worse,
    worse_than_a_guess,
)

_SHAPES: dict[str, Shape] = {
    "E": ("embedding", "vocabulary"),
    "U": ("hidden", "embedding"),
    "W": ("hidden", "hidden"),
    "V": ("vocabulary", "hidden"),
    "ba": ("hidden", 1),
    "by": ("vocabulary", 1),
}


class _Weights(NamedTuple):
    """The parameters in the core's layout: E transposed, biases without their second axis."""

    E: Array
    U: Array
    W: Array
    V: Array
    ba: Array
    by: Array


def initialize_parameters(
    vocabulary_size: int, embedding_size: int, hidden_size: int, seed: int | None = 0
) -> dict[str, Array]:
    """Draw initial parameters, uniform in ±1/√n, where n is the number of a matrix's columns.

    Parameters
    ----------
    vocabulary_size, embedding_size, hidden_size : int
        Sizes of the model.
    seed : int or None, default 0
        Seed of the random generator. None: another draw at each call.

    Returns
    -------
    dict
        ``E`` (embedding, vocabulary), ``U`` (hidden, embedding), ``W`` (hidden, hidden), ``V``
        (vocabulary, hidden), and zeros ``ba`` (hidden, 1) and ``by`` (vocabulary, 1), float64.

    Raises
    ------
    TypeError, ValueError
        If a size is not a whole number of at least 1.

    Notes
    -----
    Source of the range: D. Britz, "Recurrent neural networks tutorial, part 2", 2015.

    Examples
    --------
    >>> from pyrnn.textbook import word_rnn
    >>> parameters = word_rnn.initialize_parameters(20, 4, 8)
    >>> parameters["E"].shape, parameters["V"].shape
    ((4, 20), (20, 8))
    """
    sizes = {
        "vocabulary": _checks.size("vocabulary_size", vocabulary_size),
        "embedding": _checks.size("embedding_size", embedding_size),
        "hidden": _checks.size("hidden_size", hidden_size),
    }
    generator = dictionary.random_generator(seed)
    parameters: dict[str, Array] = {}
    for name, letters in _SHAPES.items():
        shape = tuple(sizes[n] if isinstance(n, str) else n for n in letters)
        bound = 0.0 if name in ("ba", "by") else 1 / math.sqrt(shape[1])
        parameters[name] = generator.uniform(-bound, bound, _checks.parameter_shape(name, shape))
    return parameters


def forward(words: npt.ArrayLike, parameters: Mapping[str, npt.ArrayLike]) -> tuple[Array, Array]:
    """Predict, after each word of a sentence, the next one.

    Parameters
    ----------
    words : array of int
        T indices in [0, vocabulary).
    parameters : dict
        ``E`` (embedding, vocabulary), ``U`` (hidden, embedding), ``W`` (hidden, hidden), ``V``
        (vocabulary, hidden), ``ba`` (hidden, 1) and ``by`` (vocabulary, 1), float32 or float64.

    Returns
    -------
    probabilities : array
        (vocabulary, T); column t is the distribution of the word after word t.
    states : array
        (hidden, T); the state before the first word is zero.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If there is no word, a word is out of range, or a parameter has a wrong dtype or shape.

    Notes
    -----
    ``s_t = tanh(U E[:, word t] + W s_{t-1} + ba)``, ``softmax(V s_t + by)``. Source: T. Mikolov et
    al., "Recurrent neural network based language model", Interspeech 2010.

    Examples
    --------
    >>> from pyrnn.textbook import word_rnn
    >>> parameters = word_rnn.initialize_parameters(20, 4, 8)
    >>> probabilities, states = word_rnn.forward([3, 1, 4], parameters)
    >>> probabilities.shape, states.shape
    ((20, 3), (8, 3))
    """
    weights = _weights(parameters)
    indices = _word_indices("words", words, len(weights.E), least=1)
    states, _ = _run(indices, weights, keep=False)
    probabilities = _output.predictions(states[:, None], weights.V, weights.by[:, None])
    return probabilities[:, 0], _layout.flip(states)


def loss_and_gradients(
    words: npt.ArrayLike,
    parameters: Mapping[str, npt.ArrayLike],
    bptt_truncate: int | None = None,
) -> tuple[float, dict[str, Array]]:
    """Compute the loss of one sentence in bits per predicted word, and its gradients.

    Parameters
    ----------
    words : array of int
        T + 1 indices: the first T are read, the last T are predicted.
    parameters : dict
        ``E`` (embedding, vocabulary), ``U`` (hidden, embedding), ``W`` (hidden, hidden), ``V``
        (vocabulary, hidden), ``ba`` (hidden, 1) and ``by`` (vocabulary, 1), float32 or float64.
    bptt_truncate : int, optional
        Each word's loss is back-propagated through at most this many time steps, its own included;
        the state before them counts as constant. None: through all.

    Returns
    -------
    loss : float
        Cross-entropy in bits (log2), averaged over the T predicted words.
    gradients : dict
        Its gradients ``dE``, ``dU``, ``dW``, ``dV``, ``dba``, ``dby``, shaped as the parameters.
        The columns of ``dE`` of words that were not read are zero.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If there are fewer than two words, a word is out of range, ``bptt_truncate`` is less than
        1, or a parameter has a wrong dtype or shape.

    Notes
    -----
    The truncation is TBPTT(1, k): for word t, gradients flow to the steps t, t−1, ..., t−k+1, for
    every t separately. These are not chunks of k steps. Source: Williams, Peng,
    "An efficient gradient-based algorithm for on-line training of recurrent network trajectories",
    Neural Computation 2, 1990.

    Examples
    --------
    >>> from pyrnn.textbook import word_rnn
    >>> parameters = word_rnn.initialize_parameters(16, 4, 8)
    >>> parameters["V"][:] = 0
    >>> loss, gradients = word_rnn.loss_and_gradients([3, 1, 4, 1], parameters, bptt_truncate=2)
    >>> round(loss, 6), gradients["dE"].shape
    (4.0, (4, 16))
    """
    weights = _weights(parameters)
    indices = _word_indices("words", words, len(weights.E), least=2)
    loss, grads = _gradients(indices, weights, _window(bptt_truncate))
    return loss, {
        "dE": _layout.flip(grads.E),
        "dU": grads.U,
        "dW": grads.W,
        "dV": grads.V,
        "dba": grads.ba[:, None],
        "dby": grads.by[:, None],
    }


def train(
    sentences: Sequence[npt.ArrayLike],
    parameters: MutableMapping[str, Array],
    learning_rate: float = 0.005,
    epochs: int = 100,
    bptt_truncate: int | None = None,
    halve_on_rise: bool = False,
) -> list[float]:
    """Train by stochastic gradient descent, with one step per sentence, in the given order.

    Parameters
    ----------
    sentences : sequence of arrays of int
        The sentences as word indices, each of two words or more.
    parameters : dict
        ``E`` (embedding, vocabulary), ``U`` (hidden, embedding), ``W`` (hidden, hidden), ``V``
        (vocabulary, hidden), ``ba`` (hidden, 1) and ``by`` (vocabulary, 1), float32 or float64. The
        arrays must be writeable: they are updated in place, also when training is interrupted.
    learning_rate : float, default 0.005
        Factor of the gradient of a sentence's loss, in bits per word, in each step.
    epochs : int, default 100
        The number of passes over all sentences.
    bptt_truncate : int, optional
        Each word's loss is back-propagated through at most this many time steps, its own included.
        None: through all.
    halve_on_rise : bool, default False
        Whether to halve the learning rate after an epoch whose loss is above that of the epoch
        before.

    Returns
    -------
    list of float
        The loss of each epoch in bits per predicted word, over all sentences, each measured before
        the step on it.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If there is no sentence, one is too short or has a word out of range, another argument has
        a wrong dtype, shape or value, or training diverges (the loss or a parameter is no longer
        finite). Nothing has changed then.

    Warns
    -----
    UserWarning
        If the result predicts about the last 4096 words worse than a uniform guess, and worse than
        the parameters did before.

    Notes
    -----
    Source: D. Britz, "Recurrent neural networks tutorial, part 2", 2015.

    Examples
    --------
    >>> from pyrnn.textbook import word_rnn
    >>> parameters = word_rnn.initialize_parameters(5, 4, 8)
    >>> losses = word_rnn.train([[0, 1, 2, 3, 4]], parameters, learning_rate=0.5, epochs=100)
    >>> losses[-1] < 0.1 < losses[0]
    True
    """
    weights = _Weights(*(array.copy() for array in _weights(parameters)))
    targets = _writeable(parameters)
    data = _sentence_indices(sentences, len(weights.E))
    rate = _checks.finite_number("learning_rate", learning_rate, 0.0)
    halve_on_rise = _checks.flag("halve_on_rise", halve_on_rise)
    epochs = _checks.size("epochs", epochs, 0, _checks.MAX_COUNT)
    window = _window(bptt_truncate)
    losses: list[float] = []
    try:
        for _ in range(epochs):
            losses.append(_epoch(data, weights, rate, window))
            if halve_on_rise and len(losses) > 1 and losses[-1] > losses[-2]:
                rate /= 2
        check_weights("learning_rate", rate, weights)
        reason = _judge(data, _weights(parameters), weights, rate) if epochs else ""
    except DivergenceError:
        raise
    except BaseException:
        _update(targets, weights)
        raise
    _update(targets, weights)
    warn_if_worse("learning_rate", rate, reason)
    return losses


def _judge(data: Sequence[Indices], before: _Weights, after: _Weights, rate: float) -> str:
    """Say how what was learned is worse than a guess, if so; raise if its loss is not finite."""
    count, words = 0, 0
    while count < len(data) and words < JUDGED:
        count += 1
        words += len(data[-count])
    judged = data[-count:]
    bits = _bits(judged, after)
    check_loss("learning_rate", rate, bits, len(data))
    return worse_than_a_guess(bits, len(after.E), lambda: _bits(judged, before))


def _bits(data: Sequence[Indices], weights: _Weights) -> float:
    """Bits per predicted word over sentences."""
    backend = selection.current()
    nats, predicted = 0.0, 0
    with _warnings.unwarned():
        for indices in data:
            states, _ = _run(indices[:-1], weights, keep=False)
            logits = backend.linear(states, weights.V, weights.by)
            nats += backend.softmax_cross_entropy(logits, indices[1:])[0]
            predicted += len(indices) - 1
    return nats / (math.log(2) * predicted)


def _update(targets: Sequence[Array], weights: _Weights) -> None:
    for target, array in zip(targets, weights, strict=True):
        target[...] = array.reshape(array.shape[0], -1)


def _epoch(data: Sequence[Indices], weights: _Weights, rate: float, window: int | None) -> float:
    """Make one step per sentence; return the bits per predicted word over all of them."""
    sgd = selection.current().sgd
    bits, predicted = 0.0, 0
    for number, indices in enumerate(data, 1):
        with np.errstate(over="ignore", invalid="ignore"):  # the loss is checked below
            loss, grads = _gradients(indices, weights, window)
            sgd(weights, grads, None, lr=rate, momentum=0.0, nesterov=False, weight_decay=0.0)
        check_loss("learning_rate", rate, loss, number)
        bits += loss * (len(indices) - 1)
        predicted += len(indices) - 1
    return bits / predicted


def _run(indices: Indices, weights: _Weights, keep: bool) -> tuple[Array, Any]:
    """Return the states as rows (T, hidden), and the backend's cache."""
    backend = selection.current()
    packed = backend.pack("rnn_tanh", core_parameters(weights.U, weights.W, weights.ba))
    embedded = backend.embedding(indices, weights.E)
    y, _, saved = backend.forward(packed, embedded[:, None], None, keep=keep)
    return y[:, 0], saved


def _gradients(indices: Indices, weights: _Weights, window: int | None) -> tuple[float, _Weights]:
    """Return the loss in bits per word, and its gradients in the core's layout."""
    backend = selection.current()
    inputs, targets = indices[:-1], indices[1:]
    states, saved = _run(inputs, weights, keep=True)
    logits = backend.linear(states, weights.V, weights.by)
    nats, dlogits = backend.softmax_cross_entropy(logits, targets)
    bits_per_nat_and_word = 1 / (math.log(2) * len(targets))
    backend.scale([dlogits], bits_per_nat_and_word)
    dstates, dweight, dbias = backend.linear_backward(states, weights.V, dlogits)
    dy = dstates[:, None]
    if window is None:
        dx, _, grads = backend.backward(saved, dy, None)
    else:
        dx, (grads,) = backend.backward_windows([saved], dy, 1, min(window, len(dy)), [None])
    assert dx is not None
    dembedding = backend.embedding_backward(inputs, dx[:, 0], len(weights.E))
    return nats * bits_per_nat_and_word, _Weights(
        dembedding, grads["weight_ih"], grads["weight_hh"], dweight, grads["bias_ih"], dbias
    )


def _weights(parameters: Mapping[str, npt.ArrayLike]) -> _Weights:
    arrays = _layout.arguments({}, parameters, _SHAPES)
    return _Weights(
        _layout.flip(arrays["E"]),
        arrays["U"],
        arrays["W"],
        arrays["V"],
        arrays["ba"][:, 0],
        arrays["by"][:, 0],
    )


def _writeable(parameters: Mapping[str, Array]) -> list[Array]:
    """Return the arrays that training updates, in the layout of `_Weights` (biases (n, 1))."""
    arrays = [parameters[name] for name in _SHAPES]
    for name, array in zip(_SHAPES, arrays, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            kind = getattr(array, "dtype", type(array).__name__)
            raise TypeError(f"{name}: expected a float array to update in place, got {kind}")
        if not array.flags.writeable:
            raise ValueError(
                f"{name}: expected an array that can be written to, got a read-only one"
            )
    return [arrays[0].T, *arrays[1:]]


def _word_indices(name: str, words: npt.ArrayLike, vocabulary_size: int, least: int) -> Indices:
    array = _checks.as_array(name, words)
    if array.ndim != 1 or len(array) < least:
        noun = "word index" if least == 1 else "word indices"
        raise ValueError(
            f"{name}: expected a sequence of at least {least} {noun}, got shape {array.shape}"
        )
    return _checks.index_array(name, array, vocabulary_size)


def _sentence_indices(sentences: Sequence[npt.ArrayLike], vocabulary_size: int) -> list[Indices]:
    if isinstance(sentences, str) or not np.iterable(sentences):
        shown = _checks.shown(sentences)
        raise TypeError(f"sentences: expected a sequence of arrays, got {shown}")
    data = [
        _word_indices(f"sentences[{n}]", sentence, vocabulary_size, least=2)
        for n, sentence in enumerate(sentences)
    ]
    if not data:
        raise ValueError("sentences: expected at least one sentence, got none")
    return data


def _window(bptt_truncate: int | None) -> int | None:
    return None if bptt_truncate is None else _checks.size("bptt_truncate", bptt_truncate)
