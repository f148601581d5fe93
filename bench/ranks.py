"""``python -m bench.ranks``: the speed-up of a second rank, and the most that the machine allows.

Three ways to train one character model with one thread for each process take turns: one process,
two independent ones, and two ranks of ``mpiexec``. Two independent processes share only the machine
(caches, memory, clock), so ranks cannot be faster than these; the difference is the cost of the
exchange. The machine should be otherwise idle, with two cores or more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

WAYS = {"one process": (1, False), "two, independent": (2, False), "two ranks": (1, True)}
"""How many commands run at once, and whether mpiexec starts two ranks for each."""

STREAMS = 32
"""Sequences of each process."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the factors."""
    parser = argparse.ArgumentParser(prog="python -m bench.ranks", description=__doc__)
    parser.add_argument("text", help="a text of some megabytes")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args(arguments)
    mpiexec = shutil.which("mpiexec")
    if mpiexec is None:
        raise SystemExit("bench.ranks: mpiexec is not installed; pip install mpich brings it")
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(given.turns):
        for way, (count, ranks) in WAYS.items():
            rates[way].append(measure(given, count, mpiexec if ranks else None))
    print("\n".join(lines(rates)))
    return 0


def measure(given: argparse.Namespace, count: int, mpiexec: str | None) -> float:
    """Characters a second, of all processes together, without the time for scores."""
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for number in range(count):
            log = Path(folder) / f"{number}.jsonl"
            streams = STREAMS if mpiexec is None else 2 * STREAMS
            command = [sys.executable, "-m", "pyrnn", "train", given.text, "--threads", "1"]
            command += ["--hidden", str(given.hidden), "--seq-len", "64", "--batch", str(streams)]
            command += ["--steps", str(given.steps), "--log", str(log)]
            command += ["--out", str(log.with_suffix(".safetensors"))]
            if mpiexec is not None:
                command = [mpiexec, "-n", "2", *command]
            process = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL)
            processes.append((process, log))
        total = 0.0
        for process, log in processes:
            if process.wait():
                raise SystemExit(f"bench.ranks: {' '.join(map(str, process.args))} failed")
            last = json.loads(log.read_text().splitlines()[-1])
            total += last["characters"] / last["seconds"]
        return total


def lines(rates: Mapping[str, Sequence[float]]) -> list[str]:
    """Each way's characters a second, the median of its turns, and its factor in each turn."""
    alone = rates["one process"]
    table = []
    for way, each in rates.items():
        factors = " ".join(f"{rate / one:.2f}" for rate, one in zip(each, alone, strict=True))
        table.append(f"{way:18} {statistics.median(each):10,.0f} characters/s   x {factors}")
    return table


if __name__ == "__main__":
    raise SystemExit(main())
