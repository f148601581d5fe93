"""Timing: contenders take turns, round after round, and the median of the rounds counts."""

from __future__ import annotations

import contextlib
import gc
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.contest.contender import Contender

SETTLE_SECONDS = 0.02
"""Pause before a turn: the threads of whoever ran before may still spin so long."""

LONG_SECONDS = 0.1
"""A call of this length is timed well enough by one."""

TRIALS = 3


@dataclass(frozen=True)
class Effort:
    """How much time measuring may take."""

    round_seconds: float = 0.02
    """Calls are repeated until a turn lasts so long, so that it can be timed."""

    budget_seconds: float = 5.0
    """All rounds of one case together take about so long, within the limits below."""

    least_rounds: int = 5
    most_rounds: int = 15


QUICK = Effort(round_seconds=0.005, budget_seconds=0.3, least_rounds=3, most_rounds=3)


class Runner:
    """A contender that knows how many calls make a turn."""

    def __init__(self, contender: Contender, effort: Effort) -> None:
        self.contender = contender
        with contender.context():
            once = self._time(1)
            calls = 1
            while once * calls < LONG_SECONDS:
                # The lesser of two, because the machine may have done something else in one.
                once = min(self._time(calls) for _ in range(2))
                if once * calls > effort.round_seconds / 4:
                    break
                calls *= 4
        self.calls = max(1, math.ceil(effort.round_seconds / once))
        self.turn_seconds = self.calls * once

    def turn(self) -> float:
        """Mean seconds of a call in one turn, after a pause and calls that do not count."""
        time.sleep(SETTLE_SECONDS)
        with self.contender.context():
            # A turn of one long call wakes threads and fills caches within itself.
            if self.calls > 1:
                self._time(max(1, self.calls // 5))
            return self._time(self.calls)

    def turns_in_a_row(self, count: int, most_seconds: float) -> list[float]:
        """Mean seconds of a call in each of several turns without a pause.

        One more goes before. There are fewer, but at least one, if they would take longer than
        ``most_seconds``.
        """
        times: list[float] = []
        with self.contender.context():
            self._time(self.calls)
            stop = time.perf_counter() + most_seconds
            while not times or (len(times) < count and time.perf_counter() < stop):
                times.append(self._time(self.calls))
        return times

    def _time(self, calls: int) -> float:
        """Mean seconds of a call."""
        run = self.contender.run
        start = time.perf_counter()
        for _ in itertools.repeat(None, calls):
            run()
        return (time.perf_counter() - start) / calls


def fastest(contenders: Sequence[Contender], effort: Effort) -> Runner:
    """The best of one column's settings, in a short trial."""
    runners = [Runner(contender, effort) for contender in contenders]
    if len(runners) == 1:
        return runners[0]
    with no_garbage_collection():
        return min(runners, key=_trial)


def _trial(runner: Runner) -> float:
    """Seconds of a call; of a long one it is known well enough."""
    once = runner.turn_seconds / runner.calls
    return once if once > LONG_SECONDS else min(runner.turn() for _ in range(TRIALS))


def rounds(runners: Sequence[Runner], effort: Effort) -> int:
    """How many rounds the budget allows."""
    one = sum(r.turn_seconds + SETTLE_SECONDS for r in runners)
    return min(effort.most_rounds, max(effort.least_rounds, int(effort.budget_seconds / one)))


def alternate(
    runners: Sequence[Runner], count: int, each_round: Callable[[], None] = lambda: None
) -> list[list[float]]:
    """Seconds of a call for each runner and round; all take one turn in every round."""
    seconds: list[list[float]] = [[] for _ in runners]
    with no_garbage_collection():
        for _ in range(count):
            each_round()
            for runner, times in zip(runners, seconds, strict=True):
                times.append(runner.turn())
    return seconds


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keep the collector of cycles out of what is timed."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
