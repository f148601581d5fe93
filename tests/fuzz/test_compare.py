"""The judge: what rounding and overflow explain, and what they do not."""

import numpy as np
import pytest

from tests.fuzz.compare import LONG, NUDGES, Difference, difference
from tests.fuzz.draw import Mode

pytestmark = pytest.mark.skipif(not LONG, reason="long double is no wider than double")

UNDECIDED = Difference(undecided=True)
ELSEWHERE = Difference(": NaN or infinity elsewhere")
ANOTHER = Difference(": another value")
NAN, INF = np.nan, np.inf


def judge(got, expected, wide=None, nudged=0.0, **options):
    """What is said of float32 numbers; the reference moves by ``nudged`` when it is nudged."""
    runs = []

    def rerun(mode: Mode):
        runs.append(mode)
        if mode.dtype:
            return {"": np.array(expected if wide is None else wide, mode.dtype)}
        moved = nudged if mode.nudge == NUDGES else 0.0
        return {"": np.array(expected, np.float32) + np.float32(moved)}

    flat = ({"": np.array(numbers, np.float32)} for numbers in (got, expected))
    return difference(*flat, "float32", rerun, **options), runs


def test_what_is_close_needs_no_other_run():
    assert judge([1.0, 2.0, NAN, -INF], [1.0, 2.00001, NAN, -INF]) == (Difference(), [])


def test_what_moves_when_nudged_may_differ_by_some_times_as_much():
    assert judge([1.0, 2.0], [1.0, 2.001], nudged=2e-4)[0] == Difference()
    assert judge([1.0, 2.0], [1.0, 2.001], nudged=5e-5)[0] == ANOTHER


def test_so_may_what_the_wider_type_finds_elsewhere():
    assert judge([1.0, 2.0], [1.0, 2.001], wide=[1.0, 2.0])[0] == Difference()
    assert judge([1.0, 2.0], [1.0, 2.001], wide=[1.0, 2.001])[0] == ANOTHER


@pytest.mark.parametrize("got", [1.0, NAN, -INF])
@pytest.mark.parametrize(("expected", "wide"), [(INF, 1e50), (NAN, 1e50), (NAN, 1.0), (INF, -1e50)])
def test_overflow_that_the_core_resolves_otherwise_leaves_a_case_undecided(got, expected, wide):
    verdict = judge([got, 1.0], [expected, 2.0], [wide, 2.0])[0]
    assert verdict == (ANOTHER if np.isnan(got) and np.isnan(expected) else UNDECIDED)


@pytest.mark.parametrize("got", [1.0, NAN, -INF])
def test_without_overflow_infinities_and_nan_stand_where_the_reference_has_them(got):
    assert judge([got], [INF])[0] == ELSEWHERE
    assert judge([NAN if got == 1 else got], [1.0])[0] == ELSEWHERE
    assert judge([1.0 if np.isnan(got) else got], [NAN])[0] == ELSEWHERE


def test_the_same_overflow_on_both_sides_excuses_nothing_else():
    assert judge([INF, 2.0], [INF, 1.0], wide=[1e50, 1.0])[0] == ANOTHER
    assert judge([INF, NAN], [INF, 1.0], wide=[1e50, 1.0])[0] == ELSEWHERE


def test_what_is_beyond_the_type_moves_nothing_else():
    """Else a number that only the wider type can hold would excuse any other."""
    assert judge([3.0, 2.0], [3.0, 1.0], wide=[1e50, 1.0])[0] == ANOTHER


def test_nan_may_stand_for_an_infinity_only_where_that_is_said():
    assert judge([NAN, 1.0], [INF, 1.0], nan_or_infinity=True)[0] == Difference()
    assert judge([NAN, 1.0], [2.0, 1.0], nan_or_infinity=True)[0] == ELSEWHERE
    assert judge([INF, 1.0], [2.0, 1.0], nan_or_infinity=True)[0] == ELSEWHERE
