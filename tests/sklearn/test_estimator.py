"""Pickles and copies of fitted estimators: the same answers, and memory of their own."""

import copy

import joblib
import numpy as np
import pytest

import pyrnn.sklearn


def fitted(kind):
    if kind == "RNNForecaster":
        made = pyrnn.sklearn.RNNForecaster(12, 4, max_iter=1, random_state=0)
        series = np.sin(np.arange(150) / 5)
        return made.fit(series), lambda found: found.predict(series)
    x = np.random.default_rng(0).standard_normal((20, 5, 300)).astype("float32")
    y = np.where(x[:, -1, 0] > 0, "a label", "b")
    made = getattr(pyrnn.sklearn, kind)(max_iter=1, random_state=0)
    return made.fit(x, y if kind == "RNNClassifier" else x[:, -1, 0]), lambda found: found.predict(
        x
    )


def arrays(thing):
    """All arrays of an estimator, but for those of its layers and optimiser."""
    if isinstance(thing, np.ndarray):
        yield thing
    if isinstance(thing, tuple):
        for part in thing:
            yield from arrays(part)
    if hasattr(thing, "get_params"):
        for value in vars(thing).values():
            yield from arrays(value)


@pytest.mark.parametrize("kind", ["RNNClassifier", "RNNRegressor", "RNNForecaster"])
@pytest.mark.parametrize("way", ["map", "copy", "deepcopy"])
def test_what_comes_back_shares_nothing(kind, way, tmp_path):
    estimator, answers = fitted(kind)
    if way == "map":
        joblib.dump(estimator, tmp_path / "file")
        found = joblib.load(tmp_path / "file", mmap_mode="r")
        (tmp_path / "file").write_bytes(bytes((tmp_path / "file").stat().st_size))
    else:
        found = getattr(copy, way)(estimator)
    own, new = list(arrays(estimator)), list(arrays(found))
    assert len(own) == len(new) > 1
    for one, other in zip(own, new, strict=True):
        assert type(other) is np.ndarray
        assert not np.shares_memory(one, other)
    assert np.array_equal(answers(found), answers(estimator))
