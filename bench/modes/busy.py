"""``--busy``: how much a call slows down while other processes keep the same cores busy."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from bench.contest import problem, timing
from bench.contest.compete import agreeing
from bench.contest.shapes import Case
from bench.options import Options
from bench.peers import MODULES, Peer

PEERS = tuple(MODULES)

SECTION = "busy"
NEIGHBOURS = (0, 1, 2)
CALLS = 50
QUICK_CALLS = 5
BLOCKS = 5
"""Calls are timed in so many blocks, which alternate between the numbers of neighbours."""

BLOCK_SECONDS = 3.0
"""A block of calls ends after so long: spinning threads can slow a call a hundredfold."""

CALL_SECONDS = 0.02
"""Short calls are repeated until they last so long: several slices of the scheduler, so that
taking turns with a neighbour does not look like a stall."""

# Ends by itself when whoever started it is gone.
_SPIN = "import os\nwhile os.getppid() == {parent}:\n    for _ in range(100_000): pass"


def cases(options: Options) -> list[Case]:
    """Work split over the batch, over hidden units with a barrier in each step, or not at all."""
    all_cases = [
        Case(SECTION, True, "LSTM", 100, 32, 64, 256),
        Case(SECTION, True, "GRU", 25, 1, 65, 100),
        Case(SECTION, False, "LSTM", 100, 1, 512, 512),
        Case(SECTION, False, "LSTM", 1, 1, 1024, 1024),
        Case(SECTION, False, "GRU", 100, 32, 256, 256),
    ]
    return [c for c in (all_cases[1:2] if options.quick else all_cases) if options.wants(c.name)]


def rows(options: Options, peers: Mapping[str, Peer]) -> Iterator[dict[str, Any]]:
    """One case after another, as it is measured."""
    for case in cases(options):
        numbers = problem.make(case)
        contenders = [
            contender
            for peer in peers.values()
            for contender in peer.contenders(case, numbers, options.threads)
        ]
        runners, apart = agreeing(contenders, timing.Effort(round_seconds=CALL_SECONDS))
        yield {
            "name": case.name,
            "threads": options.threads,
            "neighbours": list(NEIGHBOURS),
            "differ": apart,
            "columns": {r.contender.column: _measure(r, options.quick) for r in runners},
        }


def _measure(runner: timing.Runner, quick: bool) -> dict[str, list[float]]:
    """For each number of neighbours: median and slowest seconds of a call, and how many calls."""
    calls = (QUICK_CALLS if quick else CALLS) // BLOCKS
    seconds: list[list[float]] = [[] for _ in NEIGHBOURS]
    for _ in range(BLOCKS):
        for neighbours, times in zip(NEIGHBOURS, seconds, strict=True):
            with processes(neighbours):
                times += runner.turns_in_a_row(calls, BLOCK_SECONDS)
    return {
        "median": [statistics.median(times) for times in seconds],
        "slowest": [max(times) for times in seconds],
        "calls": [len(times) for times in seconds],
    }


@contextlib.contextmanager
def processes(count: int) -> Iterator[None]:
    """So many processes that compute without end, on the cores of this one."""
    command = [sys.executable, "-c", _SPIN.format(parent=os.getpid())]
    started = [subprocess.Popen(command) for _ in range(count)]
    try:
        # They count as neighbours once they have started.
        time.sleep(0.3 if started else timing.SETTLE_SECONDS)
        yield
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()
