"""The trainer: the bits of a loop written by hand, order, schedules, losses, errors."""

import functools
import math

import numpy as np
import pytest

import pyrnn
from pyrnn import losses
from pyrnn.optim import lr_scheduler
from tests.training.run.models import (
    assert_same,
    classifier,
    labelled,
    ragged,
    random,
    reader,
    tagger,
    trainer_of,
)

# --- a loop written by hand -----------------------------------------------------------------


def test_sequences_are_trained_as_by_hand(backend):
    x, y = labelled()
    model, other = classifier(), classifier()
    history = trainer_of(model, clip_grad_norm=0.5).fit(
        (x, y), epochs=3, batch_size=4, shuffle=False
    )
    optimizer = pyrnn.Adam(other.parameters, lr=0.02)
    means = []
    for _ in range(3):
        total = 0.0
        for start in range(0, 10, 4):
            rows = slice(start, start + 4)
            out, _, cache = other.forward(np.ascontiguousarray(x[rows].swapaxes(0, 1)))
            loss, dout = losses.cross_entropy(out, y[rows])
            _, _, grads = other.backward(cache, dout)
            pyrnn.clip_grad_norm(grads, 0.5)
            optimizer.step(grads)
            total += loss * len(y[rows])
        means.append(total / 10)
    assert_same(model, other)
    assert history["loss"] == means
    assert history["lr"] == [0.02] * 3
    assert history.epoch == [0, 1, 2]


def test_a_text_is_trained_as_by_hand(backend):
    text = np.random.default_rng(0).integers(0, 5, 100)
    model, other = reader(), reader()
    trainer_of(model).fit(text.astype(np.uint8), steps=8, batch_size=3, k1=7)
    inputs, targets = pyrnn.text.streams(text, 3)
    optimizer = pyrnn.Adam(other.parameters, lr=0.02)
    done = 0
    while done < 8:
        state = None
        for xs, ys in pyrnn.text.chunks(inputs, targets, 7):
            if done == 8:
                break
            out, state, cache = other.forward(xs, state)
            _, dout = losses.cross_entropy(out, ys)
            optimizer.step(other.backward(cache, dout)[2])
            done += 1
    assert_same(model, other)


def test_character_models_are_trained_too(backend):
    text = "the cat sat on the mat. " * 20
    model = pyrnn.CharacterModel("".join(sorted(set(text))), hidden_size=8, seed=0)
    tokens = model.vocabulary.encode(text)
    history = trainer_of(model).fit(tokens, tokens, epochs=6, batch_size=4, k1=8)
    assert history["val_loss"][-1] < history["val_loss"][0]
    bits = history["val_loss"][-1] / math.log(2)
    assert bits == pytest.approx(model.bits_per_character(tokens), rel=0.1)


# --- order, batches, accumulation -----------------------------------------------------------


def test_a_seed_makes_it_repeatable_for_any_number_of_threads():
    results = []
    before = pyrnn.get_num_threads()
    try:
        for threads in (1, 2, 3):
            pyrnn.set_num_threads(threads)
            model = classifier()
            history = trainer_of(model).fit(ragged(40), ragged(5), epochs=3, batch_size=8)
            results.append((model, history))
    finally:
        pyrnn.set_num_threads(before)
    for model, history in results[1:]:
        assert_same(model, results[0][0])
        assert history.history == results[0][1].history
    other = classifier()
    pyrnn.Trainer(other, "cross_entropy", pyrnn.Adam(other.parameters, lr=0.02), seed=1).fit(
        ragged(40), epochs=3, batch_size=8
    )
    assert not np.array_equal(other.parameters["out.bias"], results[0][0].parameters["out.bias"])


def test_every_sequence_comes_once_in_an_epoch_among_its_like():
    class Noted(pyrnn.Layer):
        def __init__(self):
            super().__init__({"w": np.ones(1)}, "float64")
            self.seen = []

        def forward(self, x, state=None, lengths=None):
            self.seen.append((sorted(x[0, :, 0].tolist()), lengths))
            return x, None, x

        def backward(self, cache, dy, dstate=None):
            return dy, None, {"w": np.zeros(1)}

    lengths = np.random.default_rng(0).integers(1, 30, 200)
    x = [np.full((length, 1), float(number)) for number, length in enumerate(lengths)]
    model = Noted()
    pyrnn.Trainer(model, "mse", pyrnn.SGD(model.parameters), seed=0).fit(
        (x, x), epochs=2, batch_size=4
    )
    first, second = model.seen[:50], model.seen[50:]
    for epoch in (first, second):
        assert sorted(row for rows, _ in epoch for row in rows) == list(range(200))
        padded = sum(int(ends.max()) * 4 - ends.sum() for _, ends in epoch if ends is not None)
        assert padded < 0.1 * lengths.sum()
    assert [rows for rows, _ in first] != [rows for rows, _ in second]


def test_accumulated_batches_are_one_large_batch(backend):
    x, y = labelled(12)
    model, other = tagger(), tagger()
    targets = np.repeat(y[:, None], 7, axis=1)
    trainer_of(model).fit((x, targets), epochs=2, batch_size=4, accumulate=3, shuffle=False)
    trainer = trainer_of(other)
    trainer.fit((x, targets), epochs=2, batch_size=12, shuffle=False)
    assert trainer.progress.step == 2
    for name, array in model.parameters.items():
        np.testing.assert_allclose(array, other.parameters[name], rtol=2e-3, atol=2e-5)


def test_steps_end_amid_an_epoch_and_epochs_may_be_so_many_steps():
    x, y = labelled(20)
    trainer = trainer_of(classifier())
    history = trainer.fit((x, y), steps=7, batch_size=4)
    assert trainer.progress.step == 7
    assert len(history["loss"]) == 2
    history = trainer.fit((x, y), epochs=4, steps_per_epoch=3, batch_size=4)
    assert trainer.progress.step == 12
    assert len(history["loss"]) == 4


def test_a_second_fit_goes_on_with_the_weights():
    x, y = labelled(16)
    trainer = trainer_of(classifier())
    first = trainer.fit((x, y), epochs=5)
    second = trainer.fit((x, y), epochs=15)
    assert second["loss"][-1] < first["loss"][0]
    assert len(second["loss"]) == 15


# --- schedules, losses, evaluation ----------------------------------------------------------


def test_schedules_count_epochs_or_steps():
    x, y = labelled(8)
    model = classifier()
    optimizer = pyrnn.SGD(model.parameters, lr=1.0)
    schedule = lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    rates = pyrnn.Trainer(model, "cross_entropy", optimizer, scheduler=schedule).fit(
        (x, y), epochs=3, batch_size=4
    )["lr"]
    assert rates == [1.0, 0.5, 0.25]
    optimizer = pyrnn.SGD(model.parameters, lr=1.0)
    schedule = lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    pyrnn.Trainer(model, "cross_entropy", optimizer, scheduler=(schedule, "step")).fit(
        (x, y), epochs=3, batch_size=4
    )
    assert optimizer.lr == 0.5**6
    optimizer = pyrnn.Adam(model.parameters)
    schedule = lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=7)
    pyrnn.Trainer(model, "cross_entropy", optimizer, scheduler=schedule).fit(
        (x, y), epochs=3, batch_size=4
    )
    assert schedule.last_epoch == 6


def test_a_plateau_is_one_of_the_validation():
    x, y = labelled(8)
    model = classifier()
    optimizer = pyrnn.SGD(model.parameters, lr=0.0)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    optimizer.lr = 1e-12
    pyrnn.Trainer(model, "cross_entropy", optimizer, scheduler=schedule).fit(
        (x, y), (x, y), epochs=3
    )
    assert schedule.best == pytest.approx(trainer_of(model).evaluate((x, y)), rel=1e-6)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        ("mse", lambda x: x[:, :, :2].astype("float64")),
        ("huber_loss", lambda x: x[:, :, :2]),
        (functools.partial(losses.quantile_loss, quantiles=[0.1, 0.9]), lambda x: x[:, :, 0]),
        (functools.partial(losses.cross_entropy, label_smoothing=0.1), lambda x: x[:, :, 0] > 0),
    ],
)
def test_losses_by_name_or_as_functions(loss, targets, backend):
    x = random(12, 6, 3)
    wanted = targets(x)
    wanted = wanted.astype(int) if wanted.dtype == bool else wanted
    history = trainer_of(tagger(), loss).fit((x.astype("float64"), wanted), epochs=8)
    assert history["loss"][-1] < history["loss"][0]


def test_evaluate_is_the_mean_over_all_targets(backend):
    x, y = ragged(each_step=True)
    model = tagger()
    value = trainer_of(model).evaluate((x, y), batch_size=2)
    outputs = [model(part[:, None])[0][:, 0] for part in x]
    expected, _ = losses.cross_entropy(np.concatenate(outputs), np.concatenate(y))
    assert value == pytest.approx(expected, rel=1e-6)
    assert model.training


def test_predictions_are_in_the_order_of_the_data(backend):
    x, _ = ragged()
    model = classifier()
    predicted = trainer_of(model).predict(x, batch_size=2)
    model.eval()
    assert predicted.shape == (9, 2)
    for row, part in zip(predicted, x, strict=True):
        np.testing.assert_allclose(row, model(part[:, None])[0][0], rtol=1e-5)
    each = trainer_of(tagger()).predict(x, batch_size=4)
    assert [part.shape for part in each] == [(len(part), 2) for part in x]
    same = trainer_of(tagger(batch_first=True)).predict(np.stack([x[0]] * 3))
    np.testing.assert_allclose(same[0], each[0], rtol=1e-5)


# --- errors ---------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_changes_nothing(backend):
    x, y = labelled(8)
    x[6] = np.nan
    model = classifier()
    optimizer = pyrnn.SGD(model.parameters, lr=0.5)
    before = model.state_dict()
    trainer = pyrnn.Trainer(model, "cross_entropy", optimizer)
    with pytest.raises(ValueError, match=r"lr: .* got 0\.5: the loss became nan at step 1"):
        trainer.fit((x, y), epochs=1)
    for name, array in before.items():
        assert np.array_equal(model.parameters[name], array)


X, Y = labelled(6)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (((X, Y),), {}, ValueError, "epochs: expected a number of epochs or of steps, got neither"),
        (((X, Y),), {"epochs": 0}, ValueError, "epochs: expected a whole number of at least 1"),
        (((X, Y[:4]),), {"epochs": 1}, ValueError, "train: expected a target for each of 6 sequ"),
        ((X,), {"epochs": 1}, TypeError, r"train: expected a pair \(x, targets\), a .npz "),
        (((X, Y), X), {"epochs": 1}, TypeError, "validation: expected a pair"),
        (((X[0, 0], Y),), {"epochs": 1}, TypeError, "train: expected sequences, as"),
        (
            (([], []),),
            {"epochs": 1},
            ValueError,
            "expected one sequence or more, none empty, got n",
        ),
        ((([X[0], X[0][:0]], [0, 1]),), {"epochs": 1}, ValueError, "got an empty one at 1"),
        (((X, Y),), {"epochs": 1, "batch_size": 0}, ValueError, "batch_size: expected a whole"),
        (((X, Y),), {"epochs": 1, "k2": 4}, ValueError, "k1: expected a number of steps along wi"),
        (((X, Y),), {"epochs": 1, "k1": 4, "k2": 6}, ValueError, "k2: expected a multiple of k1 ="),
        (((X, Y),), {"epochs": 1, "callbacks": [3]}, TypeError, "callbacks: expected those of pyr"),
        (((X, Y),), {"epochs": 1, "callbacks": 3}, TypeError, "callbacks: expected a list of them"),
    ],
)
def test_wrong_arguments_of_fit(arguments, options, error, words):
    with pytest.raises(error, match=words):
        trainer_of(classifier()).fit(*arguments, **options)


def test_a_text_that_is_too_short():
    with pytest.raises(ValueError, match="train: expected at least 9 tokens for 8 streams, got 4"):
        trainer_of(reader()).fit(np.zeros(4, int), epochs=1, batch_size=8)


def test_wrong_arguments_of_the_trainer():
    model = classifier()
    optimizer = pyrnn.SGD(model.parameters)
    schedule = lr_scheduler.StepLR(pyrnn.SGD(model.parameters), 1)
    make = functools.partial(pyrnn.Trainer, model)
    for call, error, words in (
        (lambda: pyrnn.Trainer(3, "mse", optimizer), TypeError, "model: expected a layer or a mo"),
        (lambda: make("rmse", optimizer), ValueError, "loss: expected one of .*, got 'rmse'"),
        (lambda: make(3, optimizer), TypeError, "loss: expected a name or a function, got 3"),
        (lambda: make("mse", 3), TypeError, "optimizer: expected one of pyrnn"),
        (lambda: make("mse", optimizer, scheduler=3), TypeError, "scheduler: expected one of"),
        (lambda: make("mse", optimizer, scheduler=schedule), ValueError, "of the same optimiser"),
        (lambda: make("mse", optimizer, clip_grad_norm=-1), ValueError, "clip_grad_norm: expect"),
        (lambda: make("mse", optimizer, seed=-1), ValueError, "seed: expected a whole number"),
    ):
        with pytest.raises(error, match=words):
            call()
    mine = lr_scheduler.StepLR(optimizer, 1)
    with pytest.raises(ValueError, match="scheduler: expected 'step' or 'epoch', got 'batch'"):
        make("mse", optimizer, scheduler=(mine, "batch"))
