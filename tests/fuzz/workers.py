"""Runs many cases in processes of their own: one that crashes or hangs costs one case.

A worker writes the number of the case that it is at into a file, and what it finds onto its
standard output, one JSON line each.
"""

from __future__ import annotations

import bisect
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyrnn
from tests.fuzz.case import Entry

THREADS = 2
"""With which cases run, on whatever machine; some of them also with 1 and 3."""
ROOT = Path(__file__).parents[2]
PATIENCE = 20
"""Times the time of a case: what looks now and then whether it can go on hangs, too."""
MEMORY = 6 * 2**30
"""Bytes of address space of a worker, so that what is far too large is refused, not swapped."""


@dataclass
class Share:
    """How the cases of one entry point ended."""

    right: int = 0
    refused: int = 0
    undecided: int = 0
    seconds: float = 0.0

    @property
    def cases(self) -> int:
        """How many there were."""
        return self.right + self.refused + self.undecided


@dataclass
class Report:
    """What came of all cases; findings by their words, with a count and the first case."""

    shares: dict[str, Share] = field(default_factory=dict)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    first: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def add(self, finding: tuple[str, str, str], case: str) -> None:
        """Count a finding."""
        self.counts[finding] += 1
        self.first.setdefault(finding, case)


GOLDEN = (5**0.5 - 1) / 2
"""Its multiples are spread evenly over [0, 1), wherever one begins."""


def entry_of(entries: dict[str, Entry], seed: int, number: int) -> Entry:
    """Which entry point a case is for: each in turn, as often as its weight says."""
    weights = [entry.weight for entry in entries.values()]
    place = (random.Random(seed).random() + number * GOLDEN) % 1.0 * sum(weights)
    index = bisect.bisect(list(itertools.accumulate(weights)), place)
    return list(entries.values())[min(index, len(weights) - 1)]


# --- inside a worker ------------------------------------------------------------------------


def work(
    entries: dict[str, Entry], seed: int, numbers: range, until: float, progress: Path
) -> None:
    """Check cases, and print a JSON line for each finding and one for the shares."""
    from tests.fuzz.check import Finding, Verdict, check

    _limit_memory()
    pyrnn.set_num_threads(THREADS)
    shares: dict[str, Share] = {}
    said_at = 0.0
    with progress.open("r+b", buffering=0) as file:
        for number in numbers:
            if time.time() > until:
                break
            file.seek(0)
            file.write(number.to_bytes(8, "little"))
            entry = entry_of(entries, seed, number)
            begun = time.perf_counter()
            try:
                verdict = check(entry, seed, number)
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                said = (
                    f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
                )
                verdict = Verdict(False, [Finding(entry.name, "fuzzer", said)])
            share = shares.setdefault(entry.name, Share())
            share.seconds += time.perf_counter() - begun
            if verdict.undecided:
                share.undecided += 1
            elif verdict.refused:
                share.refused += 1
            else:
                share.right += 1
            for finding in verdict.findings:
                _say({"case": f"{entry.name}/{seed}/{number}", "finding": finding})
            if verdict.findings or time.monotonic() > said_at + 0.5:
                said_at = time.monotonic()
                _say({"shares": {name: vars(one) for name, one in shares.items()}})
                shares = {}
    _say({"shares": {name: vars(one) for name, one in shares.items()}})


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))


# --- around workers -------------------------------------------------------------------------


class Clock:
    """Whether a process's case has time left.

    That is the processor's time, as other processes may have the machine; and any time in which
    it computes nothing, as when it waits for a lock.
    """

    def __init__(self, pid: int, timeout: float) -> None:
        self._pid, self._timeout = pid, timeout
        self._begin(-1)

    def _begin(self, number: int) -> None:
        self._number, self._begun = number, time.monotonic()
        self._used = self._used_before = processor_time(self._pid)
        self._idle_since = self._begun

    def has_time(self, number: int) -> bool:
        """Whether case ``number``, at which the process is now, may go on."""
        if number != self._number:
            self._begin(number)
        now, used = time.monotonic(), processor_time(self._pid)
        if used != self._used:
            self._used, self._idle_since = used, now
        return (
            used - self._used_before < self._timeout
            and now - self._idle_since < self._timeout
            and now - self._begun < PATIENCE * self._timeout
        )


def processor_time(pid: int) -> float:
    """The seconds that a process and its children that have ended have computed; 0 if unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended, or it is not Linux: any time counts
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


class Worker:
    """A process that runs every so many-th case, begun anew after each that it dies of."""

    def __init__(self, command: list[str], numbers: range, timeout: float, report: Report) -> None:
        self._command, self._numbers, self._timeout = command, numbers, timeout
        self._report = report
        self._folder = tempfile.TemporaryDirectory()
        self._progress = Path(self._folder.name) / "progress"
        self._output = Path(self._folder.name) / "output"
        self._errors = Path(self._folder.name) / "errors"
        self._start(numbers)

    def _start(self, numbers: range) -> None:
        self._read = 0
        self._progress.write_bytes((numbers.start).to_bytes(8, "little"))
        span = f"{numbers.start}:{numbers.stop}:{numbers.step}"
        command = [*self._command, "--worker", span, "--progress", str(self._progress)]
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            # A session of its own, so that what it forked ends with it.
            self._process = subprocess.Popen(
                command, stdout=output, stderr=errors, cwd=ROOT, start_new_session=True
            )
        self._clock = Clock(self._process.pid, self._timeout)

    def at(self) -> int:
        """The number of the case that it is at."""
        return int.from_bytes(self._progress.read_bytes()[:8], "little")

    def look(self, name_of: Any) -> bool:
        """Take in what it has written; begin anew if it has died. False when it is through."""
        code = self._process.poll()
        self._take()
        if code == 0:
            return False
        if code is None:
            if self._clock.has_time(self.at()):
                return True
            what = f"no end within {self._timeout:g} s"
            self.stop()
        else:
            what = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
            errors = self._errors.read_text(errors="replace").strip().splitlines()
            if code > 0 and errors:
                what += f": {errors[-1][:200]}"
        number = self.at()
        name, case = name_of(number)
        self._report.add((name, "crash", what), case)
        rest = range(number + self._numbers.step, self._numbers.stop, self._numbers.step)
        if not rest:
            return False
        self._start(rest)
        return True

    def _take(self) -> None:
        with self._output.open("rb") as output:
            output.seek(self._read)
            data = output.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            said = json.loads(line)
            if "finding" in said:
                self._report.add(tuple(said["finding"]), said["case"])
            for name, numbers in said.get("shares", {}).items():
                share = self._report.shares.setdefault(name, Share())
                for key, value in numbers.items():
                    setattr(share, key, getattr(share, key) + value)

    def stop(self) -> None:
        """End it and what it forked."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def run_all(
    command: list[str], cases: int, start: int, jobs: int, timeout: float, name_of: Any
) -> Iterator[Report]:
    """Run all cases in so many workers; the report so far, from time to time."""
    report = Report()
    workers = [
        Worker(command, range(start + job, start + cases, jobs), timeout, report)
        for job in range(min(jobs, cases))
    ]
    try:
        while workers:
            workers = [worker for worker in workers if worker.look(name_of)]
            yield report
            time.sleep(0.05)
    finally:
        for worker in workers:
            worker.stop()
