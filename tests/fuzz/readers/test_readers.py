"""A short run of the readers' fuzzer, and that it finds what is planted."""

import faulthandler
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fuzz.case import Case
from tests.fuzz.readers.common import Reader, placed
from tests.fuzz.readers.listed import READERS
from tests.fuzz.spoil.hostile import TRAP

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="its workers have limits that Linux has"
)

ROOT = Path(__file__).parents[3]
SHORT = {"keras": 150, "quantised torch": 300}
"""Files by reader; 600 of the others."""
ANSWERS = {"model": 20, "converted": 20, "text cache": 100}
"""At least so many answers; 50 of the others."""


@pytest.mark.parametrize("name", READERS)
def test_a_short_run_finds_nothing(name):
    cases = SHORT.get(name, 600)
    command = [sys.executable, "-m", "tests.fuzz.readers", "--reader", name, "--cases", str(cases)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    answers, refusals = map(int, re.search(rf"^{name} +(\d+) +(\d+)", done.stdout, re.M).groups())
    assert answers + refusals == cases
    assert answers >= ANSWERS.get(name, 50) * cases // 600


# --- that it finds what is there ------------------------------------------------------------


def nothing(path):
    return None


def strike(path):
    sys.modules[TRAP].strike("x")


def run_a_program(path):
    os.system("true")


def open_another_file(path):
    Path("/etc/hostname").exists()
    open(ROOT / "README.md").close()


def leave_a_file(path):
    (path.parent / "left").write_bytes(b"")


def hang(path):
    while True:
        pass


def take_long(path):
    until = time.process_time() + 1.2
    while time.process_time() < until:
        pass


def crash(path):
    faulthandler.disable()  # pytest's, which would print all frames
    os.kill(os.getpid(), 11)


def take_memory(path):
    bytearray(200 << 20)


def take_all_memory(path):
    bytearray(2 << 30)


KEPT = []


def keep_objects(path):
    KEPT.append([[], []] * 10)


def keep_descriptors(path):
    KEPT.append(os.open(path, os.O_RDONLY))


PLANTED = {
    nothing: None, strike: "code: a function that the file names", run_a_program: "code: os.system",
    open_another_file: "code: open ", leave_a_file: "leaves files behind",
    hang: "crash: signal SIGPROF",
    take_long: "slow: more than 1 s", crash: "crash: signal SIGSEGV",
    take_memory: "memory: more than",
    take_all_memory: "memory: raises MemoryError", keep_objects: "leak: objects grow",
    keep_descriptors: "leak: descriptors grow",
}  # fmt: skip


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found(fault, monkeypatch):
    workers = pytest.importorskip("tests.fuzz.readers.workers")
    monkeypatch.setattr(workers, "WARM", 10)
    monkeypatch.setattr(workers, "HANG", 4.0)
    kept = fault.__name__.startswith("keep")

    def read(arguments):
        with placed(arguments["file"], "file") as path:
            fault(path)

    def make(draw):
        draw.mutations = 0
        return Case({"file": b"x"}, read, names={"expected"}, errors=())

    reader = Reader("planted", make, (), lambda: None)
    *_, report = workers.run(reader, 400 if kept else 1)
    found = [f"{kind}: {detail}" for _, kind, detail in report.counts]
    if PLANTED[fault] is None:
        assert found == []
    else:
        assert any(PLANTED[fault] in one for one in found), found
