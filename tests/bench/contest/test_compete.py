"""A competition: turns, the best setting of a column, and who computes something else."""

import math
import time

import numpy as np
import pytest

from bench.contest import compete, timing
from bench.contest.contender import TOLERANCE, Contender, difference

BRIEF = timing.Effort(round_seconds=1e-4, budget_seconds=0.01, least_rounds=2, most_rounds=3)


def contender(column, setting="", value=1.0, seconds=0.0, log=None):
    def run():
        if log is not None:
            log.append(column)
        if seconds:
            time.sleep(seconds)
        return value

    return Contender(column, setting, run, lambda result: {"y": np.array([result, 2.0])})


def test_difference_is_relative_to_the_largest_magnitude():
    assert difference({"y": [1.0, -4.0]}, {"y": [1.0, -4.2]}) == pytest.approx(0.05)
    assert difference({"y": [1.0]}, {"y": [1.0]}) == 0
    assert difference({"y": [0.0]}, {"y": [0.5]}) == 0.5


def test_difference_with_nan_is_within_no_tolerance():
    assert math.isnan(difference({"y": [1.0]}, {"y": [np.nan]}))


def test_difference_refuses_other_names_or_shapes():
    with pytest.raises(KeyError, match="expected"):
        difference({"y": [1.0]}, {"y": [1.0], "dx": [1.0]})
    with pytest.raises(ValueError, match=r"y: expected shape \(1,\), got \(2,\)"):
        difference({"y": [1.0]}, {"y": [1.0, 2.0]})


def test_contenders_take_turns():
    log = []
    runners = [timing.Runner(contender(c, seconds=1e-3, log=log), BRIEF) for c in "ab"]
    log.clear()
    seconds = timing.alternate(runners, 3)
    assert "".join(log) == "ababab"
    assert [len(times) for times in seconds] == [3, 3]
    assert min(min(times) for times in seconds) >= 1e-3


def test_a_turn_repeats_short_calls():
    runner = timing.Runner(contender("a"), timing.Effort(round_seconds=0.01))
    assert runner.calls > 10
    assert 0 < runner.turn() < 1e-3


def test_rounds_keep_to_the_budget_and_the_limits():
    runner = timing.Runner(contender("a", seconds=1e-3), BRIEF)
    limits = {"least_rounds": 5, "most_rounds": 15}
    assert timing.rounds([runner], timing.Effort(budget_seconds=1e-6, **limits)) == 5
    assert timing.rounds([runner], timing.Effort(budget_seconds=1e6, **limits)) == 15


def test_turns_in_a_row_end_with_their_time():
    runner = timing.Runner(contender("a", seconds=5e-3), BRIEF)
    assert len(runner.turns_in_a_row(4, most_seconds=60)) == 4
    assert len(runner.turns_in_a_row(1000, most_seconds=0.02)) <= 5
    assert len(runner.turns_in_a_row(1000, most_seconds=0)) == 1


def test_the_fastest_setting_stands_for_its_column():
    slow = contender("a", "slow", seconds=0.02)
    fast = contender("a", "fast", seconds=0.001)
    result = compete.compete([slow, fast, contender("b")], BRIEF)
    assert result["settings"] == {"a": "fast"}
    assert list(result["seconds"]) == ["a", "b"]
    assert result["seconds"]["a"] < 0.02
    low, high = result["range"]["a"]
    assert low <= result["seconds"]["a"] <= high


def test_whoever_computes_something_else_is_reported_and_not_timed():
    other = contender("b", "wrong", value=1 + 3 * TOLERANCE)
    nothing = contender("c", "undefined", value=np.nan)
    result = compete.compete([contender("a"), other, nothing], BRIEF)
    assert list(result["seconds"]) == ["a"]
    assert list(result["differ"]) == ["b (wrong)", "c (undefined)"]
    assert result["differ"]["b (wrong)"] == pytest.approx(1.5 * TOLERANCE)
