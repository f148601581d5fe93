"""Small models, data and trainers for tests of the trainer."""

import numpy as np

import pyrnn


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def classifier(seed=0, **options):
    return pyrnn.Sequential(
        rnn=pyrnn.GRU(3, 6, seed=seed, **options),
        last=pyrnn.LastStep(**options),
        drop=pyrnn.Dropout(0.2, seed=1),
        out=pyrnn.Linear(6, 2, seed=2),
    )


def tagger(**options):
    return pyrnn.Sequential(rnn=pyrnn.LSTM(3, 5, seed=0, **options), out=pyrnn.Linear(5, 2, seed=2))


def reader(vocabulary=5):
    return pyrnn.Sequential(
        rnn=pyrnn.GRU(vocabulary, 6, seed=0), out=pyrnn.Linear(6, vocabulary, seed=1)
    )


def labelled(count=10, steps=7):
    x = random(count, steps, 3)
    return x, (x.sum(axis=(1, 2)) > 0).astype(int)


def ragged(count=9, each_step=False, seed=0):
    generator = np.random.default_rng(seed)
    x = [random(length, 3, seed=length) for length in generator.integers(2, 9, count)]
    if each_step:
        return x, [(part.sum(axis=1) > 0).astype(int) for part in x]
    return x, np.array([int(part.sum() > 0) for part in x])


def trainer_of(model, loss="cross_entropy", **options):
    return pyrnn.Trainer(model, loss, pyrnn.Adam(model.parameters, lr=0.02), seed=0, **options)


def assert_same(model, other):
    for name, array in model.parameters.items():
        assert np.array_equal(array, other.parameters[name]), name
