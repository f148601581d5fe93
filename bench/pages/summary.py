"""What the rows of the grid come to: ratios, geometric means, the worst rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bench.contest.shapes import COMPUTE, INFERENCE, TRAINING

Row = dict[str, Any]

OWN = "pyrnn"
SMALL_STEP = 64
"""Largest hidden size of a small step."""


class Summary(NamedTuple):
    """Ratios of one section with one number of threads: time of a peer by time of pyrnn."""

    section: str
    threads: int
    number: int
    geometric_mean: float
    lowest: Row
    below_one: int


def ratios(row: Row) -> dict[str, float]:
    """Each peer's time divided by pyrnn's, in the order of the columns; above 1, pyrnn leads."""
    own = row["seconds"][OWN]
    return {name: time / own for name, time in row["seconds"].items() if name != OWN}


def best_ratio(row: Row) -> float:
    """The fastest peer's time divided by pyrnn's; NaN where there is no peer."""
    return min(ratios(row).values(), default=math.nan)


def share_of_peak(row: Row, column: str = OWN) -> float:
    """Of the arithmetic that the cores can do, what a row makes use of; NaN if not measured."""
    if not row["peak"]:
        return math.nan
    return float(row["gflop"] / row["seconds"][column] / row["peak"])


def summaries(rows: Iterable[Row]) -> list[Summary]:
    """One for each section and number of threads that has rows with a peer in them."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if ratios(row):
            groups.setdefault((row["section"], row["threads"]), []).append(row)
    order = [TRAINING, INFERENCE, COMPUTE]
    return [
        Summary(
            section,
            threads,
            len(group),
            geometric_mean([best_ratio(row) for row in group]),
            min(group, key=best_ratio),
            sum(best_ratio(row) < 1 for row in group),
        )
        for (section, threads), group in sorted(
            groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1])
        )
    ]


def lowest(rows: Iterable[Row], count: int) -> list[Row]:
    """The rows with the lowest ratios, from the lowest up."""
    return sorted((row for row in rows if ratios(row)), key=best_ratio)[:count]


def fastest_peer(row: Row) -> str:
    """Who has the lowest ratio of a row that has peers."""
    found = ratios(row)
    return min(found, key=found.__getitem__)


def small_steps(rows: Iterable[Row]) -> dict[str, float]:
    """The lowest ratio of each peer over the single steps of small layers."""
    found: dict[str, float] = {}
    for row in rows:
        if row["step"] and row["hidden"] <= SMALL_STEP:
            for name, ratio in ratios(row).items():
                found[name] = min(ratio, found.get(name, math.inf))
    return found


def excess(row: Row) -> list[float]:
    """For each doubling: the factor of the time, divided by the factor of the arithmetic."""
    seconds, operations = row["seconds"], row["operations"]
    return [
        (seconds[n + 1] / seconds[n]) / (operations[n + 1] / operations[n])
        for n in range(len(seconds) - 1)
    ]


def geometric_mean(values: Sequence[float]) -> float:
    """exp of the mean logarithm."""
    return math.exp(sum(map(math.log, values)) / len(values))


def columns(rows: Iterable[Row]) -> list[str]:
    """The peers in any of the rows, in order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in ratios(row)))
