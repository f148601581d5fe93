"""The main mode: every case of the grid, by every peer, at its best setting."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from bench.contest import problem, timing
from bench.contest.compete import compete
from bench.contest.shapes import COMPUTE, Case, grid, quick_grid
from bench.options import Options
from bench.peers import MODULES, Peer
from pyrnn.backend import selection

PEERS = tuple(MODULES)

PEAK_SECONDS = 0.2
"""How long the loop that measures the peak runs in each round."""


def cases(options: Options) -> list[Case]:
    """What is to be measured."""
    return [c for c in (quick_grid() if options.quick else grid()) if options.wants(c.name)]


def rows(options: Options, peers: Mapping[str, Peer]) -> Iterator[dict[str, Any]]:
    """One row after another, as it is measured."""
    effort = timing.QUICK if options.quick else timing.Effort()
    for case in cases(options):
        yield _measure(case, options.threads, peers, effort)


def _measure(
    case: Case, threads: int, peers: Mapping[str, Peer], effort: timing.Effort
) -> dict[str, Any]:
    numbers = problem.make(case)
    contenders = [
        contender
        for peer in peers.values()
        for contender in peer.contenders(case, numbers, threads)
    ]
    peaks: list[float] = []

    def each_round() -> None:
        if case.section == COMPUTE:
            peaks.extend(_peak(threads))

    measured = compete(contenders, effort, each_round)
    return {
        "name": case.name,
        "section": case.section,
        "task": "training" if case.training else "inference",
        "cell": case.cell,
        "shape": case.shape,
        "step": case.is_step,
        "hidden": case.hidden_size,
        "threads": threads,
        "gflop": case.operations / 1e9,
        "peak": max(peaks, default=None),  # whatever disturbs the loop makes it slower
        **measured,
    }


def _peak(threads: int) -> list[float]:
    """GFLOP/s of a loop of fused multiply-adds; nothing where the core cannot measure it."""
    measure = getattr(selection.native_module(), "fma_peak", None)
    if measure is None:
        return []
    # As before every turn: threads of whoever ran before may still spin.
    time.sleep(timing.SETTLE_SECONDS)
    return [float(measure(threads, PEAK_SECONDS))]
