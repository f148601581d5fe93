"""Lets forked workers read thousands of files each, under limits; one that dies costs one file.

The parent has imported what reading needs, and made the files that are spoiled, before it forks.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import resource
import shutil
import signal
import struct
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyrnn
from tests.fuzz.readers.common import Reader
from tests.fuzz.readers.judge import Held, Judge, held

FILES = 10_000
"""That one worker reads."""
WARM = 1000
"""Files before which a worker is not held to have what it will keep: caches fill until then."""
MEMORY = 1 << 29
"""Bytes of address space that a worker may have more than at its beginning."""
HANG = 5.0
"""Seconds of processor time after which a worker that is at one file is ended."""
STUCK = 60.0
"""And seconds in all, on a busy machine."""
GROWTH = Held(memory=1 << 22, objects=500, descriptors=0, threads=0)
"""What a worker may keep, besides an eighth of this for each thousand files."""
Finding = tuple[str, str, str]


@dataclass
class Report:
    """How many files were read and refused, how long that took, and what is wrong."""

    answers: int = 0
    refusals: int = 0
    seconds: float = 0.0
    counts: Counter[Finding] = field(default_factory=Counter)
    first: dict[Finding, int] = field(default_factory=dict)
    grown: list[list[int]] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """How many files there were."""
        return (
            self.answers
            + self.refusals
            + sum(count for (_, kind, _), count in self.counts.items() if kind == "crash")
        )

    def add(self, finding: Finding, number: int) -> None:
        """Count a finding."""
        self.counts[finding] += 1
        self.first.setdefault(finding, number)


# --- inside a worker ------------------------------------------------------------------------


class _Progress:
    """Numbers that a worker and its parent share: the file at hand, answers, refusals."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 24)

    def put(self, *numbers: int) -> None:
        self._memory[:] = struct.pack("<3q", *numbers)

    def get(self) -> tuple[int, int, int]:
        return struct.unpack("<3q", self._memory[:])


def _work(
    reader: Reader, seed: int, numbers: range, until: float, progress: _Progress, pipe: int,
    folder: Path,
) -> None:  # fmt: skip
    """Read files; a JSON line for each finding, and one for what has grown."""
    _limit()
    pyrnn.set_num_threads(1)
    place = folder / "place"
    place.mkdir()
    tempfile.tempdir = str(folder)
    if reader.server:
        reader.server()
    judge = Judge(reader, seed, place)
    answers = refusals = 0
    before: Held | None = None
    for done, number in enumerate(numbers):
        if time.time() > until:
            break
        progress.put(number, answers, refusals)
        signal.setitimer(signal.ITIMER_PROF, HANG)
        if done == WARM:
            before = held()
        try:
            verdict = judge.judge(number)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
            _say(pipe, {"finding": (reader.entry, "fuzzer", said[:300]), "number": number})
            refusals += 1
            continue
        answers, refusals = answers + (not verdict.refused), refusals + verdict.refused
        for finding in verdict.findings:
            _say(pipe, {"finding": finding, "number": number})
    signal.setitimer(signal.ITIMER_PROF, 0)
    progress.put(numbers.stop, answers, refusals)
    if before is not None and (files := done - WARM) > 0:
        grown = [now - then for now, then in zip(held(), before, strict=True)]
        _say(pipe, {"grown": [files, *grown]})
        for name, more, most in zip(Held._fields, grown, GROWTH, strict=True):
            if more > most * (1 + files / 8000):
                finding = (reader.entry, "leak", f"{name} grow")
                _say(pipe, {"finding": finding, "number": number})


def _say(pipe: int, line: dict[str, object]) -> None:
    os.write(pipe, json.dumps(line).encode() + b"\n")


def _limit() -> None:
    """Bound memory, and end the process by a signal when one file has taken far too long."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, hard))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)


# --- around workers -------------------------------------------------------------------------


class _Worker:
    """A process that reads some files, followed by others until all are read."""

    def __init__(self, reader: Reader, seed: int, numbers: range, until: float, report: Report):
        self._reader, self._seed, self._until, self._report = reader, seed, until, report
        self._numbers = numbers
        self._progress = _Progress()
        self._start(numbers[:FILES])

    def _start(self, numbers: range) -> None:
        self._own, self._seen, self._since = numbers, -1, time.monotonic()
        self._progress.put(numbers.start, 0, 0)
        self._folder = tempfile.mkdtemp(prefix="pyrnn-fuzz-", dir=_memory_folder())
        self._pipe, writing = os.pipe()
        os.set_blocking(self._pipe, False)
        self._data = b""
        self._child = os.fork()
        if self._child == 0:
            code = 1
            try:
                os.setpgid(0, 0)
                os.close(self._pipe)
                _work(
                    self._reader, self._seed, numbers, self._until, self._progress, writing,
                    Path(self._folder),
                )  # fmt: skip
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writing)

    def look(self) -> bool:
        """Take in what it has said; begin the next when it has ended. False when all is read."""
        ended, status = os.waitpid(self._child, os.WNOHANG)
        self._take()
        number, answers, refusals = self._progress.get()
        if not ended:
            if number != self._seen:
                self._seen, self._since = number, time.monotonic()
            if time.monotonic() - self._since < STUCK:
                return True
            self.stop()
            code, what = -signal.SIGKILL, f"no end within {STUCK:g} s"
        else:
            code = os.waitstatus_to_exitcode(status)
            what = f"exit {code}"
            if code < 0:
                what = f"signal {signal.Signals(-code).name}"
        self._finish()
        self._report.answers += answers
        self._report.refusals += refusals
        after = number
        if code:
            self._report.add((self._reader.entry, "crash", what), number)
            after = number + self._numbers.step
        rest = range(after, self._numbers.stop, self._numbers.step)
        if not rest or time.time() > self._until:
            return False
        self._start(rest[:FILES])
        return True

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._pipe, 1 << 16):
                self._data += data
        *lines, self._data = self._data.split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "finding" in said:
                self._report.add(tuple(said["finding"]), said["number"])
            else:
                self._report.grown.append(said["grown"])

    def stop(self) -> None:
        """End it and what it forked."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.killpg(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)

    def _finish(self) -> None:
        os.close(self._pipe)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child, signal.SIGKILL)  # what it forked
        shutil.rmtree(self._folder, ignore_errors=True)


def _memory_folder() -> str | None:
    """A folder in memory, in which files cost little."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def run(
    reader: Reader, cases: int, seed: int = 0, start: int = 0, jobs: int = 1,
    until: float = float("inf"),
) -> Iterator[Report]:  # fmt: skip
    """Read so many spoiled files; the report so far, from time to time."""
    reader.warm()
    report, begun = Report(), time.monotonic()
    workers = [
        _Worker(reader, seed, range(start + job, start + cases, jobs), until, report)
        for job in range(min(jobs, cases))
    ]
    try:
        while workers:
            workers = [worker for worker in workers if worker.look()]
            report.seconds = time.monotonic() - begun
            yield report
            time.sleep(0.02)
    finally:
        for worker in workers:
            worker.stop()
            worker._finish()
