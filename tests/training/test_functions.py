"""Cosines and powers against wide references, and exact where schedules need them to be."""

import math

import numpy as np
import pytest

from pyrnn.training.functions import cosines, power, raised_cosine


def test_cosines_are_those_of_mpmath():
    mpmath = pytest.importorskip("mpmath")
    turns = np.concatenate([np.random.default_rng(0).uniform(-3, 3, 2000), np.arange(-9, 9) / 8])
    with mpmath.workdps(40):
        exact = [mpmath.cospi(2 * mpmath.mpf(float(t))) for t in turns]
        errors = [abs(float(e - c)) for e, c in zip(exact, cosines(turns), strict=True)]
        halves = [raised_cosine(float(t)) for t in turns]
        raised = [abs(float((1 + e) / 2 - c)) for e, c in zip(exact, halves, strict=True)]
    assert max(errors) < 6e-16
    assert max(raised) < 3e-16


@pytest.mark.parametrize(("turns", "expected"), [(0, 1), (0.5, 0), (1, 1), (-0.5, 0), (7.5, 0)])
def test_raised_cosines_are_exact_at_the_ends(turns, expected):
    assert raised_cosine(turns) == expected


def test_a_single_turn_falls_and_rises():
    values = [raised_cosine(k / 2000) for k in range(1001)]
    assert (np.diff(values) < 0).all()
    back = [raised_cosine(1 - k / 2000) for k in range(1001)]
    np.testing.assert_allclose(back, values, atol=3e-16)


@pytest.mark.parametrize("shape", [(0,), (7,), (5, 3)])
def test_arrays_of_cosines_keep_their_shape(shape):
    turns = np.random.default_rng(0).integers(0, 9, shape) / 8
    np.testing.assert_allclose(cosines(turns), np.cos(2 * np.pi * turns), atol=3e-15)


@pytest.mark.parametrize("base", [0.1, 0.5, 0.97, 1.0, 1.3, 0.0])
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 10, 31, 1000])
def test_powers(base, exponent):
    assert power(base, exponent) == pytest.approx(math.pow(base, exponent), rel=1e-12, abs=0)
