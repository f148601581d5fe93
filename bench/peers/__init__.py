"""The libraries that are compared: a list, and how to find those that are installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Protocol, cast

from bench.contest.contender import Contender
from bench.contest.problem import Problem
from bench.contest.shapes import Case

MODULES = {
    "pyrnn": "bench.peers.pyrnn_peer",
    "torch": "bench.peers.torch_peer",
    "jax": "bench.peers.jax_peer",
    "onnxruntime": "bench.peers.onnxruntime_peer",
    "openvino": "bench.peers.openvino_peer",
}

SMALL_OPERATIONS = 1_000_000_000
"""Below so much work, one thread may be quicker than several: both are tried."""


class Peer(Protocol):
    """What a module of this package has."""

    def version(self) -> str:
        """The library's own."""

    def contenders(self, case: Case, problem: Problem, threads: int) -> list[Contender]:
        """The library's ways to compute the case with at most so many threads; none if it cannot.

        Outputs are ``y`` and, in training, ``dx`` and the gradients by the names of the weights.
        """


def installed(names: Iterable[str]) -> tuple[dict[str, Peer], list[str]]:
    """Those of the peers that can be imported, by name, and the names of those that cannot."""
    found: dict[str, Peer] = {}
    missing = []
    for name in names:
        try:
            found[name] = cast(Peer, importlib.import_module(MODULES[name]))
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] in ("pyrnn", "bench"):
                raise
            missing.append(name)
    return found, missing


def thread_settings(case: Case, threads: int) -> list[int]:
    """How many threads a peer should try for a case."""
    small = case.operations < SMALL_OPERATIONS
    return [threads, 1] if small and threads > 1 else [threads]


def threads_text(threads: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{threads} thread{'' if threads == 1 else 's'}"
