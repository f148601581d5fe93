"""Sequences for the estimators' tests."""

import numpy as np
import pytest

pytest.importorskip("sklearn")


@pytest.fixture
def ragged():
    """Sequences of different lengths, and labels that depend on all of their steps."""
    generator = np.random.default_rng(0)
    X = [generator.standard_normal((length, 2)) for length in generator.integers(3, 9, 60)]
    return X, np.array(["up" if part[:, 0].sum() > 0 else "down" for part in X])


@pytest.fixture
def even():
    """Sequences of one length, in an array, and the label of each."""
    X = np.random.default_rng(1).standard_normal((60, 6, 2))
    return X, np.where(X[..., 0].sum(axis=1) > 0, "up", "down")
