"""The word model: its loss in bits, its gradients with and without a window, its training."""

import math

import numpy as np
import pytest

from pyrnn.textbook import softmax, word_rnn

VOCABULARY, EMBEDDING, HIDDEN = 7, 3, 4
WORDS = [2, 5, 5, 0, 6, 2, 1]
NAMES = ("E", "U", "W", "V", "ba", "by")


def draw(seed=1):
    parameters = word_rnn.initialize_parameters(VOCABULARY, EMBEDDING, HIDDEN, seed)
    generator = np.random.default_rng(seed)
    # Larger than at the start of training, so that no gradient is too small to be compared.
    return {
        name: array + 0.5 * generator.normal(size=array.shape) for name, array in parameters.items()
    }


def plain_forward(words, p):
    """The equations, word by word in NumPy: columns of probabilities and of states."""
    state, states, probabilities = np.zeros((HIDDEN, 1)), [], []
    for word in words:
        state = np.tanh(p["U"] @ p["E"][:, [word]] + p["W"] @ state + p["ba"])
        states.append(state)
        probabilities.append(softmax(p["V"] @ state + p["by"]))
    return np.hstack(probabilities), np.hstack(states)


def plain_loss(words, p):
    """Bits per predicted word."""
    probabilities, _ = plain_forward(words[:-1], p)
    return -np.mean([math.log2(probabilities[word, t]) for t, word in enumerate(words[1:])])


def windowed_loss(words, p, window, constants):
    """Each word's loss from the constant state ``window`` steps back: what truncation defines."""
    bits = []
    for t, target in enumerate(words[1:]):
        start = max(0, t + 1 - window)
        state = constants[:, [start - 1]] if start else np.zeros((HIDDEN, 1))
        for word in words[start : t + 1]:
            state = np.tanh(p["U"] @ p["E"][:, [word]] + p["W"] @ state + p["ba"])
        bits.append(-math.log2(softmax(p["V"] @ state + p["by"])[target, 0]))
    return np.mean(bits)


def test_initial_parameters():
    parameters = word_rnn.initialize_parameters(7, 3, 4, seed=2)
    shapes = {"E": (3, 7), "U": (4, 3), "W": (4, 4), "V": (7, 4), "ba": (4, 1), "by": (7, 1)}
    assert {name: array.shape for name, array in parameters.items()} == shapes
    for name in ("E", "U", "W", "V"):
        bound = 1 / math.sqrt(shapes[name][1])
        assert bound / 2 < np.abs(parameters[name]).max() <= bound
    assert not parameters["ba"].any()
    assert not parameters["by"].any()
    again = word_rnn.initialize_parameters(7, 3, 4, seed=2)
    other = word_rnn.initialize_parameters(7, 3, 4, seed=3)
    np.testing.assert_array_equal(parameters["E"], again["E"])
    assert (parameters["E"] != other["E"]).all()


def test_forward_is_the_equations(backend):
    parameters = draw()
    probabilities, states = word_rnn.forward(WORDS, parameters)
    expected_probabilities, expected_states = plain_forward(WORDS, parameters)
    assert (probabilities.shape, states.shape) == ((VOCABULARY, 7), (HIDDEN, 7))
    np.testing.assert_allclose(states, expected_states, rtol=0, atol=1e-14)
    np.testing.assert_allclose(probabilities, expected_probabilities, rtol=0, atol=1e-14)


def test_loss_is_the_mean_of_the_bits(backend):
    parameters = draw()
    loss, _ = word_rnn.loss_and_gradients(WORDS, parameters)
    assert loss == pytest.approx(plain_loss(WORDS, parameters), rel=1e-14)
    even = parameters | {"V": np.zeros((VOCABULARY, HIDDEN)), "by": np.zeros((VOCABULARY, 1))}
    assert word_rnn.loss_and_gradients(WORDS, even)[0] == pytest.approx(math.log2(7), rel=1e-15)


def test_gradients_are_those_of_finite_differences(backend, numeric):
    parameters = draw(seed=2)
    _, gradients = word_rnn.loss_and_gradients(np.array(WORDS), parameters)
    assert list(gradients) == ["dE", "dU", "dW", "dV", "dba", "dby"]
    expected = numeric(lambda p: word_rnn.loss_and_gradients(WORDS, p)[0], parameters)
    for name in NAMES:
        assert gradients[f"d{name}"].shape == parameters[name].shape
        np.testing.assert_allclose(gradients[f"d{name}"], expected[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("window", [1, 2, 4])
def test_a_window_cuts_each_words_loss_off(backend, numeric, window):
    parameters = draw(seed=3)
    loss, gradients = word_rnn.loss_and_gradients(WORDS, parameters, bptt_truncate=window)
    assert loss == word_rnn.loss_and_gradients(WORDS, parameters)[0]
    _, constants = plain_forward(WORDS[:-1], parameters)
    expected = numeric(lambda p: windowed_loss(WORDS, p, window, constants), parameters)
    full = word_rnn.loss_and_gradients(WORDS, parameters)[1]
    for name in NAMES:
        np.testing.assert_allclose(gradients[f"d{name}"], expected[name], rtol=0, atol=1e-9)
    assert np.abs(gradients["dW"] - full["dW"]).max() > 1e-4


@pytest.mark.parametrize("window", [6, 7, 100, 2**70])
def test_a_window_over_everything_cuts_nothing(backend, window):
    parameters = draw(seed=4)
    _, full = word_rnn.loss_and_gradients(WORDS, parameters)
    _, gradients = word_rnn.loss_and_gradients(WORDS, parameters, bptt_truncate=window)
    for name, expected in full.items():
        np.testing.assert_allclose(gradients[name], expected, rtol=0, atol=1e-15)


def test_only_words_that_were_read_have_a_gradient(backend):
    _, gradients = word_rnn.loss_and_gradients([2, 5, 5, 3], draw())
    assert sorted(np.flatnonzero(gradients["dE"].any(axis=0))) == [2, 5]


def test_two_words_are_enough(backend, numeric):
    parameters = draw(seed=5)
    _, gradients = word_rnn.loss_and_gradients([3, 4], parameters, bptt_truncate=1)
    expected = numeric(lambda p: plain_loss([3, 4], p), parameters)
    for name in NAMES:
        np.testing.assert_allclose(gradients[f"d{name}"], expected[name], rtol=0, atol=1e-9)
    assert not gradients["dW"].any()


def test_training_is_gradient_descent(backend):
    sentences = [[0, 1, 2, 3], np.array([4, 5]), (6, 0, 1)]
    parameters = draw(seed=6)
    expected = {name: array.copy() for name, array in parameters.items()}
    arrays = dict(parameters)
    losses = word_rnn.train(sentences, parameters, learning_rate=0.3, epochs=2, bptt_truncate=2)
    expected_losses = []
    for _ in range(2):
        bits = 0.0
        for sentence in sentences:
            loss, gradients = word_rnn.loss_and_gradients(sentence, expected, bptt_truncate=2)
            bits += loss * (len(sentence) - 1)
            expected = {n: expected[n] - 0.3 * gradients[f"d{n}"] for n in NAMES}
        expected_losses.append(bits / 6)
    assert losses == pytest.approx(expected_losses, rel=1e-12)
    for name, array in expected.items():
        assert parameters[name] is arrays[name]
        np.testing.assert_allclose(parameters[name], array, rtol=0, atol=1e-13)


def test_training_learns_by_heart(backend):
    sentences = [[0, 1, 2, 3], [0, 4, 5, 6]]
    parameters = word_rnn.initialize_parameters(VOCABULARY, EMBEDDING, 8)
    losses = word_rnn.train(sentences, parameters, learning_rate=0.5, epochs=150)
    assert len(losses) == 150
    # The second word is open, two of six predictions at one bit each; the others are certain.
    assert losses[-1] == pytest.approx(1 / 3, abs=0.1)
    assert word_rnn.forward([0, 4], parameters)[0][:, 1].argmax() == 5


@pytest.mark.filterwarnings("ignore:learning_rate")
def test_the_learning_rate_halves_when_the_loss_rises(backend):
    sentences = [[0, 1, 2, 3], [3, 2, 1, 0]]
    plain, halving = draw(seed=7), draw(seed=7)
    losses = word_rnn.train(sentences, plain, learning_rate=8.0, epochs=6)
    halved = word_rnn.train(sentences, halving, learning_rate=8.0, epochs=6, halve_on_rise=True)
    rise = next(n for n in range(1, 6) if losses[n] > losses[n - 1])
    assert halved[: rise + 1] == losses[: rise + 1]
    again = draw(seed=7)
    word_rnn.train(sentences, again, learning_rate=8.0, epochs=rise + 1)
    rest = word_rnn.train(sentences, again, learning_rate=4.0, epochs=1)
    assert halved[rise + 1] == pytest.approx(rest[0], rel=1e-12)


def test_an_interrupted_training_keeps_what_it_learned(backend, monkeypatch):
    parameters = draw(seed=8)
    before = {name: array.copy() for name, array in parameters.items()}
    real, calls = word_rnn._gradients, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(word_rnn, "_gradients", interrupted)
    with pytest.raises(KeyboardInterrupt):
        word_rnn.train([[0, 1, 2]], parameters, learning_rate=0.5, epochs=5)
    assert all((parameters[name] != before[name]).any() for name in NAMES)


def test_float32_stays_float32(backend):
    parameters = draw(seed=9)
    single = {name: array.astype(np.float32) for name, array in parameters.items()}
    loss, gradients = word_rnn.loss_and_gradients(WORDS, single, bptt_truncate=3)
    expected_loss, expected = word_rnn.loss_and_gradients(WORDS, parameters, bptt_truncate=3)
    assert isinstance(loss, float)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    for name, gradient in gradients.items():
        assert gradient.dtype == np.float32
        np.testing.assert_allclose(gradient, expected[name], rtol=0, atol=1e-5)
    word_rnn.train([WORDS], single, epochs=1)
    assert {array.dtype for array in single.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ([3], ValueError, r"words: expected a sequence of at least 2 word indices, got shape \(1,"),
        ([], ValueError, r"words: expected a sequence of at least 2 word indices, got shape \(0,"),
        ([[1, 2]], ValueError, r"words: expected a sequence of .*, got shape \(1, 2\)"),
        ([1, 7], ValueError, r"words: expected indices in \[0, 7\), got 7"),
        ([1, -1], ValueError, r"words: expected indices in \[0, 7\), got -1"),
        ([1.0, 2.0], TypeError, "words: expected an integer array, got float64"),
        (["a", "b"], TypeError, "words: expected an integer array"),
    ],
)
def test_wrong_words(backend, words, error, message):
    with pytest.raises(error, match=message):
        word_rnn.loss_and_gradients(words, draw())


def test_wrong_arguments_change_nothing(backend):
    parameters = draw()
    before = {name: array.copy() for name, array in parameters.items()}
    for arguments, error, message in [
        ({"sentences": []}, ValueError, "sentences: expected at least one sentence"),
        *(
            ({"sentences": wrong}, TypeError, r"sentences: expected a sequence of arrays")
            for wrong in (None, 3, 2.5, True, ..., int, "words")
        ),
        ({"sentences": [[1, 2], [3]]}, ValueError, r"sentences\[1\]: expected a sequence of at le"),
        ({"learning_rate": -1}, ValueError, "learning_rate: expected a number in"),
        ({"epochs": -1}, ValueError, "epochs: expected a whole number of at least 0, got -1"),
        ({"bptt_truncate": 0}, ValueError, "bptt_truncate: expected a whole number of at least 1"),
        ({"bptt_truncate": 1.5}, TypeError, "bptt_truncate: expected a whole number, got 1.5"),
    ]:
        with pytest.raises(error, match=message):
            word_rnn.train(**{"sentences": [WORDS], "parameters": parameters} | arguments)
    for name, array in before.items():
        np.testing.assert_array_equal(parameters[name], array)


def test_wrong_parameters(backend):
    parameters = draw()
    with pytest.raises(KeyError, match="parameters: E is missing; expected E, U, W, V, ba, by"):
        word_rnn.forward([1], {name: a for name, a in parameters.items() if name != "E"})
    with pytest.raises(ValueError, match=r"V: expected shape \(vocabulary, hidden\) = \(7, 4\)"):
        word_rnn.forward([1], parameters | {"V": np.ones((6, 4))})
    with pytest.raises(ValueError, match="at least 1 word index, got shape"):
        word_rnn.forward([], parameters)
    with pytest.raises(TypeError, match="W: expected a float array to update in place, got int64"):
        word_rnn.train([WORDS], parameters | {"W": np.ones((HIDDEN, HIDDEN), dtype=np.int64)})
    parameters["W"].flags.writeable = False
    with pytest.raises(ValueError, match="W: expected an array that can be written to"):
        word_rnn.train([WORDS], parameters)


@pytest.mark.parametrize(("dtype", "rate"), [("float32", 3e38), ("float64", 1.7e308)])
@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.usefixtures("backend")
def test_divergence_changes_nothing(dtype: str, rate: float, epochs: int) -> None:
    first = word_rnn.initialize_parameters(5, 4, 8)
    parameters = {name: array.astype(dtype) for name, array in first.items()}
    before = {name: array.copy() for name, array in parameters.items()}
    message = r"^learning_rate: expected a rate at which training converges, got "
    with pytest.raises(ValueError, match=message):
        word_rnn.train([[0, 1, 2, 3, 4]] * 4, parameters, rate, epochs)
    for name, array in parameters.items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.usefixtures("backend")
def test_a_training_that_ends_worse_than_a_guess_warns() -> None:
    parameters = word_rnn.initialize_parameters(5, 4, 8)
    before = {name: array.copy() for name, array in parameters.items()}
    with pytest.warns(UserWarning, match=r"^learning_rate: .* a guess needs 2\.322") as said:
        word_rnn.train([[0, 1, 2, 3, 4], [4, 3, 1, 0]], parameters, 1e3, 1)
    assert said[0].filename == __file__
    assert all((parameters[name] != before[name]).any() for name in NAMES)


@pytest.mark.parametrize("rate", [0.0, 1e-9, 0.5])
@pytest.mark.usefixtures("backend")
def test_one_that_helps_or_does_nothing_does_not_warn(rate: float) -> None:
    parameters = word_rnn.initialize_parameters(5, 4, 8)
    parameters["by"][0] = 30.0  # worse than a guess from the beginning
    word_rnn.train([[1, 2, 3, 4]], parameters, rate, 3)  # warnings are errors


def test_epochs_that_never_end_are_refused():
    with pytest.raises(ValueError, match="epochs: expected"):
        word_rnn.train([[0, 1]], word_rnn.initialize_parameters(2, 2, 2), epochs=10**400)
