"""One competition: check the numbers, choose each column's best setting, time all in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from bench.contest import timing
from bench.contest.contender import TOLERANCE, Contender, difference


def compete(
    contenders: Sequence[Contender],
    effort: timing.Effort,
    each_round: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """What a row says of its contenders: median seconds, their range, settings, who differs."""
    runners, apart = agreeing(contenders, effort)
    chosen = [runner.contender for runner in runners]
    count = timing.rounds(runners, effort)
    seconds = timing.alternate(runners, count, each_round)
    by_column = dict(zip((c.column for c in chosen), seconds, strict=True))
    return {
        "rounds": count,
        "seconds": {column: statistics.median(times) for column, times in by_column.items()},
        "range": {column: [min(times), max(times)] for column, times in by_column.items()},
        "settings": {c.column: c.setting for c in chosen if c.setting},
        "differ": apart,
    }


def agreeing(
    contenders: Sequence[Contender], effort: timing.Effort
) -> tuple[list[timing.Runner], dict[str, float]]:
    """The fastest setting of each column that computes the right numbers.

    Right are the first contender's, which is pyrnn. Also returns who differs, and by how much:
    whoever computes something else is not timed.
    """
    expected = None
    columns: dict[str, list[Contender]] = {}
    apart = {}
    for contender in contenders:
        with contender.context():
            outputs = contender.outputs(contender.run())
        expected = outputs if expected is None else expected
        by = difference(expected, outputs)
        if by <= TOLERANCE:
            columns.setdefault(contender.column, []).append(contender)
        else:
            apart[f"{contender.column} ({contender.setting})"] = by
    return [timing.fastest(settings, effort) for settings in columns.values()], apart
