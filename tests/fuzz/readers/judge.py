"""Judges spoiled files, within a worker: the answers, and what reading took and left behind."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import pyrnn
from pyrnn.interop.keras import hdf5
from tests.fuzz import compare
from tests.fuzz.case import draw_case
from tests.fuzz.check import attempt
from tests.fuzz.readers.common import SLOW, Reader, in_one_place
from tests.fuzz.spoil import hostile

ROOM = 1 << 26
RATIO = 64
"""Reading a file takes at most so many bytes of memory, and so many times the file's own."""
TWICE = 1 / 16
"""The share of files that are read again, to the same bits."""
RUNS = (
    "os.", "subprocess.", "pickle.find_class", "socket.", "ctypes.", "shutil.", "webbrowser.",
    "pty.",
    "exec", "compile", "urllib.", "ftplib.", "marshal.loads", "code.__new__", "function.__new__",
)  # fmt: skip
"""Beginnings of audit events that no reader causes, but imports do."""
HARMLESS = ("os.listdir", "os.scandir", "os.remove", "os.fork", "os.mkdir", "os.rmdir", "os.putenv",
            "os.rename", "os.chmod", "os.truncate", "os.utime", "shutil.rmtree")  # fmt: skip


class Verdict(NamedTuple):
    """Whether a file was refused, and what is wrong with how."""

    refused: bool
    findings: list[tuple[str, str, str]]


class Held(NamedTuple):
    """What a process has: bytes of memory, objects with references, descriptors, threads."""

    memory: int
    objects: int
    descriptors: int
    threads: int


class Judge:
    """Judges the files of one reader in this process, in a folder of its own."""

    def __init__(self, reader: Reader, seed: int, folder: Path) -> None:
        self._reader, self._seed, self._folder = reader, seed, folder
        self._most_seconds = SLOW + (hdf5.SECONDS + 0.1 if reader.server else 0)
        self._peak = _Peak()
        self._watch = Watch(folder)
        hostile.set_trap()
        pyrnn.build_info()  # looks for its version once

    def judge(self, number: int) -> Verdict:
        """Read one file, and say what is wrong with that."""
        entry = self._reader.as_entry()
        case = draw_case(entry, self._seed, number)
        size = len(case.arguments["file"])
        with in_one_place(self._folder):
            self._peak.begin()
            begun = time.perf_counter()
            with self._watch:
                outcome = attempt(case, "native")
            slow, took = time.perf_counter() - begun > SLOW, self._peak.taken()
            problems = [("read", problem) for problem in outcome.problems]
            if outcome.error is None and number % round(1 / TWICE) == 0:
                problems += self._again(number, outcome.result)
            slow = slow and self._processor_seconds(number) > self._most_seconds
        if slow:
            problems.append(("slow", f"more than {self._most_seconds:g} s"))
        if isinstance(outcome.error, MemoryError):
            problems.append(("memory", "raises MemoryError"))
        if took > ROOM + RATIO * size:
            problems.append(("memory", f"more than {ROOM >> 20} MB and {RATIO} times the file"))
        if hostile.STRUCK:
            problems.append(("code", "a function that the file names was called"))
            hostile.STRUCK.clear()
        problems += [("code", said) for said in self._watch.taken()]
        found = dict.fromkeys((entry.name, kind, said) for kind, said in problems)
        return Verdict(outcome.error is not None, list(found))

    def _again(self, number: int, result: Any) -> list[tuple[str, str]]:
        again = attempt(draw_case(self._reader.as_entry(), self._seed, number), "native")
        if again.error is not None:
            return [("again", f"{type(again.error).__name__} for an answer")]
        found = compare.bit_difference(again.result, result)
        return [("again", found)] if found else []

    def _processor_seconds(self, number: int) -> float:
        """Of this process and those that it began; others may have been at work the first time."""
        case, before = draw_case(self._reader.as_entry(), self._seed, number), os.times()[:4]
        attempt(case, "native")
        return sum(os.times()[:4]) - sum(before)


# --- code that a file runs ------------------------------------------------------------------


class Watch:
    """Notes what of Python's audit events no reader causes: code, other programs, other files."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._on = False
        self._said: dict[str, None] = {}
        sys.addaudithook(self._hear)

    def __enter__(self) -> None:
        self._on = True

    def __exit__(self, *_: object) -> None:
        self._on = False

    def taken(self) -> list[str]:
        """What was noted since the last time."""
        said = list(self._said)
        self._said.clear()
        return said

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if not self._on:
            return
        self._on = False  # what is asked here is not heard
        try:
            if event == "open":
                self._hear_open(given)
            elif event.startswith(RUNS) and not event.startswith(HARMLESS) and not _importing():
                self._said[f"{event} {str(given)[:80]}"] = None
        finally:
            self._on = True

    def _hear_open(self, given: tuple[Any, ...]) -> None:
        path = given[0]
        if isinstance(path, int) or _importing():
            return
        name = os.path.abspath(os.fsdecode(path))
        base = os.path.dirname(self._folder)  # temporary files are beside it
        if not name.startswith((base, "/proc/", "/dev/null")):
            self._said[f"open {name[:80]}"] = None


def _importing() -> bool:
    """Whether it is an import that opens or runs a file, among the callers."""
    frame: Any = sys._getframe(2)
    for _ in range(12):
        if frame is None:
            return False
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


# --- what reading takes, and what stays -----------------------------------------------------


class _Peak:
    """The most memory that a process had between two points, where Linux says it."""

    def __init__(self) -> None:
        self._before = 0
        try:
            self._reset: int | None = os.open("/proc/self/clear_refs", os.O_WRONLY)
            os.write(self._reset, b"5")
        except OSError:
            self._reset = None

    def begin(self) -> None:
        if self._reset is not None:
            os.write(self._reset, b"5")
            self._before = _status(b"VmHWM:")

    def taken(self) -> int:
        return 0 if self._reset is None else _status(b"VmHWM:") - self._before


def _status(key: bytes) -> int:
    """A number of bytes in the status of this process."""
    with open("/proc/self/status", "rb") as file:
        text = file.read()
    return int(text[text.index(key) + len(key) :].split(maxsplit=1)[0]) << 10


def held() -> Held:
    """What this process has now, after what can go is gone."""
    gc.collect()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).malloc_trim(0)
        memory = _status(b"VmRSS:")
        descriptors = len(os.listdir("/proc/self/fd"))
    else:
        memory = descriptors = 0
    return Held(memory, len(gc.get_objects()), descriptors, threading.active_count())
