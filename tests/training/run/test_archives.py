"""Data in files: memory maps, indexables of one's own, archives of arrays."""

import numpy as np
import pytest

import pyrnn
from tests.training.run.models import assert_same, classifier, labelled, trainer_of


def test_memory_maps_and_own_indexables(tmp_path):
    x, y = labelled(10)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")

    class Rows:
        def __len__(self):
            return len(x)

        def __getitem__(self, row):
            return x[row]

    models = [classifier() for _ in range(3)]
    for model, given in zip(models, (x, mapped, Rows()), strict=True):
        trainer_of(model).fit((given, y), epochs=2, batch_size=4)
    assert_same(models[1], models[0])
    assert_same(models[2], models[0])


def test_archives(tmp_path):
    x, y = labelled(10)
    lengths = np.array([5, 3, 1, 4, 5, 5, 2, 3, 5, 1])
    whole, padded = tmp_path / "whole.npz", tmp_path / "padded.npz"
    np.savez(whole, x=x, y=y)
    np.savez_compressed(padded, x=x, targets=y, lengths=lengths)
    cut = [row[:length] for row, length in zip(x, lengths, strict=True)]
    for path, expected in ((whole, x), (padded, cut)):
        models = [classifier() for _ in range(4)]
        with np.load(path) as archive:
            for model, given in zip(models, ((expected, y), path, str(path), archive), strict=True):
                trainer = trainer_of(model)
                trainer.fit(given, given, epochs=2, batch_size=4)
                assert_same(model, models[0])


def test_archives_with_a_target_for_each_step(tmp_path):
    x, lengths = np.random.default_rng(0).standard_normal((4, 6, 2)).astype("f"), [6, 2, 3, 1]
    targets = np.ones((4, 6, 3), np.float32)
    np.savez(tmp_path / "a.npz", x=x, targets=targets, lengths=lengths)
    models = [pyrnn.GRU(2, 3, seed=0) for _ in range(2)]
    cut = [[row[:n] for row, n in zip(a, lengths, strict=True)] for a in (x, targets)]
    for model, given in zip(models, ((cut[0], cut[1]), tmp_path / "a.npz"), strict=True):
        trainer = pyrnn.Trainer(model, "mse_loss", pyrnn.Adam(model.parameters), seed=0)
        trainer.fit(given, epochs=2, batch_size=2)
    assert_same(models[1], models[0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": [[[1.0]]]}, "expected an archive with arrays x and targets or y, got x"),
        ({}, "expected an archive with arrays x and targets or y, got none"),
        ({"x": [[[1.0]]], "y": [0], "targets": [0]}, "expected an archive with arrays x and"),
        ({"x": [[[1.0]]], "y": [0], "lengths": [2]}, r"expected lengths \(N,\) from 1 to T"),
        ({"x": [[[1.0]]], "y": [0], "lengths": [0]}, r"expected lengths \(N,\) from 1 to T"),
        ({"x": [[[1.0]]], "y": [0], "lengths": [1.0]}, r"expected lengths \(N,\) from 1 to T"),
        ({"x": [[[1.0]]], "y": [0], "lengths": [1, 1]}, r"expected lengths \(N,\) from 1 to T"),
        (None, r"a\.npz: cannot be read \(No such file or directory\)"),
        (b"PK no archive", "cannot be read .it is no archive"),
    ],
)
def test_archives_that_are_refused(arrays, message, tmp_path):
    path = tmp_path / "a.npz"
    if isinstance(arrays, bytes):
        path.write_bytes(arrays)
    elif arrays is not None:
        np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message):
        trainer_of(classifier()).fit(path, epochs=1)
