"""Windows over time: gradients go back over k2 steps, within sequences of any length."""

import math

import numpy as np
import pytest

import pyrnn
from pyrnn import losses
from tests.training.run.models import classifier, ragged, reader, tagger, trainer_of


@pytest.mark.parametrize("k2", [2, 4, 8])
def test_gradients_go_back_over_k2_steps(k2, backend):
    """One step of the optimiser, whose gradient is that of the last k1 steps' loss."""
    text = np.random.default_rng(1).integers(0, 5, 13)
    k1 = 2
    model = reader()
    trainer = pyrnn.Trainer(model, "cross_entropy", pyrnn.SGD(model.parameters, lr=0.0))
    seen = []
    trainer.optimizer.step = seen.append
    trainer.fit(text, steps=6, batch_size=1, k1=k1, k2=k2)
    state, states = None, [None]
    for start in range(0, 12, k1):
        _, state = model(text[start : start + k1][:, None], state)
        states.append(state)
        begin = max(0, start - (k2 - k1))
        y, _, cache = model.forward(text[begin : start + k1][:, None], states[begin // k1])
        _, part = losses.cross_entropy(
            y[start - begin :], text[start + 1 : start + k1 + 1][:, None]
        )
        dy = np.zeros_like(y)
        dy[start - begin :] = part
        _, _, expected = model.backward(cache, dy)
        for name, grad in seen[start // k1].items():
            assert np.array_equal(grad, expected[name]), (name, start)


def test_windows_within_sequences_of_different_lengths(backend):
    """k1 = k2 over whole sequences, one by one, is the same as a batch of them."""
    x, y = ragged(each_step=True)
    model, other = tagger(), tagger()
    grads = []
    trainer = pyrnn.Trainer(model, "cross_entropy", pyrnn.SGD(model.parameters, lr=0.0))
    trainer.optimizer.step = lambda g: grads.append({n: a.copy() for n, a in g.items()})
    trainer.fit((x, y), epochs=1, batch_size=len(x), k1=3, shuffle=False)
    longest = max(map(len, x))
    assert len(grads) == math.ceil(longest / 3)
    for number, got in enumerate(grads):
        begin = 3 * number
        alive = [(a, b) for a, b in zip(x, y, strict=True) if len(a) > begin]
        counts = [min(3, len(a) - begin) for a, _ in alive]
        summed = {name: np.zeros(p.shape) for name, p in other.parameters.items()}
        for a, b in alive:
            state = None
            if begin:
                _, state = other(a[:begin][:, None])
            out, _, cache = other.forward(a[begin : begin + 3][:, None], state)
            _, dout = losses.cross_entropy(out, b[begin : begin + 3][:, None], reduction="sum")
            for name, grad in other.backward(cache, dout)[2].items():
                summed[name] += grad / sum(counts)
        for name, grad in got.items():
            np.testing.assert_allclose(grad, summed[name], rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("batch_first", [False, True])
def test_batch_first_changes_nothing_but_the_axes(batch_first, backend):
    x, y = ragged(each_step=True)
    model, usual = tagger(batch_first=batch_first), tagger()
    for one in (model, usual):
        history = trainer_of(one).fit((x, y), (x, y), epochs=2, batch_size=4, k1=2, k2=4)
    np.testing.assert_allclose(
        trainer_of(model).evaluate((x, y)), history["val_loss"][-1], rtol=1e-6
    )
    for name, array in model.parameters.items():
        np.testing.assert_allclose(array, usual.parameters[name], rtol=1e-3, atol=1e-5)
    text = np.random.default_rng(0).integers(0, 3, 60)
    reading = pyrnn.Sequential(pyrnn.GRU(3, 3, batch_first=batch_first, seed=0))
    trainer_of(reading).fit(text, text, steps=4, batch_size=2, k1=5, k2=10)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            lambda: pyrnn.Sequential(rnn=pyrnn.GRU(3, 2, bidirectional=True)),
            r"k1: expected layers of one direction .* got model\.rnn, GRU\(3, 2, bidirectional=",
        ),
        (classifier, r"k1: expected an output for each step .* got model\.last, LastStep\(\)"),
    ],
)
def test_models_that_have_to_see_the_end_have_no_windows(model, words):
    made = model()
    with pytest.raises(ValueError, match=words):
        trainer_of(made).fit(ragged(each_step=True), epochs=1, k1=2)
    with pytest.raises(ValueError, match=words):
        trainer_of(made).fit(np.zeros(100, int), epochs=1)
