"""The character model: min-char-rnn's loss, gradients, training and samples."""

import contextlib
import itertools

import numpy as np
import pytest

from pyrnn.textbook import char_rnn
from pyrnn.training import divergence

NAMES = ("Wxh", "Whh", "Why", "bh", "by")
HIDDEN, VOCABULARY = 5, 4
INPUTS, TARGETS = [1, 0, 2, 2, 3], [0, 2, 2, 3, 1]


def draw(seed=1, scale=0.5):
    generator = np.random.default_rng(seed)
    shapes = {
        "Wxh": (HIDDEN, VOCABULARY),
        "Whh": (HIDDEN, HIDDEN),
        "Why": (VOCABULARY, HIDDEN),
        "bh": (HIDDEN, 1),
        "by": (VOCABULARY, 1),
    }
    parameters = {name: scale * generator.normal(size=shape) for name, shape in shapes.items()}
    return parameters, generator.normal(size=(HIDDEN, 1))


def plain_loss_fun(inputs, targets, hprev, p, clip=5.0):
    """The algorithm with one-hot columns, step by step in NumPy."""
    states, probabilities, loss = [hprev], [], 0.0
    for character, target in zip(inputs, targets, strict=True):
        states.append(np.tanh(p["Wxh"][:, [character]] + p["Whh"] @ states[-1] + p["bh"]))
        exponentials = np.exp(p["Why"] @ states[-1] + p["by"])
        probabilities.append(exponentials / exponentials.sum())
        loss -= np.log(probabilities[-1][target, 0])
    grads = {name: np.zeros_like(array) for name, array in p.items()}
    carried = np.zeros_like(hprev)
    for t in reversed(range(len(inputs))):
        dlogits = probabilities[t].copy()
        dlogits[targets[t]] -= 1
        inside = (p["Why"].T @ dlogits + carried) * (1 - states[t + 1] ** 2)
        carried = p["Whh"].T @ inside
        grads["Why"] += dlogits @ states[t + 1].T
        grads["by"] += dlogits
        grads["Wxh"][:, [inputs[t]]] += inside
        grads["Whh"] += inside @ states[t].T
        grads["bh"] += inside
    if clip is not None:
        grads = {name: np.clip(grad, -clip, clip) for name, grad in grads.items()}
    return loss, *(grads[name] for name in NAMES), states[-1]


def plain_train(text, hidden_size, seq_length, steps, learning_rate, seed):
    """min-char-rnn's loop over windows with its Adagrad."""
    characters = sorted(set(text))
    data = [characters.index(character) for character in text]
    np.random.seed(seed)  # noqa: NPY002
    size = len(characters)
    p = {
        "Wxh": np.random.randn(hidden_size, size) * 0.01,  # noqa: NPY002
        "Whh": np.random.randn(hidden_size, hidden_size) * 0.01,  # noqa: NPY002
        "Why": np.random.randn(size, hidden_size) * 0.01,  # noqa: NPY002
        "bh": np.zeros((hidden_size, 1)),
        "by": np.zeros((size, 1)),
    }
    squares = {name: np.zeros_like(array) for name, array in p.items()}
    position, losses = 0, []
    hprev = np.zeros((hidden_size, 1))
    for _ in range(steps):
        if position + seq_length + 1 >= len(data):
            position, hprev = 0, np.zeros((hidden_size, 1))
        window = data[position : position + seq_length + 1]
        loss, *grads, hprev = plain_loss_fun(window[:-1], window[1:], hprev, p)
        for name, grad in zip(NAMES, grads, strict=True):
            squares[name] += grad * grad
            p[name] -= learning_rate * grad / np.sqrt(squares[name] + 1e-8)
        losses.append(loss)
        position += seq_length
    return p, losses


# --- loss_fun ---------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", [5.0, 0.1, None])
def test_loss_fun_is_the_algorithm(backend, clip):
    parameters, hprev = draw(seed=2, scale=1.5)
    found = char_rnn.loss_fun(INPUTS, TARGETS, hprev, parameters, clip)
    expected = plain_loss_fun(INPUTS, TARGETS, hprev, parameters, clip)
    assert len(found) == 7
    assert isinstance(found[0], float)
    for value, plain in zip(found, expected, strict=True):
        assert np.shape(value) == np.shape(plain)
        np.testing.assert_allclose(value, plain, rtol=0, atol=1e-13)
    if clip == 0.1:
        assert max(np.abs(grad).max() for grad in found[1:6]) == 0.1


def test_gradients_are_those_of_finite_differences(backend, numeric):
    parameters, hprev = draw(seed=3)
    _, *grads, _ = char_rnn.loss_fun(INPUTS, TARGETS, hprev, parameters, clip=None)
    expected = numeric(lambda p: char_rnn.loss_fun(INPUTS, TARGETS, hprev, p)[0], parameters)
    for name, grad in zip(NAMES, grads, strict=True):
        np.testing.assert_allclose(grad, expected[name], rtol=0, atol=2e-8)


def test_windows_follow_each_other(backend):
    parameters, hprev = draw(seed=4)
    whole, *_, last = char_rnn.loss_fun(INPUTS, TARGETS, hprev, parameters)
    first, *_, middle = char_rnn.loss_fun(INPUTS[:2], TARGETS[:2], hprev, parameters)
    second, *_, end = char_rnn.loss_fun(INPUTS[2:], TARGETS[2:], middle, parameters)
    assert first + second == pytest.approx(whole, rel=1e-14)
    np.testing.assert_array_equal(end, last)


def test_nothing_that_was_given_changes(backend):
    parameters, hprev = draw(seed=5)
    kept = {name: array.copy() for name, array in parameters.items()} | {"hprev": hprev.copy()}
    first = char_rnn.loss_fun(INPUTS, TARGETS, hprev, parameters)
    second = char_rnn.loss_fun(np.array(INPUTS), tuple(TARGETS), hprev, parameters)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    for name, array in (parameters | {"hprev": hprev}).items():
        np.testing.assert_array_equal(array, kept[name])


def test_float32_stays_float32(backend):
    parameters, hprev = draw(seed=6)
    single = {name: array.astype(np.float32) for name, array in parameters.items()}
    loss, *arrays = char_rnn.loss_fun(INPUTS, TARGETS, hprev.astype(np.float32), single)
    expected_loss, *expected = char_rnn.loss_fun(INPUTS, TARGETS, hprev, parameters)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    for array, value in zip(arrays, expected, strict=True):
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, value, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"inputs": []}, ValueError, "inputs: expected a sequence of at least one character"),
        ({"inputs": [[1]]}, ValueError, r"inputs: expected .*, got shape \(1, 1\)"),
        ({"inputs": [0, 1, 2, 3, 4]}, ValueError, r"inputs: expected indices in \[0, 4\), got 4"),
        ({"targets": [0, -1, 0, 0, 0]}, ValueError, r"targets: expected indices in \[0, 4\), got"),
        ({"targets": [0, 1]}, ValueError, "targets: expected 5 characters as in inputs, got 2"),
        ({"targets": [0.5] * 5}, TypeError, "targets: expected an integer array, got float64"),
        ({"hprev": np.ones(5)}, ValueError, r"hprev: expected shape \(hidden, 1\), got \(5,\)"),
        ({"hprev": np.ones((4, 1))}, ValueError, r"hprev: expected shape .* = \(5, 1\), got"),
        ({"clip": -1.0}, ValueError, "clip: expected a number in"),
        ({"clip": "5"}, TypeError, "clip: expected a number, got '5'"),
    ],
)
def test_wrong_arguments_of_loss_fun(backend, changed, error, message):
    parameters, hprev = draw()
    arguments = {"inputs": INPUTS, "targets": TARGETS, "hprev": hprev, "parameters": parameters}
    with pytest.raises(error, match=message):
        char_rnn.loss_fun(**arguments | changed)


def test_wrong_parameters(backend):
    parameters, hprev = draw()
    with pytest.raises(
        KeyError, match="parameters: Why is missing; expected Wxh, Whh, Why, bh, by"
    ):
        char_rnn.loss_fun(INPUTS, TARGETS, hprev, {n: parameters[n] for n in ("Wxh", "Whh", "bh")})
    wrong = parameters | {"Why": np.ones((3, HIDDEN))}
    with pytest.raises(ValueError, match=r"Why: expected shape \(vocabulary, hidden\) = \(4, 5\)"):
        char_rnn.loss_fun(INPUTS, TARGETS, hprev, wrong)


# --- train and sample -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_hell_gives_o(backend, seed):
    parameters, vocabulary = char_rnn.train("hello", hidden_size=30, steps=100, seed=seed)
    assert vocabulary == "ehlo"
    assert char_rnn.sample(parameters, vocabulary, "hell", 1, temperature=0) == "o"
    assert char_rnn.sample(parameters, vocabulary, "h", 4, temperature=0) == "ello"
    # At this temperature another character than the learned one is out of the question.
    assert char_rnn.sample(parameters, vocabulary, "hell", 1, temperature=0.1, seed=seed) == "o"


def test_hell_gives_o_with_the_defaults(backend):
    assert char_rnn.sample(*char_rnn.train("hello"), "hell", 1, temperature=0) == "o"


@pytest.mark.parametrize("seq_length", [3, 7, 100])
def test_training_is_the_algorithm(backend, seq_length):
    text = "the quick brown fox jumps over the lazy dog"
    losses = []
    parameters, vocabulary = char_rnn.train(
        text,
        hidden_size=6,
        seq_length=seq_length,
        steps=25,
        learning_rate=0.05,
        seed=3,
        callback=lambda step, loss: losses.append((step, loss)),
    )
    seq_length = min(seq_length, len(text) - 1)
    expected, expected_losses = plain_train(text, 6, seq_length, 25, 0.05, 3)
    assert vocabulary == "".join(sorted(set(text)))
    assert [step for step, _ in losses] == list(range(1, 26))
    np.testing.assert_allclose([loss for _, loss in losses], expected_losses, rtol=1e-10)
    assert {name: array.shape for name, array in parameters.items()} == {
        name: array.shape for name, array in expected.items()
    }
    for name, array in expected.items():
        np.testing.assert_allclose(parameters[name], array, rtol=0, atol=1e-9)


def test_no_steps_leave_the_first_weights(backend):
    parameters, _ = char_rnn.train("hello", hidden_size=6, steps=0, seed=4)
    np.testing.assert_array_equal(parameters["Wxh"], np.random.RandomState(4).randn(6, 4) * 0.01)


def test_training_in_float32(backend):
    losses = []
    parameters, vocabulary = char_rnn.train(
        "hello",
        hidden_size=30,
        steps=100,
        dtype="float32",
        callback=lambda _, loss: losses.append(loss),
    )
    assert {array.dtype for array in parameters.values()} == {np.dtype(np.float32)}
    assert losses[-1] < 0.1 < losses[0]
    assert char_rnn.sample(parameters, vocabulary, "hell", 1, temperature=0) == "o"


def test_a_text_of_one_repeated_character(backend):
    parameters, vocabulary = char_rnn.train("aa", hidden_size=3, steps=3)
    assert char_rnn.sample(parameters, vocabulary, "a", 3) == "aaa"


def test_samples_follow_the_probabilities(backend):
    parameters, _ = draw(seed=7)
    rows, length = np.zeros((4, 4)), 4000
    text = "0" + char_rnn.sample(parameters, "0123", "0", length, temperature=2.0, seed=1)
    states, state = [], np.zeros((HIDDEN, 1))
    for character, following in itertools.pairwise(text):
        state = np.tanh(
            parameters["Wxh"][:, [int(character)]] + parameters["Whh"] @ state + parameters["bh"]
        )
        exponentials = np.exp((parameters["Why"] @ state + parameters["by"]) / 2.0)
        rows[int(following)] += 1 / length
        states.append(exponentials[:, 0] / exponentials.sum())
    # Four standard deviations of a mean of 4000 draws.
    assert np.abs(rows[:, 0] - np.mean(states, axis=0)).max() < 4 * 0.5 / np.sqrt(length)


def test_the_same_seed_draws_the_same(backend):
    parameters, _ = draw(seed=8)
    first = char_rnn.sample(parameters, "abcd", "a", 40, seed=1)
    assert len(first) == 40
    assert char_rnn.sample(parameters, "abcd", "a", 40, seed=1) == first
    assert char_rnn.sample(parameters, "abcd", "a", 40, seed=2) != first
    assert char_rnn.sample(parameters, "abcd", "abc", 0) == ""


@pytest.mark.parametrize("temperature", [0, 1.0])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["Why", "by"])
def test_scores_that_are_not_finite_choose_nothing(name, value, temperature, backend):
    parameters, _ = draw(seed=9)
    parameters[name][1, 0] = value
    with pytest.raises(ValueError, match=r"parameters: expected finite numbers; the model "):
        char_rnn.sample(parameters, "abcd", "a", 2, temperature=temperature)


def test_a_tiny_temperature_is_greedy(backend):
    parameters, _ = draw(seed=9)
    greedy = char_rnn.sample(parameters, "abcd", "a", 20, temperature=0)
    assert char_rnn.sample(parameters, "abcd", "a", 20, temperature=1e-310) == greedy


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"text": "h"}, ValueError, "text: expected at least 2 characters, got 1"),
        ({"text": ""}, ValueError, "text: expected at least 2 characters, got 0"),
        ({"text": b"hello"}, TypeError, "text: expected a str, got bytes"),
        ({"hidden_size": 0}, ValueError, "hidden_size: expected a whole number of at least 1"),
        ({"seq_length": 0}, ValueError, "seq_length: expected a whole number of at least 1"),
        ({"steps": -1}, ValueError, "steps: expected a whole number of at least 0, got -1"),
        ({"learning_rate": float("inf")}, ValueError, "learning_rate: expected a number in"),
        ({"seed": -1}, ValueError, "seed: expected a whole number of at least 0, got -1"),
        ({"dtype": "float16"}, TypeError, "dtype: expected 'float32' or 'float64', got 'float16'"),
        ({"hidden_size": 10**6}, ValueError, r"Whh: expected at most \d+ elements"),
    ],
)
def test_wrong_arguments_of_train(backend, changed, error, message):
    with pytest.raises(error, match=message):
        char_rnn.train(**{"text": "hello", "steps": 1} | changed)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (
            {"prompt": "axbz"},
            ValueError,
            "prompt: expected characters of the vocabulary 'abcd', got 'x', 'z'",
        ),
        ({"prompt": ""}, ValueError, "prompt: expected at least one character, got none"),
        ({"prompt": 3}, TypeError, "prompt: expected a str, got int"),
        ({"vocabulary": "abc"}, ValueError, "vocabulary: expected 4 different characters"),
        ({"vocabulary": "abca"}, ValueError, "vocabulary: expected 4 different characters"),
        ({"vocabulary": ["a"]}, TypeError, "vocabulary: expected a str, got list"),
        ({"length": -1}, ValueError, "length: expected a whole number of at least 0, got -1"),
        ({"temperature": -0.5}, ValueError, "temperature: expected a number in"),
        ({"seed": 1.5}, TypeError, "seed: expected a whole number, got 1.5"),
    ],
)
def test_wrong_arguments_of_sample(backend, changed, error, message):
    parameters, _ = draw()
    arguments = {"parameters": parameters, "vocabulary": "abcd", "prompt": "a", "length": 3}
    with pytest.raises(error, match=message):
        char_rnn.sample(**arguments | changed)


@pytest.mark.parametrize(("dtype", "rate"), [("float32", 1e38), ("float64", 1e308)])
@pytest.mark.parametrize("clip", [5.0, None])
@pytest.mark.usefixtures("backend")
def test_divergence(rate: float, dtype: str, clip: float | None) -> None:
    message = r"^learning_rate: expected a rate at which training converges, got 1e\+"
    with pytest.raises(ValueError, match=message):
        char_rnn.train("hello world " * 20, 8, 5, 60, rate, dtype=dtype, clip=clip)


@pytest.mark.parametrize("steps", [1, 2, 60, 400])
@pytest.mark.parametrize("rate", [1e30, 1e38, 1e160, 1e300])
@pytest.mark.filterwarnings("ignore:learning_rate")
def test_what_training_returns_is_finite(rate: float, steps: int, backend: str) -> None:
    with contextlib.suppress(divergence.DivergenceError):
        parameters, _ = char_rnn.train("hello world " * 20, 8, 5, steps, rate)
        assert all(np.isfinite(array).all() for array in parameters.values())


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["Wxh", "Whh", "Why", "bh", "by"])
def test_sample_refuses_what_is_not_finite(name: str, value: float) -> None:
    parameters, vocabulary = char_rnn.train("hello", 4, steps=0)
    parameters[name][-1, -1] = value
    for temperature in (0.0, 1.0):
        with pytest.raises(ValueError, match=rf"NaN or infinity \(seen in {name}\)$"):
            char_rnn.sample(parameters, vocabulary, "h", 3, temperature)


@pytest.mark.usefixtures("backend")
def test_a_training_that_ends_worse_than_a_guess_warns() -> None:
    with pytest.warns(UserWarning, match=r"^learning_rate: .* ended worse .* needs 3\.") as said:
        parameters, _ = char_rnn.train("hello world, how are you? " * 9, 8, 5, 60, 50.0)
    assert said[0].filename == __file__
    assert all(np.isfinite(array).all() for array in parameters.values())


@pytest.mark.parametrize(("rate", "steps"), [(0.1, 300), (0.0, 3), (1e-12, 3), (50.0, 0)])
@pytest.mark.usefixtures("backend")
def test_one_that_helps_or_does_nothing_does_not_warn(rate: float, steps: int) -> None:
    char_rnn.train("hello world, how are you? " * 9, 8, 5, steps, rate)  # warnings are errors


@pytest.mark.parametrize("column", [False, True])
def test_one_hot_rows_are_indices(column, backend):
    parameters, _ = char_rnn.train("hello", hidden_size=6, steps=3)
    inputs, targets = [1, 0, 2, 2], [0, 2, 2, 3]
    rows = [np.eye(4)[indices] for indices in (inputs, targets)]
    if column:
        rows = [row[:, :, None] for row in rows]
    state = np.zeros((6, 1))
    expected = char_rnn.loss_fun(inputs, targets, state, parameters)
    for found in (
        char_rnn.loss_fun(*rows, state, parameters),
        char_rnn.loss_fun(list(rows[0]), targets, state, parameters),
    ):
        for part, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(part, other)


def test_rows_that_are_not_one_hot_are_refused():
    parameters, _ = char_rnn.train("hello", hidden_size=6, steps=0)
    with pytest.raises(ValueError, match="inputs: expected one-hot rows, a single 1"):
        char_rnn.loss_fun(np.full((2, 4), 0.25), [0, 1], np.zeros((6, 1)), parameters)
    with pytest.raises(
        ValueError, match=r"inputs: .* or one-hot rows \(T, 4\), got shape \(2, 5\)"
    ):
        char_rnn.loss_fun(np.eye(5)[:2], [0, 1], np.zeros((6, 1)), parameters)
