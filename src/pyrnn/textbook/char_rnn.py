"""A language model over characters in the notation of min-char-rnn: Wxh, Whh, Why, bh, by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks, _warnings
from pyrnn._types import Array, Indices
from pyrnn.backend import selection
from pyrnn.reference.activations import softmax
from pyrnn.textbook import _layout
from pyrnn.textbook._elman import core_parameters
from pyrnn.textbook._layout import Shape
from pyrnn.textbook._output import indices_of_one_hot
from pyrnn.training.divergence import (
    JUDGED,
    check_loss,
    check_usable,
    check_weights,
    warn_if_worse,
    worse_than_a_guess,
)

_SHAPES: dict[str, Shape] = {
    "Wxh": ("hidden", "vocabulary"),
    "Whh": ("hidden", "hidden"),
    "Why": ("vocabulary", "hidden"),
    "bh": ("hidden", 1),
    "by": ("vocabulary", 1),
}


class _Weights(NamedTuple):
    """The parameters in the core's layout: biases without their second axis."""

    Wxh: Array
    Whh: Array
    Why: Array
    bh: Array
    by: Array

    def packed(self, follow: bool = False) -> Any:
        """Pack the recurrent part for the active backend; see `Backend.pack`."""
        parameters = core_parameters(self.Wxh, self.Whh, self.bh)
        return selection.current().pack("rnn_tanh", parameters, follow=follow)


def loss_fun(
    inputs: npt.ArrayLike,
    targets: npt.ArrayLike,
    hprev: npt.ArrayLike,
    parameters: Mapping[str, npt.ArrayLike],
    clip: float | None = 5.0,
) -> tuple[float, Array, Array, Array, Array, Array, Array]:
    """Compute the loss of a window of text, its gradients, and the state after it.

    Parameters
    ----------
    inputs, targets : sequence of int, or array
        T characters each: those to read and those to predict, as indices in [0, vocabulary), or as
        one-hot rows (T, vocabulary) or columns (T, vocabulary, 1), as the article makes them.
    hprev : array
        The hidden state before the window, (hidden, 1), float32 or float64.
    parameters : dict
        ``Wxh`` (hidden, vocabulary), ``Whh`` (hidden, hidden), ``Why`` (vocabulary, hidden), ``bh``
        (hidden, 1) and ``by`` (vocabulary, 1), float32 or float64.
    clip : float or None, default 5.0
        Each element of a gradient is clipped to [-clip, clip]. None: no clipping.

    Returns
    -------
    loss : float
        Cross-entropy in nats, summed over the T characters.
    dWxh, dWhh, dWhy, dbh, dby : array
        Its gradients, shaped as the parameters. The state before the window counts as constant.
    hprev : array
        The hidden state after the window, (hidden, 1).

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If there is no character, one is out of range, inputs and targets differ in length, or an
        array has a wrong dtype or shape.

    Notes
    -----
    ``h_t = tanh(Wxh x_t + Whh h_{t-1} + bh)``, ``softmax(Why h_t + by)``, x_t one-hot. Source: A.
    Karpathy, "Minimal character-level language model with a vanilla recurrent neural network",
    2015.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook import char_rnn
    >>> parameters, vocabulary = char_rnn.train("hello", steps=0)
    >>> loss, dWxh, dWhh, dWhy, dbh, dby, hprev = char_rnn.loss_fun(
    ...     [1, 0, 2, 2], [0, 2, 2, 3], np.zeros((100, 1)), parameters
    ... )
    >>> round(loss, 1), dWxh.shape, hprev.shape
    (5.5, (100, 4), (100, 1))
    """
    arrays = _layout.arguments({"hprev": (hprev, ("hidden", 1))}, parameters, _SHAPES)
    weights = _weights(arrays)
    x = _character_indices("inputs", inputs, len(weights.Why))
    y = _character_indices("targets", targets, len(weights.Why))
    if len(x) != len(y):
        raise ValueError(f"targets: expected {len(x)} characters as in inputs, got {len(y)}")
    limit = None if clip is None else _checks.finite_number("clip", clip, 0.0)
    loss, grads, state = _gradients(
        x, y, _layout.flip(arrays["hprev"]), weights, weights.packed(), limit
    )
    dbh, dby = grads.bh[:, None], grads.by[:, None]
    return loss, grads.Wxh, grads.Whh, grads.Why, dbh, dby, _layout.flip(state)


def train(
    text: str,
    hidden_size: int = 100,
    seq_length: int = 25,
    steps: int = 1000,
    learning_rate: float = 0.1,
    seed: int = 0,
    *,
    clip: float | None = 5.0,
    dtype: npt.DTypeLike = "float64",
    callback: Callable[[int, float], object] | None = None,
) -> tuple[dict[str, Array], str]:
    """Train on a text with Adagrad, window by window, with the state carried along.

    Parameters
    ----------
    text : str
        The text, of two characters or more.
    hidden_size : int, default 100
        Size of the hidden state.
    seq_length : int, default 25
        Characters per window; in a shorter text, all but the last. At the end of the text, training
        restarts at its beginning with a zero state.
    steps : int, default 1000
        The number of training steps, one window each.
    learning_rate : float, default 0.1
        Learning rate of Adagrad.
    seed : int, default 0
        Seed of the initial weights, which are those of ``np.random.seed(seed)`` and
        ``np.random.randn(...) * 0.01`` for Wxh, Whh and Why in this order. The biases are zero.
    clip : float or None, default 5.0
        Each element of a gradient is clipped to [-clip, clip]. None: no clipping.
    dtype : {"float64", "float32"}
        The dtype of all arrays; min-char-rnn's is float64.
    callback : callable, optional
        Called after each step as ``callback(steps_done, loss)``, the loss of its window in nats.

    Returns
    -------
    parameters : dict
        The trained ``Wxh``, ``Whh``, ``Why``, ``bh``, ``by``, as `loss_fun` takes them.
    vocabulary : str
        The distinct characters of the text, sorted. The index of a character is its position here.

    Raises
    ------
    TypeError, ValueError
        If the text is too short, another argument has a wrong type or value, or training diverges
        (the loss or a weight is no longer finite).

    Warns
    -----
    UserWarning
        If the result predicts the last 4096 characters that were read worse than a uniform guess,
        and worse than the initial weights did.

    Notes
    -----
    Adagrad here is min-char-rnn's ``g / sqrt(sum of squares + 1e-8)``. Sources: A. Karpathy,
    "Minimal character-level language model with a vanilla recurrent neural network", 2015; Duchi,
    Hazan, Singer, "Adaptive subgradient methods", JMLR 12, 2011.

    Examples
    --------
    >>> from pyrnn.textbook import char_rnn
    >>> parameters, vocabulary = char_rnn.train("hello", hidden_size=20, steps=200)
    >>> vocabulary
    'ehlo'
    >>> char_rnn.sample(parameters, vocabulary, "hell", 1, temperature=0)
    'o'
    """
    data, vocabulary = _encode(text)
    hidden_size = _checks.size("hidden_size", hidden_size)
    seq_length = min(_checks.size("seq_length", seq_length), len(data) - 1)
    steps = _checks.size("steps", steps, least=0)
    rate = _checks.finite_number("learning_rate", learning_rate, 0.0)
    limit = None if clip is None else _checks.finite_number("clip", clip, 0.0)
    parameters = _initial(hidden_size, len(vocabulary), seed, _checks.float_dtype(dtype))
    weights = _weights(parameters)
    # The article's 1e-8 is inside the root: the sums start with it and the root adds no epsilon.
    squares = _Weights(*(np.full_like(array, 1e-8) for array in weights))
    zero = np.zeros((1, hidden_size), dtype=weights.Whh.dtype)
    cell = weights.packed(follow=True)
    adagrad = selection.current().adagrad
    position, state = 0, zero
    for step in range(1, steps + 1):
        if position + seq_length + 1 >= len(data):
            position, state = 0, zero
        stop = position + seq_length
        x, y = data[position:stop], data[position + 1 : stop + 1]
        with np.errstate(over="ignore", invalid="ignore"):  # the loss is checked below
            loss, grads, state = _gradients(x, y, state, weights, cell, limit)
            adagrad(weights, grads, squares, lr=rate, eps=0.0, weight_decay=0.0)
        position = stop
        check_loss("learning_rate", rate, loss, step)
        if callback is not None:
            callback(step, loss)
    check_weights("learning_rate", rate, weights)
    if steps:
        read = slice(max(0, position - max(seq_length, JUDGED)), position)

        def bits(judged: _Weights) -> float:
            return _bits(data[read], data[read.start + 1 : read.stop + 1], judged)

        def untrained() -> float:
            return bits(_weights(_initial(hidden_size, len(vocabulary), seed, zero.dtype)))

        needed = bits(weights)
        check_loss("learning_rate", rate, needed, steps)
        reason = worse_than_a_guess(needed, len(vocabulary), untrained)
        warn_if_worse("learning_rate", rate, reason)
    return parameters, vocabulary


def sample(
    parameters: Mapping[str, npt.ArrayLike],
    vocabulary: str,
    prompt: str,
    length: int,
    temperature: float = 1.0,
    seed: int = 0,
) -> str:
    """Continue a prompt, character by character.

    Parameters
    ----------
    parameters : dict
        The parameters that `train` returned.
    vocabulary : str
        The vocabulary that `train` returned.
    prompt : str
        The text to continue: one character or more, all of the vocabulary. It is read from a zero
        state.
    length : int
        The number of characters to generate.
    temperature : float, default 1.0
        Divisor of the logits: below 1, likely characters become likelier; at 0, the likeliest
        character is taken each time.
    seed : int, default 0
        Seed of the random draws.

    Returns
    -------
    str
        The generated ``length`` characters, without the prompt.

    Raises
    ------
    KeyError
        If a parameter is missing.
    TypeError, ValueError
        If a character of the prompt is not in the vocabulary, a score is NaN or infinite, or an
        argument has a wrong type, shape or value.

    Examples
    --------
    >>> from pyrnn.textbook import char_rnn
    >>> parameters, vocabulary = char_rnn.train("hello", hidden_size=20, steps=200)
    >>> char_rnn.sample(parameters, vocabulary, "h", 4, temperature=0)
    'ello'
    """
    weights = _weights(_layout.arguments({}, parameters, _SHAPES))
    index_of = _vocabulary_index(vocabulary, len(weights.Why))
    indices = _prompt_indices(prompt, index_of)
    length = _checks.size("length", length, 0, _checks.MAX_COUNT)
    temperature = _checks.finite_number("temperature", temperature, 0.0)
    generator = np.random.default_rng(_checks.size("seed", seed, least=0))
    check_usable(weights._asdict())
    backend = selection.current()
    cell, output = weights.packed(), backend.pack_linear(weights.Why, weights.by)
    state = np.zeros((1, len(weights.Whh)), dtype=weights.Whh.dtype)
    characters: list[str] = []
    for _ in range(length):
        _, (state,), _ = backend.forward(cell, indices[:, None], (state,))
        logits = output(state)[0]
        check_usable({"the scores": logits})
        index = _draw(logits.astype(np.float64), temperature, generator)
        characters.append(vocabulary[index])
        indices = np.array([index], dtype=np.intp)
    return "".join(characters)


def _gradients(
    inputs: Indices,
    targets: Indices,
    state: Array,
    weights: _Weights,
    cell: Any,
    limit: float | None,
) -> tuple[float, _Weights, Array]:
    """Return the loss in nats, the clipped gradients, and the state after, in the core's layout.

    ``cell`` is the recurrent part of the weights, packed.
    """
    backend = selection.current()
    y, (after,), saved = backend.forward(cell, inputs[:, None], (state,), keep=True)
    states = y[:, 0]
    logits = backend.linear(states, weights.Why, weights.by)
    loss, dlogits = backend.softmax_cross_entropy(logits, targets)
    dstates, dWhy, dby = backend.linear_backward(states, weights.Why, dlogits)
    _, _, dcell = backend.backward(saved, dstates[:, None], None)
    grads = _Weights(dcell["weight_ih"], dcell["weight_hh"], dWhy, dcell["bias_ih"], dby)
    if limit is not None:
        backend.clip(grads, limit)
    return loss, grads, after


def _bits(inputs: Indices, targets: Indices, weights: _Weights) -> float:
    """Bits per character of a piece of text, read from a state of zero."""
    backend = selection.current()
    with _warnings.unwarned():
        y, _, _ = backend.forward(weights.packed(), inputs[:, None], None)
        logits = backend.linear(y[:, 0], weights.Why, weights.by)
        loss, _ = backend.softmax_cross_entropy(logits, targets)
    return loss / (math.log(2) * len(targets))


def _initial(
    hidden_size: int, vocabulary_size: int, seed: int, dtype: np.dtype[Any]
) -> dict[str, Array]:
    # The articles' generator, so that a reader's own loop can start from the same weights. It takes
    # seeds above 32 bits only as a list of 32-bit words.
    number = _checks.size("seed", seed, least=0)
    words = [number >> shift & 0xFFFFFFFF for shift in range(0, number.bit_length(), 32)]
    randn = np.random.RandomState(words if len(words) > 1 else number).randn
    sizes = {"hidden": hidden_size, "vocabulary": vocabulary_size}
    parameters: dict[str, Array] = {}
    for name, letters in _SHAPES.items():
        shape = tuple(sizes[n] if isinstance(n, str) else n for n in letters)
        _checks.parameter_shape(name, shape)
        values = np.zeros(shape) if name in ("bh", "by") else randn(*shape) * 0.01
        parameters[name] = values.astype(dtype)
    return parameters


def _weights(arrays: Mapping[str, Array]) -> _Weights:
    """Views of the parameters, so that an optimiser's step on them reaches the user's arrays."""
    return _Weights(
        arrays["Wxh"], arrays["Whh"], arrays["Why"], arrays["bh"][:, 0], arrays["by"][:, 0]
    )


def _encode(text: str) -> tuple[Indices, str]:
    """Return a text as indices, and its vocabulary."""
    if not isinstance(text, str):
        raise TypeError(f"text: expected a str, got {type(text).__name__}")
    if len(text) < 2:
        raise ValueError(f"text: expected at least 2 characters, got {len(text)}")
    vocabulary = "".join(sorted(set(text)))
    index_of = {character: index for index, character in enumerate(vocabulary)}
    return np.array([index_of[character] for character in text], dtype=np.intp), vocabulary


def _vocabulary_index(vocabulary: str, size: int) -> dict[str, int]:
    if not isinstance(vocabulary, str):
        raise TypeError(f"vocabulary: expected a str, got {type(vocabulary).__name__}")
    index_of = {character: index for index, character in enumerate(vocabulary)}
    if len(vocabulary) != size or len(index_of) != size:
        raise ValueError(
            f"vocabulary: expected {size} different characters, as the parameters have, "
            f"got {len(index_of)} in a str of {len(vocabulary)}"
        )
    return index_of


def _prompt_indices(prompt: str, index_of: Mapping[str, int]) -> Indices:
    if not isinstance(prompt, str):
        raise TypeError(f"prompt: expected a str, got {type(prompt).__name__}")
    if not prompt:
        raise ValueError("prompt: expected at least one character, got none")
    unknown = sorted(set(prompt) - index_of.keys())
    if unknown:
        raise ValueError(
            f"prompt: expected characters of the vocabulary {''.join(index_of)!r}, "
            f"got {', '.join(map(repr, unknown))}"
        )
    return np.array([index_of[character] for character in prompt], dtype=np.intp)


def _character_indices(name: str, values: npt.ArrayLike, vocabulary_size: int) -> Indices:
    if isinstance(values, str):
        raise TypeError(
            f"{name}: expected indices of characters, got str {values!r:.40}; use "
            "[vocabulary.index(c) for c in text]"
        )
    array = _checks.as_array(name, values)
    if array.shape[1:] in ((vocabulary_size,), (vocabulary_size, 1)) and len(array):
        array = indices_of_one_hot(name, array.reshape(-1, vocabulary_size).T, "rows")
    if array.ndim != 1 or not len(array):
        raise ValueError(
            f"{name}: expected a sequence of at least one character index, or one-hot rows (T, "
            f"{vocabulary_size}), got shape {array.shape}"
        )
    return _checks.index_array(name, array, vocabulary_size)


def _draw(logits: Array, temperature: float, generator: np.random.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    # The maximum is subtracted first: then a small temperature can only move the others to -inf.
    with np.errstate(over="ignore"):
        scaled = (logits - logits.max()) / temperature
    return int(generator.choice(len(logits), p=softmax(scaled)))
