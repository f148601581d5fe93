"""The classic NumPy loop computes what `pyrnn.textbook.char_rnn` does."""

import numpy as np
import pytest

from bench.characters import min_char_rnn
from pyrnn.textbook import char_rnn

TEXT = "the quick brown fox jumps over the lazy dog. " * 3


def test_loss_and_gradients_are_those_of_the_textbook(backend, assert_close):
    generator = np.random.default_rng(0)
    weights = {
        "Wxh": generator.standard_normal((7, 5)),
        "Whh": generator.standard_normal((7, 7)),
        "Why": generator.standard_normal((5, 7)),
        "bh": generator.standard_normal((7, 1)),
        "by": generator.standard_normal((5, 1)),
    }
    h = generator.standard_normal((7, 1))
    inputs, targets = [0, 3, 1, 4], [3, 1, 4, 2]
    loss, grads, after = min_char_rnn.loss_and_gradients(inputs, targets, h, weights)
    expected = char_rnn.loss_fun(inputs, targets, h, weights, clip=min_char_rnn.CLIP)
    assert loss == pytest.approx(expected[0], rel=1e-12)
    assert_close([*grads.values(), after], list(expected[1:]), 1e-12)


@pytest.mark.filterwarnings("ignore:learning_rate")  # of a training that is soon ended
def test_training_is_that_of_the_textbook(backend, assert_close):
    got = min_char_rnn.train(TEXT, 2)
    expected, _ = char_rnn.train(TEXT, steps=2)
    assert_close(got, expected, 1e-10)


@pytest.mark.filterwarnings("ignore:learning_rate")  # of a training that is soon ended
def test_a_short_text_starts_over_with_a_state_of_zero(backend, assert_close):
    short = TEXT[:45]
    expected, _ = char_rnn.train(short, steps=2)
    assert_close(min_char_rnn.train(short, 2), expected, 1e-10)


def test_contenders_agree(native, assert_close):
    first, *others = min_char_rnn.contenders(min_char_rnn.ClassicCase(1), 1)
    expected = first.outputs(first.run())
    assert [other.column for other in others] == ["pyrnn float32", "NumPy loop"]
    for other in others:
        got = {name: array.astype(np.float64) for name, array in other.outputs(None).items()}
        assert_close(got, expected, 1e-4)
