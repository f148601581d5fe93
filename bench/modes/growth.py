"""``--growth``: how time and memory of training grow as T, N and H double."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from bench import memory
from bench.contest import problem, timing
from bench.contest.shapes import GATES, GROWTH_BASE, Case
from bench.options import Options
from bench.peers import Peer

PEERS = ("pyrnn",)

SECTION = "growth"
FIELDS = {"T": "time_steps", "N": "batch_size", "H": "hidden_size"}
DOUBLINGS = {
    "T": [16, 32, 64, 128, 256, 512, 1024, 2048],
    "N": [1, 2, 4, 8, 16, 32, 64, 128],
    "H": [16, 32, 64, 128, 256, 512, 1024],
}
QUICK_DOUBLINGS = {"T": [16, 32, 64]}

MEMORY_STEPS = [512, 1024, 2048, 4096, 8192]
QUICK_MEMORY_STEPS = [512]


def cases(options: Options) -> list[tuple[str, list[Case]]]:
    """Series of cases; one series gives one row: an axis of time, or memory over T."""
    series = []
    for cell in GATES:
        base = Case(SECTION, True, cell, *GROWTH_BASE)
        doublings = QUICK_DOUBLINGS if options.quick else DOUBLINGS
        for axis, sizes in doublings.items():
            series.append((axis, [_resized(base, axis, size) for size in sizes]))
        steps = QUICK_MEMORY_STEPS if options.quick else MEMORY_STEPS
        series.append(("memory", [replace(base, time_steps=size) for size in steps]))
    return [(axis, found) for axis, found in series if options.wants(_name(axis, found))]


def rows(options: Options, peers: Mapping[str, Peer]) -> Iterator[dict[str, Any]]:
    """One series after another, as it is measured."""
    for axis, series in cases(options):
        row: dict[str, Any] = {
            "name": _name(axis, series),
            "cell": series[0].cell,
            "axis": axis,
            "threads": options.threads,
        }
        if axis == "memory":
            row["sizes"] = [case.time_steps for case in series]
            row["needed"] = [memory.needed(case) for case in series]
            row["bytes"] = [memory.peak(case, options.threads) for case in series]
        else:
            row["sizes"] = [getattr(case, FIELDS[axis]) for case in series]
            row["operations"] = [case.operations for case in series]
            row["seconds"] = _seconds(series, options, peers["pyrnn"])
        yield row


def _resized(case: Case, axis: str, size: int) -> Case:
    changed: dict[str, Any] = {FIELDS[axis]: size}
    return replace(case, **changed)


def _name(axis: str, series: list[Case]) -> str:
    return f"{series[0].cell} {axis}"


def _seconds(series: list[Case], options: Options, peer: Peer) -> list[float]:
    """The cases take turns, so that a slow moment of the machine touches all of them."""
    effort = timing.QUICK if options.quick else timing.Effort()
    contenders = [
        contender
        for case in series
        for contender in peer.contenders(case, problem.make(case), options.threads)
    ]
    runners = [timing.Runner(contender, effort) for contender in contenders]
    seconds = timing.alternate(runners, timing.rounds(runners, effort))
    return [statistics.median(times) for times in seconds]
